"""
Streamers without a server around them: the test plays supervisor, api and sequencer, so it decides which frame is lost.

The database is real; events are put into the table by the test, and published or not as the test likes.
"""

import array
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import uuid
from pathlib import Path

import msgpack
import zmq

from harness.paths import ROOT, bin_dir, patience
from harness.sse import NOTES, ChunkDecoder, StreamEnded, parse_frame
from harness.waiting import wait_until

EVENTS, HINT, JOB_NOTE, HANDOVER = 32, 33, 35, 48
# The end of a HANDOVER body for a native stream of everything: format, types, stop_after, scopes, actor, accept, early.
NATIVE = [0, 0, 0, 0, "", "", b""]
FILTERED, NDJSON, AG_UI, AI_SDK = 1, 2, 3, 4
JOIN = 2**64 - 1
TYPES = {"RUN_STARTED": 1, "RUN_FINISHED": 2, "MESSAGE_STARTED": 5, "MESSAGE_DELTA": 6, "MESSAGE_COMPLETED": 7, "MESSAGE_EDITED": 23, "CUSTOM": 17,
         "RUN_INTERRUPTED": 19, "RUN_RESUMED": 20}
RECORD = struct.Struct("=IIQqIIQQQQ")
READY, DRAIN = 1, 33
BOARD_BYTES = 1 << 20
METRICS = ROOT / "actors/runtime/base/metrics.def"
TS_US = 1_763_629_320_123_456


def envelope(kind, body, epoch=0) -> bytes:
    return msgpack.packb([1, kind, 1, 0, 0, epoch, body], use_bin_type=True)


class Reader:
    """The client's end of one stream."""

    def __init__(self, connection, received=b""):
        self.connection, self.chunks = connection, ChunkDecoder()
        self.head, self.body, self.over = None, received, False

    def _read(self, timeout):
        self.connection.settimeout(timeout * patience())
        data = self.connection.recv(1 << 16)
        if self.head is None:
            self.body += data
            head, found, rest = self.body.partition(b"\r\n\r\n")
            if not found:
                assert data, "ended before the head was complete"
                return
            self.head, self.body, data = head.decode(), b"", rest
        elif not data:
            self.over = True
            raise StreamEnded(self.chunks.done)
        self.body += self.chunks.feed(data)

    def frame(self, timeout=5):
        while b"\n\n" not in self.body:
            self._read(timeout)
        block, _, self.body = self.body.partition(b"\n\n")
        return parse_frame(block)

    def event(self, timeout=5):
        """The next frame that is none of the stream's notes about itself, and not the first comment."""
        while True:
            frame = self.frame(timeout)
            if frame.event not in NOTES and frame.data is not None:
                return frame

    def note(self, timeout=5):
        """The next frame that is no ping and not the first comment."""
        while True:
            frame = self.frame(timeout)
            if frame.event != "ping" and frame.data is not None:
                return frame

    def seqs(self, count, timeout=5) -> list:
        return [self.event(timeout).seq for _ in range(count)]

    def bytes_to_end(self, timeout=5) -> tuple:
        """The body up to the end, and whether it was tidy."""
        try:
            while True:
                self._read(timeout)
        except (StreamEnded, ConnectionResetError) as end:
            body, self.body = self.body, b""
            return body, getattr(end, "tidy", False)

    def lines(self, count, timeout=5) -> list:
        while self.body.count(b"\n") < count:
            self._read(timeout)
        *lines, self.body = self.body.split(b"\n", count)
        return [json.loads(line) for line in lines]

    def rest(self, timeout=5) -> tuple:
        """Seqs up to the end, and whether it was tidy."""
        seqs = []
        try:
            while True:
                seqs.append(self.event(timeout).seq)
        except StreamEnded as end:
            return seqs, end.tidy

    def close(self):
        self.connection.close()


