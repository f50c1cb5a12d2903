"""signalbox-supervisor alone, with fake actors, without databases: for tests of supervision itself."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from harness.paths import ROOT, bin_dir
from harness.waiting import wait_until

ACTORS = ("api", "sequencer", "streamer", "job-runner", "exporter")

# `signalbox prepare` and `signalbox settings --for-reload`, as short as can be.
COMMAND = """#!/bin/sh
here=$(dirname "$0")/..
case "$1" in
prepare) [ ! -f "$here/prepare.sh" ] || exec /bin/sh "$here/prepare.sh" ;;
settings) exec /bin/sh "$here/reload.sh" ;;
esac
"""


class Refused(Exception):
    """The supervisor answered `error CODE text`."""

    def __init__(self, code, text):
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


class Supervisor:
    """One supervisor in a directory of its own; use as a context manager or with start() and end()."""

    def __init__(self, orders=None, **settings):
        self.root = Path(tempfile.mkdtemp(prefix="sbx-sup-"))
        self.root.chmod(0o755)
        self.run_dir, self.faults, self.bin = self.root / "run", self.root / "faults", self.root / "bin"
        for path in (self.run_dir, self.faults, self.bin, self.root / "data"):
            path.mkdir(mode=0o755)
        self.run_dir.chmod(0o700)
        self.uid = 65534 if os.geteuid() == 0 else os.geteuid()
        if os.geteuid() == 0:
            os.chown(self.run_dir, self.uid, self.uid)
        # The fake actor must be reachable for the services' user, which a clone need not be.
        fake = self.bin / "fake_actor.py"
        shutil.copy(ROOT / "tests/harness/fake_actor.py", fake)
        for actor in ACTORS:
            (self.bin / f"signalbox-{actor}").symlink_to("fake_actor.py")
        (self.bin / "signalbox").write_text(COMMAND, encoding="utf-8")
        (self.bin / "signalbox").chmod(0o755)
        for name, order in (orders or {}).items():
            self.order(name, order)
        self.settings = {
            "instance.dir": str(self.root), "instance.run_dir": str(self.run_dir),
            "instance.data_dir": str(self.root / "data"), "instance.bin_dir": str(self.bin),
            "instance.uid": str(self.uid), "instance.gid": str(self.uid), "instance.fault_dir": str(self.faults),
            "server.listen": "127.0.0.1:0", "database.url": "host=/nowhere dbname=signalbox password=canary-secret",
            "log.format": "json", **settings}
        self.log_path = self.root / "log"
        self.process = None

    def __enter__(self):
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_):
        self.end()

    # ---- the process ----

    def start(self, environment=None, stdout=None):
        """Starts the supervisor; its log goes to self.log_path unless `stdout` is given."""
        fd = os.memfd_create("settings", 0)
        os.write(fd, self.table().encode())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [bin_dir() / "signalbox-supervisor", "--settings-fd", str(fd)], pass_fds=(fd,), stdin=subprocess.DEVNULL,
                stdout=stdout or log, stderr=log, env={**os.environ, **(environment or {})}, cwd="/")
        os.close(fd)

    def end(self):
        """Whatever state it is in: nothing of it stays."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def wait_exit(self, timeout=15):
        return self.process.wait(timeout)

    def wait_ready(self):
        wait_until(lambda: self.status()["supervisor"]["state"] == "ready", "the supervisor is ready", timeout=20)

    # ---- settings and orders ----

    def table(self, **changes):
        return "".join(f"{key}={value}\n" for key, value in {**self.settings, **changes}.items())

    def order(self, name, words):
        (self.faults / name).write_text(words, encoding="utf-8")

    def unorder(self, name):
        (self.faults / name).unlink()

    def on_prepare(self, script):
        (self.root / "prepare.sh").write_text(script, encoding="utf-8")

    def on_reload(self, script=None, **changes):
        """What the settings command does next: print the table with changes, or a script of its own."""
        (self.root / "fresh").write_text(self.table(**changes), encoding="utf-8")
        (self.root / "reload.sh").write_text(script or f"cat {self.root}/fresh\n", encoding="utf-8")

    # ---- questions ----

    def ask(self, line, timeout=30):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout)
            peer.connect(str(self.run_dir / "control.sock"))
            peer.sendall(line.encode() + b"\n")
            answer = b""
            while piece := peer.recv(65536):
                answer += piece
        head, _, body = answer.decode().partition("\n")
        if head.startswith("error "):
            _, code, text = head.split(" ", 2)
            raise Refused(int(code), text)
        assert head == "ok", answer
        return body

    def status(self):
        return json.loads(self.ask("status"))

    def actor(self, name):
        return next(actor for actor in self.status()["actors"] if actor["name"] == name)

    def wait_actor(self, name, timeout=10, **wanted):
        """Waits until the actor's status has these values; returns it."""
        def look():
            actor = self.actor(name)
            return actor if all(actor[key] == value for key, value in wanted.items()) else None
        return wait_until(look, f"{name} with {wanted}", timeout)

    def log(self, **wanted):
        """Log lines (parsed) whose fields have these values."""
        lines = []
        for text in self.log_path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if all(line.get(key) == value for key, value in wanted.items()):
                    lines.append(line)
        return lines

    def wait_log(self, timeout=10, **wanted):
        return wait_until(lambda: self.log(**wanted), f"a log line with {wanted}", timeout)[0]


def children_of(pid):
    """Living child processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.parent.name))
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
