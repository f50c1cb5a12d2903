"""Traces of clients: kept with the events they caused, and told to a collector as spans."""

import json
import secrets
import time

import pytest
from harness.client import custom
from harness.collector import Collector
from harness.origin import Origin
from harness.processes import Process, children
from harness.raw import RawConnection
from harness.waiting import wait_until

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


# Spans.


def exporting(own_box, collector, **settings):
    return own_box({"trace.otlp_url": f"http://127.0.0.1:{collector.port}/v1/traces"} | settings)


def attributes(span) -> dict:
    return {a["key"]: next(iter(a["value"].values())) for a in span.get("attributes", [])}


def spans_of(collector, trace, count) -> dict:
    """The spans of a trace by name, when there are so many."""
    found = wait_until(lambda: len(spans := collector.spans(trace)) >= count and spans, f"{count} spans of {trace}")
    assert len(found) == count == len({span["name"] for span in found}), [span["name"] for span in found]
    return {span["name"]: span for span in found}


@pytest.mark.requirement("R154")
def test_one_trace_from_the_request_to_the_publication(own_box):
    with Collector() as collector:
        box = exporting(own_box, collector)
        client, trace = box.client(), secrets.token_hex(16)
        run = client.new_run()
        before = time.time_ns()
        client.post(f"/api/v1/runs/{run}/events", {"events": [custom(1), custom(2)]}, headers=traced(trace))
        after = time.time_ns()
        spans = spans_of(collector, trace, 4)
        request, append, commit, publish = (
            spans[name] for name in ("POST /api/v1/runs/{}/events", "append", "commit", "publish"))
        parents = [span["parentSpanId"] for span in (request, append, commit, publish)]
        assert parents == [PARENT, request["spanId"], append["spanId"], commit["spanId"]]
        assert len({span["spanId"] for span in spans.values()}) == 4
        assert [span["kind"] for span in (request, append, commit, publish)] == [2, 3, 1, 4]
        for span in spans.values():
            start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            assert before - 10**6 <= start <= end <= after + 10**9 and "status" not in span
            assert attributes(span)["signalbox.run_id"] == run
        assert attributes(request) == {
            "http.request.method": "POST", "http.route": "/api/v1/runs/{}/events", "http.response.status_code": "201",
            "signalbox.run_id": run,
        }  # fmt: skip
        assert [attributes(span).get("signalbox.first_seq") for span in (append, commit, publish)] == ["2", "2", "2"]
        assert attributes(commit)["signalbox.batch_events"] == "2"
        senders = {span["name"]: span["resource"]["service.instance.id"] for span in spans.values()}
        assert senders["append"].startswith("api-") and senders["commit"] == senders["publish"] == "sequencer-1"
        assert {span["resource"]["service.name"] for span in spans.values()} == {"signalbox"}
        wait_until(lambda: box.metric("spans_exported_total") == 4, "the answers of the collector to be counted")
        assert box.metric("spans_dropped_total") == 0
        assert all(b"content-type: application/json" in head.lower() for head in collector.heads)


@pytest.mark.requirement("R154")
def test_spans_of_other_commands_and_of_refusals(own_box):
    with Collector() as collector:
        box = exporting(own_box, collector)
        client, traces = box.client(), [secrets.token_hex(16) for _ in range(4)]
        run = client.post("/api/v1/runs", {}, headers=traced(traces[0])).json()["id"]
        assert set(spans_of(collector, traces[0], 4)) == {"POST /api/v1/runs", "create_run", "commit", "publish"}
        client.post(f"/api/v1/runs/{run}/cancel", {}, headers=traced(traces[1]))
        assert {"cancel_run", "commit", "publish"} < set(spans_of(collector, traces[1], 4))
        client.finish(run)
        refused = client.post(f"/api/v1/runs/{run}/events", custom(1), headers=traced(traces[2]))
        assert refused.status_code == 409
        found = spans_of(collector, traces[2], 2)
        assert found["append"]["status"] == {"code": 2} and "status" not in found["POST /api/v1/runs/{}/events"]
        assert client.get("/nowhere", headers=traced(traces[3])).status_code == 404
        assert set(spans_of(collector, traces[3], 1)) == {"request"}