class Streamer:
    """One process."""

    def __init__(self, stage, name):
        self.log = open(stage.folder / f"{name}.log", "ab")
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stage.generation += 1
        self.generation = stage.generation
        settings, board = os.memfd_create("settings"), os.memfd_create("board")
        os.write(settings, stage.settings.encode())
        os.truncate(board, BOARD_BYTES)
        moved = {3: theirs.fileno(), 4: settings, 5: board, 6: stage.listener.fileno()}
        environment = {
            "SIGNALBOX_INSTANCE": name, "SIGNALBOX_GENERATION": str(self.generation), "SIGNALBOX_SLOT": "0",
            "SIGNALBOX_PARENT": str(os.getpid()), "SIGNALBOX_FDS": "settings:4,metrics:5,handover:6",
        }
        environment |= {key: value for key, value in os.environ.items() if key.startswith(("ASAN", "UBSAN", "PATH"))}

        def arrange():
            # Above all that is open: a source may have any number by now.
            high = {target: fcntl.fcntl(source, fcntl.F_DUPFD, 256) for target, source in moved.items()}
            for target, source in high.items():
                os.dup2(source, target, inheritable=True)
                os.close(source)

        self.process = subprocess.Popen(
            [bin_dir() / "signalbox-streamer"], env=environment, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, preexec_fn=arrange, close_fds=False,
        )
        theirs.close()
        os.close(settings)
        self.board = board
        self._wait_ready()

    def _wait_ready(self):
        self.control.settimeout(10 * patience())
        while RECORD.unpack(self.control.recv(4096))[1] != READY:
            pass

    def drain(self, deadline_ms=10_000):
        self.control.send(RECORD.pack(1, DRAIN, self.generation, deadline_ms, 0, 0, 0, 0, 0, 0))

    def wait(self, timeout=15) -> int:
        return self.process.wait(timeout * patience())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.control.close()
        self.log.close()
        if self.board is not None:
            os.close(self.board)
            self.board = None

    def metric(self, name) -> int:
        """From its slot on the board: a name of 32 bytes, then numbers in the order of metrics.def."""
        names = re.findall(r'^(?:COUNTER|GAUGE)\(\w+, "(\w+)"', METRICS.read_text(), re.M)
        return struct.unpack_from("=q", os.pread(self.board, 8, 32 + 8 * names.index(name)))[0]

    def resident_kb(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1])
        raise AssertionError("no Private_Dirty")


