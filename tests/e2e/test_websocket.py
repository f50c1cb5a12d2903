"""WebSockets: the handshake, subscriptions by cursor, commands, and every way in which one of them can end."""

import json

import pytest
from harness.client import custom, random_id
from harness.websocket import WebSocket, events_of

pytestmark = pytest.mark.any_database


def log_of(client, run_id) -> list:
    return [(seq, type, json.loads(payload)) for seq, type, payload in client.log(run_id)]


@pytest.fixture
def ws(box):
    with WebSocket(box) as socket:
        yield socket


def test_a_run_is_followed_from_its_table_into_its_end(client, ws, run_id):
    client.append_many(run_id, [custom(n) for n in range(20)])
    ws.subscribe(id="s1", run_id=run_id, after_seq=5)
    before = ws.until("caught_up")
    assert before[-1] == {"op": "caught_up", "id": "s1", "seq": 21}
    client.append(run_id, "CUSTOM", custom("live")["payload"])
    client.finish(run_id)
    after = ws.until("end")
    assert after[-1] == {"op": "end", "id": "s1", "seq": 23}
    assert events_of(before + after) == log_of(client, run_id)[5:]
