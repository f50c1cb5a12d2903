"""Feeds of a streamer whose sequencer is the test: frames that are lost, late, or never were; what is read from the table."""

import random
import uuid
from functools import partial

import pytest
from harness.lone_feeds import FeedStage, position_of
from harness.waiting import stays_true, wait_until

NEVER = 600_000  # milliseconds: longer than any test


@pytest.fixture
def make_stage(make_lone):
    return partial(make_lone, FeedStage, stream__sweep_ms=NEVER)


@pytest.fixture
def stage(make_stage):
    made = make_stage()
    made.start()
    made.wait_subscribed()
    made.beat()
    return made


def read(stage, reader, wanted):
    """Reads while the bus goes on beating, as it does when the sequencer lives."""
    got = []

    def look():
        stage.beat()
        try:
            while len(got) < len(wanted):
                got.append(position_of(reader.event(0.1)))
        except TimeoutError:
            return False
        return True

    wait_until(look, f"{len(wanted)} events, {len(got)} came", 20)
    assert got == wanted


def nothing_more(stage, reader):
    def silent():
        stage.beat()
        try:
            reader.event(0.1)
        except TimeoutError:
            return True
        return False

    stays_true(silent, 0.3, "nothing more comes")


@pytest.mark.requirement("R052")
def test_live_events_come_by_the_bus_and_read_nothing(stage):
    run = stage.run()
    stage.write(run)
    reader = stage.open_feed()
    assert reader.positions(1) == [1]
    before = stage.last_table_read()
    for _ in range(20):
        stage.write(run, run, store=False)
    read(stage, reader, stage.wanted(1))
    assert stage.last_table_read() == before


def test_others_events_cost_an_idle_feed_nothing(stage):
    thread = uuid.uuid4()
    ours, other = stage.run(thread), stage.run(tenant=uuid.uuid4())
    stage.write(ours)
    readers = [stage.open_feed() for _ in range(5)] + [stage.open_feed(thread=thread)]
    for reader in readers:
        read(stage, reader, [1])
    before = stage.last_table_read()
    for _ in range(30):
        stage.write(other, other, store=False)
        stage.beat()
    stage.write(ours, store=False)
    for reader in readers:
        read(stage, reader, [62])
    assert stage.last_table_read() == before


def test_a_batch_is_shown_by_position_although_its_frames_come_run_by_run(stage):
    thread = uuid.uuid4()
    a, b, c = stage.run(thread), stage.run(), stage.run(thread)
    whole, part = stage.open_feed(), stage.open_feed(thread=thread)
    read(stage, whole, [])
    for _ in range(5):
        runs = [random.choice((a, b, c)) for _ in range(40)]
        stage.write(*runs, store=False)
    read(stage, whole, stage.wanted())
    read(stage, part, stage.wanted(thread=thread))


@pytest.mark.requirement("I5")
@pytest.mark.parametrize("lose", [(0,), (1,), (2,), (0, 2), (0, 1, 2)], ids=str)
def test_lost_frames_are_read_from_the_table(stage, lose):
    thread = uuid.uuid4()
    runs = [stage.run(thread), stage.run(), stage.run(thread)]
    whole, part = stage.open_feed(), stage.open_feed(thread=thread)
    stage.write(*runs)
    stage.send(stage.commit(*runs, *runs), lose=lose)
    stage.write(*runs)
    read(stage, whole, stage.wanted())
    read(stage, part, stage.wanted(thread=thread))
    nothing_more(stage, whole)


@pytest.mark.requirement("I5")
def test_events_without_frames_are_read_from_the_table(stage):
    """Their counter says nothing: only the positions do."""
    run, copy = stage.run(), stage.run()
    reader = stage.open_feed()
    stage.write(run)
    read(stage, reader, [1])
    stage.commit(copy, copy, copy)
    read(stage, reader, [2, 3, 4])
    stage.commit(copy, copy)
    stage.write(run)
    read(stage, reader, [5, 6, 7])


@pytest.mark.requirement("I5")
def test_a_feed_that_comes_amid_a_batch_misses_none_of_it(stage):
    runs = [stage.run() for _ in range(4)]
    stage.write(*runs)
    batch = stage.commit(*runs, *runs)
    stage.send(batch, only=[0, 1])
    reader = stage.open_feed()
    read_early = reader.positions(4)
    stage.send(batch, only=[2, 3])
    stage.write(*runs)
    rest = stage.wanted()[len(read_early) :]
    read(stage, reader, rest)
    assert read_early + rest == stage.wanted()


@pytest.mark.requirement("I5")
def test_a_successor_that_publishes_again_doubles_nothing(stage):
    run = stage.run()
    reader = stage.open_feed()
    stage.write(run)
    batch = stage.commit(run, run)
    stage.send(batch)
    read(stage, reader, [1, 2, 3])
    stage.epoch, stage.counter = 2, 0
    stage.send(batch)
    stage.beat()
    stage.write(run)
    read(stage, reader, [4])
    nothing_more(stage, reader)


def test_a_silent_bus_is_made_up_for_by_the_table(stage):
    run = stage.run()
    reader = stage.open_feed()
    stage.write(run)
    assert reader.positions(1) == [1]
    stage.commit(run, run)
    assert reader.positions(2, 10) == [2, 3]
    stage.commit(run)
    assert reader.positions(1, 10) == [4]
    stage.write(run)
    read(stage, reader, [5])


