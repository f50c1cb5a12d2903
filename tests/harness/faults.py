"""Orders for the fault points of test builds (SB_FAULT): a file named after the point, obeyed once."""

import os
from pathlib import Path

from harness.waiting import wait_until


class Faults:
    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        os.chmod(directory, 0o777)

    def order(self, point: str, what: str):
        """what: kill | stop | abort | exit N | sleep MS | spin. The next process that gets there obeys."""
        fresh = self.directory / f".{point}.new"
        fresh.write_text(what, encoding="ascii")
        os.chmod(fresh, 0o666)
        fresh.rename(self.directory / point)

    def pending(self, point: str) -> bool:
        return (self.directory / point).exists()

    def obeyed(self, point: str, timeout=10.0):
        wait_until(lambda: not self.pending(point), f"somebody to reach the fault point {point}", timeout)

    def withdraw(self, point: str) -> bool:
        """True when nobody had obeyed yet."""
        try:
            (self.directory / point).unlink()
        except FileNotFoundError:
            return False
        return True

    def clear(self):
        for order in self.directory.iterdir():
            order.unlink(missing_ok=True)
