"""Bytes on a socket: what no well-behaved client library would send or notice."""

import socket


class RawConnection:
    def __init__(self, address, timeout=10.0, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:  # before connect: it decides the window
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data: bytes):
        self.socket.sendall(data)

    def receive(self) -> bytes:
        """What there is next; b"" at the end, whether by FIN or by reset."""
        if self.pending:
            data, self.pending = self.pending, b""
            return data
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def read_head(self) -> tuple:
        """(status, headers in lower case) of the next response; what follows stays pending."""
        data = b""
        while b"\r\n\r\n" not in data:
            got = self.receive()
            if not got:
                raise ConnectionError(f"closed before the end of the head: {data!r}")
            data += got
        head, _, self.pending = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(lines[0].split(" ")[1]), headers

    def read_response(self) -> tuple:
        """(status, headers, body) of a response with Content-Length."""
        status, headers = self.read_head()
        length = int(headers.get("content-length", "0"))
        body = b""
        while len(body) < length:
            got = self.receive()
            if not got:
                raise ConnectionError("closed inside a body")
            body += got
        body, self.pending = body[:length], body[length:] + self.pending
        return status, headers, body
