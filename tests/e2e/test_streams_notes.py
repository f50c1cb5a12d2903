"""What a stream says about itself: caught-up and fell-behind. Streamers alone, so that the test decides what the bus brings."""

import json
import uuid

import pytest
from harness.lone_feeds import FeedStage, position_of
from harness.lone_streamer import NDJSON, TYPES, Stage
from harness.waiting import wait_until

NEVER = 600_000
WINDOW_BYTES = 256 << 10
LARGE = '{"x":"' + "y" * 8000 + '"}'


@pytest.fixture
def begin(make_lone):
    def make(kind=Stage):
        stage = make_lone(kind, stream__sweep_ms=NEVER, stream__window_bytes=WINDOW_BYTES)
        stage.start()
        stage.wait_subscribed()
        stage.beat()
        return stage

    return make


@pytest.fixture
def stage(begin):
    return begin()


@pytest.fixture
def feeds(begin):
    return begin(FeedStage)


def frames(stage, reader, until):
    """What comes, pings left out, up to the first frame that `until` is true of; the bus goes on beating."""
    got = []

    def look():
        stage.beat()
        try:
            while not (got and until(got[-1])):
                got.append(reader.note(0.1))
        except TimeoutError:
            return False
        return True

    wait_until(look, "the frame")
    return got


def said(frame):
    """(name, what it says) of a note, or the seq of an event."""
    return frame.seq if frame.is_log_event else (frame.event, json.loads(frame.data)["last_seq"])


def caught_up(frame):
    return frame.event == "caught-up"


def seq(wanted):
    return lambda frame: frame.is_log_event and frame.seq == wanted


# ---- how far jobs are ----


def test_how_far_a_job_is_is_told_to_who_is_caught_up(stage):
    """The bytes of the runner, without an id; not to other tenants, other runs, other forms, or who still reads."""
    run, other = stage.make_run(3), stage.make_run(3)
    live, second, elsewhere, filtered = stage.open(run), stage.open(run), stage.open(other), stage.open(run, types=1 << TYPES["CUSTOM"])
    lines = stage.open(run, form=NDJSON)
    for reader in (live, second, elsewhere, filtered):
        frames(stage, reader, caught_up)
    waits = stage.open(run, head=4)  # something is known to come
    frames(stage, waits, seq(3))
    payload = '{"job_id":"j","percent":7,"message":"é \\n"}'
    stage.note(run, payload)
    stage.note(run, "{}", tenant=uuid.uuid4())
    stage.note(run, '{"bad":\n1}')
    stage.append(run)
    for reader in (live, second):
        told, event = frames(stage, reader, seq(4))
        assert (told.event, told.data, told.id) == ("job-progress", payload, None) and said(event) == 4
    for reader in (filtered, waits):
        assert [said(f) for f in frames(stage, reader, seq(4))] == [4]
    stage.append(other)
    assert [said(f) for f in frames(stage, elsewhere, seq(4))] == [4]
    assert [event["seq"] for event in lines.lines(4)] == [1, 2, 3, 4]
    stage.wait_logged("a frame of the event bus was not understood")


# ---- runs ----


@pytest.mark.parametrize("types", [0, 1 << TYPES["CUSTOM"]])
@pytest.mark.parametrize("after", [0, 2, 5])
def test_a_stream_is_caught_up_once_it_has_everything(stage, types, after):
    run = stage.make_run(5)
    reader = stage.open(run, after, head=5, types=types)
    first = 2 if types else 1
    assert [said(f) for f in frames(stage, reader, caught_up)] == [
        *range(max(first, after + 1), 6), ("caught-up", 5)
    ]  # fmt: skip
    for n in range(6, 12):
        stage.append(run)
        assert [said(f) for f in frames(stage, reader, seq(n))] == [n]
    stage.append(run, end=True)
    assert stage.rest(reader) == ([12], True)


def test_not_before_what_the_api_knew_of_is_here(stage):
    run = stage.make_run(3)
    keeps = stage.open(run)
    frames(stage, keeps, caught_up)
    late = stage.store(run)
    reader = stage.open(run, 2, head=4)
    assert [said(f) for f in frames(stage, reader, seq(3))] == [3]
    stage.publish(run, *late)
    assert [said(f) for f in frames(stage, reader, caught_up)] == [4, ("caught-up", 4)]
    assert [said(f) for f in frames(stage, keeps, seq(4))] == [4]


def test_a_finished_run_just_ends(stage):
    run = stage.make_run(3)
    stage.store(run, end=True)
    reader = stage.open(run)
    assert [said(reader.note()) for _ in range(4)] == [1, 2, 3, 4]
    assert stage.rest(reader) == ([], True)


def test_behind_a_reset_it_is_caught_up(stage):
    reader = stage.open(stage.make_run(3), 7)
    assert [said(f) for f in frames(stage, reader, caught_up)] == [("reset", 3), ("caught-up", 3)]


