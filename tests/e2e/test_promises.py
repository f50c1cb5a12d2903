"""
What must hold at moments that no ordinary request shows: while a commit hangs, while a streamer reads, when a command
comes before its predecessor. Each of these was found missing by a planted bug (tests/mutants) that nothing else noticed.
"""

import random
import threading
import uuid
from contextlib import contextmanager

import msgpack
import psycopg
import pytest
import zmq
from e2e.test_single_writer import Batch
from e2e.test_streamer_alone import NEVER, make_stage, stage  # noqa: F401 (fixtures)
from harness.client import custom
from harness.lone_streamer import envelope
from harness.paths import fault_bin_dir, patience
from harness.sse import NoFrame
from harness.waiting import stays_true, wait_until

WAITING_APPENDS = "select count(*) from pg_locks where not granted and relation = 'run_events'::regclass"
APPEND, HELLO, RESULT, NACK = 2, 3, 16, 17
OK = 0


def shows_event(stream) -> bool:
    """Whether the next frame, if one comes soon, is an event of the log; pings are not."""
    try:
        return stream.next_frame(0.05).is_log_event
    except NoFrame:
        return False


# ---- before the commit -----------------------------------------------------------------------------------------------

@pytest.mark.requirement("R027", "R051", "I1", "I7")
def test_nobody_hears_of_an_event_whose_commit_hangs(box, client, run_id):
    """The statement is on its way and cannot end: no answer, no page, no stream may know of the event."""
    answers = []
    database = box.database()
    with box.stream(run_id) as stream:
        stream.take(1)
        with database.connect(autocommit=False) as holder:
            holder.execute("lock table run_events in share mode")
            sender = threading.Thread(target=lambda: answers.append(client.append(run_id, "CUSTOM", custom(1)["payload"])))
            sender.start()
            wait_until(lambda: database.value(WAITING_APPENDS) == 1, "the append to wait for the table")
            stays_true(lambda: not shows_event(stream), 0.3, "no event before the commit")
            stays_true(lambda: not answers, 0.2, "no answer")
            assert box.client().run(run_id)["last_seq"] == 1
            holder.rollback()
        sender.join()
        assert answers[0]["first_seq"] == 2
        assert stream.next_event().seq == 2


@pytest.mark.requirement("I1", "I3", "I9")
def test_a_session_that_ends_in_the_middle_of_a_commit_refuses_nothing(own_box):
    """Whether it was committed is not known then: no definite answer but that of the repetition, and one event."""
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    box.allow_error("connection|terminat|database|postgres")
    box.allow_restart("sequencer-1", None)
    answers = []
    database = box.database()
    with database.connect(autocommit=False) as holder:
        holder.execute("lock table run_events in share mode")
        sender = threading.Thread(target=lambda: answers.append(client.post_events(run_id, custom(1))))
        sender.start()
        wait_until(lambda: database.value(WAITING_APPENDS) == 1, "the append to wait for the table")
        database.execute("select pg_terminate_backend(backend_pid) from shards", role="sequencer")
        holder.rollback()
    sender.join()
    assert answers[0].status_code == 201, answers[0].text
    assert [event[0] for event in client.log(run_id)] == [1, 2]


@pytest.mark.requirement("R044", "I9")
def test_a_key_has_the_same_answer_from_the_next_sequencer(own_box):
    """It is read from the table then, not remembered."""
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    body = {"events": [custom(1), custom(2), custom(3)]}
    first = client.post_events(run_id, body, key="k")
    client.append(run_id, "CUSTOM", custom(4)["payload"])
    box.kill_and_wait("sequencer-1")
    again = client.post_events(run_id, body, key="k")
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert client.run(run_id)["last_seq"] == 5


@pytest.mark.requirement("R025", "I2")
def test_a_batch_that_reaches_its_head_over_a_hole_is_refused(box, client, run_id):
    """Two events, the head two further, and yet seq 2 or 3 would be missing."""
    for seqs in ([4, 3], [3, 3], [1, 3]):
        with pytest.raises(psycopg.Error) as error:
            Batch(box.database(), run_id, seqs).run()
        assert error.value.sqlstate == "SB002", seqs
    assert client.append(run_id, "CUSTOM", custom(1)["payload"])["first_seq"] == 2


@pytest.mark.requirement("R025", "I2")
def test_a_batch_for_another_head_is_refused(box, client, run_id):
    """Correct in itself, from a sequencer whose memory is ahead of the table or behind it."""
    client.append(run_id, "CUSTOM", custom(1)["payload"])
    for head in (1, 3, 10):
        with pytest.raises(psycopg.Error):
            Batch(box.database(), run_id, [head + 1]).run(h_old=[head], h_new=[head + 1])
    assert client.append(run_id, "CUSTOM", custom(2)["payload"])["first_seq"] == 3


@pytest.mark.requirement("R061", "I11")
def test_the_end_of_a_run_outlives_the_sequencer(own_box):
    """Closed is what the table says, not what a process remembers."""
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    client.finish(run_id)
    box.kill_and_wait("sequencer-1")
    assert client.post_events(run_id, custom(1)).status_code == 409
    assert box.database().value("select closed from run_heads where run_id = %s", run_id) is True
    assert [event[1] for event in box.stream_complete(run_id)] == ["RUN_STARTED", "RUN_FINISHED"]


