"""
Server-sent events over raw sockets.

SseStream is one connection: frames in order, and at the end the difference that matters: `tidy` (the last chunk came)
or broken off. Follower is a reader that keeps a cursor and reconnects with Last-Event-ID like a browser, and notes
every seq that is not the next one.
"""

import json
import random
import select
import socket
import threading
import time
from dataclasses import dataclass, field

from harness.paths import patience
from harness.raw import RawConnection
from harness.rawjson import members
from harness.waiting import wait_until

TERMINAL = ("RUN_FINISHED", "RUN_FAILED", "RUN_CANCELLED")


class StreamEnded(Exception):
    """No more frames. tidy: the body was ended properly."""

    def __init__(self, tidy):
        super().__init__("ended tidily" if tidy else "broken off")
        self.tidy = tidy


class NoFrame(AssertionError):
    """Nothing came in time."""


# Events without id about the stream itself, which are no part of what it shows.
NOTES = ("ping", "caught-up", "fell-behind", "job-progress")


@dataclass
class Frame:
    """One event block; several comments or retry fields of one block are kept together."""

    id: str = None
    event: str = None
    data: str = None
    retry: str = None
    comments: list = field(default_factory=list)
    raw: bytes = b""

    @property
    def is_log_event(self):
        return self.id is not None

    @property
    def seq(self) -> int:
        return int(self.id)

    def parts(self) -> tuple:
        """(seq, type, payload text as sent)."""
        fields = members(self.data)
        return json.loads(fields["seq"]), json.loads(fields["type"]), fields["payload"]


def parse_frame(block: bytes) -> Frame:
    assert b"\r" not in block, f"CR in a frame: {block!r}"
    frame, data = Frame(raw=block), []
    for line in block.decode("utf-8").split("\n"):
        name, colon, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if colon and not name:
            frame.comments.append(value)
        elif name == "id":
            frame.id = value
        elif name == "event":
            frame.event = value
        elif name == "data":
            data.append(value)
        elif name == "retry":
            frame.retry = value
        else:
            raise AssertionError(f"unknown line in a frame: {line!r}")
    frame.data = "\n".join(data) if data else None
    return frame


class NotesOrder:
    """caught-up and fell-behind take turns, and caught-up comes first; a stream that was moved goes on where it was."""

    def __init__(self):
        self.live = False

    def take(self, frame):
        """What is wrong, or None."""
        if frame.event in (None, "ping", "job-progress"):
            return None
        if frame.event not in NOTES:
            return "unexpected"
        live, self.live = self.live, frame.event == "caught-up"
        return "said twice" if live == self.live else None


class ChunkDecoder:
    """Transfer-coding chunked, fed with any pieces."""

    def __init__(self):
        self.raw = b""
        self.left = None  # bytes missing of the current chunk, with its CRLF
        self.done = False

    def feed(self, data: bytes) -> bytes:
        self.raw += data
        out = []
        while not self.done:
            if self.left is None:
                line, found, rest = self.raw.partition(b"\r\n")
                if not found:
                    break
                self.raw, self.left = rest, int(line, 16) + 2
                self.done_after = self.left == 2
            if len(self.raw) < self.left:
                break
            chunk, self.raw = self.raw[: self.left], self.raw[self.left :]
            assert chunk.endswith(b"\r\n"), chunk[-20:]
            out.append(chunk[:-2])
            self.done, self.left = self.done_after, None
        return b"".join(out)


