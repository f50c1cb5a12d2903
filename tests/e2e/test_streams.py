"""The event stream: positions, joins, ends, pings, slow and vanishing readers. box pings every 400 ms."""

import json
import random
import threading

import pytest
from harness.client import assert_problem, custom, random_id
from harness.raw import RawConnection
from harness.sse import Follower, StreamEnded
from harness.waiting import stays_true, wait_until

pytestmark = pytest.mark.any_database


@pytest.fixture
def finished(client, run_id):
    """A run of 50 events, the last of them the end."""
    client.append_many(run_id, [custom(n) for n in range(48)])
    client.finish(run_id)
    return run_id


@pytest.mark.requirement("R046", "R050", "R057", "R059")
def test_head_and_frames_are_as_promised(box, client, finished):
    with box.stream(finished) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in stream.headers
        seen, comments = [], 0
        try:
            while True:
                frame = stream.next_frame()
                comments += len(frame.comments)
                if frame.is_log_event:
                    assert frame.event is None
                    data = json.loads(frame.data)
                    assert {"run_id", "seq", "type", "ts", "payload"} <= data.keys()
                    assert data["run_id"] == finished and data["seq"] == frame.seq
                    assert frame.raw.count(b"\ndata:") == 1
                    seen.append(frame.parts())
        except StreamEnded as end:
            assert end.tidy
        assert comments >= 1 and 1000 <= stream.retry_ms <= 3000
        assert seen == client.log(finished)


@pytest.mark.requirement("R047", "R048", "R049", "I5")
@pytest.mark.parametrize("after", [0, 1, 25, 49])
def test_every_form_of_position_is_exclusive(box, client, finished, after):
    wanted = client.log(finished)[after:]
    with box.stream(finished, headers={"Last-Event-ID": str(after)}) as stream:
        assert stream.read_to_end() == wanted
    for name in ("after_seq", "fromSeq"):
        with box.stream(finished, query=f"{name}={after}") as stream:
            assert stream.read_to_end() == wanted


@pytest.mark.requirement("R047")
def test_the_header_wins_over_the_query(box, finished):
    for name in ("after_seq", "fromSeq"):
        with box.stream(finished, query=f"{name}=0", headers={"Last-Event-ID": "40"}) as stream:
            assert stream.read_to_end()[0][0] == 41


def test_both_query_forms_at_once_are_refused(box, finished):
    with box.stream(finished, query="after_seq=1&fromSeq=1") as stream:
        assert stream.status == 400


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "+1", "0x1", "9223372036854775808", "1e3", "7,8"])
def test_malformed_positions_are_refused(box, finished, bad):
    for how in ({"headers": {"Last-Event-ID": bad}}, {"query": f"after_seq={bad}"}, {"query": f"fromSeq={bad}"}):
        with box.stream(finished, **how) as stream:
            assert stream.status == 400, (how, stream.headers)
            assert json.loads(stream.body())["status"] == 400


@pytest.mark.requirement("R057")
def test_a_finished_run_has_nothing_for_who_has_seen_it_all(box, finished):
    for position in (50, 51, 1000):
        with box.stream(finished, headers={"Last-Event-ID": str(position)}) as stream:
            assert stream.status == 204, position


@pytest.mark.requirement("R055")
def test_a_position_beyond_the_head_of_a_live_run_is_told(box, client, run_id):
    client.append(run_id, "CUSTOM", custom(1)["payload"])
    with box.stream(run_id, headers={"Last-Event-ID": "99"}) as stream:
        assert stream.status == 200
        frame = stream.next_event()
        assert (frame.event, frame.id, json.loads(frame.data)) == ("reset", None, {"last_seq": 2})
        client.append(run_id, "CUSTOM", custom(2)["payload"])
        assert stream.next_event().seq == 3


@pytest.mark.requirement("R050", "R052", "R056")
def test_live_events_follow_the_backfill(box, client, run_id):
    client.append_many(run_id, [custom(n) for n in range(10)])
    with box.stream(run_id) as stream:
        assert [seq for seq, _, _ in stream.take(11)] == list(range(1, 12))
        for n in range(12, 30):
            client.append(run_id, "CUSTOM", custom(n)["payload"])
            assert stream.next_event().seq == n
        client.finish(run_id)
        assert [kind for _, kind, _ in stream.read_to_end()] == ["RUN_FINISHED"]


