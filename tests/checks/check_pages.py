#!/usr/bin/python3
"""What pages name exists: settings, metrics, fault points, problems, make targets, commands, files of the tree."""

import json
import re
import sys

from tree import files, read, report

CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w./-]*\w\.(?:c|h|py|def|sql|md|mk|sh|conf|service|json|jsonl)")
NOT_OURS = re.compile(r"^(?:.*[<>*…]|NNNN|.*NAME|libpq-fe|/)")
LATER = {"docs/measurements.md"}  # written by `make bench`, not by hand


def first_groups(pattern, name):
    return set(re.findall(pattern, read(name), re.M))


def settings():
    return first_groups(r'^SETTING\(\w+, "([\w.]+)"', "actors/runtime/base/settings.def")


def metrics():
    found = set()
    for kind, name in re.findall(r'^(COUNTER|GAUGE|HISTOGRAM|SIZES)\(\w+, "(\w+)"', read("actors/runtime/base/metrics.def"), re.M):
        found.add(f"signalbox_{name}" + ("_total" if kind == "COUNTER" else ""))
    return found


def roles():
    return first_groups(r"'(signalbox_\w+)'", "migrations/roles.sql")


def targets():
    found = set()
    for name in ["Makefile", *files(".mk")]:
        for line in re.findall(r"^([a-z][\w -]*):(?!=)", read(name), re.M):
            found |= set(line.split())
    return found | {"fuzz-" + name.split("/")[-1].removesuffix("_fuzz.c") for name in files("_fuzz.c")}


def commands():
    return first_groups(r'\{\.?(?:name = )?"([a-z]+)"', "ops/cli/main.c")


def fault_points():
    return {point for name in files(".c") for point in first_groups(r'SB_FAULT\("(\w+)"\)', name)}


class Known:
    def __init__(self):
        self.settings, self.metrics, self.roles = settings(), metrics(), roles()
        self.sections = {key.split(".")[0] for key in self.settings}
        self.targets, self.commands, self.faults = targets(), commands(), fault_points()
        self.problems = {problem["slug"] for problem in json.loads(read("contracts/problems.json"))}
        self.files = set(files())
        self.names = {name.rsplit("/", 1)[-1] for name in self.files}

    def has_file(self, page, path):
        if "/" not in path:
            return path in self.names
        folder = page.rpartition("/")[0]
        places = (path, f"{folder}/{path}", f"actors/{path}", f"tests/{path}", f"docs/{path}")
        return path in LATER or any(place in self.files for place in places)

    def wrong(self, page, text):
        """Why a piece of code in a page is wrong, or None."""
        if re.fullmatch(r"[a-z_]+\.[a-z_]+", text) and text.split(".")[0] in self.sections and not FILE.fullmatch(text):
            return None if text in self.settings else "no such setting"
        if match := re.match(r"(signalbox_\w+)(?:\{.*)?$", text):
            return None if match[1] in self.metrics | self.roles else "no such metric or role"
        if re.fullmatch(r"(?:api|sequencer|streamer)_(?:before|after|mid|half)_\w+", text):
            return None if text in self.faults else "no such fault point"
        if match := re.match(r"(?:build/bin/)?signalbox ([a-z]+)", text):
            return None if match[1] in self.commands | {"help"} else "no such command"
        if match := re.match(r"make ((?:[a-z][a-z-]*(?: |$))+)", text):
            missing = [target for target in match[1].split() if target not in self.targets]
            return f"no such target: {' '.join(missing)}" if missing else None
        if FILE.fullmatch(text) and not NOT_OURS.match(text) and not text.startswith(("build/", "var/")):
            return None if self.has_file(page, text) else "no such file"
        return None


def main():
    known, offences = Known(), []
    for page in files(".md"):
        prose = re.sub(r"^```.*?^```", lambda block: re.sub(r"[^\n]", "", block[0]), read(page), flags=re.S | re.M)
        for number, line in enumerate(prose.splitlines(), 1):
            for text in CODE.findall(line):
                if why := known.wrong(page, text):
                    offences.append(f"{page}:{number}: {why}: {text}")
            for slug in re.findall(r"\b[45]\d\d `([a-z]+(?:-[a-z]+)*)`", line):
                if slug not in known.problems:
                    offences.append(f"{page}:{number}: no such problem: {slug}")
    return report(offences)


sys.exit(main())