@pytest.mark.requirement("R043", "R044")
def test_what_a_dead_sequencer_did_not_publish_its_successor_does(own_box):
    """Readers would find it by themselves; others who listen to the bus would not."""
    if not (fault_bin_dir() / "signalbox-sequencer").exists():
        pytest.skip("needs a build with fault points")
    box = own_box(faults=True)
    client = box.client()
    run_id = client.new_run()
    box.drained()
    generation = box.settled("sequencer-1")["generation"]
    box.allow_restart("sequencer-1")
    box.faults.order("sequencer_after_ack", "kill")
    client.append_many(run_id, [custom(1), custom(2)])
    box.actor_ready("sequencer-1", generation)
    box.drained()
    assert box.metric("events_published_total") == 2  # a new process counts from 0
    assert len(box.database().events(run_id)) == 3


# ---- the order of one sender's commands ------------------------------------------------------------------------------

class Sender:
    """A process that sends commands to the sequencer, with numbers of its own choice."""

    def __init__(self, box, run_id):
        tenant = box.database().value("select tenant_id from run_heads where run_id = %s", run_id)
        self.ids = [tenant.bytes, uuid.UUID(run_id).bytes]
        self.origin = random.getrandbits(62)
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTING_ID, b"test-%x" % self.origin)
        self.socket.connect(f"ipc://{box.status()['run_dir']}/commands.sock")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.context.term()

    def send(self, kind, number, body):
        frame = msgpack.unpackb(envelope(kind, body))
        frame[3] = number
        self.socket.send(msgpack.packb(frame, use_bin_type=True))

    def hello(self, oldest=1):
        self.send(HELLO, 0, [self.origin, oldest])

    def append(self, number):
        payload = f'{{"name":"command","value":{number}}}'
        self.send(APPEND, number, [self.origin, *self.ids, -1, "test", "", b"", "", 0, 0, bytes(16), 0, 0, [[17, "", payload]]])

    def answer(self) -> tuple:
        """(type, command number, body) of the next frame."""
        assert self.socket.poll(10_000 * patience()), "no answer"
        frame = msgpack.unpackb(self.socket.recv())
        return frame[1], frame[3], frame[6]


@pytest.mark.requirement("R031", "R041", "I8")
def test_a_command_before_its_predecessor_is_not_taken(box, client, run_id):
    """1, 3, 2, 3: the sequencer asks for 2 and does 3 only behind it; what it has done it does not do again."""
    with Sender(box, run_id) as sender:
        sender.hello()
        assert sender.answer() == (NACK, 1, [1])
        sender.append(1)
        assert sender.answer()[:2] == (RESULT, 1)
        sender.append(3)
        assert sender.answer() == (NACK, 2, [2])
        sender.append(2)
        sender.append(3)
        told = [sender.answer() for _ in range(2)]
        assert [(kind, body[0], number, body[2]) for kind, number, body in told] == [
            (RESULT, OK, 2, 3), (RESULT, OK, 3, 4)
        ]  # fmt: skip
        sender.append(2)
        assert sender.answer() == told[0]
    assert [event[2] for event in client.log(run_id)[1:]] == [
        f'{{"name":"command","value":{number}}}' for number in (1, 2, 3)
    ]


# ---- what a streamer must not overlook -------------------------------------------------------------------------------

@pytest.mark.requirement("I5")
def test_a_lost_frame_shows_by_the_next_frame_of_another_run(stage):  # noqa: F811
    """No beat in between, and no more events of the run that lost one."""
    poor, rich = stage.make_run(), stage.make_run()
    reader, other = stage.open(poor), stage.open(rich)
    assert reader.seqs(1) == other.seqs(1) == [1]
    stage.append(poor, 2, lose=True)
    stage.append(rich, 1)
    assert other.seqs(1) == [2]
    assert stage.seqs(reader, 2) == [2, 3]


@contextmanager
def held_heads(stage):  # noqa: F811
    """
    Streamers that start in here get their heads late: the query has read the table and then waits for a lock. Yields
    (waiting, go on).
    """
    connection = stage.connection
    connection.execute(
        "create schema slow;"
        "create function slow.wait() returns boolean language plpgsql volatile as"
        " $$ begin perform pg_advisory_xact_lock_shared(7); return true; end $$;"
        "create view slow.run_heads as select * from public.run_heads where slow.wait();"
        "grant usage on schema slow to signalbox_streamer;"
        "grant select on slow.run_heads to signalbox_streamer;"
        "alter role signalbox_streamer in database signalbox set search_path = slow, public"
    )
    holder = stage.postgres.connect("signalbox")
    try:
        yield holder, "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    finally:
        holder.close()
        connection.execute("alter role signalbox_streamer in database signalbox reset search_path")
        connection.execute("drop schema slow cascade")


@pytest.mark.requirement("I5")
def test_an_event_between_the_reading_of_the_head_and_its_answer_is_not_lost(make_stage):  # noqa: F811
    """A reader opens; the streamer reads the head; an event is committed and published; only then the answer comes."""
    stage = make_stage(stream__sweep_ms=NEVER)  # noqa: F811
    run, witness = stage.make_run(), stage.make_run()
    with held_heads(stage) as (holder, waiting):
        stage.start()
        stage.wait_subscribed()
        stage.beat()
        other = stage.open(witness)
        assert other.seqs(1) == [1]
        holder.execute("select pg_advisory_lock(7)")
        reader = stage.open(run)
        wait_until(lambda: holder.execute(waiting).fetchone()[0] == 1, "the streamer to read heads")
        stage.append(run, 2)
        stage.append(witness, 1)
        assert other.seqs(1) == [2]  # and so the frame before it has been taken, too
        holder.execute("select pg_advisory_unlock(7)")
        assert stage.seqs(reader, 3) == [1, 2, 3]
