"""Other people's WebSocket clients, with the codec's echo (tests/harness/ws_echo.c) and with the server itself."""

import json

import pytest

from harness.client import custom, random_id
from harness.raw_websocket import Echo
from harness.websocket_clients import CLIENTS, talk

pytestmark = pytest.mark.any_database

LIMIT = 1 << 20
WORDS = ["", "a", "x" * 125, "y" * 126, "κόσμε ☃ 😀", "z" * 65535, "é" * 32768, "w" * 200_000]


@pytest.fixture(scope="module", name="echo")
def fixture_echo():
    echo = Echo(LIMIT, 5000)
    try:
        yield echo
        echo.stop()
    finally:
        echo.process.kill()
        echo.process.wait()


@pytest.mark.parametrize("name", CLIENTS)
def test_echo(echo, name):
    async def dialogue(client):
        for word in WORDS:
            await client.send(word)
            assert await client.receive() == word
            await client.send(word.encode())
            assert await client.receive() == word.encode()
        await client.send_in_parts(["one ☃ ", "two ", "three"])
        assert await client.receive() == "one ☃ two three"
        await client.ping(b"are you there?")
        return await client.close(3001, "done")

    assert talk(name, "ws://127.0.0.1:%d/echo" % echo.address[1], {}, dialogue) == 3001


def test_echo_of_npm_ws(echo, node_client):
    told = node_client("websocket.mjs", given={"url": "ws://127.0.0.1:%d/echo" % echo.address[1], "echo": WORDS})
    assert told == {"extensions": "", "protocol": "", "close": {"code": 3001, "reason": ""}}


def wanted_events(client, run_id):
    return [(seq, type, json.loads(payload)) for seq, type, payload in client.log(run_id)]


def found_events(messages):
    return [(told["event"]["seq"], told["event"]["type"], told["event"]["payload"]) for told in messages if told["op"] == "event"]


def headers_of(box):
    return {"Authorization": f"Bearer {box.api_key}"}


def orders(run_id):
    """A run is followed from its beginning, written to, and ended, all by WebSocket."""
    yield {"op": "subscribe", "id": "s1", "run_id": run_id, "after_seq": 0}
    for n in range(3):
        events = [custom(f"κόσμε {n}"), custom("x" * 70_000)]
        yield {"op": "append", "id": f"c{n}", "run_id": run_id, "events": events, "idempotency_key": random_id()}
    yield {"op": "append", "id": "last", "run_id": run_id, "events": [{"type": "RUN_FINISHED", "payload": {}}], "idempotency_key": random_id()}


def check_messages(client, run_id, messages):
    assert found_events(messages) == wanted_events(client, run_id)
    assert [told["id"] for told in messages if told["op"] == "ack"] == ["c0", "c1", "c2", "last"]
    assert messages[-1]["op"] == "end" and not [told for told in messages if told["op"] == "problem"]


@pytest.mark.requirement("R129")
@pytest.mark.parametrize("name", CLIENTS)
def test_a_run_is_followed_and_written(box, client, run_id, name):
    async def dialogue(socket):
        messages = []
        for order in orders(run_id):
            await socket.send(json.dumps(order))
        while not messages or messages[-1]["op"] != "end":
            messages.append(json.loads(await socket.receive()))
        return messages, await socket.close(1000, "")

    messages, code = talk(name, f"ws://{box.listen}/api/v1/ws", headers_of(box), dialogue)
    check_messages(client, run_id, messages)
    assert code == 1000


def test_a_run_is_followed_and_written_by_npm_ws(box, client, run_id, node_client):
    given = {"url": f"ws://{box.listen}/api/v1/ws", "headers": headers_of(box), "send": list(orders(run_id)), "until": "end"}
    program = node_client.start("websocket.mjs", given=given)
    last = program.result()
    check_messages(client, run_id, program.seen[:-1])
    assert last == {"extensions": "", "protocol": "", "close": {"code": 3001, "reason": ""}}
