"""Traces of clients: kept with the events they caused, and told to a collector as spans."""

import json
import secrets

import pytest
from harness.client import custom
from harness.raw import RawConnection

PARENT = "b7ad6b7169203331"


def traced(trace, flags="01", parent=PARENT) -> dict:
    return {"traceparent": f"00-{trace}-{parent}-{flags}"}


def traces_of(client, run) -> list:
    """[(type, trace id or None)] as the pages show them."""
    return [(event["type"], event.get("trace_id")) for event in client.page(run).json()["events"]]


@pytest.mark.requirement("R154")
def test_the_trace_is_kept_on_the_first_event_of_a_command(box):
    client = box.client()
    create, append, cancel = (secrets.token_hex(16) for _ in range(3))
    run = client.post("/api/v1/runs", {}, headers=traced(create)).json()["id"]
    client.append(run, "CUSTOM", custom(0)["payload"])
    events = {"events": [custom(1), custom(2)]}
    assert client.post(f"/api/v1/runs/{run}/events", events, headers=traced(append, "00")).status_code == 201
    assert client.post(f"/api/v1/runs/{run}/cancel", {}, headers=traced(cancel)).status_code == 202
    client.append(run, "RUN_CANCELLED", {})
    assert traces_of(client, run) == [
        ("RUN_STARTED", create), ("CUSTOM", None), ("CUSTOM", append), ("CUSTOM", None), ("RUN_CANCEL_REQUESTED", cancel),
        ("RUN_CANCELLED", None),
    ]  # fmt: skip
    stored = "select seq, replace(trace_id::text, '-', '') from run_events where run_id = %s and trace_id is not null order by seq"
    assert box.database().rows(stored, run) == [(1, create), (3, append), (5, cancel)]


@pytest.mark.requirement("R154")
def test_an_answer_and_lines_keep_their_trace(box):
    client = box.client()
    run = client.new_run()
    answer, lines = secrets.token_hex(16), secrets.token_hex(16)
    client.append(run, "CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "?"})
    body = {"clarification_id": "q", "response": "yes"}
    assert client.post(f"/api/v1/runs/{run}/resume", body, headers=traced(answer)).status_code == 202
    text = "".join(json.dumps(custom(n)) + "\n" for n in range(3))
    sent = traced(lines) | {"Content-Type": "application/x-ndjson"}
    assert client.post(f"/api/v1/runs/{run}/events", text=text, headers=sent).status_code == 201
    found = traces_of(client, run)
    assert found[2] == ("CLARIFICATION_ANSWERED", answer)
    assert found[3:] == [("CUSTOM", lines), ("CUSTOM", None), ("CUSTOM", None)]


@pytest.mark.requirement("R154")
def test_the_first_trace_stays_when_a_request_is_repeated(box):
    client = box.client()
    run = client.new_run()
    first, again = secrets.token_hex(16), secrets.token_hex(16)
    for trace in (first, again):
        done = client.post(f"/api/v1/runs/{run}/events", custom(1), headers=traced(trace) | {"Idempotency-Key": '"once"'})
        assert done.status_code == 201 and done.json()["first_seq"] == 2
    assert traces_of(client, run) == [("RUN_STARTED", None), ("CUSTOM", first)]


@pytest.mark.requirement("R154")
def test_no_trace_is_kept_that_the_client_did_not_name(box):
    client = box.client()
    run = client.new_run()
    trace = secrets.token_hex(16)
    for text in (trace, f"00-{trace.upper()}X-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01"):
        assert client.post(f"/api/v1/runs/{run}/events", custom(1), headers={"traceparent": text}).status_code == 201
    with RawConnection(box.address) as raw:  # two of them are none
        one, body = f"traceparent: 00-{trace}-{PARENT}-01\r\n", json.dumps(custom(2))
        raw.send(f"POST /api/v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\n{one}{one}Authorization: Bearer {client.key}\r\n"
                 f"Content-Length: {len(body)}\r\n\r\n{body}".encode())  # fmt: skip
        assert raw.read_head()[0] == 201
    assert traces_of(client, run) == [("RUN_STARTED", None)] + [("CUSTOM", None)] * 4
    assert box.database().value("select count(*) from run_events where run_id = %s and trace_id is not null", run) == 0


@pytest.mark.requirement("R154")
def test_streams_show_the_same_bytes_with_a_trace_and_without(box):
    """Live and from the table."""
    client = box.client()
    run = client.new_run()
    with box.stream(run, query="after_seq=0") as live:
        live.next_event()
        client.post(f"/api/v1/runs/{run}/events", custom("x"), headers=traced(secrets.token_hex(16)))
        client.post(f"/api/v1/runs/{run}/events", custom("x"))
        frames = [live.next_event() for _ in range(2)]
    with box.stream(run, query="after_seq=1") as late:
        stored = [late.next_event() for _ in range(2)]
    assert [frame.data for frame in stored] == [frame.data for frame in frames]
    members = [set(json.loads(frame.data)) for frame in frames]
    assert members[0] == members[1] and "trace_id" not in members[0]


@pytest.mark.requirement("R154")
def test_what_a_request_does_to_other_runs_carries_its_trace(box):
    client = box.client()
    thread, trace = client.new_run(), secrets.token_hex(16)
    old = client.new_run(thread_id=thread)
    made = client.post("/api/v1/runs", {"thread_id": thread, "multitask_strategy": "interrupt"}, headers=traced(trace))
    assert made.status_code == 201
    kind, kept = traces_of(client, old)[-1]
    assert kind != "RUN_STARTED" and kept == trace