@pytest.mark.requirement("R054")
def test_pings_keep_an_idle_stream_alive(box, run_id):
    with box.stream(run_id) as stream:
        stream.take(1)
        pings = comments = 0
        while pings < 3 or comments < 3:
            frame = stream.next_frame(5)
            if frame.event == "ping":
                assert frame.data == "{}" and frame.id is None
                pings += 1
            comments += len(frame.comments)


def test_retry_times_differ_between_connections(box, run_id):
    times = set()
    for _ in range(12):
        with box.stream(run_id) as stream:
            stream.take(1)
            assert 1000 <= stream.retry_ms <= 3000
            times.add(stream.retry_ms)
    assert len(times) > 3


@pytest.mark.requirement("R053", "I5")
def test_large_events_survive_the_stream(box, client, run_id):
    payloads = ["x" * size for size in (65_535, 65_536, 131_072, 250_000)]
    with box.stream(run_id) as live:
        for text in payloads:
            client.append(run_id, "CUSTOM", custom(text)["payload"])
        seen = live.take(5)
    with box.stream(run_id) as replayed:
        assert replayed.take(5) == seen == client.log(run_id)


@pytest.mark.requirement("R050")
def test_an_event_too_large_for_the_bus_disturbs_nobody(own_box):
    """With http.event_bytes at its maximum an event is larger than a frame of the bus may be, and a frame that is too
    large cuts every reader of the bus off. Such an event comes from the table."""
    box = own_box({"http.event_bytes": 2**20, "stream.sweep_ms": 600000})
    client = box.client()
    run_id, other = client.new_run(), client.new_run()
    with box.stream(run_id) as stream, box.stream(other) as undisturbed:
        stream.take(1)
        undisturbed.take(1)
        client.append(run_id, "CUSTOM", {"name": "large", "value": "a" * (2**20 - 32)})
        assert stream.next_event(3).seq == 2
        client.append(other, "CUSTOM", custom(1)["payload"])
        assert undisturbed.next_event(3).seq == 2
    stays_true(lambda: "made anew" not in box.log.text(), 5.5, "no reader of the bus is cut off")


@pytest.mark.requirement("R052", "R056", "R060", "I4", "I5")
def test_readers_that_reconnect_all_the_time_miss_and_double_nothing(box, client, run_id):
    """Eight readers hang up at random while two writers append: over hundreds of joins each sees 1..n once."""
    chance = random.Random(4711)
    readers = [
        Follower(box, run_id, leave=lambda: chance.random() < 0.15, pause_s=lambda: chance.random() * 0.03)
        for _ in range(8)
    ]
    for reader in readers:
        reader.start()

    def write(name):
        for n in range(150):
            client_of.append(run_id, "CUSTOM", custom([name, n])["payload"])

    client_of = box.client()
    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    client.finish(run_id)
    log = client.log(run_id)
    for reader in readers:
        assert reader.wait_complete(30) == log
    assert sum(reader.connections for reader in readers) > 150


@pytest.mark.requirement("R052", "R053")
def test_an_event_joins_at_the_very_moment_a_stream_opens(own_box):
    """The one event of a quiet run is appended while its stream opens; no later event and no sweep would repair it."""
    box = own_box({"stream.sweep_ms": 600_000})
    client = box.client()
    chance = random.Random(52)
    for _ in range(250):
        run_id = client.new_run()
        pause = chance.random() * 0.003
        writer = threading.Timer(pause, client.append, (run_id, "CUSTOM", custom(1)["payload"]))
        writer.start()
        with box.stream(run_id) as stream:
            assert [seq for seq, _, _ in stream.take(2, 5)] == [1, 2]
        writer.join()


@pytest.mark.requirement("R060")
def test_a_reader_that_comes_back_after_a_while_gets_the_rest(box, client, run_id):
    client.append_many(run_id, [custom(n) for n in range(20)])
    with box.stream(run_id) as stream:
        stream.take(10)
        stream.reset()
    client.append_many(run_id, [custom(n) for n in range(500)])
    client.finish(run_id)
    with box.stream(run_id, headers={"Last-Event-ID": "10"}) as stream:
        assert [seq for seq, _, _ in stream.read_to_end()] == list(range(11, 523))


