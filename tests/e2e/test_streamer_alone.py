"""The streamer against a sequencer that loses what the test wants lost: repair, catch-up, hand-off, limits."""

import os
import random
import uuid
from functools import partial

import pytest
from harness.lone_streamer import HANDOVER, NATIVE, Stage, envelope
from harness.lost_net import LostNet
from harness.paths import is_asan
from harness.sse import StreamEnded
from harness.waiting import wait_until

NEVER = 600_000  # milliseconds: longer than any test


@pytest.fixture
def make_stage(make_lone):
    return partial(make_lone, Stage)


@pytest.fixture
def stage(make_stage):
    """One streamer, subscribed, that only repairs when a frame tells it to."""
    made = make_stage(stream__sweep_ms=NEVER)
    made.start()
    made.wait_subscribed()
    made.beat()
    return made


@pytest.mark.requirement("R050", "R052", "I5")
def test_backlog_then_live_then_a_proper_end(stage):
    run = stage.make_run(700)
    reader = stage.open(run)
    assert reader.seqs(700) == list(range(1, 701))
    stage.append(run, 3)
    assert reader.seqs(3) == [701, 702, 703]
    stage.append(run, end=True)
    assert stage.rest(reader) == ([704], True)


@pytest.mark.requirement("R050", "I5")
def test_every_position_gets_exactly_what_is_behind_it(stage):
    run = stage.make_run(300)
    readers = {after: stage.open(run, after) for after in (0, 1, 2, 100, 255, 256, 257, 298, 299, 300)}
    stage.append(run, 2, end=True)
    for after, reader in readers.items():
        assert reader.rest() == (list(range(after + 1, 303)), True), after


@pytest.mark.requirement("I5")
def test_a_lost_frame_is_read_from_the_table(stage):
    run = stage.make_run()
    reader = stage.open(run)
    assert reader.seqs(1) == [1]
    stage.append(run, 5, lose=True)
    stage.append(run, 2)
    assert stage.seqs(reader, 7) == list(range(2, 9))


@pytest.mark.requirement("I5")
def test_a_lost_last_frame_shows_by_the_next_beat(stage):
    run = stage.make_run()
    reader = stage.open(run)
    assert reader.seqs(1) == [1]
    stage.append(run, 4, lose=True)
    assert stage.seqs(reader, 4) == [2, 3, 4, 5]
    stage.append(run, end=True, lose=True)
    stage.beat()
    assert reader.rest() == ([6], True)


@pytest.mark.requirement("I5")
def test_a_silent_bus_is_noticed(stage):
    run = stage.make_run()
    reader = stage.open(run)
    assert reader.seqs(1) == [1]
    stage.store(run, 3)  # and not a single frame
    assert reader.seqs(3, timeout=4) == [2, 3, 4]


def test_the_sweep_finds_what_nothing_else_shows(make_stage):
    """Frames and beats that agree with each other, and yet something is not there."""
    stage = make_stage(stream__sweep_ms=300)
    stage.start()
    stage.wait_subscribed()
    stage.beat()
    run = stage.make_run()
    reader = stage.open(run)
    assert reader.seqs(1) == [1]
    stage.store(run, 2)
    assert stage.seqs(reader, 2) == [2, 3]


@pytest.mark.requirement("I5")
def test_a_new_sequencer_starts_its_own_count(stage):
    run = stage.make_run()
    reader = stage.open(run)
    assert reader.seqs(1) == [1]
    stage.append(run, 2, lose=True)
    stage.epoch, stage.counter = 2, 0
    stage.append(run, 1)
    assert stage.seqs(reader, 3) == [2, 3, 4]


@pytest.mark.requirement("I5")
def test_frames_in_any_disorder_give_one_order(stage):
    """Doubled, overlapping, late, beyond holes, of an older epoch: what readers get is 1..n."""
    chance = random.Random(7)
    run = stage.make_run()
    readers = [stage.open(run) for _ in range(3)]
    frames = []
    for _ in range(200):
        frames.append(stage.store(run, chance.randint(1, 9)))
    last = frames[-1][0] + len(frames[-1][1]) - 1
    chance.shuffle(frames)
    for first, events in frames:
        if chance.random() < 0.7:
            cut = chance.randrange(len(events))
            stage.publish(run, first + cut, events[cut:])
        if chance.random() < 0.3:
            stage.publish(run, first, events)
    stage.append(run, end=True, lose=True)
    stage.beat()
    for reader in readers:
        assert reader.rest() == (list(range(1, last + 2)), True)