class SseStream:
    def __init__(self, address, path, key, headers=None, timeout=10.0, receive_buffer=None):
        self.timeout = timeout * patience()
        self.connection = RawConnection(address, self.timeout, receive_buffer)
        headers = {"Accept": "text/event-stream"} | (headers or {})
        lines = [f"GET {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}"]
        if key is not None:
            lines.append(f"Authorization: Bearer {key}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.connection.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.status, self.headers = self.connection.read_head()
        self.chunks = ChunkDecoder()
        self.text = b""
        self.retry_ms = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def reset(self):
        """Ends the connection as a vanished peer would: RST, no goodbye."""
        self.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.connection.close()

    def body(self) -> bytes:
        """The whole body of an answer that is no stream."""
        left = int(self.headers.get("content-length", "0"))
        data = b""
        while len(data) < left:
            data += self.connection.receive()
        return data

    def next_frame(self, timeout=None) -> Frame:
        """Waits for the next block. StreamEnded at the end, NoFrame when none comes in time."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout * patience())
        while b"\n\n" not in self.text:
            if self.chunks.done:
                raise StreamEnded(tidy=True)
            left = deadline - time.monotonic()
            if not self.connection.pending:
                if left <= 0 or not select.select([self.connection.socket], [], [], left)[0]:
                    raise NoFrame(f"no frame in time; so far of the next: {self.text[:200]!r}")
            got = self.connection.receive()
            if not got:
                raise StreamEnded(tidy=False)
            self.text += self.chunks.feed(got)
        block, _, self.text = self.text.partition(b"\n\n")
        frame = parse_frame(block)
        if frame.retry is not None:
            self.retry_ms = int(frame.retry)
        return frame

    def next_event(self, timeout=None) -> Frame:
        """The next frame with an id, or an event name that is none of NOTES."""
        while True:
            frame = self.next_frame(timeout)
            if frame.is_log_event or (frame.event is not None and frame.event not in NOTES):
                return frame

    def next_note(self, timeout=None) -> Frame:
        """The next frame with an id or an event name other than ping."""
        while True:
            frame = self.next_frame(timeout)
            if frame.is_log_event or (frame.event is not None and frame.event != "ping"):
                return frame

    def to_caught_up(self, timeout=None) -> tuple:
        """The log events up to `caught-up`, and what that says."""
        frames = []
        while (frame := self.next_note(timeout)).event != "caught-up":
            assert frame.is_log_event, frame
            frames.append(frame)
        return frames, json.loads(frame.data)

    def take(self, count, timeout=None) -> list:
        """The next `count` log events as (seq, type, payload text)."""
        return [self.next_event(timeout).parts() for _ in range(count)]

    def read_to_end(self, timeout=None) -> list:
        """All log events up to the tidy end; a broken-off stream is an error."""
        found = []
        try:
            while True:
                found.append(self.next_event(timeout).parts())
        except StreamEnded as end:
            assert end.tidy, f"broken off after {len(found)} events"
            return found

    def wait_broken(self, timeout=None) -> list:
        """Reads on until the stream is broken off; a tidy end is an error."""
        found = []
        try:
            while True:
                found.append(self.next_event(timeout).parts())
        except StreamEnded as end:
            assert not end.tidy, "ended tidily although the run is not over"
            return found


class Follower(threading.Thread):
    """
    Reads one run to its end, over as many connections as it takes.

    events: what was seen, in order. violations: anything that a reader must never see. leave: a function asked after
    each event whether to hang up now (a user who reloads the page); pause_s: for how long to stay away. may_miss: a run
    that does not exist (yet) is no violation, but ends the following with `missing`.
    """

    def __init__(self, server, run_id, key=None, leave=None, pause_s=lambda: 0.0, after=0, may_miss=False):
        super().__init__(daemon=True, name=f"follower-{run_id[:8]}")
        self.server, self.run_id, self.key = server, run_id, key or server.api_key
        self.leave, self.pause_s = leave or (lambda: False), pause_s
        self.cursor = after
        self.events, self.violations = [], []
        self.history = []  # one (cursor, [events]) a connection
        self.absences = []  # seconds from a stream being broken off to the next one's head
        self.broken_at = None
        self.connections = self.refused = self.broken = self.left = 0
        self.ended = self.missing = False
        self.may_miss = may_miss
        self.stopping = threading.Event()

    def run(self):
        while not self.ended and not self.stopping.is_set():
            try:
                self._one_connection()
            except (OSError, ConnectionError):
                self.refused += 1
                self.stopping.wait(0.05)
            except Exception as error:  # a bug of the server (or of ours) must fail the test, not vanish
                self.violations.append(f"after seq {self.cursor}: {error!r}")
                return

    def _one_connection(self):
        header = {"Last-Event-ID": str(self.cursor)} if self.cursor else {}
        with self.server.stream(self.run_id, key=self.key, headers=header) as stream:
            self.connections += 1
            if stream.status in (200, 204) and self.broken_at is not None:
                self.absences.append(time.monotonic() - self.broken_at)
                self.broken_at = None
            if stream.status == 204:
                self._finish_by_204()
            elif stream.status != 200:
                self._note_refusal(stream)
            else:
                self._read(stream)

    def _note_refusal(self, stream):
        self.refused += 1
        if stream.status == 404 and self.may_miss and not self.events:
            self.ended = self.missing = True
        elif stream.status not in (503, 429):
            self.violations.append(f"status {stream.status}: {stream.body()[:200]!r}")
            self.ended = True
        self.stopping.wait(0.05)

    def _finish_by_204(self):
        if not self.events or self.events[-1][1] not in TERMINAL:
            self.violations.append(f"204 after seq {self.cursor}, which was not the end")
        self.ended = True

    def _read(self, stream):
        self.history.append((self.cursor, []))
        self.notes = NotesOrder()
        while not self.stopping.is_set():
            try:
                frame = stream.next_frame(timeout=0.5)
            except NoFrame:
                continue
            except StreamEnded as end:
                self._note_end(end.tidy)
                return
            wrong = self.notes.take(frame)
            if wrong:
                self.violations.append(f"{wrong}: event {frame.event} {frame.data} after seq {self.cursor}")
            if frame.is_log_event:
                self._note(frame)
                if not self.events or self.events[-1][1] not in TERMINAL:
                    if self.leave():
                        self.left += 1
                        stream.reset() if random.random() < 0.5 else stream.close()
                        self.stopping.wait(self.pause_s())
                        return

    def _note(self, frame):
        seq, kind, payload = frame.parts()
        if seq != self.cursor + 1 or frame.seq != seq:
            self.violations.append(f"seq {seq} (id {frame.id}) after {self.cursor}")
        self.cursor = seq
        self.events.append((seq, kind, payload))
        self.history[-1][1].append((seq, kind, payload))

    def _note_end(self, tidy):
        over = bool(self.events) and self.events[-1][1] in TERMINAL
        if tidy and not over:
            self.violations.append(f"ended tidily after seq {self.cursor}, before the run's end")
        if not tidy:
            self.broken += 1
            self.broken_at = time.monotonic()
        self.ended = self.ended or (tidy and over)

    def wait_complete(self, timeout=20.0):
        """Until the terminal event has been seen (R061). Raises on the first violation."""
        wait_until(lambda: self.ended or self.violations, f"the end of the stream of {self.run_id}", timeout)
        assert not self.violations, self.violations
        return self.events

    def stop(self):
        self.stopping.set()
        self.join(10)
