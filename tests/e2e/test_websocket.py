"""WebSockets: the handshake, subscriptions by cursor, commands, and every way in which one of them can end."""

import base64
import json
import os
import random

import pytest
from harness.client import custom, random_id
from harness.feeds import TENANT_FEED, open_feed, take, thread_feed
from harness.keys import make_key, make_tenant, revoke
from harness.raw import RawConnection
from harness.waiting import wait_until
from harness.ws_client import PATH, Refused, SocketClosed, WebSocket, events_of

pytestmark = pytest.mark.any_database


def log_of(client, run_id) -> list:
    return [(seq, type, json.loads(payload)) for seq, type, payload in client.log(run_id)]


def assert_told(message, id, slug, pointer=None):
    """The problem document that the same mistake gets over HTTP."""
    assert message["op"] == "problem" and message["id"] == id, message
    document = message["problem"]
    assert document["type"] == f"/problems/{slug}", document
    assert document["title"] and document["status"] >= 400 and document["detail"], document
    if pointer is not None:
        assert [error["pointer"] for error in document["errors"]] == [pointer], document


@pytest.fixture
def ws(box):
    with WebSocket(box) as connection:
        yield connection


# The handshake.

GOOD = {"Host": "x", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode()}  # fmt: skip
BAD = {
    "no upgrade": ({"Upgrade": None}, [], 426, "upgrade-required"),
    "another protocol": ({"Upgrade": "h2c"}, [], 426, "upgrade-required"),
    "no connection": ({"Connection": None}, [], 426, "upgrade-required"),
    "connection says else": ({"Connection": "keep-alive"}, [], 426, "upgrade-required"),
    "no version": ({"Sec-WebSocket-Version": None}, [], 426, "upgrade-required"),
    "version 8": ({"Sec-WebSocket-Version": "8"}, [], 426, "upgrade-required"),
    "version 013": ({"Sec-WebSocket-Version": "013"}, [], 426, "upgrade-required"),
    "no key": ({"Sec-WebSocket-Key": None}, [], 400, "invalid-request"),
    "15 bytes": ({"Sec-WebSocket-Key": base64.b64encode(b"0" * 15).decode()}, [], 400, "invalid-request"),
    "17 bytes": ({"Sec-WebSocket-Key": base64.b64encode(b"0" * 17).decode()}, [], 400, "invalid-request"),
    "no base64": ({"Sec-WebSocket-Key": "!" * 24}, [], 400, "invalid-request"),
    "two keys": ({}, ["Sec-WebSocket-Key: " + GOOD["Sec-WebSocket-Key"]], 400, "invalid-request"),
    "two versions": ({}, ["Sec-WebSocket-Version: 13"], 400, "invalid-request"),
    "two upgrades": ({}, ["Upgrade: websocket"], 400, "invalid-request"),
    "two connections": ({}, ["Connection: Upgrade"], 400, "invalid-request"),
    "two origins": ({"Origin": "http://x"}, ["Origin: http://x"], 400, "invalid-request"),
    "a body": ({"Content-Length": "2"}, ["\r\n{}"], 400, "invalid-request"),
    "another's page": ({"Origin": "https://evil.example"}, [], 403, "forbidden"),
    "null origin": ({"Origin": "null"}, [], 403, "forbidden"),
}