@pytest.mark.requirement("R055")
def test_a_position_beyond_the_head_is_told(stage):
    run = stage.make_run(3)
    reader = stage.open(run, after=90)
    frame = reader.event()
    assert (frame.event, frame.id, frame.data) == ("reset", None, '{"last_seq":3}')
    stage.append(run)
    assert reader.seqs(1) == [4]


def test_a_position_that_is_only_ahead_of_us_is_not_reset(stage):
    """The client saw events that another streamer had delivered and this one has not heard of."""
    run = stage.make_run(3)
    first = stage.open(run)
    assert first.seqs(3) == [1, 2, 3]
    stage.append(run, 5, lose=True)
    second = stage.open(run, after=6)
    assert second.seqs(2) == [7, 8]
    assert first.seqs(5) == [4, 5, 6, 7, 8]


@pytest.mark.requirement("R057")
@pytest.mark.parametrize("after", [2, 3, 4])
def test_a_run_that_is_over_ends_at_once(stage, after):
    run = stage.make_run(2)
    stage.append(run, end=True)
    assert stage.open(run, after=after).rest() == ([3] if after == 2 else [], True)


def test_a_run_without_a_row_is_broken_off(stage):
    assert stage.open(uuid.uuid4()).rest() == ([], False)
    run = stage.make_run(1)
    assert stage.open(run, tenant=uuid.uuid4()).rest() == ([], False)


@pytest.mark.requirement("R053", "I5")
def test_a_slow_reader_gets_everything_and_holds_up_nobody(stage):
    run = stage.make_run()
    slow = stage.open(run, receive_buffer=4096)
    quick = stage.open(run)
    text = '{"x":"' + "y" * 60_000 + '"}'
    assert slow.seqs(1) == quick.seqs(1) == [1]
    for seq in range(2, 202):
        stage.append(run, 1, text)
        assert quick.seqs(1) == [seq]
    stage.append(run, end=True)
    assert quick.rest() == ([202], True)
    assert slow.rest() == (list(range(2, 203)), True)


@pytest.mark.requirement("R053")
def test_a_stalled_reader_is_closed(make_stage):
    stage = make_stage(stream__write_stall_ms=700, stream__ping_ms=200)
    stage.start()
    run = stage.make_run()
    stalled = stage.open(run, receive_buffer=4096)
    assert stalled.seqs(1) == [1]
    for _ in range(200):
        stage.append(run, 1, '{"x":"' + "y" * 60_000 + '"}')
    wait_until(lambda: any(line.get("message") == "stream closed" for line in stage.logs()), "the close", 10)
    with pytest.raises((StreamEnded, ConnectionResetError)) as end:
        while True:
            stalled.event()
    assert not getattr(end.value, "tidy", False)


@pytest.mark.requirement("R054")
def test_pings_come_in_step_with_the_setting(make_stage):
    stage = make_stage(stream__ping_ms=200)
    stage.start()
    reader = stage.open(stage.make_run(0))
    first = reader.frame()
    assert first.comments and 1000 <= int(first.retry) <= 3000
    for _ in range(5):
        frame = reader.frame(timeout=1)
        if frame.event == "caught-up":
            continue
        assert (frame.event, frame.data, frame.id, len(frame.comments)) == ("ping", "{}", None, 1)


def test_a_revoked_key_ends_its_streams_only(stage):
    run = stage.make_run()
    other = stage.make_key()
    ends, stays = stage.open(run, key=other), stage.open(run)
    assert ends.seqs(1) == stays.seqs(1) == [1]
    stage.connection.execute("update api_keys set revoked_at = now() where key_id = %s", [other])
    assert ends.rest(timeout=10) == ([], False)
    stage.append(run)
    assert stays.seqs(1) == [2]