@pytest.mark.requirement("R133", "I5")
def test_a_reader_that_does_not_read_harms_nobody_and_loses_nothing(box, client, run_id):
    with box.stream(run_id, receive_buffer=4096) as slow, box.stream(run_id) as quick:
        slow.take(1)
        quick.take(1)
        for n in range(60):
            client.append_many(run_id, [custom("x" * 4000) for _ in range(10)])
            assert [seq for seq, _, _ in quick.take(10)] == list(range(n * 10 + 2, n * 10 + 12))
        client.finish(run_id)
        assert len(quick.read_to_end()) == 1
        assert [seq for seq, _, _ in slow.read_to_end(30)] == list(range(2, 603))


@pytest.mark.requirement("R134")
def test_streams_of_vanished_readers_are_counted_down(box, run_id):
    def streams():
        return box.metric("streams")

    before = streams()
    opened = [box.stream(run_id) for _ in range(20)]
    for stream in opened:
        stream.take(1)
    wait_until(lambda: streams() == before + 20, "twenty streams")
    for n, stream in enumerate(opened):
        stream.reset() if n % 2 else stream.close()
    wait_until(lambda: streams() == before, "the streams to be gone", 10)


def test_a_stream_is_a_route_like_any_other(box, client):
    with box.stream(random_id()) as stream:
        assert stream.status == 404 and json.loads(stream.body())["type"] == "/problems/not-found"
    with box.stream(client.new_run(), key="sbx_wrong") as stream:
        assert stream.status == 401


def test_many_readers_of_one_run(box, client, run_id):
    streams = [box.stream(run_id) for _ in range(100)]
    try:
        client.append_many(run_id, [custom(n) for n in range(30)])
        client.finish(run_id)
        log = client.log(run_id)
        for stream in streams:
            assert stream.read_to_end(20) == log
    finally:
        for stream in streams:
            stream.close()


def test_streams_of_many_runs_at_once(box, client):
    runs = [client.new_run() for _ in range(40)]
    streams = {run: box.stream(run) for run in runs}
    try:
        for n in range(5):
            for run in runs:
                client.append(run, "CUSTOM", custom([run, n])["payload"])
        for run, stream in streams.items():
            events = stream.take(6)
            assert [seq for seq, _, _ in events] == [1, 2, 3, 4, 5, 6]
            assert all(run in payload for _, _, payload in events[1:])
    finally:
        for stream in streams.values():
            stream.close()


def test_a_head_request_or_bytes_after_the_request_do_no_harm(box, client, run_id):
    """What a client sends after its stream request is ignored or ends the stream, and never becomes a request."""
    with box.stream(run_id) as stream:
        stream.take(1)
        stream.connection.send(b"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        client.append(run_id, "CUSTOM", custom(1)["payload"])
        try:
            assert stream.next_event().seq == 2
        except StreamEnded as end:
            assert not end.tidy
    assert_problem(client.get("/api/v1/nothing"), 404)


@pytest.mark.requirement("R046", "R060")
def test_streams_that_open_together_get_each_their_own_answer(box, client, other, finished):
    """Their heads are read together: one that is over, one that goes on, one that is not there and one of somebody else."""
    live, foreign = client.new_run(), other.new_run()
    wanted = {finished: 204, live: 200, random_id(): 404, foreign: 404}
    asked = random.Random(5).choices(list(wanted), k=120)
    host, _, port = box.listen.rpartition(":")
    connections = [RawConnection((host, int(port))) for _ in asked]
    try:
        for connection, run in zip(connections, asked, strict=True):
            connection.send(f"GET /api/v1/runs/{run}/stream?after_seq=50 HTTP/1.1\r\nHost: x\r\n"
                            f"Authorization: Bearer {box.api_key}\r\n\r\n".encode())  # fmt: skip
        found = [connection.read_head()[0] for connection in connections]
    finally:
        for connection in connections:
            connection.close()
    assert found == [wanted[run] for run in asked]