@pytest.mark.parametrize("types", [0, 1 << TYPES["CUSTOM"]])
def test_who_lags_is_told_once_and_again_when_it_is_back(stage, types):
    """The window is some sixty events long; the reader's socket is full, so it has left the window when it reads on."""
    run = stage.make_run(1)
    slow = stage.open(run, receive_buffer=4096, types=types)
    keeps = stage.open(run, types=types)
    frames(stage, slow, caught_up)
    frames(stage, keeps, caught_up)
    head = 1
    for _ in range(2):
        for _ in range(30):
            stage.append(run, 20, LARGE)
            head += 20
            assert all(f.is_log_event for f in frames(stage, keeps, seq(head)))
        seen = frames(stage, slow, caught_up)
        notes = [f for f in seen if not f.is_log_event]
        assert [f.seq for f in seen if f.is_log_event] == list(range(head - 599, head + 1))
        assert [f.event for f in notes] == ["fell-behind", "caught-up"] and said(seen[-1]) == ("caught-up", head)
        at = seen.index(notes[0])
        assert 0 < at < 599 and json.loads(notes[0].data)["last_seq"] == seen[at - 1].seq


def test_a_lost_frame_is_nobodys_lagging(stage):
    run = stage.make_run(1)
    reader = stage.open(run)
    frames(stage, reader, caught_up)
    stage.append(run, lose=True)
    stage.append(run)
    assert [said(f) for f in frames(stage, reader, seq(3))] == [2, 3]


def test_a_stream_that_moves_to_another_streamer_is_told_nothing_again(stage):
    run = stage.make_run(3)
    readers = [stage.open(run), stage.open(run, types=1 << TYPES["CUSTOM"])]
    for reader in readers:
        frames(stage, reader, caught_up)
    stage.streamers[0].drain()
    stage.store(run, 2)  # while nobody listens: from the table
    stage.start("streamer-2")
    assert stage.streamers[0].wait() == 0
    stage.append(run)
    for reader in readers:
        assert [said(f) for f in frames(stage, reader, seq(6))] == [4, 5, 6]


# ---- feeds ----


def told(frame):
    """(name, position) of a note, or the position of an event."""
    if frame.is_log_event:
        return position_of(frame)
    frame.id = json.loads(frame.data)["cursor"]
    return frame.event, position_of(frame)


def test_a_feed_is_caught_up_too(feeds):
    runs = [feeds.run(), feeds.run()]
    feeds.commit(*runs, *runs, *runs)
    reader = feeds.open_feed()
    assert [told(f) for f in frames(feeds, reader, caught_up)] == [1, 2, 3, 4, 5, 6, ("caught-up", 6)]
    latest = feeds.open_feed(after=6)
    assert [told(f) for f in frames(feeds, latest, caught_up)] == [("caught-up", 6)]
    for n in range(7, 12):
        feeds.write(runs[0])
        for each in (reader, latest):
            assert [told(f) for f in frames(feeds, each, lambda f: f.is_log_event)] == [n]


def test_a_feed_without_events_is_caught_up_at_the_end_of_the_log(feeds):
    """Also when the api knew of events, all of others, that the bus has not brought yet."""
    mine, others = feeds.run(), feeds.run(tenant=uuid.uuid4())
    feeds.write(mine)
    first = feeds.open_feed()
    assert [told(f) for f in frames(feeds, first, caught_up)] == [1, ("caught-up", 1)]
    batch = feeds.commit(others, others)
    reader = feeds.open_feed(after=1)
    with pytest.raises(TimeoutError):
        reader.note(0.3)
    feeds.send(batch)
    assert [told(f) for f in frames(feeds, reader, caught_up)] == [("caught-up", 3)]


def test_lost_frames_are_nobodys_lagging_on_a_feed_either(feeds):
    run, other = feeds.run(), feeds.run()
    feeds.write(run)
    reader = feeds.open_feed()
    frames(feeds, reader, caught_up)
    feeds.send(feeds.commit(run, other), lose=[0])
    feeds.write(run)
    assert [told(f) for f in frames(feeds, reader, lambda f: f.is_log_event and position_of(f) == 4)] == [2, 3, 4]


def test_who_lags_on_a_feed_is_told(feeds):
    run = feeds.run()
    feeds.write(run)
    slow, keeps = feeds.open_feed(receive_buffer=4096), feeds.open_feed()
    frames(feeds, slow, caught_up)
    frames(feeds, keeps, caught_up)
    for _ in range(30):
        feeds.write(*[run] * 20, size=8000)
        end = feeds.position
        assert all(f.is_log_event for f in frames(feeds, keeps, lambda f: f.is_log_event and position_of(f) == end))
    seen = frames(feeds, slow, caught_up)
    assert [position_of(f) for f in seen if f.is_log_event] == list(range(2, end + 1))
    notes = [f for f in seen if not f.is_log_event]
    assert [f.event for f in notes] == ["fell-behind", "caught-up"] and told(notes[-1]) == ("caught-up", end)
    assert told(notes[0])[1] == position_of(seen[seen.index(notes[0]) - 1])


def test_a_feed_that_moves_to_another_streamer_is_told_nothing_again(feeds):
    run = feeds.run()
    feeds.write(run)
    reader = feeds.open_feed()
    frames(feeds, reader, caught_up)
    feeds.streamers[0].drain()
    feeds.commit(run, run)
    feeds.start("streamer-2")
    assert feeds.streamers[0].wait() == 0
    feeds.write(run)
    assert [told(f) for f in frames(feeds, reader, lambda f: f.is_log_event and position_of(f) == 4)] == [2, 3, 4]