def test_limits_are_answered_with_a_later_retry(make_stage):
    stage = make_stage(stream__per_key=2, stream__per_process=3)
    stage.start()
    run = stage.make_run()
    for _ in range(2):
        assert stage.open(run).seqs(1) == [1]
    refused = stage.open(run)
    assert 10_000 <= int(refused.frame().retry) <= 20_000
    assert refused.rest() == ([], False)
    assert " 200 OK" in refused.head
    assert stage.open(run, key=stage.make_key()).seqs(1) == [1]
    refused = stage.open(run, key=stage.make_key())
    assert 10_000 <= int(refused.frame().retry) <= 20_000
    assert refused.rest() == ([], False)
    stage.wait_logged("streams refused, a limit is reached")


def test_malformed_packets_are_dropped(stage):
    good = envelope(HANDOVER, [bytes(16), bytes(16), bytes(16), 0, 0, 0, bytes(16), b"", *NATIVE])
    with open(os.devnull) as null:
        for packet, descriptors in [
            (b"x", []), (good, []), (good, [null.fileno()]), (good[:-1], [null.fileno()]), (b"\x97" * 300, [null.fileno()]),
            (envelope(99, []), []), (good, [null.fileno()] * 3), (good, [null.fileno()] * 20), (b"y" * 190_000, []),
        ]:
            stage.hand(packet, descriptors)
    stage.bus.send(b"Enonsense")
    stage.bus.send(b"E")
    assert stage.open(stage.make_run(2)).seqs(2) == [1, 2]
    wait_until(lambda: sum(l.get("message") == "a handed-over stream was not understood" for l in stage.logs()) == 9,
               "nine rejections")


def test_vanished_clients_are_forgotten(stage):
    run = stage.make_run()
    readers = [stage.open(run) for _ in range(20)]
    for reader in readers:
        assert reader.seqs(1) == [1]
        reader.close()
    wait_until(lambda: sum(line.get("message") == "stream closed" for line in stage.logs()) == 20, "20 closed")


@pytest.mark.requirement("R134")
def test_peers_that_vanish_without_a_word_are_gone_by_the_second_ping(make_stage):
    """No FIN, no RST, no ACK: long before a stall would be noticed; who lives is left alone."""
    with LostNet() as net:
        if not net.allowed:
            pytest.skip("no network namespace can be made here")
        stage = make_stage(stream__ping_ms=800, stream__write_stall_ms=600_000)
        stage.start()
        run = stage.make_run()
        here = stage.open(run)
        assert here.seqs(1) == [1]
        for _ in range(5):
            with net.connection() as ours:
                packet = [stage.tenant.bytes, stage.key.bytes, run.bytes, 1, 0, 0, bytes(16), b"", *NATIVE]
                stage.hand(envelope(HANDOVER, packet), [ours.fileno()])
        stage.append(run)
        assert here.seqs(1) == [2]
        net.lose()
        wait_until(lambda: sum(line.get("why") == "nothing comes back from it" for line in stage.logs()) == 5, "five closed")
        stage.append(run)
        assert here.seqs(1) == [3]


def test_the_database_goes_away_and_live_streams_do_not_notice(stage):
    run = stage.make_run()
    reader = stage.open(run)
    assert reader.seqs(1) == [1]
    first, events = stage.store(run, 2)
    stage.connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'signalbox_streamer'"
    )
    stage.publish(run, first, events)
    assert reader.seqs(2) == [2, 3]
    late = stage.open(run)
    assert late.seqs(3, timeout=10) == [1, 2, 3]


# ---- hand-off --------------------------------------------------------------------------------------------------------

@pytest.mark.requirement("R060", "I5")
def test_a_drained_streamer_hands_its_streams_over(make_stage):
    stage = make_stage(stream__sweep_ms=NEVER)
    old = stage.start("streamer-1")
    run = stage.make_run(3)
    readers = [stage.open(run) for _ in range(50)]
    for reader in readers:
        assert reader.seqs(3) == [1, 2, 3]
    stage.start("streamer-2")
    old.drain()
    stage.append(run, 2)
    assert old.wait() == 0
    stage.append(run, 2)
    stage.beat()
    for reader in readers:
        assert reader.seqs(4) == [4, 5, 6, 7]
    stage.append(run, end=True, lose=True)
    stage.beat()
    for reader in readers:
        assert reader.rest() == ([8], True)
    stage.wait_logged("streams handed over", streams=50, broken_off=0)


