"""A WebSocket client that sends any bytes and judges every byte that comes back. Python alone, no library."""

import base64
import fcntl
import hashlib
import os
import signal
import socket
import struct
import subprocess

from harness.paths import ROOT, bin_dir, patience

KEY = base64.b64encode(bytes(range(16))).decode()
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TIMEOUT_S = 10 * patience()


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def handshake(path, host="127.0.0.1", fields=None, without=(), more=(), method="GET", version="HTTP/1.1"):
    """The bytes of one. `fields` change those of a good one, `without` names some to leave out, `more` come behind them."""
    told = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    told |= fields or {}
    lines = [f"{name}: {value}" for name, value in told.items() if name not in without] + [f"{name}: {value}" for name, value in more]
    return "\r\n".join([f"{method} {path} {version}", *lines, "", ""]).encode("latin-1")


class Broken(AssertionError):
    """The server broke the protocol."""


class WebSocket:
    """One connection. What comes is read frame by frame: (opcode, payload)."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.have = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError as error:
            raise Broken("the server reset the connection") from error
        except TimeoutError as error:
            raise Broken(f"nothing comes; so far {self.have[:40]!r}") from error
        self.have += data
        return data != b""

    def take(self, length):
        while len(self.have) < length:
            if not self.more():
                raise Broken(f"closed inside a frame: {self.have[:40]!r}")
        taken, self.have = self.have[:length], self.have[length:]
        return taken

    def head(self):
        """(status, {field in lower case: value}) of the answer to the handshake."""
        while b"\r\n\r\n" not in self.have:
            if not self.more():
                raise Broken(f"closed inside the head of an answer: {self.have!r}")
        text, self.have = self.have.split(b"\r\n\r\n", 1)
        first, *lines = text.decode("latin-1").split("\r\n")
        return int(first.split(" ")[1]), {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}

    def open(self, path, **options):
        self.send(handshake(path, **options))
        status, fields = self.head()
        if status != 101 or fields.get("sec-websocket-accept") != accept_of(KEY) or "sec-websocket-extensions" in fields:
            raise Broken(f"not a WebSocket: {status} {fields}")
        return self

    def frame(self):
        """The next frame; None at an end between two."""
        if not self.have and not self.more():
            return None
        first, second = self.take(2)
        length = second & 0x7F
        if length > 125:
            form = {126: ">H", 127: ">Q"}[length]
            (length,) = struct.unpack(form, self.take(struct.calcsize(form)))
        if first & 0xF0 != 0x80 or second & 0x80 or first & 0xF not in (1, 2, 8, 9, 10) or (first & 8 and second > 125):
            raise Broken(f"a bad head: {first:02x} {second:02x}")
        if length < {126: 126, 127: 65536}.get(second, 0):
            raise Broken("a length not in its shortest form")
        return first & 0xF, self.take(length)


class Echo:
    """tests/harness/ws_echo.c of the build under test, running."""

    def __init__(self, message_bytes, close_ms):
        self.process = subprocess.Popen([build(), str(message_bytes), str(close_ms)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.address = "127.0.0.1", int(self.process.stdout.readline())

    def connect(self, path="/echo", **options):
        connection = WebSocket(self.address)
        try:
            return connection.open(path, **options)
        except BaseException:
            connection.socket.close()
            raise

    def stop(self):
        """Ends it; what a sanitizer has to say is an error."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0 and out == "stopped\n" and err == "", (self.process.returncode, out, err)


def build():
    """The echo server; make knows whether there is anything to do."""
    out = bin_dir().parent
    target = out.relative_to(ROOT) / "test" / "ws_echo"
    variant = out.name if out.name in ("fault", "asan", "coverage") else "release"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".ws_echo.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")}
        subprocess.run(["make", "-s", f"VARIANT={variant}", str(target)], cwd=ROOT, env=environment, check=True)
    return ROOT / target
