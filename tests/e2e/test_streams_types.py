"""Streams of some event types: what is left out, what stays provable, and the end."""

import json
import random

import pytest
from harness.client import custom
from harness.feeds import TENANT_FEED, open_feed, thread_feed
from harness.keys import make_tenant
from harness.sse import StreamEnded

KINDS = ("CUSTOM", "WARNING", "RUN_PROGRESS", "STATE_DELTA")
PAYLOADS = {
    "CUSTOM": custom(1)["payload"], "WARNING": {"code": "w", "message": "m"}, "RUN_PROGRESS": {"percent": 5},
    "STATE_DELTA": {"delta": []},
}  # fmt: skip


def written(source, kinds=KINDS):
    kind = source.choice(kinds)
    return {"type": kind, "payload": PAYLOADS[kind]}


def filtered(frame):
    data = json.loads(frame.data)
    assert frame.seq == data["seq"]
    return data["seq"], data["type"], data["prev_seq"]


def wanted(log, types) -> list:
    """[(seq, type, prev_seq)] of a run's log [(seq, type, …)]."""
    found, before = [], 0
    for seq, kind, *_ in log:
        if kind in types or kind == "RUN_FINISHED":
            found.append((seq, kind, before))
            before = seq
    return found


def read(stream) -> list:
    found = []
    try:
        while True:
            found.append(filtered(stream.next_event()))
    except StreamEnded as end:
        assert end.tidy
        return found


@pytest.fixture
def run(client, run_id):
    source = random.Random(5)
    client.append_many(run_id, [written(source) for _ in range(60)])
    return run_id


@pytest.mark.parametrize("types", [["WARNING"], ["WARNING", "CUSTOM"], ["RUN_STARTED"], ["TASK_STARTED"]])
def test_a_stream_of_some_types_from_every_place(box, client, run, types):
    client.finish(run)
    log = client.log(run)
    whole = wanted(log, types)
    with box.stream(run, query="types=" + ",".join(types)) as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert read(stream) == whole
    for after in (*range(0, 61, 7), 61):
        with box.stream(run, query="&".join(f"types={t}" for t in types), headers={"Last-Event-ID": str(after)}) as stream:
            assert read(stream) == [e for e in whole if e[0] > after]
    with box.stream(run, at="events", query="types=" + types[0], headers={"Last-Event-ID": "62"}) as stream:
        assert stream.status == 204


def test_what_is_not_shown_moves_on_all_the_same(box, client, run):
    """caught-up tells the head; behind it, live, nothing comes but what was asked for."""
    with box.stream(run, query="types=TASK_STARTED") as stream:
        assert stream.to_caught_up() == ([], {"last_seq": 61})
        client.append(run, "CUSTOM", PAYLOADS["CUSTOM"])
        client.append(run, "TASK_STARTED", {"task_id": "t", "title": "n"})
        assert filtered(stream.next_note()) == (63, "TASK_STARTED", 0)
        client.finish(run)
        assert read(stream) == [(64, "RUN_FINISHED", 63)]


@pytest.mark.requirement("I5")
@pytest.mark.parametrize("seed", range(2))
def test_any_split_into_replay_and_live_shows_the_same(box, client, run_id, seed):
    """Readers begin before, between and behind every append; what they see together is the filter of the log."""
    source = random.Random(seed)
    types = source.sample(KINDS, 2)
    query, streams = "types=" + ",".join(types), []
    for _ in range(25):
        streams.append((0, box.stream(run_id, query=query)))
        if len(streams) > 5:
            at = source.randrange(client.run(run_id)["last_seq"])
            streams.append((at, box.stream(run_id, query=query, headers={"Last-Event-ID": str(at)})))
        client.append_many(run_id, [written(source) for _ in range(source.choice([1, 1, 5, 40]))])
    client.finish(run_id)
    whole = wanted(client.log(run_id), types)
    for after, stream in streams:
        with stream:
            assert read(stream) == [e for e in whole if e[0] > after], after


# ---- feeds ----


def feed_event(frame):
    data = json.loads(frame.data)
    assert "prev_seq" not in data
    return data["run_id"], data["seq"], data["type"]


def feed_truth(box, runs) -> list:
    return box.database().rows(
        "select run_id::text, seq, event_type::text from run_events where run_id = any(%s::uuid[]) order by position",
        list(runs),
    )


@pytest.mark.parametrize("of_thread", [False, True])
def test_a_feed_of_some_types(box, of_thread):
    key = make_tenant(box, "some types")
    client, source = box.client(key), random.Random(9)
    thread = "0dd1f3a7-5a0f-4f0e-8d38-34a8a2a80001"
    path = thread_feed(thread) if of_thread else TENANT_FEED
    runs = [client.new_run(thread_id=thread) for _ in range(3)]
    for run in runs * 2:
        client.append_many(run, [written(source) for _ in range(20)])
    types = ["WARNING", "RUN_STARTED"]
    query = "types=" + ",".join(types)
    streams = [open_feed(box, path, key, query=query), open_feed(box, path, key, query="types=TASK_STARTED"),
               open_feed(box, path, key, query=f"{query}&from=latest")]  # fmt: skip
    before = [tuple(e) for e in feed_truth(box, runs) if e[2] in types]
    frames, note = streams[0].to_caught_up()
    assert [feed_event(frame) for frame in frames] == before
    assert streams[1].to_caught_up()[0] == streams[2].to_caught_up()[0] == []
    for n in range(20):
        client.append_many(runs[n % 3], [written(source) for _ in range(3)])
    client.append(runs[0], "WARNING", PAYLOADS["WARNING"])
    whole = [tuple(e) for e in feed_truth(box, runs) if e[2] in types]
    live = whole[len(before) :]
    for stream in (streams[0], streams[2]):
        assert [feed_event(stream.next_note()) for _ in live] == live
    client.append(runs[0], "TASK_STARTED", {"task_id": "t", "title": "n"})
    assert feed_event(streams[1].next_note())[2] == "TASK_STARTED"
    for stream in streams:
        stream.close()
    # A cursor is of the feed, whatever types it was read with.
    for cursor, rest in ((frames[4].id, whole[5:]), (note["cursor"], live)):
        with open_feed(box, path, key, cursor=cursor, query=query) as stream:
            assert [feed_event(frame) for frame in stream.to_caught_up()[0]] == rest


def test_a_long_thread_with_few_matches(box, client):
    """More events lie between the matches than a page looks at."""
    thread = "0dd1f3a7-5a0f-4f0e-8d38-34a8a2a80002"
    runs = [client.new_run(thread_id=thread) for _ in range(2)]
    for n in range(6):
        client.append_many(runs[n % 2], [custom(0)] * 700 + [{"type": "WARNING", "payload": PAYLOADS["WARNING"]}])
    with open_feed(box, thread_feed(thread), query="types=WARNING") as stream:
        frames, _ = stream.to_caught_up()
        assert [feed_event(frame) for frame in frames] == [tuple(e) for e in feed_truth(box, runs) if e[2] == "WARNING"]
