"""A streamer that drains, with the test as its successor: whoever stands still or stops, a stream has one owner. And slow WebSockets."""

import array
import json
import os
import signal
import socket
import time
import uuid
from functools import partial
from pathlib import Path

import pytest
import zmq
from harness.commander import decode, encode
from harness.lone_streamer import AG_UI, HANDOVER, Stage, envelope
from harness.paths import is_asan, patience
from harness.waiting import wait_until

NEVER = 600_000  # milliseconds: longer than any test
ANSWER_S = 1.0  # so long a streamer that drains waits for another one to take a stream
SOCKET = 4
HANDOFF, SOCKET_STATE = 49, 50
HEAD = {126: 2, 127: 8}


@pytest.fixture
def make_stage(make_lone):
    return partial(make_lone, Stage, stream__sweep_ms=NEVER)


class LoneSocket:
    """The client's end of a WebSocket that the test hands to a lone streamer."""

    def __init__(self, stage, receive_buffer=None, send_buffer=None, tenant=None, key=None):
        self.connection, self.have = socket.socket(), b""
        if receive_buffer:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.connection.settimeout(5 * patience())
        self.connection.connect(stage.clients.getsockname())
        ours, _ = stage.clients.accept()
        if send_buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        body = [(tenant or stage.tenant).bytes, (key or stage.key).bytes, bytes(16), 0, 0, SOCKET, bytes(16), bytes(16), 0, 0, 0, 1, "key", "a" * 28, b""]
        stage.hand(envelope(HANDOVER, body), [ours.fileno()])
        ours.close()
        stage.sockets.append(self.connection)
        assert self.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")

    def more(self):
        data = self.connection.recv(1 << 16)
        assert data, "it ended"
        self.have += data

    def until(self, mark) -> bytes:
        while mark not in self.have:
            self.more()
        taken, _, self.have = self.have.partition(mark)
        return taken

    def take(self, length) -> bytes:
        while len(self.have) < length:
            self.more()
        taken, self.have = self.have[:length], self.have[length:]
        return taken

    def send(self, *more, **message):
        """One message, or several in one piece."""
        texts = [json.dumps(one).encode() for one in (more or [message])]
        assert all(len(text) < 126 for text in texts)
        self.connection.sendall(b"".join(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text for text in texts))

    def frame(self) -> tuple:
        """(opcode, bytes) of the next one that is no ping: those come when they like."""
        while True:
            first, length = self.take(2)
            if length in HEAD:
                length = int.from_bytes(self.take(HEAD[length]), "big")
            data = self.take(length)
            if first & 15 != 9:
                return first & 15, data

    def next(self) -> dict:
        opcode, data = self.frame()
        assert opcode == 1, opcode
        return json.loads(data)

    def close_code(self) -> int:
        """Of the next frame, which must be the end."""
        opcode, data = self.frame()
        assert opcode == 8, opcode
        return int.from_bytes(data[:2], "big")


class Sequencer:
    """The other end of the commands: the test answers them, or not."""

    def __init__(self, stage):
        self.router = stage.context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 0)
        self.router.bind(f"ipc://{stage.folder}/commands.sock")
        self.known = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.router.close()

    def next(self, timeout_ms=None):
        """(sender, number, fields) of the next command that is new; None when there is none in time."""
        while self.router.poll(5000 * patience() if timeout_ms is None else timeout_ms):
            sender, frame = self.router.recv_multipart()
            name, number, fields = decode(frame)
            if name in ("APPEND", "CANCEL_RUN", "RESUME_RUN") and number not in self.known:
                self.known[number] = fields
                return sender, number, fields
        return None

    def answer(self, sender, number):
        self.router.send_multipart([sender, encode("RESULT", number, {"outcome": 0, "run": self.known[number]["run"]})])


def take_packet(stage) -> tuple:
    """As a successor would: the connection, which is the answer once it is closed, the packet, and its socket."""
    stage.listener.settimeout(5 * patience())
    connection, _ = stage.listener.accept()
    packet, rights, _, _ = connection.recvmsg(1 << 18, socket.CMSG_SPACE(4))
    return connection, packet, array.array("i", rights[0][2])[0]


def is_offered_again(stage) -> bool:
    stage.listener.settimeout(0.05)
    try:
        stage.listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


