"""
Readers of a run by other protocols than plain server-sent events, with the habits of harness.sse.Follower: a cursor, hanging up at
random, coming back, and a note of every event that cannot stand where it came.

FilteredFollower: server-sent events of some types. LineFollower: lines of JSON. SocketFollower: a subscription of a WebSocket;
SocketFeedFollower: one to a feed.
"""

import json
import select
import socket
import time

from harness.feeds import FeedEvent, FeedFollower
from harness.paths import patience
from harness.raw import RawConnection
from harness.raw_websocket import Broken, WebSocket, handshake
from harness.rawjson import members
from harness.sse import TERMINAL, ChunkDecoder, Follower, NoFrame, SseStream, StreamEnded

TIMEOUT_S = 10 * patience()
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# Whoever restarts says so, or cannot.
GOING = (1001, 1012, 1013)


def parts_of(text):
    """(seq, type, payload as sent, the seq before it under the filter or None) of a native event object."""
    fields = members(text)
    before = json.loads(fields["prev_seq"]) if "prev_seq" in fields else None
    return json.loads(fields["seq"]), json.loads(fields["type"]), fields["payload"], before


class OtherFollower(Follower):
    """What the protocols share: `take` notes an event, and says whether to hang up now."""

    def over(self):
        return bool(self.events) and self.events[-1][1] in TERMINAL

    def take(self, seq, kind, payload) -> bool:
        if seq != self.cursor + 1:
            self.violations.append(f"seq {seq} after {self.cursor}")
        return self.keep(seq, kind, payload)

    def keep(self, seq, kind, payload) -> bool:
        self.cursor = seq
        self.events.append((seq, kind, payload))
        self.history[-1][1].append((seq, kind, payload))
        return not self.over() and self.leave()

    def began(self):
        self.history.append((self.cursor, []))
        if self.broken_at is not None:
            self.absences.append(time.monotonic() - self.broken_at)
            self.broken_at = None

    def refuse(self, status, detail):
        self.refused += 1
        if status == 404 and self.may_miss and not self.events:
            self.ended = self.missing = True
        elif status not in (503, 429):
            self.violations.append(f"status {status}: {detail}")
            self.ended = True
        self.stopping.wait(0.05)

    def hang_up(self, connection):
        self.left += 1
        if self.left % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()
        self.stopping.wait(self.pause_s())


class FilteredFollower(OtherFollower):
    """`types`: what is asked for; the ending comes in any case."""

    def __init__(self, *arguments, types, **options):
        super().__init__(*arguments, **options)
        self.types = types

    def _one_connection(self):
        header = {"Last-Event-ID": str(self.cursor)} if self.cursor else {}
        path = f"/api/v1/runs/{self.run_id}/stream?types={','.join(self.types)}"
        with SseStream(self.server.address, path, self.key, header) as stream:
            self.connections += 1
            if stream.status == 204 and self.over():
                self.ended = True
            elif stream.status != 200:
                self.refuse(stream.status, stream.body()[:200])
            else:
                self.began()
                self._read(stream)

    def _read(self, stream):
        while not self.stopping.is_set():
            try:
                frame = stream.next_event(timeout=0.5)
            except NoFrame:
                continue
            except StreamEnded as end:
                self._note_end(end.tidy)
                return
            if frame.event == "reset":
                self.violations.append(f"reset after seq {self.cursor}: {frame.data}")
            elif self._filtered(frame):
                self.hang_up(stream.connection.socket)
                return

    def _filtered(self, frame) -> bool:
        seq, kind, payload, before = parts_of(frame.data)
        if frame.seq != seq or kind not in (*self.types, *TERMINAL) or before != self.cursor:
            self.violations.append(f"{kind} at seq {seq} (id {frame.id}, behind {before}) after {self.cursor}")
        return self.keep(seq, kind, payload)


class LineFollower(OtherFollower):
    def _one_connection(self):
        path = f"/api/v1/runs/{self.run_id}/events?follow=true&after_seq={self.cursor}"
        host, port = self.server.address
        with RawConnection((host, port), TIMEOUT_S) as connection:
            connection.send(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: application/x-ndjson\r\n"
                            f"Authorization: Bearer {self.key}\r\n\r\n".encode())  # fmt: skip
            self.connections += 1
            status, headers = connection.read_head()
            if status == 204 and self.over():
                self.ended = True
            elif status != 200:
                self.refuse(status, connection.receive()[:200])
            else:
                self.began()
                self._lines(connection)

    def _lines(self, connection):
        chunks, text = ChunkDecoder(), b""
        while not self.stopping.is_set():
            while b"\n" in text:
                line, _, text = text.partition(b"\n")
                if line and self.take(*parts_of(line.decode())[:3]):
                    self.hang_up(connection.socket)
                    return
            if chunks.done:
                self._note_end(True)
                return
            if connection.pending or select.select([connection.socket], [], [], 0.5)[0]:
                data = connection.receive()
                if not data:
                    self._note_end(False)
                    return
                text += chunks.feed(data)