def test_a_sweep_finds_what_no_frame_tells(make_stage):
    stage = make_stage(stream__sweep_ms=300)
    stage.start()
    stage.wait_subscribed()
    run = stage.run()
    reader = stage.open_feed()
    stage.write(run)
    read(stage, reader, [1])
    real, got = stage.position, []
    stage.commit(run)

    def look():
        stage.position, newest = real, stage.position  # the beats know nothing of it
        stage.beat()
        stage.position = newest
        try:
            got.append(position_of(reader.event(0.1)))
        except TimeoutError:
            return False
        return True

    wait_until(look, "the event", 10)
    assert got == [2]


def test_a_position_beyond_the_log_is_reset(stage):
    run = stage.run()
    stage.write(run, run)
    reader = stage.open_feed(after=7, head=2)
    frame = reader.event()
    assert frame.event == "reset" and frame.id is None
    stage.write(run)
    read(stage, reader, [3])


def test_many_readers_share_what_is_read(make_stage):
    stage = make_stage(stream__page_events=50)
    stage.start()
    stage.wait_subscribed()
    thread = uuid.uuid4()
    run, other = stage.run(thread), stage.run(tenant=uuid.uuid4())
    for _ in range(10):
        stage.commit(*[run, other] * 50)
    stage.beat()
    readers = [stage.open_feed(thread=choice) for choice in (None, thread) for _ in range(150)]
    for reader in readers:
        read(stage, reader, stage.wanted())
    asked = [line for line in stage.logs() if line.get("message") == "page of a feed"]
    # 500 events are 3 pages of the tenant's feed and 10 of the thread's; 300 readers of their own would read 1,950.
    assert 13 <= len(asked) < 200


@pytest.mark.requirement("R055", "R060")
def test_a_half_written_event_moves_with_its_feed(make_stage):
    stage = make_stage()
    first = stage.start()
    stage.wait_subscribed()
    stage.beat()
    thread = uuid.uuid4()
    run = stage.run(thread)
    slow = [stage.open_feed(receive_buffer=2048), stage.open_feed(thread=thread, receive_buffer=2048)]
    for _ in range(60):
        stage.write(run, run, size=100_000)
    wait_until(lambda: any(line.get("message") == "stream opened" for line in stage.logs()), "the streams")
    for reader in slow:
        assert reader.positions(1, 10) == [1]
    stage.start("streamer-2")
    stage.wait_subscribed(0)
    first.drain()
    assert first.wait() == 0
    for reader in slow:
        read(stage, reader, list(range(2, 121)))
    stage.write(run)
    for reader in slow:
        read(stage, reader, [121])


@pytest.mark.requirement("I7")
def test_another_tenant_is_never_shown(stage):
    other = uuid.uuid4()
    thread = uuid.uuid4()
    runs = [stage.run(thread), stage.run(thread, tenant=other), stage.run(tenant=other)]
    feeds = [stage.open_feed(thread=t, tenant=who) for t in (None, thread) for who in (None, other)]
    for n in range(20):
        stage.send(stage.commit(*(random.choice(runs) for _ in range(9))), lose=(0,) if n % 3 == 0 else ())
    for feed, (t, who) in zip(feeds, [(t, who) for t in (None, thread) for who in (None, other)], strict=True):
        read(stage, feed, stage.wanted(thread=t, tenant=who))


def test_a_packet_that_makes_no_sense_is_dropped(stage):
    run = stage.run()
    stage.write(run)
    from harness import lone_feeds

    for kind, thread, signing in ((1, bytes(16), bytes(16)), (2, b"x" * 16, bytes(16)), (2, bytes(16), b""), (9, bytes(16), b"")):
        body = [stage.tenant.bytes, stage.key.bytes, bytes(16), 0, 1, kind, thread, signing]
        client = lone_feeds.socket.create_connection(stage.clients.getsockname())
        ours, _ = stage.clients.accept()
        stage.hand(lone_feeds.envelope(lone_feeds.HANDOVER, body), [ours.fileno()])
        ours.close()
        client.settimeout(5)
        assert client.recv(10) == b"", "it is closed without an answer"
        client.close()
    assert stage.open_feed().positions(1) == [1]


@pytest.mark.requirement("I5")
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_lost_every_reader_sees_the_log(make_stage, seed):
    choose = random.Random(seed)
    stage = make_stage(stream__page_events=7, stream__window_bytes=4096)
    stage.start()
    stage.wait_subscribed()
    stage.beat()
    thread, other = uuid.uuid4(), uuid.uuid4()
    runs = [stage.run(thread), stage.run(), stage.run(thread), stage.run(thread, other), stage.run(tenant=other)]
    readers = []
    for _ in range(60):
        batch = stage.commit(*(choose.choice(runs) for _ in range(choose.randrange(1, 12))))
        stage.send(batch, lose=[at for at in range(5) if choose.random() < 0.06])
        if choose.random() < 0.4:
            t, who = choose.choice((None, thread)), choose.choice((None, other))
            after = choose.choice((0, stage.position, choose.randrange(stage.position + 1)))
            readers.append((stage.open_feed(after, t, who, receive_buffer=choose.choice((None, 2048))), after, t, who))
        if choose.random() < 0.3:
            stage.beat()
        if choose.random() < 0.05:
            stage.epoch, stage.counter = stage.epoch + 1, 0
    stage.beat()
    assert len(readers) > 10
    for reader, after, t, who in readers:
        read(stage, reader, stage.wanted(after, t, who))
    with pytest.raises(TimeoutError):
        readers[0][0].event(0.3)