class Stage:
    """Database, bus and listener around any number of streamers. Use as a context manager."""

    def __init__(self, postgres, database, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="sbls-"))
        self.postgres, self.database = postgres, database
        self.generation, self.epoch, self.counter = 0, 1, 0
        self.tenant = uuid.uuid4()
        self.streamers, self.sockets = [], []
        values = {"instance.run_dir": self.folder, "database.url": postgres.dsn(database, "signalbox_streamer"),
                  "log.level": "debug"} | {name.replace("__", "."): value for name, value in settings.items()}
        self.settings = "".join(f"{key}={value}\n" for key, value in values.items())
        self.connection = postgres.connect(database)
        self.connection.execute("insert into tenants values (%s, 'test')", [self.tenant])
        self.key = self.make_key()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.folder / "handover.sock"))
        self.listener.listen(4096)
        self.clients = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.context = zmq.Context()
        self.publish_from_now_on()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for streamer in self.streamers:
            streamer.kill()
        for each in self.sockets:
            each.close()
        self.bus.close(0)
        self.context.term()
        self.listener.close()
        self.clients.close()
        self.connection.close()
        self._show_logs()

    def _show_logs(self):
        """What the streamers said is seen when the test fails; a sanitizer's report fails it."""
        texts = [path.read_text() for path in sorted(self.folder.glob("*.log"))]
        shutil.rmtree(self.folder)
        for text in texts:
            print(text[-20_000:])
            assert "Sanitizer" not in text and "runtime error" not in text

    def publish_from_now_on(self):
        """A new sequencer on the same path."""
        (self.folder / "events.sock").unlink(missing_ok=True)
        self.bus = self.context.socket(zmq.XPUB)
        self.bus.setsockopt(zmq.LINGER, 0)
        self.bus.bind(f"ipc://{self.folder}/events.sock")

    def start(self, name="streamer-1") -> Streamer:
        streamer = Streamer(self, name)
        self.streamers.append(streamer)
        return streamer

    def wait_subscribed(self, topics=3):
        for _ in range(topics):
            assert self.bus.poll(10_000 * patience()), "nobody subscribed"
            self.bus.recv()

    def logs(self) -> list:
        lines = []
        for path in sorted(self.folder.glob("*.log")):
            lines += [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
        return lines

    def wait_logged(self, message, **fields):
        def found():
            return any(
                line.get("message") == message and all(line.get(k) == v for k, v in fields.items())
                for line in self.logs()
            )
        wait_until(found, f"log line {message!r}")

    def make_key(self, tenant=None) -> uuid.UUID:
        key = uuid.uuid4()
        self.connection.execute(
            "insert into api_keys values (%s, %s, %s, %s, '', '{}')", [key, tenant or self.tenant, key.hex, bytes(32)]
        )
        return key

    # ---- runs: what the sequencer would do ---------------------------------------------------------------------------

    def make_run(self, events=1) -> uuid.UUID:
        run = uuid.uuid4()
        self.connection.execute(
            "insert into runs (run_id, tenant_id, status, created_at) values (%s, %s, 'running', now())", [run, self.tenant]
        )
        self.connection.execute("insert into run_heads values (%s, %s, 0)", [run, self.tenant])
        self.store(run, events)
        return run

    def store(self, run, count=1, payload="{}", end=False) -> list:
        """Commits events to the table; publishes nothing. Returns what a frame would carry."""
        head = self.head(run)
        kinds = ["RUN_STARTED" if head + n == 0 else "CUSTOM" for n in range(count)]
        if end:
            kinds[-1] = "RUN_FINISHED"
        return self.store_events(run, [(kind, payload) for kind in kinds])

    def head(self, run) -> int:
        return self.connection.execute("select last_seq from run_heads where run_id = %s", [run]).fetchone()[0]

    def store_events(self, run, events) -> list:
        """The same with (type, payload) each."""
        head, end = self.head(run), any(kind == "RUN_FINISHED" for kind, _ in events)
        with self.connection.transaction():
            with self.connection.cursor() as cursor:
                cursor.executemany(
                    "insert into run_events (tenant_id, run_id, seq, position, event_type, payload, ts)"
                    " values (%s, %s, %s, 0, %s, %s, '1970-01-01Z'::timestamptz + %s * interval '1 microsecond')",
                    [(self.tenant, run, head + 1 + n, kind, payload, TS_US) for n, (kind, payload) in enumerate(events)],
                )
            self.connection.execute(
                "update run_heads set last_seq = last_seq + %s, closed = %s where run_id = %s", [len(events), end, run]
            )
        return [head + 1, [[TYPES[kind], TS_US, payload, 0] for kind, payload in events]]

    def publish(self, run, first_seq, events, lose=False):
        """One EVENTS frame; `lose`: counted, but never sent."""
        self.counter += 1
        if not lose:
            body = [self.counter, self.tenant.bytes, run.bytes, first_seq, bytes(16), 0, 0, events]
            self.bus.send(b"E" + envelope(EVENTS, body, self.epoch))

    def note(self, run, payload, tenant=None):
        """One JOB_NOTE frame."""
        body = [(tenant or self.tenant).bytes, run.bytes, payload]
        self.bus.send(b"N" + envelope(JOB_NOTE, body, self.epoch))

    def append(self, run, count=1, payload="{}", end=False, lose=False):
        self.publish(run, *self.store(run, count, payload, end), lose=lose)

    def beat(self):
        self.bus.send(b"H" + envelope(HINT, [self.counter, 0, 0], self.epoch))

    def seqs(self, reader, count) -> list:
        """Reads while the bus goes on beating: what comes was not brought by a repair after silence."""
        seqs = []

        def read():
            self.beat()
            try:
                while len(seqs) < count:
                    seqs.append(reader.event(0.1).seq)
            except TimeoutError:
                return False
            return True

        wait_until(read, f"{count} events")
        return seqs

    def rest(self, reader) -> tuple:
        """Like Reader.rest, while the bus goes on beating."""
        seqs = []

        def read():
            self.beat()
            try:
                while True:
                    seqs.append(reader.event(0.1).seq)
            except TimeoutError:
                return None
            except StreamEnded as end:
                return [end.tidy]

        return seqs, wait_until(read, "the end of the stream")[0]

    # ---- streams: what the api would do ------------------------------------------------------------------------------

    def hand(self, packet, descriptors):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(str(self.folder / "handover.sock"))
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            peer.sendmsg([packet], rights)

    def open(self, run, after=0, key=None, tenant=None, receive_buffer=None, send_buffer=None, head=0, form=0, types=(),
             stop_after=0) -> Reader:
        """`form`: the native one, or FILTERED and so on; `types`: names of event types, or their mask. Small buffers on both sides:
        events are written in parts."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(self.clients.getsockname())
        ours, _ = self.clients.accept()
        if send_buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        mask = types if isinstance(types, int) else sum(1 << TYPES[name] for name in types)
        form = form or (FILTERED if mask else 0)
        body = [(tenant or self.tenant).bytes, (key or self.key).bytes, run.bytes, after, head, 0, bytes(16), b"",
                form, mask, stop_after, *NATIVE[3:]]
        self.hand(envelope(HANDOVER, body), [ours.fileno()])
        ours.close()
        self.sockets.append(client)
        return Reader(client)
