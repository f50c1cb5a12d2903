"""Processes by pid and start time, so that a recycled pid is never mistaken for the old process."""

import os
import signal
from dataclasses import dataclass

from harness.waiting import wait_until


def start_time(pid: int):
    """Clock ticks since boot at which the process started; None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Process:
    pid: int
    started: int

    @classmethod
    def of(cls, pid: int):
        started = start_time(pid)
        return None if started is None else cls(pid, started)

    def alive(self) -> bool:
        return start_time(self.pid) == self.started

    def signal(self, number) -> bool:
        """False when the process has gone already."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> bool:
        return self.signal(signal.SIGKILL)

    def wait_gone(self, timeout=10.0):
        wait_until(lambda: not self.alive(), f"the end of pid {self.pid}", timeout)

    def wait_stopped(self, timeout=5.0):
        """Until SIGSTOP has taken effect."""

        def stopped():
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "T"

        wait_until(stopped, f"pid {self.pid} to be stopped", timeout)


def children(pid: int) -> list:
    """Pids of the direct children."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as listing:
                found += [int(child) for child in listing.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def family(pid: int) -> list:
    """The process and all its descendants, as Process records."""
    own = Process.of(pid)
    if own is None:
        return []
    result = [own]
    for child in children(pid):
        result += family(child)
    return result


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid: int) -> int:
    """Proportional set size, what the process costs the machine."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