def handshake(box, fields, more=(), path=PATH, key=True, after=b"") -> tuple:
    """(status, headers, body) of exactly this request."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    lines += [f"Authorization: Bearer {box.api_key}"] if key is True else [key] if key else []
    with RawConnection(box.address) as raw:
        raw.send("\r\n".join([*lines, *more]).encode() + (b"" if "\r\n{}" in more else b"\r\n\r\n") + after)
        return raw.read_response()


@pytest.mark.parametrize("case", BAD)
def test_a_handshake_that_is_wrong(box, case):
    change, more, status, slug = BAD[case]
    got, headers, body = handshake(box, GOOD | change, more)
    assert got == status, body
    assert json.loads(body)["type"] == f"/problems/{slug}"
    if status == 426:
        assert headers["sec-websocket-version"] == "13" and headers["upgrade"] == "websocket"


def test_a_handshake_that_is_right(box):
    for change in ({}, {"Upgrade": "WebSocket", "Connection": "upgrade"}, {"Origin": "http://x"}, {"Origin": "https://x"},
                   {"Sec-WebSocket-Protocol": "chat", "Sec-WebSocket-Extensions": "permessage-deflate"}):  # fmt: skip
        status, headers, _ = handshake(box, GOOD | change)
        assert status == 101, change
        # RFC 6455, 1.3 says how it is made of the key.
        assert headers["sec-websocket-accept"] == "BACScCJPNqyz+UBoqMH89VmURoA="
        assert headers["upgrade"] == "websocket" and headers["connection"] == "Upgrade"
        assert "sec-websocket-protocol" not in headers and "sec-websocket-extensions" not in headers


@pytest.mark.requirement("R174")
def test_who_may_open_one(box):
    assert handshake(box, GOOD, key=None)[0] == 401
    assert handshake(box, GOOD, key="Authorization: Bearer x")[0] == 401
    assert handshake(box, GOOD, key=f"Authorization: Bearer {make_key(box, scopes=['append'])}")[0] == 403
    for name in ("token", "access_token", "key"):
        assert handshake(box, GOOD, path=f"{PATH}?{name}={box.api_key}", key=None)[0] == 401
        status, _, body = handshake(box, GOOD, path=f"{PATH}?{name}={box.api_key}")
        assert status == 400 and json.loads(body)["type"] == "/problems/invalid-parameter"


@pytest.mark.requirement("R174")
def test_a_session_must_come_from_our_page(box, client):
    answer = client.post("/api/v1/session", {})
    cookie = answer.headers["set-cookie"].split(";")[0]
    for origin, status in ((None, 403), ("https://evil.example", 403), ("null", 403), (f"http://{box.listen}", 101)):
        fields = GOOD | {"Host": box.listen, "Cookie": cookie, "Origin": origin}
        assert handshake(box, fields, key=None)[0] == status, origin


def test_bytes_sent_behind_the_handshake_are_not_lost(box, client, run_id):
    text = json.dumps({"op": "subscribe", "id": "early", "run_id": run_id}).encode()
    frame = bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text
    with RawConnection(box.address) as raw:
        lines = [f"GET {PATH} HTTP/1.1", *(f"{n}: {v}" for n, v in GOOD.items()), f"Authorization: Bearer {box.api_key}"]
        raw.send("\r\n".join(lines).encode() + b"\r\n\r\n" + frame + frame[:7])
        assert raw.read_head()[0] == 101
        data = b""
        while b"caught_up" not in data:
            data += raw.receive()
        assert data.count(b"RUN_STARTED") == 1
        raw.send(frame[7:])  # the rest of a second one: the id is in use
        while b"subscription-exists" not in data:
            data += raw.receive()


# Subscriptions.


@pytest.mark.requirement("R047", "R048")
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
    # Its id is free again, and a run that has ended is given as far as it goes.
    for at in (0, 22, 23, 99):
        ws.subscribe(id="s1", run_id=run_id, after_seq=at)
        messages = ws.until("end")
        assert messages[-1] == {"op": "end", "id": "s1", "seq": max(at, 23) if at <= 23 else messages[-1]["seq"]}
        assert events_of(messages) == log_of(client, run_id)[at:]


def test_an_event_has_the_bytes_of_its_stream(box, client, ws, run_id):
    client.post_events(run_id, text='{"type":"CUSTOM","payload":{ "name":"x",\t"value":[1.50,1e3,"\\u00e9"]}}')
    ws.subscribe(id="s", run_id=run_id, after_seq=1)
    with box.stream(run_id, query="after_seq=1") as stream:
        data = stream.take(1)[0]
        frame = ws.next_text()
    assert frame.startswith('{"op":"event","id":"s","event":{"run_id":"' + run_id + '","seq":2,"type":"CUSTOM","ts":"')
    assert frame.endswith(',"payload":' + data[2] + "}}")


def test_a_position_beyond_the_head(client, ws, run_id):
    ws.subscribe(id="s", run_id=run_id, after_seq=7)
    assert ws.next() == {"op": "reset", "id": "s", "seq": 1}
    assert ws.next() == {"op": "caught_up", "id": "s", "seq": 1}
    client.append(run_id, "CUSTOM", custom("behind")["payload"])
    assert ws.next()["event"]["seq"] == 2


def test_many_runs_on_one_connection(client, ws):
    runs = [client.new_run() for _ in range(12)]
    for n, run in enumerate(runs):
        ws.subscribe(id=f"é{n}", run_id=run)
    for n in range(5):
        for run in runs:
            client.append(run, "CUSTOM", custom(n)["payload"])
    for run in runs:
        client.finish(run)
    messages = []
    while sum(m["op"] == "end" for m in messages) < len(runs):
        messages.append(ws.next())
    for n, run in enumerate(runs):
        assert events_of(messages, f"é{n}") == log_of(client, run)


def test_types_leave_the_others_out(box, client, ws, run_id):
    client.append_many(run_id, [custom(1), {"type": "MESSAGE_STARTED", "payload": {"message_id": "m", "role": "assistant"}}, custom(2)])
    ws.subscribe(id="s", run_id=run_id, types=["CUSTOM"])
    shown = [m["event"] for m in ws.until("caught_up") if m["op"] == "event"]
    assert [(e["seq"], e["prev_seq"]) for e in shown] == [(2, 0), (4, 2)]
    client.append(run_id, "MESSAGE_COMPLETED", {"message_id": "m", "content": ""})
    client.finish(run_id)
    (last,) = [m["event"] for m in ws.until("end") if m["op"] == "event"]
    assert (last["type"], last["prev_seq"]) == ("RUN_FINISHED", 4)
    key = make_tenant(box, "types of sockets")
    tenant = box.client(key)
    with WebSocket(box, key) as whole:
        run = tenant.new_run()
        whole.subscribe(id="f", feed="tenant", types=["CUSTOM"])
        assert [m["op"] for m in whole.until("caught_up")] == ["caught_up"]
        tenant.append_many(run, [{"type": "MESSAGE_STARTED", "payload": {"message_id": "m", "role": "assistant"}}, custom(1)])
        assert whole.next()["event"]["seq"] == 3


@pytest.mark.requirement("I15")
def test_what_is_another_tenants_is_not_there(box, client, other, ws):
    thread = random_id()
    theirs = other.new_run(thread_id=thread)
    with WebSocket(box, other.key) as foreign:
        foreign.subscribe(id="s", run_id=theirs)
        assert len(foreign.until("caught_up")) == 2
        for missing in ({"run_id": theirs}, {"thread_id": thread}, {"run_id": random_id()}, {"thread_id": random_id()},
                        {"run_id": "x"}, {"thread_id": "x"}, {"thread_id": "00000000-0000-0000-0000-000000000000"}):  # fmt: skip
            ws.subscribe(id="s", **missing)
            assert_told(ws.next(), "s", "not-found")
        for op in ({"op": "append", "events": [custom(1)]}, {"op": "cancel"}, {"op": "resume", "response": 1}):
            assert_told(ws.command(run_id=theirs, **op), "c", "not-found")
        other.finish(theirs)
        assert foreign.until("end")[-1]["seq"] == 2


@pytest.mark.parametrize("feed", ["thread", "tenant"])
def test_a_feed_is_followed_by_its_cursors(box, feed):
    key = make_tenant(box, "feeds of sockets")
    tenant, thread = box.client(key), random_id()
    runs = [tenant.new_run(thread_id=thread) for _ in range(3)]
    target = {"thread_id": thread} if feed == "thread" else {"feed": "tenant"}
    with WebSocket(box, key) as ws:
        ws.subscribe(id="s", **target)
        messages = ws.until("caught_up")
        for n in range(4):
            for run in runs:
                tenant.append(run, "CUSTOM", custom(n)["payload"])
        messages += [ws.next() for _ in range(12)]
        events = [m for m in messages if m["op"] == "event"]
        assert sorted((e["event"]["run_id"], e["event"]["seq"]) for e in events) == sorted((r, s) for r in runs for s in range(1, 6))
        # Every cursor leads to what followed it.
        for at in (0, 5, 14):
            ws.subscribe(id=f"from {at}", cursor=events[at]["cursor"], **target)
            again = ws.until("caught_up")
            assert [m["event"] for m in again if m["op"] == "event"] == [e["event"] for e in events[at + 1 :]]
            assert again[-1]["cursor"] == events[-1]["cursor"]
        ws.subscribe(id="latest", **{"from": "latest"}, **target)
        latest = ws.next()
        assert latest["op"] == "caught_up"
        ws.subscribe(id="from there", cursor=latest["cursor"], **target)
        assert ws.next() == latest | {"id": "from there"}
        # They are those of the server-sent events.
        with open_feed(box, thread_feed(thread) if feed == "thread" else TENANT_FEED, key, cursor=events[13]["cursor"]) as stream:
            assert take(stream, 1)[0][0] == events[14]["cursor"]
        other = {"feed": "tenant"} if feed == "thread" else {"thread_id": thread}
        ws.subscribe(id="wrong", cursor=events[0]["cursor"], **other)
        assert_told(ws.next(), "wrong", "invalid-cursor", "/cursor")


def test_unsubscribing(client, ws, run_id):
    ws.subscribe(id="s", run_id=run_id)
    ws.until("caught_up")
    ws.send(op="unsubscribe", id="s")
    # Nothing of it follows what is answered later.
    assert ws.command("append", run_id=run_id, events=[custom(1)])["last_seq"] == 2
    ws.send(op="unsubscribe", id="s")
    assert_told(ws.next(), "s", "not-found")
    ws.subscribe(id="s", run_id=run_id, after_seq=1)
    assert events_of(ws.until("caught_up"))[0][0] == 2
    ws.subscribe(id="s", run_id=run_id)
    assert_told(ws.next(), "s", "subscription-exists", "/id")
    # While it is still being looked up.
    ws.subscribe(id="t", run_id=run_id)
    ws.send(op="unsubscribe", id="t")
    ws.send(op="append", id="c", run_id=run_id, events=[custom(2)])
    last = [m for m in ws.until("ack") + arrived(ws) if m["op"] != "caught_up"]
    if not events_of(last, "s"):
        last.append(ws.next())
    assert [seq for seq, _, _ in events_of(last, "s")] == [3]
    assert 3 not in [seq for seq, _, _ in events_of(last, "t")]


def arrived(ws) -> list:
    """What is there now."""
    found = []
    try:
        while True:
            found.append(ws.next(0.01))
    except TimeoutError:
        return found


@pytest.mark.requirement("R046", "R060")
def test_any_interleaving_gives_exactly_the_log_behind_each_cursor(box, client):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    runs = [client.new_run() for _ in range(4)]
    after, live, messages = {}, [], []
    with WebSocket(box) as ws:
        for step in range(100):
            run, what = chance.choice(runs), chance.random()
            if what < 0.5:
                client.append_many(run, [custom(step) for _ in range(chance.choice((1, 1, 3, 40)))])
            elif what < 0.85 or not live:
                id = ws.subscribe(run_id=run, after_seq=chance.randrange(client.run(run)["last_seq"] + 1))
                live.append(id)
                after[id] = run, json.loads(ws.sent[-1])["after_seq"]
            else:
                ws.send(op="unsubscribe", id=live.pop(chance.randrange(len(live))))
            if chance.random() < 0.3:
                messages += arrived(ws)
        for run in runs:
            client.finish(run)
        while not set(live) <= {m["id"] for m in messages if m["op"] == "end"}:
            messages.append(ws.next())
    assert {m["op"] for m in messages} <= {"event", "caught_up", "end"}
    logs = {run: log_of(client, run) for run in runs}
    for id, (run, seq) in after.items():
        got, wanted = events_of(messages, id), logs[run][seq:]
        assert got == wanted if id in live else got == wanted[: len(got)], (seed, id)


# Commands.


@pytest.mark.requirement("R129")
def test_appending(client, ws, run_id):
    first = ws.command("append", run_id=run_id, events=[custom(1), custom(2)])
    assert first == {"op": "ack", "id": "c", "first_seq": 2, "last_seq": 3, "cancel_requested": False}
    assert ws.command("append", run_id=run_id, type="CUSTOM", payload=custom(3)["payload"])["last_seq"] == 4
    assert ws.command("append", run_id=run_id, events=[custom(4)], expected_seq=4)["last_seq"] == 5
    message = ws.command("append", run_id=run_id, events=[custom(5)], expected_seq=4)
    assert_told(message, "c", "seq-conflict")
    assert message["problem"]["last_seq"] == 5
    assert [payload["value"] for _, _, payload in log_of(client, run_id)[1:]] == [1, 2, 3, 4]
    assert ws.command("append", run_id=run_id, type="RUN_FINISHED")["last_seq"] == 6
    assert_told(ws.command("append", run_id=run_id, events=[custom(6)]), "c", "run-closed")


@pytest.mark.requirement("R129")
def test_a_repeated_append_is_done_once_whatever_brings_it(box, client, run_id):
    events = '[{"type":"CUSTOM", "payload":{"name":"n","value":1}}]'
    with WebSocket(box) as ws:
        ws.send_text('{"op":"append","id":"a","run_id":"' + run_id + '","events":' + events + ',"idempotency_key":"k 1"}')
        ack = ws.next()
        assert ack["first_seq"] == 2
        assert_told(ws.command("append", run_id=run_id, events=[custom(2)], idempotency_key="k 1"), "c", "idempotency-mismatch")
    with WebSocket(box) as ws:  # another connection, another id, the members in another order
        ws.send_text('{"idempotency_key":"k 1", "events":' + events + ', "run_id":"' + run_id + '","id":"b","op":"append"}')
        assert ws.next() == ack | {"id": "b"}
    answer = client.post_events(run_id, text='{"events":' + events + "}", key="k 1")
    assert answer.status_code == 201 and answer.json()["first_seq"] == 2
    assert client.run(run_id)["last_seq"] == 2


def test_numbered_producers(ws, run_id):
    def append(seq, epoch=0, **more):
        return ws.command("append", run_id=run_id, events=[custom(seq)], producer_id="p", producer_epoch=epoch, producer_seq=seq, **more)

    assert append(0)["last_seq"] == 2 and append(1)["last_seq"] == 3
    assert append(1)["last_seq"] == 3
    gap = append(5)
    assert_told(gap, "c", "producer-gap")
    assert gap["problem"]["expected_seq"] == 2 and gap["problem"]["received_seq"] == 5
    assert append(0, epoch=1)["last_seq"] == 4
    assert_told(append(2), "c", "producer-fenced")
    for bad in ({"producer_id": 5}, {"producer_id": ""}, {"producer_epoch": -1}, {"producer_seq": "1"}, {"producer_seq": None},
                {"idempotency_key": "k"}):  # fmt: skip
        assert_told(ws.command("append", **{"run_id": run_id, "events": [custom(1)], "producer_id": "p", "producer_epoch": 1,
                                            "producer_seq": 1} | bad), "c", "invalid-producer")  # fmt: skip


def test_cancelling_and_resuming(client, ws, run_id):
    ws.command("append", run_id=run_id, type="CLARIFICATION_NEEDED", payload={"clarification_id": "q", "question": "?"})
    assert_told(ws.command("resume", run_id=run_id, clarification_id="q"), "c", "invalid-payload", "/response")
    assert_told(ws.command("resume", run_id=run_id, clarification_id="other", response=1), "c", "clarification-mismatch")
    done = {"op": "ack", "id": "c", "run_id": run_id, "status": "running"}
    assert ws.command("resume", run_id=run_id, clarification_id="q", response={"yes": True}) == done
    assert ws.command("resume", run_id=run_id, clarification_id="q", response={"yes": True})["op"] == "ack"
    assert_told(ws.command("resume", run_id=run_id, clarification_id="q", response="no"), "c", "clarification-mismatch")
    assert_told(ws.command("cancel", run_id=run_id, reason=5), "c", "invalid-payload", "/reason")
    for _ in range(2):
        assert ws.command("cancel", run_id=run_id, reason="enough") == done | {"status": "cancelling"}
    assert ws.command("append", run_id=run_id, events=[custom(1)])["cancel_requested"] is True
    types = [type for _, type, _ in client.log(run_id)]
    assert types == ["RUN_STARTED", "CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED", "RUN_CANCEL_REQUESTED", "CUSTOM"]
    assert json.loads(client.log(run_id)[3][2]).keys() == {"reason", "by"}


@pytest.mark.requirement("R129")
def test_what_is_wrong_is_told_as_over_http(box, client, ws, run_id):
    bodies = [{"events": [{"type": "NOPE"}]}, {"events": [custom(1), {"type": "CUSTOM", "payload": {"name": 1}}]}, {"events": []},
              {"events": {}}, {"type": "RUN_STARTED"}, {"type": 1}, {}, {"events": [custom(1)], "type": "CUSTOM"}, {"events": [1]},
              {"events": [custom(1)], "expected_seq": -1}, {"events": [custom(1)], "more": 1}, {"events": [custom(1) | {"x/y": 1}]},
              {"events": [custom(1)] * 1001}, {"type": "CUSTOM", "payload": {"name": "n", "value": "x" * (256 << 10)}}]  # fmt: skip
    for body in bodies:
        over_http = client.post_events(run_id, body)
        told = ws.command("append", run_id=run_id, **body)
        assert told["op"] == "problem" and told["problem"] == over_http.json(), body
    assert client.run(run_id)["last_seq"] == 1


WRONG = {
    "no JSON": ("x", None, "malformed-json", None),
    "cut off": ('{"op":', None, "malformed-json", None),
    "twice the same": ('{"op":"subscribe","op":"append"}', None, "malformed-json", None),
    "deep": ("[" * 40 + "]" * 40, None, "malformed-json", None),
    "large number": ('{"op":"subscribe","id":"a","after_seq":99999999999999999999}', None, "number-out-of-range", None),
    "a list": ("[]", None, "invalid-payload", ""),
    "no id": ('{"op":"subscribe"}', None, "invalid-payload", "/id"),
    "a number as id": ('{"op":"subscribe","id":1}', None, "invalid-payload", "/id"),
    "an empty id": ('{"op":"subscribe","id":""}', None, "invalid-payload", "/id"),
    "a long id": ('{"op":"subscribe","id":"' + "x" * 256 + '"}', None, "invalid-payload", "/id"),
    "no op": ('{"id":"a"}', "a", "invalid-payload", "/op"),
    "another op": ('{"op":"shout","id":"a"}', "a", "invalid-payload", "/op"),
    "op is no text": ('{"op":1,"id":"a"}', "a", "invalid-payload", "/op"),
    "unknown member": ('{"op":"subscribe","id":"a","feed":"tenant","x":1}', "a", "unknown-field", "/x"),
    "unknown member of unsubscribe": ('{"op":"unsubscribe","id":"a","x":1}', "a", "unknown-field", "/x"),
    "unknown member of cancel": ('{"op":"cancel","id":"a","run_id":"RUN","x":1}', "a", "unknown-field", "/x"),
    "unknown member of resume": ('{"op":"resume","id":"a","run_id":"RUN","x":1}', "a", "unknown-field", "/x"),
    "nothing to follow": ('{"op":"subscribe","id":"a"}', "a", "invalid-payload", ""),
    "two things to follow": ('{"op":"subscribe","id":"a","run_id":"RUN","feed":"tenant"}', "a", "invalid-payload", ""),
    "a run that is no text": ('{"op":"subscribe","id":"a","run_id":1}', "a", "invalid-payload", "/run_id"),
    "another feed": ('{"op":"subscribe","id":"a","feed":"all"}', "a", "invalid-payload", "/feed"),
    "negative": ('{"op":"subscribe","id":"a","run_id":"RUN","after_seq":-1}', "a", "invalid-cursor", "/after_seq"),
    "no number": ('{"op":"subscribe","id":"a","run_id":"RUN","after_seq":"1"}', "a", "invalid-cursor", "/after_seq"),
    "a cursor for a run": ('{"op":"subscribe","id":"a","run_id":"RUN","cursor":"x"}', "a", "invalid-payload", "/cursor"),
    "a seq for a feed": ('{"op":"subscribe","id":"a","feed":"tenant","after_seq":1}', "a", "invalid-payload", "/after_seq"),
    "a made-up cursor": ('{"op":"subscribe","id":"a","feed":"tenant","cursor":"AAAA"}', "a", "invalid-cursor", "/cursor"),
    "a cursor of another kind": ('{"op":"subscribe","id":"a","feed":"tenant","cursor":1}', "a", "invalid-cursor", "/cursor"),
    "no types": ('{"op":"subscribe","id":"a","run_id":"RUN","types":[]}', "a", "invalid-payload", "/types"),
    "types as text": ('{"op":"subscribe","id":"a","run_id":"RUN","types":"CUSTOM"}', "a", "invalid-payload", "/types"),
    "unknown type": ('{"op":"subscribe","id":"a","run_id":"RUN","types":["NOPE"]}', "a", "unknown-event-type", "/types"),
    "command without a run": ('{"op":"append","id":"a","events":[]}', "a", "invalid-payload", "/run_id"),
    "a trace that is no text": ('{"op":"cancel","id":"a","run_id":"RUN","traceparent":1}', "a", "invalid-payload", "/traceparent"),
    "a bad key": ('{"op":"append","id":"a","run_id":"RUN","type":"CUSTOM","payload":{"name":"n","value":1},"idempotency_key":"é"}',
                  "a", "invalid-parameter", "/idempotency_key"),
}  # fmt: skip


@pytest.mark.requirement("R154")
def test_a_command_carries_the_trace_its_client_names(client, ws, run_id):
    """As the header over HTTP: kept with the first event of each command; a malformed one is none."""
    append, resume, cancel = (f"{n:032x}" for n in (1 << 100, 2, 3))
    given = {name: f"00-{name}-b7ad6b7169203331-01" for name in (append, resume, cancel)}
    assert ws.command("append", run_id=run_id, events=[custom(1), custom(2)], traceparent=given[append])["op"] == "ack"
    asks = {"type": "CLARIFICATION_NEEDED", "payload": {"clarification_id": "q", "question": "?"}}
    assert ws.command("append", run_id=run_id, events=[asks], traceparent="00-" + "0" * 32 + "-b7ad6b7169203331-01")["op"] == "ack"
    assert ws.command("resume", run_id=run_id, clarification_id="q", response="yes", traceparent=given[resume])["op"] == "ack"
    assert ws.command("cancel", run_id=run_id, traceparent=given[cancel])["op"] == "ack"
    found = [event.get("trace_id") for event in client.page(run_id).json()["events"]]
    assert found == [None, append, None, None, resume, cancel]


@pytest.mark.requirement("R130")
def test_no_message_that_is_wrong_ends_the_connection(ws, run_id):
    for name, (text, id, slug, pointer) in WRONG.items():
        ws.send_text(text.replace("RUN", run_id))
        message = ws.next()
        try:
            assert_told(message, id, slug, pointer)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    ws.protocol.send_binary(b"{}")
    ws._flush()
    assert_told(ws.next(), None, "malformed-json")
    ws.protocol.send_ping(b"still there?")
    ws._flush()
    assert ws.command("append", run_id=run_id, events=[custom(1)])["op"] == "ack"
    assert ws.pongs == [b"still there?"]


def test_a_key_that_may_only_read(box, run_id):
    with WebSocket(box, make_key(box, scopes=["read"])) as ws:
        for op in ({"op": "append", "events": [custom(1)]}, {"op": "cancel"}, {"op": "resume", "response": 1}):
            assert_told(ws.command(run_id=run_id, **op), "c", "forbidden")
        ws.subscribe(id="s", run_id=run_id)
        assert ws.until("caught_up")[-1]["seq"] == 1


# Ends.


def test_closing(box, ws, run_id):
    ws.subscribe(id="s", run_id=run_id)
    ws.until("caught_up")
    ws.protocol.send_close(1000, "done")
    ws._flush()
    assert ws.read_close().code == 1000


def test_a_message_that_is_too_large(ws):
    ws.send_text('"' + "x" * (2 << 20) + '"')
    assert ws.read_close().code == 1009


@pytest.mark.requirement("R133")
def test_one_who_takes_nothing_delays_nobody(box, client):
    """It costs its own buffer and nothing else, and has everything once it reads."""
    run = client.new_run()
    with WebSocket(box, receive_buffer=4096) as slow, WebSocket(box) as quick:
        slow.subscribe(id="s", run_id=run)
        quick.subscribe(id="q", run_id=run)
        quick.until("caught_up")
        for n in range(24):
            client.append(run, "CUSTOM", {"name": "large", "value": [n, "x" * (200 << 10)]})
            assert quick.next()["event"]["payload"]["value"][0] == n
        client.finish(run)
        assert [m["event"]["seq"] for m in quick.until("end")[:-1]] == [26]
        got = events_of(slow.until("end"))
    assert [seq for seq, _, _ in got] == list(range(1, 27))
    assert [payload["value"][0] for _, type, payload in got if type == "CUSTOM"] == list(range(24))


def test_many_commands_at_once_are_all_answered_in_order(box, client, run_id):
    with WebSocket(box) as ws:
        for n in range(300):
            ws.send(op="append", id=f"c{n}", run_id=run_id, events=[custom(n)])
        answers = [ws.next() for _ in range(300)]
    assert [a["op"] for a in answers] == ["ack"] * 300, answers
    assert [(a["id"], a["first_seq"]) for a in answers] == [(f"c{n}", n + 2) for n in range(300)]


def check_restart(box, client, key):
    """A planned restart moves connections: what was said, half said, asked and half asked stays as it was."""
    hot, cold = client.new_run(), client.new_run()
    with WebSocket(box, key) as ws, WebSocket(box, key, receive_buffer=4096) as slow, WebSocket(box, key) as halved:
        ws.subscribe(id="run", run_id=cold)
        ws.subscribe(id="feed", feed="tenant", **{"from": "latest"})
        seen = []
        while {m["id"] for m in seen if m["op"] == "caught_up"} != {"run", "feed"}:  # in whichever order
            seen.append(ws.next())
        client.append_many(hot, [{"type": "CUSTOM", "payload": {"name": "n", "value": [n, "x" * 20000]}} for n in range(60)])
        slow.subscribe(id="slow", run_id=hot)
        first = slow.next()
        for n in range(10):
            ws.send(op="append", id=f"c{n}", run_id=cold, events=[custom(n)])
        halved.protocol.send_text(json.dumps({"op": "append", "id": "half", "run_id": hot, "events": [custom("half")]}).encode())
        half = b"".join(halved.protocol.data_to_send())
        halved.raw.send(half[:20])
        before = box.actor("streamer-1")["pid"]
        box.command("restart", "streamer-1")
        assert box.actor("streamer-1")["pid"] != before
        halved.raw.send(half[20:])
        assert halved.next()["last_seq"] == 62
        ws.send(op="append", id="c", run_id=cold, events=[custom("last")])
        messages = seen
        while sum(m["op"] == "event" and m["event"]["run_id"] == cold and m["event"]["seq"] == 12 for m in messages) < 2:
            messages.append(ws.next())
        messages += arrived(ws)
        assert [m["id"] for m in messages if m["op"] == "ack"] == [*(f"c{n}" for n in range(10)), "c"]
        assert events_of(messages, "run") == log_of(client, cold)
        told = [m["event"] for m in messages if m["op"] == "event" and m["id"] == "feed" and m["event"]["run_id"] == cold]
        assert [e["seq"] for e in told] == list(range(2, 13))
        client.finish(hot)
        assert events_of([first, *slow.until("end")]) == log_of(client, hot)


def check_kill(box, client, key):
    """A killed streamer is a broken connection; the client goes on from its cursor on another one."""
    run = client.new_run()
    client.append_many(run, [custom(n) for n in range(5)])
    with WebSocket(box, key) as ws:
        ws.subscribe(id="s", run_id=run)
        seen = events_of(ws.until("caught_up"))
        box.kill_and_wait("streamer-1")
        assert ws.read_close().code == 1006
    client.finish(run)
    with WebSocket(box, key) as ws:
        ws.subscribe(id="s", run_id=run, after_seq=seen[-1][0])
        assert seen + events_of(ws.until("end")) == log_of(client, run)


def check_revocation(box, ws, key):
    revoke(box, key)
    end = ws.read_close(15)
    assert (end.code, end.reason) == (1008, "the key has ended")


@pytest.mark.requirement("I14")
def test_limits_pings_restart_and_revocation(own_box):
    box = own_box({"websocket.ping_ms": 800, "websocket.subscriptions": 2, "stream.per_key": 3, "streamer.count": 1})
    client = box.client()
    run = client.new_run()
    key = make_key(box)
    with WebSocket(box, key) as ws, WebSocket(box, key) as mute, WebSocket(box, key):
        with pytest.raises(Refused) as refused:
            WebSocket(box, key)
        assert refused.value.status == 429
        for id in ("a", "b"):
            ws.subscribe(id=id, run_id=run)
            ws.until("caught_up")
        ws.subscribe(id="c", run_id=run)
        assert_told(ws.next(), "c", "too-many-subscriptions")
        # Who does not answer pings is gone after two of them; who does stays.
        mute.answers_pings = False
        with pytest.raises(SocketClosed):
            while True:
                assert arrived(ws) == arrived(mute) == []
        assert mute.pings == 2
        wait_until(lambda: arrived(ws) == [] and ws.pings >= 2, "a ping for who answers")
        check_revocation(box, ws, key)
    key = make_key(box)
    check_restart(box, client, key)
    check_kill(box, client, key)
