"""The server's log as it writes it: JSON lines, read from where the last look ended."""

import json
import re

CRASH = re.compile(
    r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed"
    r"|assertion failed|\*\*\* stack smashing|buffer overflow detected|SUMMARY: |Segmentation fault"
    r"|double free|free\(\): invalid|malloc\(\): |backtrace:",
    re.IGNORECASE,
)


class LogFile:
    """One growing file. mark() remembers where a test began; lines() is what came since."""

    def __init__(self, path):
        self.path = path
        self.begin = 0

    def mark(self):
        self.begin = self.path.stat().st_size if self.path.exists() else 0

    def text(self, whole=False) -> str:
        if not self.path.exists():
            return ""
        with open(self.path, "rb") as log:
            log.seek(0 if whole else self.begin)
            return log.read().decode("utf-8", "replace")

    def lines(self, whole=False) -> list:
        return self.text(whole).splitlines()

    def records(self, whole=False) -> list:
        """The JSON lines; anything else is left out."""
        found = []
        for line in self.lines(whole):
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def errors(self) -> list:
        return [r for r in self.records() if r.get("level") == "error"]

    def crashes(self) -> list:
        return [line for line in self.lines() if CRASH.search(line)]

    def tail(self, count=40) -> str:
        return "\n".join(self.lines(whole=True)[-count:])