@pytest.mark.requirement("R060", "I5")
def test_a_stream_that_was_taken_while_the_old_streamer_stood_still_is_not_given_twice(make_stage):
    """Two owners of one socket would write every event twice."""
    stage = make_stage()
    old = stage.start()
    reader = stage.open(stage.make_run(2))
    assert reader.seqs(2) == [1, 2]
    old.drain()
    connection, _, fd = take_packet(stage)
    old.process.send_signal(signal.SIGSTOP)
    connection.close()
    os.close(fd)
    time.sleep(ANSWER_S + 0.1)  # its patience ends while it stands still
    old.process.send_signal(signal.SIGCONT)
    assert old.wait() == 0
    assert not is_offered_again(stage)
    stage.wait_logged("streams handed over", streams=1, broken_off=0)


@pytest.mark.requirement("R060", "I5")
def test_a_stream_whose_sender_waits_no_more_is_left_to_it(make_stage):
    stage = make_stage()
    old = stage.start()
    run = stage.make_run(2)
    reader = stage.open(run)
    assert reader.seqs(2) == [1, 2]
    old.drain()
    connection, packet, fd = take_packet(stage)
    old.kill()
    successor = stage.start("streamer-2")
    successor.process.send_signal(signal.SIGSTOP)
    stage.hand(packet, [fd])  # and closes its end
    successor.process.send_signal(signal.SIGCONT)
    stage.wait_logged("a stream is left to its sender, who waits no more")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as patient:
        patient.connect(str(stage.folder / "handover.sock"))
        patient.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        patient.settimeout(5 * patience())
        assert patient.recv(1) == b""
    os.close(fd)
    connection.close()
    stage.append(run, end=True)
    assert stage.rest(reader) == ([3], True)


def test_what_makes_no_sense_of_a_moved_websocket_is_left_out(make_stage):
    stage = make_stage()
    stage.start()
    client, none = socket.create_connection(stage.clients.getsockname()), bytes(16)
    stage.sockets.append(client)
    ours, _ = stage.clients.accept()
    run = stage.make_run(1).bytes
    wrong = [("type", 0, run, none, 0, 1 << 63), ("feed type", 2, none, none, 0, 1 << 63), ("thread", 1, none, none, 0, 0),
             ("tenant", 2, none, run, 0, 0), ("chat", 3, none, run, 0, 0), ("cursor", 0, run, none, 1 << 63, 0)]
    told = [[f'"{name}"', *rest, False, False] for name, *rest in [*wrong, ("good", 0, run, none, 0, 0)]]
    told.insert(0, ['"open', 0, run, none, 0, 0, False, False])
    state = envelope(SOCKET_STATE, [b"", told])
    body = [stage.tenant.bytes, stage.key.bytes, none, 0, 0, SOCKET, none, none, 0, 0, 0, 0, "key", False, state, False, b""]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sender:
        sender.connect(str(stage.folder / "handover.sock"))
        sender.sendmsg([envelope(HANDOFF, body)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ours.fileno()]))])
        sender.settimeout(5 * patience())
        assert sender.recv(1) == b""
    ours.close()
    ws = LoneSocket.__new__(LoneSocket)
    ws.connection, ws.have = client, b""
    client.settimeout(5 * patience())
    assert [(m["op"], m["id"]) for m in (ws.next(), ws.next())] == [("event", "good"), ("caught_up", "good")]
    ws.send(op="unsubscribe", id="x")
    assert ws.next()["op"] == "problem"


@pytest.mark.requirement("R053")
@pytest.mark.skipif(is_asan(), reason="the sanitizer's own memory is not ours")
def test_a_websocket_that_never_takes_all_there_is_costs_its_buffer(make_stage):
    """It keeps pace, always a few events behind: what waits for it is never all written, and what was written is let go."""
    stage = make_stage()
    old = stage.start()
    run = stage.make_run()
    ws = LoneSocket(stage, receive_buffer=4096, send_buffer=16384)
    ws.send(op="subscribe", id="s", run_id=str(run), after_seq=0)
    assert [ws.next()["op"] for _ in range(2)] == ["event", "caught_up"]
    used, seen = [], []
    for n in range(150):
        stage.append(run, 1, '{"x":"' + "y" * 100_000 + '"}')
        if n >= 5:
            seen.append(ws.next()["event"]["seq"])
        if n in (40, 149):
            used.append(old.resident_kb())
    assert seen == list(range(2, 147))
    assert used[1] - used[0] < 4096, used


