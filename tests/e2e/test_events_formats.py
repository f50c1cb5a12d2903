"""GET /runs/{id}/events in every form a client may accept, and pages of some event types."""

import json

import jsonschema
import pytest
from harness.client import assert_problem, custom, raw_events
from harness.rawjson import elements, members

JSON, SSE, LINES = "application/json", "text/event-stream", "application/x-ndjson"
CLOUD = "application/cloudevents-batch+json"
# Names and types of the attributes of CloudEvents 1.0.2, and of the extensions that are ours.
CLOUD_EVENT = {
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "pattern": r"^com\.signalbox(\.[a-z]+)+$"},
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"},
        "subject": {"type": "string", "minLength": 1},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"type": "string", "pattern": r"^[a-z][a-z0-9+.-]*:\S+$"},
        "sequence": {"type": "string", "pattern": "^[0-9]{19}$"},
        "tenantid": {"type": "string", "minLength": 1},
        "threadid": {"type": "string", "minLength": 1},
        "data": {"type": "object"},
    },
    "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
    "additionalProperties": False,
}


@pytest.fixture
def events_of(client):
    def ask(run_id, accept=None, **parameters):
        headers = {} if accept is None else {"Accept": accept}
        return client.get(f"/api/v1/runs/{run_id}/events", params=parameters, headers=headers)

    return ask


@pytest.fixture
def mixed(client):
    """A run of 40 events: RUN_STARTED, then CUSTOM and WARNING in turn, of which every third is a WARNING."""
    run = client.new_run()
    warning = {"type": "WARNING", "payload": {"code": "w", "message": 'a "\\u00e9"\\n é'}}
    client.append_many(run, [warning if n % 3 == 0 else custom(n) for n in range(2, 41)])
    return run


@pytest.mark.parametrize(
    "accept, given",
    [
        (None, JSON), ("*/*", JSON), ("", JSON), (JSON, JSON), ("application/*", JSON), (LINES, LINES), (CLOUD, CLOUD),
        (f"{JSON};q=0.5, {LINES}", LINES), (f"{LINES}, {JSON}", JSON), (f"{JSON};q=0, */*;q=0.1, {CLOUD};q=0.2", CLOUD),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON), ("garbage", JSON),
    ],
)  # fmt: skip
def test_the_answer_is_what_the_client_accepts(events_of, run_id, accept, given):
    answer = events_of(run_id, accept)
    assert answer.status_code == 200 and answer.headers["content-type"] == given
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*, application/json; version=2"])
def test_nothing_acceptable(events_of, run_id, accept):
    problem = assert_problem(events_of(run_id, accept), 406, "not-acceptable")
    assert JSON in problem["detail"] and CLOUD in problem["detail"]


def test_fields_given_twice_are_one_list(client, run_id):
    answer = client.http.get(
        client.locate() + f"/api/v1/runs/{run_id}/events",
        headers=[("Authorization", f"Bearer {client.key}"), ("Accept", f"{JSON};q=0.1"), ("Accept", LINES)],
    )
    assert answer.headers["content-type"] == LINES


def test_a_stream_is_given_to_who_accepts_only_that(box, client, run_id):
    client.finish(run_id)
    path = f"/api/v1/runs/{run_id}/events"
    with box.stream(run_id) as plain, box.stream(run_id, at="events") as negotiated:
        assert negotiated.status == 200
        assert negotiated.headers["content-type"] == plain.headers["content-type"]
        assert negotiated.read_to_end() == plain.read_to_end() == client.log(run_id)
    with box.stream(run_id, at="events", headers={"Last-Event-ID": "1"}) as rest:
        assert [seq for seq, *_ in rest.read_to_end()] == [2]
    with box.stream(run_id, at="events", query="after_seq=2") as ended:
        assert ended.status == 204
    head = client.request("HEAD", path, headers={"Accept": SSE})
    assert head.status_code == 200 and head.headers["content-type"].startswith(SSE)


def test_a_page_of_lines_is_what_the_stream_has(box, client, events_of, mixed):
    answer = events_of(mixed, LINES, limit=1000)
    lines = answer.content.split(b"\n")
    assert lines.pop() == b"" and len(lines) == 40
    with box.stream(mixed) as stream:
        assert lines == [stream.next_event().data.encode() for _ in lines]
    assert answer.headers["signalbox-last-seq"] == answer.headers["signalbox-next-after-seq"] == "40"
    empty = events_of(mixed, LINES, after_seq=40)
    assert empty.status_code == 200 and empty.content == b""


