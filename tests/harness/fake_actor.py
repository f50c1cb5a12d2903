#!/usr/bin/python3
"""An actor that does nothing but keep the child contract, or break it as ordered.

Orders are words in the file FAULT_DIR/<instance name> (or FAULT_DIR/<actor>), read at the start:

    exit CODE         exit at once                 never-ready      no READY, no end
    exit-ready CODE   exit right after READY       mute             READY, then no beat
    ignore-drain      DRAIN is not obeyed          unhealthy        beats say: not healthy
    noise N           N log lines at the start     orphan           leaves a process behind
    rude              records that break the contract, before READY
    deaf              closes the control socket after READY and lives on

Later orders come as signals: USR1 exit 1, USR2 stop beating.
"""
import array
import json
import os
import signal
import socket
import struct
import sys
import time

RECORD = struct.Struct("=IIQqIIQQQQ")
READY, BEAT, STOPPING, DRAINED, FATAL = 1, 2, 3, 4, 5
DRAIN, RELOAD, DUMP, GO = 33, 34, 35, 36

NAME = os.environ["SIGNALBOX_INSTANCE"]
ACTOR = os.path.basename(sys.argv[0]).removeprefix("signalbox-")
GENERATION = int(os.environ["SIGNALBOX_GENERATION"])
FDS = {name: int(fd) for name, fd in (part.split(":") for part in os.environ["SIGNALBOX_FDS"].split(","))}


def read_settings(fd):
    text = os.pread(fd, 1 << 20, 0).decode()
    return dict(line.split("=", 1) for line in text.splitlines())


def log(message, **fields):
    line = {"ts": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime()), "level": "info", "actor": NAME,
            "message": message, **fields}
    try:
        os.write(2, json.dumps(line).encode() + b"\n")
    except BlockingIOError:
        pass


def can_change(fd):
    """Whether a memory file can be opened for writing and cut short."""
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    except OSError:
        return "no"
    try:
        os.ftruncate(again, 0)
        return "yes"
    except OSError:
        return "no"
    finally:
        os.close(again)


class Fake:
    def __init__(self):
        self.settings = read_settings(FDS["settings"])
        self.orders = self.read_orders()
        self.control = socket.socket(fileno=3)
        self.control.settimeout(0.1)
        self.beating = "mute" not in self.orders
        self.tick = 0

    def read_orders(self):
        directory = self.settings.get("instance.fault_dir", "")
        for name in (NAME, ACTOR):
            try:
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    return file.read().split()
            except OSError:
                continue
        return []

    def number(self, order):
        return int(self.orders[self.orders.index(order) + 1])

    def send(self, kind, value=0):
        healthy = 0 if "unhealthy" in self.orders else 1
        self.control.send(RECORD.pack(1, kind, GENERATION, value, healthy, 0, self.tick, 0, 0, 0))

    def receive(self):
        try:
            data, ancillary, _, _ = self.control.recvmsg(RECORD.size, socket.CMSG_SPACE(4))
        except TimeoutError:
            return
        if not data:
            log("orphaned")
            sys.exit(72)
        fds = array.array("i")
        for _, _, body in ancillary:
            fds.frombytes(body[:4])
        _, kind, generation, value, *_ = RECORD.unpack(data)
        if generation != GENERATION:
            log("wrong generation")
        elif kind == DRAIN and "ignore-drain" not in self.orders:
            log("drains", within_ms=value)
            self.send(STOPPING)
            self.send(DRAINED)
            sys.exit(0)
        elif kind == RELOAD:
            self.settings = read_settings(fds[0])
            log("reloaded", log_level=self.settings["log.level"], writable=can_change(fds[0]))
        elif kind == DUMP:
            log("dumped")
        elif kind == GO:
            log("goes")

    def be_rude(self):
        whole = RECORD.pack(1, READY, GENERATION, 0, 1, 0, 0, 0, 0, 0)
        for rude in (b"x", whole[:-1], whole + b"y", RECORD.pack(2, READY, GENERATION, 0, 1, 0, 0, 0, 0, 0),
                     RECORD.pack(1, READY, GENERATION - 1, 0, 1, 0, 0, 0, 0, 0), bytes(60000)):
            self.control.send(rude)
        for kind in (0, GO, DRAIN, 2**32 - 1):
            self.send(kind, -1)
        self.control.sendmsg([whole[:8]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 50))])
        self.send(BEAT)

    def run(self):
        if "noise" in self.orders:
            for number in range(self.number("noise")):
                log("noise", number=number, text="x" * 200)
        if "exit" in self.orders:
            print("fake actor was told to exit", file=sys.stderr, flush=True)
            sys.exit(self.number("exit"))
        log("up", held=os.environ.get("SIGNALBOX_HOLD", "0"), fds=",".join(sorted(FDS)), uid=os.getuid(),
            cwd=os.getcwd(), board=can_change(FDS["metrics"]), slot=os.environ["SIGNALBOX_SLOT"], open=",".join(sorted(os.listdir("/proc/self/fd"))))
        if "orphan" in self.orders and os.fork() == 0:
            if os.fork() == 0:
                os.execv("/bin/sleep", ["signalbox-orphan", "300"])
            os._exit(0)
        if "rude" in self.orders:
            self.be_rude()
        if "never-ready" in self.orders:
            while True:
                time.sleep(1)
        self.send(READY)
        if "exit-ready" in self.orders:
            sys.exit(self.number("exit-ready"))
        if "deaf" in self.orders:
            self.control.close()
            while True:
                time.sleep(1)
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(1))
        signal.signal(signal.SIGUSR2, lambda *_: setattr(self, "beating", False))
        due = time.monotonic()
        while True:
            if self.beating and time.monotonic() >= due:
                self.tick += 1
                self.send(BEAT)
                due = time.monotonic() + 0.25
            self.receive()


Fake().run()