@pytest.mark.requirement("R053")
@pytest.mark.skipif(is_asan(), reason="the sanitizer's own memory is not ours")
def test_many_small_messages_are_answered_as_the_answers_are_taken(make_stage):
    """Eight bytes are refused in two hundred: whoever sends many at once and takes nothing costs his buffer, and loses nothing."""
    stage = make_stage()
    streamer = stage.start()
    sockets = [LoneSocket(stage, receive_buffer=4096, send_buffer=16384) for _ in range(24)]
    before = streamer.resident_kb()
    for ws in sockets:
        ws.connection.sendall(bytes([0x81, 0x82, 0, 0, 0, 0, 0x7B, 0x7D]) * 2000)
    sockets[0].next()
    wait_until(lambda: streamer.metric("websocket_messages") == 2000 * len(sockets), "all messages")
    assert streamer.resident_kb() - before < 160 * len(sockets)
    assert [sockets[0].next()["op"] for _ in range(1999)] == ["problem"] * 1999


def test_a_process_counts_streams_and_websockets_together(make_stage):
    stage = make_stage(stream__per_process=3)
    stage.start()
    run = stage.make_run(1)
    kept = [LoneSocket(stage), stage.open(run), LoneSocket(stage)]
    assert kept[1].seqs(1) == [1]
    assert stage.open(run).rest() == ([], False)
    with pytest.raises(AssertionError):
        LoneSocket(stage)


@pytest.mark.requirement("I14")
def test_what_waits_of_a_key_that_has_ended_is_not_carried_out(make_stage):
    """One command may be under way, so the second waits; the first is answered when the key is gone."""
    stage = make_stage(websocket__commands=1, command__timeout_ms=60_000)
    with Sequencer(stage) as sequencer:
        stage.start()
        ws = LoneSocket(stage)
        run = stage.make_run(1)
        ws.send(*(cancel(n, run) for n in range(3)))
        sender, number, _ = sequencer.next()
        stage.connection.execute("update api_keys set revoked_at = now() where key_id = %s", [stage.key])
        assert ws.close_code() == 1008
        sequencer.answer(sender, number)
        assert sequencer.next(timeout_ms=300) is None


def cancel(id, run) -> dict:
    return {"op": "cancel", "id": str(id), "run_id": str(run)}


@pytest.mark.requirement("I14")
@pytest.mark.parametrize("limit", ["websocket__commands", "limit__key"])
def test_a_key_has_a_rate_of_commands(make_stage, limit):
    """Over all its connections; what is refused does not reach the sequencer, and subscribing is no command."""
    stage = make_stage(**{f"{limit}_per_s": 1, f"{limit}_burst": 3})
    with Sequencer(stage) as sequencer:
        stage.start()
        one, two = LoneSocket(stage), LoneSocket(stage)
        run = stage.make_run(1)
        one.send(*(cancel(n, run) for n in range(2)))
        two.send(cancel("a", run))
        for number in range(3):
            sequencer.answer(*sequencer.next()[:2])
        assert [one.next()["op"] for _ in range(2)] == ["ack"] * 2 and two.next()["op"] == "ack"
        one.send(*(cancel(n, run) for n in range(10)), {"op": "subscribe", "id": "s", "run_id": str(run)})
        problem = one.next()["problem"]
        assert (problem["type"], problem["status"]) == ("/problems/rate-limited", 429)
        assert 0 < problem["retry_after_ms"] <= 1000
        while one.next()["op"] != "caught_up":
            pass


@pytest.mark.requirement("I14")
def test_a_tenant_does_not_have_all_commands_of_the_process(make_stage):
    """Of a window of four, one tenant alone has two; another one finds room, and all are carried out in the end."""
    stage = make_stage(command__window=4, command__retry_ms=10_000, command__timeout_ms=60_000)
    with Sequencer(stage) as sequencer:
        stage.start()
        mine = [LoneSocket(stage), LoneSocket(stage)]
        run = stage.make_run(1)
        for ws in mine:
            ws.send(*(cancel(n, run) for n in range(5)))
        under_way = [sequencer.next(), sequencer.next()]
        assert sequencer.next(timeout_ms=200) is None
        tenant = uuid.uuid4()
        stage.connection.execute("insert into tenants values (%s, 'other')", [tenant])
        other = LoneSocket(stage, tenant=tenant, key=stage.make_key(tenant))
        other.send(cancel("other", run))
        under_way.append(sequencer.next())
        assert under_way[-1][2]["tenant"] == tenant.bytes
        answered = 0
        while under_way:
            sequencer.answer(*under_way.pop(0)[:2])
            answered += 1
            while answered + len(under_way) < 11 and (command := sequencer.next(timeout_ms=50)):
                under_way.append(command)
            assert len(under_way) <= 3
            if not under_way and answered < 11:
                under_way.append(sequencer.next())
        for ws in mine:
            assert [ws.next()["id"] for _ in range(5)] == [str(n) for n in range(5)]
        assert other.next()["op"] == "ack"


