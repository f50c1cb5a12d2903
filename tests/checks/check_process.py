#!/usr/bin/python3
"""How people work together: owners of paths that exist, templates that ask for what "done" means, the targets of the Makefile,
a floor of coverage that CI holds, pinned packages, and the parts a README must have. R182, R183, R185, R186, R233, R239, R240, R241"""

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
TARGETS = ("dev", "test", "lint", "codegen", "hooks", "coverage")
# What a newcomer looks for.
README = {
    "what it is": r"\A# ", "its architecture": r"docs/architecture\.md", "its use": r"^## Two commands", "requests": r"^## HTTP",
    "the environment": r"^## Configuration", "DATABASE_URL": r"`DATABASE_URL`", "the event bus": r"^The event bus",
    "its tests": r"^## Tests", "trouble": r"^## When something is wrong", "metrics": r"/metrics", "runbooks": r"docs/runbooks/",
}
PACKAGES = ("actors", "supervisor", "ops", "migrations", "tests", *sorted(
    {"/".join(name.split("/")[:2]) for name in files(".c") if name.startswith("actors/")}))
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


def check_targets(offences):
    text = read("Makefile") + "".join(read(name) for name in files(".mk"))
    targets = set(re.findall(r"^([a-z-]+):(?!=)", text, re.M))
    offences += [f"Makefile: no target {name}" for name in TARGETS if name not in targets]


def check_gate(offences):
    """CI runs the tests, and holds the floor."""
    floors = dict(line.split() for line in read("tests/coverage-floor").splitlines())
    if set(floors) != {"full", "quick"} or not all(50 <= int(floor) <= 100 for floor in floors.values()):
        offences.append("tests/coverage-floor: wants `full N` and `quick N`, per cent of lines")
    for word in ("make", "test", "coverage"):
        if not re.search(rf"\b{word}\b", read(".ci/run")):
            offences.append(f".ci/run: does not run {word}")


def check_pins(offences):
    """A package of which a suite may hold several versions is named with its own."""
    packages = " ".join(re.findall(r'packages_\w+="(.*?)"', read("ops/deps.sh"), re.S)).split()
    for family in ("postgresql", "postgresql-client", "clang", "clang-format"):
        named = [name for name in packages if re.fullmatch(rf"{family}(?:-\d+)?", name)]
        offences += [f"ops/deps.sh: {name} without its version" for name in named if not re.search(r"-\d+$", name)]
        if not named:
            offences.append(f"ops/deps.sh: no {family}")


def check_readme(offences):
    text = read("README.md")
    for what, pattern in README.items():
        if not re.search(pattern, text, re.M):
            offences.append(f"README.md: says nothing of {what}")
    for folder in PACKAGES:
        if f"{folder}/README.md" not in files(".md"):
            offences.append(f"{folder}: no README.md")


def main():
    offences = []
    check_owners(offences)
    check_targets(offences)
    check_gate(offences)
    check_pins(offences)
    check_readme(offences)
    for template in TEMPLATES:
        text = read(template)
        offences += [f"{template}: does not ask for {what}" for what, pattern in DONE.items() if not re.search(pattern, text, re.S)]
    return report(offences)


sys.exit(main())
