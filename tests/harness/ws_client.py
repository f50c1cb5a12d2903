"""
A WebSocket client without an event loop: the protocol is python3-websockets', the socket is a plain one, so that a
test reads exactly when it wants to.
"""

import collections
import json
import time

from websockets.client import ClientConnection
from websockets.connection import State
from websockets.frames import Opcode
from websockets.uri import parse_uri

from harness.raw import RawConnection

PATH = "/api/v1/ws"


class SocketClosed(Exception):
    def __init__(self, code, reason):
        super().__init__(f"closed with {code}: {reason}")
        self.code, self.reason = code, reason


class Refused(Exception):
    """The handshake was not answered by 101."""

    def __init__(self, response):
        super().__init__("no answer" if response is None else f"{response.status_code} {response.body}")
        self.status = 0 if response is None else response.status_code


class WebSocket:
    """box.listen, a key; messages are dicts."""

    def __init__(self, box, key=None, headers=None, timeout=10.0, receive_buffer=None, origin=None):
        host, _, port = box.listen.rpartition(":")
        self.protocol = ClientConnection(parse_uri(f"ws://{box.listen}{PATH}"), origin=origin, max_size=None)
        self.raw = RawConnection((host, int(port)), timeout, receive_buffer)
        self.arrived, self.pongs, self.answers_pings, self.ids = collections.deque(), [], True, 0
        self.pings, self.parts, self.sent = 0, [], []
        request = self.protocol.connect()
        if key is not None or not headers:
            request.headers["Authorization"] = f"Bearer {key or box.api_key}"
        for name, value in (headers or {}).items():
            request.headers[name] = value
        self.protocol.send_request(request)
        self._flush()
        while self.protocol.state is State.CONNECTING and self.protocol.handshake_exc is None:
            self._receive()
        if self.protocol.handshake_exc is not None:
            self.raw.close()
            raise Refused(getattr(self.protocol.handshake_exc, "response", None)) from self.protocol.handshake_exc

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def _flush(self):
        for data in self.protocol.data_to_send():
            if data:
                self.raw.send(data)

    def _receive(self, timeout=None):
        if timeout is not None:
            self.raw.socket.settimeout(timeout)
        data = self.raw.receive()
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            self._event(event)
        if self.answers_pings:
            self._flush()

    def _event(self, event):
        opcode = getattr(event, "opcode", None)
        if opcode in (Opcode.TEXT, Opcode.CONT, Opcode.BINARY):
            self.parts.append(event.data)
            if event.fin:
                self.arrived.append(b"".join(self.parts).decode())
                self.parts = []
        elif opcode is Opcode.PONG:
            self.pongs.append(event.data)
        elif opcode is Opcode.PING:
            self.pings += 1

    # What a test does.

    def send(self, **message):
        self.send_text(json.dumps(message))

    def send_text(self, text: str):
        self.sent.append(text)
        self.protocol.send_text(text.encode())
        self._flush()

    def next_text(self, timeout=10.0) -> str:
        """The next message as it came. TimeoutError when there is none, SocketClosed at the end."""
        until = time.monotonic() + timeout
        while not self.arrived:
            if self.protocol.state is State.CLOSED:
                raise SocketClosed(self.protocol.close_code, self.protocol.close_reason)
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("no message")
            self._receive(left)
        return self.arrived.popleft()

    def next(self, timeout=10.0) -> dict:
        return json.loads(self.next_text(timeout))

    def subscribe(self, **what) -> str:
        """Returns the id, which is new unless it is given."""
        if "id" not in what:
            self.ids += 1
            what["id"] = f"s{self.ids}"
        self.send(op="subscribe", **what)
        return what["id"]

    def command(self, op, **members) -> dict:
        """Sends it and returns its answer; what comes before it must be nothing."""
        members.setdefault("id", "c")
        self.send(op=op, **members)
        answer = self.next()
        assert answer["id"] == members["id"], answer
        return answer

    def until(self, op, id=None, timeout=10.0) -> list:
        """All messages up to and with the first of this kind."""
        found = []
        while not found or found[-1]["op"] != op or (id is not None and found[-1]["id"] != id):
            found.append(self.next(timeout))
        return found

    def read_close(self, timeout=10.0) -> SocketClosed:
        """Reads to the end, whatever still comes."""
        try:
            while True:
                self.next_text(timeout)
        except SocketClosed as end:
            return end


def events_of(messages, id=None) -> list:
    """[(seq, type, payload)] of the events among messages."""
    return [(m["event"]["seq"], m["event"]["type"], m["event"]["payload"])
            for m in messages if m["op"] == "event" and (id is None or m["id"] == id)]
