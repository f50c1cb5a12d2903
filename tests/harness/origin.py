"""A server of the outside world, for whatever asks it."""

import contextlib
import socket
import threading
import time


class Origin:
    """An HTTP server that answers every connection with the same bytes, and counts them."""

    def __init__(self, reply=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", family=socket.AF_INET, slow_s=0.0, tls=None):
        self.listener = socket.socket(family)
        self.listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.reply, self.slow_s, self.tls, self.requests, self.connections = reply, slow_s, tls, [], 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer):
        with contextlib.suppress(OSError), peer:
            peer = peer if self.tls is None else self.tls.wrap_socket(peer, server_side=True)
            self.requests.append(peer.recv(65536))
            pieces = [self.reply] if not self.slow_s else [self.reply[i : i + 1] for i in range(len(self.reply))]
            for piece in pieces:
                peer.sendall(piece)
                time.sleep(self.slow_s)
