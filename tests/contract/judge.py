"""Verdicts of the compiled schemas (tests/contract/schema_judge.c)."""

import fcntl
import json
import os
import subprocess

from harness.paths import ROOT, bin_dir

OUT = bin_dir().parent


def build():
    """The program of the build under test; make knows whether there is anything to do."""
    variant = OUT.name if OUT.name in ("fault", "asan") else "release"
    target = OUT.relative_to(ROOT) / "test" / "schema_judge"
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / ".schema_judge.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")}
        subprocess.run(["make", "-s", f"VARIANT={variant}", str(target)], cwd=ROOT, env=environment, check=True)
    return ROOT / target


class Judge:
    def __init__(self):
        self.process = subprocess.Popen([build()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0

    def ask(self, which, number, text):
        """{"verdict", "errors"} on JSON text."""
        self.process.stdin.write(f"{which} {number} {text}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def verdict(self, which, number, value):
        return self.ask(which, number, json.dumps(value))["verdict"]
