"""
A second sequencer, started by hand beside the supervised one, with its environment, settings and (unless `deaf`) its
very listeners. What no supervisor would do, a test must: two sequencers at once, and a stale one that comes back.
"""

import ctypes
import os
import secrets
import socket
import subprocess
import sys
import threading

from harness.processes import Process

_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438
_LIBC = ctypes.CDLL(None, use_errno=True)

# Puts the control socket where the contract wants it, drops to the user of the original, and becomes the program.
_LAUNCH = """
import os, sys
control, uid, gid, program = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
assert control != 3
os.dup2(control, 3)
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
os.execv(program, [program])
"""


class NotPermitted(Exception):
    """This machine does not let us take another process's descriptors."""


def _borrow(pid, descriptor) -> int:
    pidfd = _LIBC.syscall(_SYS_PIDFD_OPEN, pid, 0)
    if pidfd < 0:
        raise NotPermitted(os.strerror(ctypes.get_errno()))
    try:
        got = _LIBC.syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0)
    finally:
        os.close(pidfd)
    if got < 0:
        raise NotPermitted(os.strerror(ctypes.get_errno()))
    return got


def _environment(pid) -> dict:
    with open(f"/proc/{pid}/environ", "rb") as environ:
        pairs = [line.partition(b"=") for line in environ.read().split(b"\0") if line]
    return {name.decode(): value.decode() for name, _, value in pairs}


def _ids(pid) -> tuple:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status.read().splitlines() if ":" in line)
    return int(fields["Uid"].split()[0]), int(fields["Gid"].split()[0])


class RogueSequencer:
    """deaf: it takes the epoch but hears no commands (listeners of its own that nobody knows)."""

    def __init__(self, server, deaf=True):
        original = server.process_of("sequencer-1")
        environment = _environment(original.pid)
        self.borrowed = []
        listeners, names = [], []
        for pair in environment["SIGNALBOX_FDS"].split(","):
            name, _, number = pair.rpartition(":")
            if deaf and name in ("commands", "events"):
                fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                path = server.home / f"rogue-{secrets.token_hex(4)}-{name}"
                fresh.bind(str(path))
                fresh.listen(64)
                listeners.append(fresh)
                names.append((name, fresh.fileno()))
            else:
                borrowed = _borrow(original.pid, int(number))
                self.borrowed.append(borrowed)
                names.append((name, borrowed))
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment |= {
            "SIGNALBOX_FDS": ",".join(f"{name}:{number}" for name, number in names),
            "SIGNALBOX_GENERATION": str(1_000_000 + int(environment["SIGNALBOX_GENERATION"])),
            "SIGNALBOX_PARENT": str(os.getpid()),
        }
        environment.pop("SIGNALBOX_HOLD", None)
        program = os.readlink(f"/proc/{original.pid}/exe")
        uid, gid = _ids(original.pid)
        self.log = open(server.home / "rogue.log", "ab")  # noqa: SIM115 (lives as long as the process)
        self.child = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(theirs.fileno()), str(uid), str(gid), program],
            pass_fds=[theirs.fileno(), *(number for _, number in names)],
            env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )  # fmt: skip
        theirs.close()
        for listener in listeners:
            listener.close()
        self.process = Process.of(self.child.pid)
        self.reader = threading.Thread(target=self._drain, daemon=True)
        self.reader.start()

    def _drain(self):
        """Its beats must go somewhere."""
        try:
            while self.control.recv(4096):
                pass
        except OSError:
            pass

    def wait(self, timeout=20.0) -> int:
        return self.child.wait(timeout)

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.control.close()
        self.reader.join(5)
        for descriptor in self.borrowed:
            os.close(descriptor)
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