@pytest.mark.requirement("R060", "I5")
def test_half_written_events_survive_a_chain_of_hand_offs(make_stage):
    """Readers that stand still in the middle of an event, at several sizes, moved three times."""
    stage = make_stage(stream__sweep_ms=NEVER)
    current = stage.start("streamer-0")
    run = stage.make_run()
    readers = [stage.open(run, receive_buffer=4096 * (1 + n % 3)) for n in range(6)]
    for reader in readers:
        assert reader.seqs(1) == [1]
    sizes = [10, 50_000, 100_000, 3_000, 120_000] * 20
    for size in sizes:
        stage.append(run, 1, '{"x":"' + "y" * size + '"}')
    for turn in range(1, 4):
        successor = stage.start(f"streamer-{turn}")
        current.drain()
        assert current.wait() == 0
        current = successor
        seqs = [readers[turn].event().seq for _ in range(5)]
        assert seqs == [2, 3, 4, 5, 6]
    stage.append(run, end=True)
    last = len(sizes) + 2
    for n, reader in enumerate(readers):
        assert reader.rest(20) == (list(range(7 if 1 <= n <= 3 else 2, last + 1)), True), n
    assert not [line for line in stage.logs() if line.get("broken_off")]


def test_without_a_successor_streams_are_broken_off(make_stage):
    stage = make_stage()
    alone = stage.start()
    run = stage.make_run(2)
    readers = [stage.open(run) for _ in range(10)]
    for reader in readers:
        assert reader.seqs(2) == [1, 2]
    alone.drain()
    for reader in readers:
        assert reader.rest(timeout=10) == ([], False)
    assert alone.wait() == 0


def test_draining_without_streams_is_quick(make_stage):
    streamer = make_stage().start()
    streamer.drain()
    assert streamer.wait(2) == 0


class Wanderer:
    """A client that comes back with its position whenever its stream breaks, sometimes without being asked to."""

    def __init__(self, stage, run, chance):
        self.stage, self.run, self.chance = stage, run, chance
        self.cursor, self.done, self.reader = 0, False, None

    def step(self):
        """Reads what is there; returns false when the run has ended for it."""
        if self.reader is None:
            self.reader = self.stage.open(self.run, self.cursor, receive_buffer=self.chance.choice([None, 4096]))
        try:
            for _ in range(self.chance.randint(1, 60)):
                frame = self.reader.event(0.002)
                assert frame.event is None and frame.seq == self.cursor + 1, (self.run, frame, self.cursor)
                self.cursor = frame.seq
            if self.chance.random() < 0.05:
                self.leave()
        except TimeoutError:
            pass
        except (StreamEnded, ConnectionResetError) as end:
            self.done = getattr(end, "tidy", False)
            self.leave()
        return not self.done

    def leave(self):
        self.reader.close()
        self.reader = None


@pytest.mark.requirement("R052", "R056", "R060", "I4", "I5")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_goes_wrong_at_once(make_stage, seed):
    """Lost frames, dead connections, a new sequencer, drained and killed streamers, readers that come and go."""
    chance = random.Random(seed)
    stage = make_stage(stream__sweep_ms=500, stream__page_events=7, stream__window_bytes=20_000)
    streamers = [stage.start("streamer-1"), stage.start("streamer-2")]
    runs = [stage.make_run() for _ in range(4)]
    readers = [Wanderer(stage, run, chance) for run in runs for _ in range(6)]

    def replace(how):
        victim = streamers.pop(0)
        streamers.append(stage.start(f"streamer-{stage.generation + 1}"))
        if how == "drain":
            victim.drain()
            assert victim.wait() == 0
        victim.kill()

    def new_sequencer():
        stage.bus.close(0)
        stage.publish_from_now_on()
        stage.epoch, stage.counter = stage.epoch + 1, 0

    for turn in range(150):
        run = chance.choice(runs)
        size = chance.choice([2, 2, 2, 300, 5_000, 90_000])
        stage.append(run, chance.randint(1, 12), '{"x":"' + "y" * size + '"}', lose=chance.random() < 0.15)
        if chance.random() < 0.3:
            stage.beat()
        if turn % 40 == 13:
            new_sequencer()
        if turn % 50 == 27:
            stage.connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'signalbox_streamer'"
            )
        if turn % 60 in (20, 50):
            replace("drain" if turn % 60 == 20 else "kill")
        for reader in chance.sample(readers, 8):
            reader.step()
    for run in runs:
        stage.append(run, end=True, lose=chance.random() < 0.5)

    def all_done():
        stage.beat()
        return not [reader for reader in readers if not reader.done and reader.step()]

    wait_until(all_done, "the end of every stream", 60)
    for reader in readers:
        head = stage.connection.execute("select last_seq from run_heads where run_id = %s", [reader.run]).fetchone()[0]
        assert reader.cursor == head