def test_a_page_of_cloud_events(client, events_of):
    run = client.new_run(thread_id="5a6e7ad4-33a7-4c0e-9d27-7b8a7c6a51f0")
    tool_call = {"type": "TOOL_CALL_STARTED", "payload": {"tool_call_id": "t", "name": "n", "arguments": ""}}
    client.append_many(run, [custom(1), tool_call])
    answer = events_of(run, CLOUD)
    events = answer.json()
    for event in events:
        jsonschema.validate(event, CLOUD_EVENT)
    assert [e["type"] for e in events] == [
        "com.signalbox.run.started", "com.signalbox.custom", "com.signalbox.tool.call.started"
    ]  # fmt: skip
    assert len({(e["source"], e["id"]) for e in events}) == 3
    assert [e["sequence"] for e in events] == sorted(e["sequence"] for e in events)
    page = client.page(run)
    for event, shown, raw in zip(events, page.json()["events"], elements(answer.text), strict=True):
        assert event["id"] == f"{run}:{shown['seq']}" and event["source"] == f"/api/v1/runs/{run}"
        assert event["subject"] == run and event["threadid"] == "5a6e7ad4-33a7-4c0e-9d27-7b8a7c6a51f0"
        assert event["time"] == shown["ts"] and int(event["sequence"]) == shown["seq"]
        assert event["dataschema"].endswith(f"#/$defs/{shown['type']}")
        assert members(raw)["data"] == raw_events(page.text)[shown["seq"] - 1][2]
    assert "threadid" not in events_of(client.new_run(), CLOUD).json()[0]
    assert events_of(run, CLOUD, after_seq=3).json() == []


@pytest.mark.parametrize("accept", [JSON, LINES, CLOUD])
def test_positions_and_limits_hold_in_every_form(events_of, mixed, accept):
    assert_problem(events_of(mixed, accept, after_seq=41), 400, "cursor-beyond-head")
    assert_problem(events_of(mixed, accept, after_seq="x"), 400, "invalid-cursor")
    assert_problem(events_of(mixed, accept, limit=0), 400, "invalid-parameter")
    assert_problem(events_of("00000000-0000-4000-8000-000000000000", accept), 404, "not-found")
    assert_problem(events_of(mixed, accept, after_seq=2**63 - 1), 400, "cursor-beyond-head")


def test_live_lines_refuse_a_position_beyond_the_head(events_of, run_id):
    """A client that would be broken off without a word would come back for ever."""
    answer = events_of(run_id, LINES, after_seq=99, follow="true")
    assert_problem(answer, 400, "cursor-beyond-head")
    assert answer.json()["last_seq"] == 1


# ---- types ----


@pytest.mark.parametrize("types", ["", "CUSTOM,", "custom", "CUSTOM,PING", "CUSTOM;WARNING", " CUSTOM"])
def test_types_that_are_none_are_refused(box, events_of, run_id, types):
    assert_problem(events_of(run_id, types=types), 400, "invalid-parameter")
    for at in ("stream", "events"):
        with box.stream(run_id, at=at, query="types=" + types.replace(" ", "%20")) as stream:
            assert stream.status == 400


@pytest.mark.parametrize("types", ["WARNING", "WARNING,RUN_STARTED", "ENTITY_EXTRACTED"])
@pytest.mark.parametrize("limit", [1, 5, 13, 1000])
def test_pages_of_some_types_move_on_to_the_head(client, events_of, mixed, types, limit):
    wanted = [e for e in raw_events(client.page(mixed, limit=1000).text) if e[1] in types.split(",")]
    found, after = [], 0
    for _ in range(50):
        page = events_of(mixed, types=types, limit=limit, after_seq=after)
        events = raw_events(page.text)
        assert page.json()["last_seq"] == 40 and len(events) <= limit
        assert all(after < seq <= page.json()["next_after_seq"] for seq, *_ in events)
        found += events
        if after == (after := page.json()["next_after_seq"]):
            break
    assert found == wanted and after == 40


