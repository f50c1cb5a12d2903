"""TCP connections through a network that can be switched off: both ends go silent at once, neither hears of it.

The network is the loopback of a namespace of its own, kept by a process; its server ends are passed to the test, which
hands them on as if they had been accepted here."""

import array
import ctypes
import fcntl
import socket
import struct
import subprocess
import sys

CLONE_NEWNET, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8913, 0x8914, 1


def switch(on):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = struct.unpack("16xH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0)))[0]
        flags = flags | IFF_UP if on else flags & ~IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags))


def serve(control):
    """In the namespace: a byte for a word. "c": a connection; its server end goes to the test. "x": the network ends."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        control.send(b"n")  # not allowed here
        return
    switch(True)
    control.send(b"y")
    clients = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        while word := control.recv(1):
            if word == b"c":
                clients.append(socket.create_connection(listener.getsockname()))
                ours, _ = listener.accept()
                control.sendmsg([b"c"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ours.fileno()]))])
                ours.close()
            else:
                switch(False)
                control.send(b"x")


class LostNet:
    """Use as a context manager. `allowed` is false where no namespace can be made."""

    def __enter__(self):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen([sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        self.allowed = self.control.recv(1) == b"y"
        return self

    def __exit__(self, *_):
        self.control.close()
        self.process.wait(10)

    def connection(self) -> socket.socket:
        """The server's end of a new connection."""
        self.control.send(b"c")
        _, rights, _, _ = self.control.recvmsg(1, socket.CMSG_SPACE(4))
        return socket.socket(fileno=array.array("i", rights[0][2])[0])

    def lose(self):
        self.control.send(b"x")
        assert self.control.recv(1) == b"x"


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