@pytest.mark.requirement("R060")
def test_a_websocket_that_nobody_takes_is_told_to_come_back(make_stage):
    """A planned restart without a successor: close code 1012, after the answers to its commands."""
    stage = make_stage()
    with Sequencer(stage) as sequencer:
        alone = stage.start()
        run = stage.make_run(2)
        idle, busy = LoneSocket(stage), LoneSocket(stage)
        idle.send(op="subscribe", id="s", run_id=str(run))
        assert [idle.next()["op"] for _ in range(3)] == ["event", "event", "caught_up"]
        busy.send(cancel("c", run))
        command = sequencer.next()
        alone.drain()
        sequencer.answer(*command[:2])
        assert busy.next()["op"] == "ack"
        assert idle.close_code() == busy.close_code() == 1012
        assert alone.wait() == 0


@pytest.mark.requirement("R130")
def test_what_a_websocket_hears_while_database_and_sequencer_are_away(make_stage):
    """It stays open, and is told of each thing that it cannot have now."""
    stage = make_stage(command__timeout_ms=200, database__url="postgresql://signalbox_streamer@127.0.0.1:1/nowhere")
    stage.start()
    ws = LoneSocket(stage)
    run = str(uuid.uuid4())
    for what in ({"run_id": run}, {"thread_id": run}, {"feed": "tenant"}):
        ws.send(op="subscribe", id="s", **what)
        message = ws.next()
        assert (message["op"], message["id"], message["problem"]["status"]) == ("problem", "s", 503)
        assert message["problem"]["type"] == "/problems/unavailable"
    ws.send(cancel("c", run))
    message = ws.next()
    assert (message["id"], message["problem"]["type"]) == ("c", "/problems/outcome-unknown")


@pytest.mark.requirement("R133")
def test_a_run_with_much_to_say_does_not_silence_the_others_of_its_connection(make_stage):
    """Subscriptions take turns. What is buffered goes first, and then the other run's event, although much of the long one waits."""
    stage = make_stage()
    stage.start()
    stage.wait_subscribed()
    long, short = stage.make_run(1), stage.make_run(1)
    ws = LoneSocket(stage, receive_buffer=4096, send_buffer=4096)
    ws.send(*({"op": "subscribe", "id": id, "run_id": str(run), "after_seq": 1} for id, run in (("long", long), ("short", short))))
    assert [ws.next()["op"] for _ in range(2)] == ["caught_up"] * 2
    follows = {run: stage.open(run, after=1) for run in (long, short)}
    for _ in range(20):
        stage.append(long, 100)
    stage.append(short)
    assert stage.seqs(follows[long], 2000)[-1] == 2001 and stage.seqs(follows[short], 1) == [2]
    told = []
    while "short" not in told:
        told.append(ws.next()["id"])
    assert len(told) < 1000, len(told)


def test_a_client_in_the_middle_of_a_long_frame_is_there(make_stage):
    """There is no place for a pong: what comes of the frame is answer enough."""
    stage = make_stage(websocket__ping_ms=100, stream__ping_ms=500)
    stage.start()
    ws = LoneSocket(stage)
    text = json.dumps({"op": "unsubscribe", "id": "x"}).ljust(100).encode()
    ws.connection.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]))
    for byte in text:
        time.sleep(0.02)
        ws.connection.sendall(bytes([byte]))
    while (opcode := ws.take(1)[0] & 15) != 1:
        assert opcode == 9, "no ping"
        ws.take(ws.take(1)[0])
    assert json.loads(ws.take(int.from_bytes(ws.take(3)[1:], "big")))["op"] == "problem"


def peak_kb(streamer) -> int:
    for line in Path(f"/proc/{streamer.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


@pytest.mark.requirement("R053")
@pytest.mark.skipif(is_asan(), reason="the sanitizer's own memory is not ours")
def test_a_form_that_makes_much_of_few_bytes_costs_a_page(make_stage):
    """Each edit of an old message is told to AG-UI by all messages: 40 MB of a log of 300 KB, in memory a page at a time."""
    stage = make_stage()
    streamer = stage.start()
    run = stage.make_run(1)
    said = json.dumps({"message_id": "long", "content": "x" * 200_000})
    edits = [("MESSAGE_EDITED", json.dumps({"message_id": "short", "content": "y"}))] * 200
    stage.store_events(run, [("MESSAGE_COMPLETED", said), ("MESSAGE_COMPLETED", '{"message_id":"short","content":"z"}'), *edits])
    before = peak_kb(streamer)
    reader = stage.open(run, form=AG_UI)
    while reader.event(20).id != "203":
        pass
    assert peak_kb(streamer) - before < 20_000
