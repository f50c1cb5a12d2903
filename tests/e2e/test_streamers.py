"""Several streamers: streams are spread by what they show, each slot keeps its listener, any streamer serves any stream."""

import os
import signal
import threading

import pytest
from harness.client import custom
from harness.metrics import parse
from harness.server import Server
from harness.sse import Follower
from harness.waiting import wait_until

STREAMERS = ("streamer-1", "streamer-2", "streamer-3")


@pytest.fixture(scope="module")
def three():
    server = Server({"streamer.count": 3, "api.count": 2, "stream.ping_ms": 400, "stream.page_events": 20,
                     "restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000})  # fmt: skip
    try:
        server.start()
        yield server
        server.begin()
    finally:
        server.close()


@pytest.fixture
def shot(three):
    three.begin()
    wait_until(lambda: sum(open_streams(three).values()) == 0, "streams of earlier tests to be gone")
    yield three
    three.verify()


def by_actor(server, name) -> dict:
    values = {labels["actor"]: int(value) for found, labels, value in parse(server.metrics()) if found == name}
    return {actor: values.get(actor, 0) for actor in STREAMERS}


def open_streams(server) -> dict:
    return by_actor(server, "signalbox_streams")


def grown(server, name, before) -> dict:
    return {actor: value - before[actor] for actor, value in by_actor(server, name).items()}


class Opened(list):
    """Streams that have shown their first event; closed at the end."""

    def __init__(self, server, runs):
        super().__init__(server.stream(run) for run in runs)
        for stream in self:
            stream.take(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in self:
            stream.close()


def runs_by_streamer(server, client) -> dict:
    """A run for each streamer, found by looking where its reader lands."""
    found = {}

    def look():
        run = client.new_run()
        before = by_actor(server, "signalbox_streams_opened_total")
        with server.stream(run) as stream:
            stream.take(1)
            (actor,) = [a for a, n in grown(server, "signalbox_streams_opened_total", before).items() if n]
        found.setdefault(actor, run)
        return len(found) == len(STREAMERS)

    wait_until(look, "a run on every streamer", 30)
    return found


def test_all_readers_of_a_run_or_feed_are_in_one_process_and_runs_in_all(shot):
    client = shot.client()
    runs = [client.new_run() for _ in range(24)]
    with Opened(shot, [runs[0]] * 12):
        assert sorted(open_streams(shot).values()) == [0, 0, 12]
    wait_until(lambda: sum(open_streams(shot).values()) == 0, "the streams to be gone")
    with Opened(shot, runs):
        assert sum(open_streams(shot).values()) == 24
        assert min(open_streams(shot).values()) > 0  # by chance it is not: once in 5,000


@pytest.mark.requirement("R055", "I5")
def test_a_killed_streamer_breaks_off_its_own_streams_only(shot):
    client = shot.client()
    runs = runs_by_streamer(shot, client)
    followers = {actor: Follower(shot, run) for actor, run in runs.items()}
    with Opened(shot, runs.values()) as streams:
        own = dict(zip(runs, streams))
        for follower in followers.values():
            follower.start()
        shot.kill_and_wait("streamer-2")
        assert own["streamer-2"].wait_broken() == []
        for actor, run in runs.items():
            client.append(run, "CUSTOM", custom(1)["payload"])
            if actor != "streamer-2":
                assert own[actor].next_event().seq == 2
            client.finish(run)
    for actor, follower in followers.items():
        follower.wait_complete()
        follower.stop()
    with Opened(shot, [runs["streamer-2"]] * 3):
        pass  # its successor, or a neighbour meanwhile, takes them


@pytest.mark.requirement("R060", "I5")
def test_a_rolling_restart_of_all_streamers_drops_no_stream_and_keeps_the_slots(shot):
    client = shot.client()
    runs = runs_by_streamer(shot, client)
    with Opened(shot, [run for run in runs.values() for _ in range(8)]) as streams:
        before = open_streams(shot)
        assert set(before.values()) == {8}
        restart = shot.spawn("restart", "streamer")
        sent = 1
        while restart.poll() is None or sent < 5:
            for run in runs.values():
                client.append(run, "CUSTOM", custom(sent)["payload"])
            sent += 1
        assert restart.returncode == 0
        for stream in streams:
            assert [seq for seq, _, _ in stream.take(sent - 1)] == list(range(2, sent + 1))
        wait_until(lambda: open_streams(shot) == before, f"every slot to have its streams: {open_streams(shot)}")


def test_what_a_hung_streamer_leaves_waiting_is_taken_by_another(shot):
    client = shot.client()
    run = runs_by_streamer(shot, client)["streamer-3"]
    hung = shot.process_of("streamer-3")
    before = by_actor(shot, "signalbox_streams_opened_total")
    os.kill(hung.pid, signal.SIGSTOP)
    try:
        with Opened(shot, [run] * 3) as streams:
            client.append(run, "CUSTOM", custom(1)["payload"])
            assert [stream.next_event().seq for stream in streams] == [2, 2, 2]
            opened = grown(shot, "signalbox_streams_opened_total", before)
            assert opened["streamer-3"] == 0 and sum(opened.values()) == 3
    finally:
        os.kill(hung.pid, signal.SIGCONT)


@pytest.mark.requirement("R134")
def test_a_reconnect_storm_reads_each_page_once_and_refuses_nobody(shot):
    """All readers of a run come back at once after the death of their streamer."""
    client = shot.client()
    actor, run = next(iter(runs_by_streamer(shot, client).items()))
    client.append_many(run, [custom(n) for n in range(119)])
    streams, faults = [None] * 300, []

    def come(numbers):
        try:
            for number in numbers:
                streams[number] = shot.stream(run, timeout=30)
            for number in numbers:
                assert [seq for seq, _, _ in streams[number].take(120)] == list(range(1, 121))
        except BaseException as error:  # noqa: BLE001  told in the test's own thread
            faults.append(error)

    before = by_actor(shot, "signalbox_stream_pages_read_total") | {actor: 0}  # its successor counts from 0
    shot.kill(actor)
    threads = [threading.Thread(target=come, args=(range(n, 300, 6),)) for n in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults, faults[0]
        wait_until(lambda: sum(open_streams(shot).values()) == 300, "all of them to be counted")
        pages = sum(grown(shot, "signalbox_stream_pages_read_total", before).values())
        # 120 events are six pages. Another streamer may take some readers; a page begins where its first reader is.
        assert 6 <= pages <= 30, pages
    finally:
        for stream in streams:
            if stream is not None:
                stream.close()
    wait_until(lambda: sum(open_streams(shot).values()) == 0, "the count back to nothing")


def test_the_number_of_streamers_changes_with_a_new_start(own_box):
    box = own_box({"streamer.count": 1})
    run = box.client().new_run()
    box.stop()
    box.settings["streamer.count"] = 3
    box.start()
    assert [actor["name"] for actor in box.actors("streamer")] == list(STREAMERS)
    sockets = sorted(path.name for path in (box.dir / "run").glob("handover-*.sock"))
    assert sockets == ["handover-1.sock", "handover-2.sock", "handover-3.sock"]
    with Opened(box, [run] * 4):
        assert sorted(open_streams(box).values()) == [0, 0, 4]