class Talk:
    """A WebSocket of the server; pings are answered. `refused`: status and text when there is none; `code`: of its close frame."""

    def __init__(self, server, key):
        host, port = server.address
        self.refused = self.code = None
        self.connection = WebSocket((host, port))
        try:
            self.connection.send(handshake("/api/v1/ws", host=f"{host}:{port}", fields={"Authorization": f"Bearer {key or server.api_key}"}))
            status, _ = self.connection.head()
        except Broken as error:
            self.connection.socket.close()
            raise ConnectionError(str(error)) from error
        if status != 101:
            self.refused = status, self.connection.have[:200]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.socket.close()

    def say(self, opcode, data):
        assert len(data) < 65536
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        self.connection.send(bytes([0x80 | opcode]) + length + bytes(4) + data)  # a mask of zeros is one, too

    def subscribe(self, **what):
        self.say(TEXT, json.dumps({"op": "subscribe", "id": "s"} | what).encode())

    def message(self):
        """The members of the next one, as texts; {} when nothing came for a moment, None when the connection is over."""
        if not self.connection.have and not select.select([self.connection.socket], [], [], 0.5)[0]:
            return {}
        try:
            found = self.connection.frame()
        except Broken as error:
            if "head" in str(error) or "length" in str(error):
                raise
            return None  # it broke inside a frame
        if found is None:
            return None
        opcode, payload = found
        if opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            assert self.code in GOING, f"closed with {self.code} {payload[2:]}"
            return None
        if opcode == PING:
            self.say(PONG, payload)
        return members(payload.decode()) if opcode == TEXT else {}


class SocketFollower(OtherFollower):
    """One subscription a connection, which is closed behind its end."""

    def _one_connection(self):
        with Talk(self.server, self.key) as talk:
            self.connections += 1
            if talk.refused:
                self.refuse(*talk.refused)
                return
            self.began()
            talk.subscribe(run_id=self.run_id, after_seq=self.cursor)
            while not self.ended and not self.stopping.is_set():
                message = talk.message()
                if message is None:
                    self._note_end(False)
                    return
                if message and self._message(talk.connection.socket, message):
                    return

    def _message(self, connection, message) -> bool:
        """True: nothing more of this connection is of interest."""
        op = json.loads(message["op"])
        if op == "event":
            if self.take(*parts_of(message["event"])[:3]):
                self.hang_up(connection)
                return True
        elif op == "end":
            if not self.over() or json.loads(message["seq"]) != self.cursor:
                self.violations.append(f"{message} after seq {self.cursor}, which was not the end")
            self.ended = True
        elif op == "problem":
            problem = json.loads(message["problem"])
            self.refuse(problem["status"], problem)
            return True
        elif op != "caught_up" or json.loads(message["seq"]) != self.cursor:
            self.violations.append(f"{message} after seq {self.cursor}")
        return False


class SocketFeedFollower(FeedFollower):
    """The tenant's feed, or a thread's, as a subscription. `target`: its members."""

    def __init__(self, server, target, start, **options):
        super().__init__(server, str(target), **options)
        self.target, self.start_at = target, start

    def _one_connection(self):
        with Talk(self.server, self.key) as talk:
            if talk.refused:
                assert talk.refused[0] in (429, 503), talk.refused
                self.stopping.wait(0.05)
                return
            self.connections += 1
            talk.subscribe(**self.target, **({"from": self.start_at} if self.cursor is None else {"cursor": self.cursor}))
            while not self.stopping.is_set():
                message = talk.message()
                if message is None:
                    self.broken += 1
                    return
                if message and self._message(talk.connection.socket, message):
                    return

    def _message(self, connection, message) -> bool:
        op = json.loads(message["op"])
        if op == "problem" and not self.events:  # a thread that does not exist yet
            problem = json.loads(message["problem"])
            assert problem["status"] in (404, 503), problem
            self.stopping.wait(0.05)
            return True
        if op == "caught_up":
            return False
        assert op == "event", message
        self.cursor = json.loads(message["cursor"])
        fields = members(message["event"])
        self.events.append(FeedEvent(*(json.loads(fields[name]) for name in ("run_id", "seq", "type")), fields["payload"]))
        if not self.leave():
            return False
        self.left += 1
        connection.close()
        self.stopping.wait(self.pause_s())
        return True