def test_types_may_be_given_in_pieces_and_in_every_form(client, events_of, mixed):
    both = events_of(mixed, types=["WARNING", "RUN_STARTED"], limit=1000).json()
    assert both == events_of(mixed, types="RUN_STARTED,WARNING", limit=1000).json()
    lines = events_of(mixed, LINES, types="WARNING", limit=4)
    assert [json.loads(line)["seq"] for line in lines.text.splitlines()] == [3, 6, 9, 12]
    assert lines.headers["signalbox-next-after-seq"] == "12"
    cloud = events_of(mixed, CLOUD, types="WARNING", after_seq=38)
    assert [e["sequence"][-2:] for e in cloud.json()] == ["39"] and cloud.headers["signalbox-next-after-seq"] == "40"


def test_a_page_looks_at_a_bounded_number_of_events(client, events_of, run_id):
    """Of a long run without a match, a page tells how far it has looked."""
    for _ in range(11):
        client.append_many(run_id, [custom(0)] * 1000)
    seen = []
    for after in (0, 10_000, 11_001):
        page = events_of(run_id, types="WARNING", after_seq=after).json()
        seen.append((page["events"], page["next_after_seq"]))
    assert seen == [([], 10_000), ([], 11_001), ([], 11_001)]


def test_large_events_cut_a_page_of_some_types(client, events_of, run_id):
    for n in range(6):
        client.append_many(run_id, [custom("x" * 250_000) for _ in range(4)] + [custom(n, name="end")])
    first = events_of(run_id, types="CUSTOM", limit=1000)
    seqs = [seq for seq, *_ in raw_events(first.text)]
    assert 10 < len(seqs) < 30 and first.json()["next_after_seq"] == seqs[-1]
    rest = events_of(run_id, types="CUSTOM", limit=1000, after_seq=seqs[-1])
    assert seqs + [seq for seq, *_ in raw_events(rest.text)] == list(range(2, 32))


# ---- follow ----


@pytest.mark.parametrize(
    "accept, follow", [(JSON, "true"), (CLOUD, "true"), (None, "true"), (LINES, "yes"), (LINES, ""), (JSON, "1")]
)
def test_follow_is_for_lines(events_of, run_id, accept, follow):
    assert_problem(events_of(run_id, accept, follow=follow), 400, "invalid-parameter")
    assert events_of(run_id, LINES, follow="false").status_code == 200


def lines_of(text) -> list:
    assert not text or text.endswith(b"\n")
    return text.split(b"\n")[:-1]


class LiveLines:
    """A body of lines that goes on; `tidy` at its end, or broken off."""

    def __init__(self, box, run_id, query, headers=None):
        more = {"Accept": LINES} | (headers or {})
        self.stream = box.stream(run_id, at="events", query=query, headers=more)
        self.text = b""

    def read(self, count) -> list:
        while self.text.count(b"\n") < count:
            got = self.stream.connection.receive()
            assert got, "broken off"
            self.text += self.stream.chunks.feed(got)
        return lines_of(self.text)

    def read_to_end(self) -> list:
        while not self.stream.chunks.done:
            got = self.stream.connection.receive()
            assert got, "broken off"
            self.text += self.stream.chunks.feed(got)
        return lines_of(self.text)


def test_lines_go_on_live_until_the_end(client, box, events_of, mixed):
    live = [LiveLines(box, mixed, "follow=true"), LiveLines(box, mixed, "follow=true&after_seq=38")]
    assert live[0].stream.headers["content-type"] == LINES
    assert live[0].stream.headers["transfer-encoding"] == "chunked"
    live[0].read(40)
    for n in range(5):
        client.append(mixed, "CUSTOM", custom(n)["payload"])
        assert json.loads(live[0].read(41 + n)[-1])["seq"] == 41 + n
    client.finish(mixed)
    whole = lines_of(events_of(mixed, LINES, limit=1000).content)
    assert live[0].read_to_end() == whole and live[1].read_to_end() == whole[38:]
    assert LiveLines(box, mixed, "follow=true", {"Last-Event-ID": "45"}).read_to_end() == whole[45:]
    assert LiveLines(box, mixed, "follow=true&after_seq=46").stream.status == 204
    assert_problem(events_of(mixed, LINES, follow="true", types="CUSTOM"), 400, "invalid-parameter")