@pytest.mark.requirement("R154")
def test_only_what_the_caller_samples_is_exported(own_box):
    with Collector() as collector:
        box = exporting(own_box, collector)
        client = box.client()
        quiet, told = secrets.token_hex(16), secrets.token_hex(16)
        run = client.new_run()
        client.post(f"/api/v1/runs/{run}/events", custom(1), headers=traced(quiet, "00"))
        client.post(f"/api/v1/runs/{run}/events", custom(2), headers=traced(told, "01"))
        spans_of(collector, told, 4)
        assert {span["traceId"] for span in collector.spans()} == {told}


@pytest.mark.requirement("R154")
def test_every_request_is_exported_when_asked_for(own_box):
    with Collector() as collector:
        box = exporting(own_box, collector, **{"trace.all": "true"})
        client, quiet = box.client(), secrets.token_hex(16)
        run = client.new_run()
        client.post(f"/api/v1/runs/{run}/events", custom(1), headers=traced(quiet, "00"))
        spans_of(collector, quiet, 4)
        made = wait_until(lambda: [s for s in collector.spans() if s["name"] == "POST /api/v1/runs"], "the creation")[0]
        assert "parentSpanId" not in made
        assert {"create_run", "commit", "publish"} < set(spans_of(collector, made["traceId"], 4))


REPLIES = {
    "fails": dict(reply=b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"),
    "speaks no HTTP": dict(reply=b"hello"),
    "is slow": dict(slow_s=1.0),  # a byte
}


def drops_and_goes_on(box, appends=40):
    """Appends as ever, and the spans are counted as dropped."""
    client = box.client()
    run = client.new_run()
    took = []
    for n in range(appends):
        begin = time.monotonic()
        client.append(run, "CUSTOM", custom(n)["payload"])
        took.append(time.monotonic() - begin)
        sent = client.post(f"/api/v1/runs/{run}/events", custom(n), headers=traced(secrets.token_hex(16)))
        assert sent.status_code == 201
    assert sorted(took)[appends // 2] < 0.5  # a collector's time-out is five seconds
    wait_until(lambda: box.metric("spans_dropped_total") >= 4 * appends, "the drops to be counted", 30)
    assert box.metric("spans_exported_total") == 0


@pytest.mark.requirement("R154")
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_collector_that_does_not_take_them_delays_nothing(own_box, reply):
    with Origin(**reply) as collector:
        drops_and_goes_on(exporting(own_box, collector))


@pytest.mark.requirement("R154")
def test_a_collector_that_is_away_delays_nothing_and_may_come_back(own_box):
    with Collector() as gone:
        port = gone.port
    box = own_box({"trace.otlp_url": f"http://127.0.0.1:{port}/v1/traces"})
    drops_and_goes_on(box)
    with Collector(port) as collector:
        trace = secrets.token_hex(16)
        box.client().post("/api/v1/runs", {}, headers=traced(trace))
        spans_of(collector, trace, 4)
    wait_until(lambda: [r for r in box.log.records() if r["message"] == "the collector takes spans again"], "the line")


@pytest.mark.requirement("R154")
def test_the_fetcher_of_spans_may_die(own_box):
    with Collector() as collector:
        box = exporting(own_box, collector)
        client, first = box.client(), secrets.token_hex(16)
        client.post("/api/v1/runs", {}, headers=traced(first))
        spans_of(collector, first, 4)
        fetchers = [child for actor in box.actors() for child in children(actor["pid"])]
        assert len(fetchers) == 2  # of one api and of the sequencer
        for fetcher in fetchers:
            Process.of(fetcher).kill()

        later = []

        def again():
            later.append(secrets.token_hex(16))
            client.post("/api/v1/runs", {}, headers=traced(later[-1]))
            return any(len(collector.spans(trace)) == 4 for trace in later)

        wait_until(again, "spans to come again", 20)


def test_without_a_collector_there_is_nothing_of_it(box):
    box.client().post("/api/v1/runs", {}, headers=traced(secrets.token_hex(16)))
    assert box.metric("spans_exported_total") == box.metric("spans_dropped_total") == 0
