"""Projections of runs on their own (tests/contract/project.c): events in, what clients are sent out."""

import fcntl
import functools
import json
import os
import re
import subprocess

from harness.paths import ROOT, bin_dir

OUT = bin_dir().parent
RUN_ID = "0199a000-0000-7000-8000-00000000000a"
_NUMBER = re.compile(r"EVENT_TYPE_([A-Z_]+) = (\d+)")
NUMBERS = dict(_NUMBER.findall((ROOT / "contracts" / "generated" / "event_types.h").read_text(encoding="utf-8")))


@functools.lru_cache(maxsize=1)
def build():
    """The program of the build under test; make knows whether there is anything to do."""
    variant = OUT.name if OUT.name in ("fault", "asan", "coverage") else "release"
    target = OUT.relative_to(ROOT) / "test" / "project"
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / ".project.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")}
        subprocess.run(["make", "-s", f"VARIANT={variant}", str(target)], cwd=ROOT, env=environment, check=True)
    return ROOT / target


def project(logs, joins=(), form="ag-ui"):
    """For each log, a list of (type, payload): (what each event gave, {position: what one is given who comes there}).

    Each is {"pauses", "bytes"}; `joins` has the positions of each log (number of events before).
    """
    lines, plan = [], []
    for number, log in enumerate(logs):
        lines.append(f"new {form} {RUN_ID}")
        wanted = set(joins[number]) if joins else set()
        for position, (kind, payload) in enumerate(log, 1):
            lines.append(f"event {NUMBERS[kind]} {payload if isinstance(payload, str) else json.dumps(payload)}")
            plan.append((number, None))
            if position in wanted:
                lines.append("join")
                plan.append((number, position))
    done = subprocess.run([build()], input="".join(line + "\n" for line in lines), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [([], {}) for _ in logs]
    for (number, position), line in zip(plan, done.stdout.rstrip("\n").split("\n"), strict=True):
        answer = json.loads(line)
        if position is None:
            found[number][0].append(answer)
        else:
            found[number][1][position] = answer
    return found
