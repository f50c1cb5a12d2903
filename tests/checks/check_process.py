#!/usr/bin/python3
"""How people work together: owners of paths that exist, templates that ask for what "done" means (R182, R186)."""

import fnmatch
import re
import sys

from tree import files, read, report

OWNERS = ".github/CODEOWNERS"
TEMPLATES = (".github/pull_request_template.md", ".github/ISSUE_TEMPLATE/change.md")
# What each template must ask for.
DONE = {
    "tests": r"\btests?\b", "a way down for migrations, on a clean database": r"down.*clean database|clean database",
    "all four surfaces of an event type": r"four surfaces", "a picture of what people see": r"\bpicture\b",
    "nothing left for later without an issue": r"left for later without an issue",
}
MUST_OWN = ("agents", "database", "ui")


def fits(pattern, name):
    pattern = pattern.lstrip("/")
    return pattern == "*" or (name.startswith(pattern) if pattern.endswith("/") else fnmatch.fnmatch(name, pattern))


def check_owners(offences):
    names, owners = files(), set()
    for number, line in enumerate(read(OWNERS).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, *who = line.split()
        owners |= set(who)
        if not who or not all(re.fullmatch(r"@[\w-]+/[\w-]+", owner) for owner in who):
            offences.append(f"{OWNERS}:{number}: a path needs owners of the form @team/name")
        if not any(fits(pattern, name) for name in names):
            offences.append(f"{OWNERS}:{number}: no such path: {pattern}")
    offences += [f"{OWNERS}: nobody is asked about {what}" for what in MUST_OWN if f"@signalbox/{what}" not in owners]


def main():
    offences = []
    check_owners(offences)
    for template in TEMPLATES:
        text = read(template)
        offences += [f"{template}: does not ask for {what}" for what, pattern in DONE.items() if not re.search(pattern, text, re.S)]
    return report(offences)


sys.exit(main())
