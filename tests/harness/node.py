"""
Programs of tests/clients: each one wraps an npm client, is told by arguments (and by one JSON value on stdin) what to
do, and prints what happened as JSON, one value a line.
"""

import json
import queue
import shutil
import subprocess
import threading

from harness.paths import ROOT, patience

FOLDER = ROOT / "tests" / "clients"
TIMEOUT_S = 30


def missing() -> str:
    """Why the clients cannot be run; empty when they can."""
    if shutil.which("node") is None:
        return "no node on this machine"
    installed, locked = FOLDER / "node_modules" / ".installed", FOLDER / "package-lock.json"
    if not installed.exists() or installed.read_bytes() != locked.read_bytes():
        return "the npm clients of tests/clients are not installed (ops/deps.sh)"
    return ""


class Process:
    """One client at work."""

    def __init__(self, script, arguments, given):
        self.script = script
        self.lines = queue.Queue()
        self.seen = []
        self.errors = []
        self.process = subprocess.Popen(["node", str(FOLDER / script), *map(str, arguments)], cwd=FOLDER, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._read_errors)]
        for thread in self.threads:
            thread.start()
        if given is not None:
            self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.close()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def _fail(self, what):
        self.close()
        raise AssertionError(f"{self.script}: {what}; printed {self.seen}\n{''.join(self.errors)}")

    def line(self, timeout=TIMEOUT_S):
        """The next value it prints; None behind the last one."""
        try:
            value = self.lines.get(timeout=timeout * patience())
        except queue.Empty:
            self._fail(f"printed nothing for {timeout} s")
        if value is not None:
            self.seen.append(value)
        return value

    def result(self, timeout=TIMEOUT_S):
        """Waits for its end; the last value it printed."""
        while self.line(timeout) is not None:
            continue
        code = self.process.wait(timeout * patience())
        for thread in self.threads:
            thread.join()
        if code != 0 or not self.seen:
            self._fail(f"ended with {code}")
        return self.seen[-1]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()


class Clients:
    """What the fixture node_client gives."""

    def __init__(self):
        self.started = []

    def start(self, script, *arguments, given=None) -> Process:
        """Starts it; `given` is one JSON value for its stdin."""
        process = Process(script, arguments, given)
        self.started.append(process)
        return process

    def __call__(self, script, *arguments, given=None, timeout=TIMEOUT_S):
        """Runs it to its end; the last value it printed."""
        return self.start(script, *arguments, given=given).result(timeout)

    def close(self):
        for process in self.started:
            process.close()