# ---- many ------------------------------------------------------------------------------------------------------------

@pytest.mark.skipif(is_asan(), reason="the sanitizer's own memory is not ours")
def test_idle_streams_are_cheap(make_stage):
    """Promise: at most 1.1 KB a stream in user space, here with a run of its own for every stream."""
    stage = make_stage()
    streamer = stage.start()
    runs = [stage.make_run() for _ in range(1000)]
    assert stage.open(runs[0]).seqs(1) == [1]
    before = streamer.resident_kb()
    readers = [stage.open(run) for run in runs]
    for reader in readers:
        assert reader.seqs(1) == [1]
    wait_until(
        lambda: (streamer.resident_kb() - before) * 1024 / len(runs) < 1126, "memory down to what idle streams need", 15
    )


@pytest.mark.requirement("R053")
@pytest.mark.skipif(is_asan(), reason="the sanitizer's own memory is not ours")
def test_stalled_readers_cost_the_same_at_any_backlog(make_stage):
    """Promise: at most 64 KiB a stalled reader. What is kept for all of them, window and pages, is there at both times."""
    stage = make_stage(stream__write_stall_ms=600_000)
    streamer = stage.start()
    run = stage.make_run()
    readers = [stage.open(run, receive_buffer=4096) for _ in range(64)]
    for reader in readers:
        assert reader.seqs(1) == [1]
    before = streamer.resident_kb()
    live = stage.open(run, after=1)
    seq, used = 1, []
    for megabytes in (2, 5):
        for _ in range(megabytes * 20):
            stage.append(run, 1, '{"x":"' + "y" * 50_000 + '"}')
            seq += 1
            assert live.seqs(1) == [seq]
        used.append(streamer.resident_kb() - before)
    assert used[1] < 64 * len(readers) + 4096, used  # 4 MiB: window and pages
    assert used[1] - used[0] < 16 * len(readers), used
    for reader in readers[::8]:
        assert reader.seqs(50) == list(range(2, 52))
    for reader in readers:
        reader.close()
    wait_until(lambda: sum(line.get("message") == "stream closed" for line in stage.logs()) == len(readers), "all closed")


def test_readers_far_behind_share_their_pages(make_stage):
    stage = make_stage()
    stage.start()
    run = stage.make_run(2000)
    readers = [stage.open(run, after=n % 40) for n in range(100)]
    for n, reader in enumerate(readers):
        assert reader.seqs(1960) == list(range(n % 40 + 1, n % 40 + 1961))


@pytest.mark.requirement("R052")
def test_a_page_is_read_once_for_all_who_wait_for_it(make_stage):
    """More readers than are served at once: those served first queue for the next page while others still take this one."""
    stage = make_stage(stream__page_events=20, stream__sweep_ms=NEVER)
    streamer = stage.start()
    run = stage.make_run(400)
    with stage.connection.transaction():
        stage.connection.execute("lock table run_events in access exclusive mode")  # nobody gets the first page yet
        readers = [stage.open(run) for _ in range(600)]
        wait_until(lambda: streamer.metric("streams_catching_up") == len(readers), "all to wait for a page")
    for reader in readers:
        assert reader.seqs(400) == list(range(1, 401))
    # Twenty pages. A process that stands still for a second in between drops what nobody has used, and reads it again.
    assert 20 <= streamer.metric("stream_pages_read") <= 26
