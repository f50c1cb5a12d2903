#!/usr/bin/python3
"""What no committed file holds: paths of one machine, things left for later, people and their tools, ragged text."""

import re
import sys

from tree import files, read, report

SELF = "tests/checks/check_words.py"
TEXT = (".c", ".h", ".def", ".py", ".sh", ".mk", ".md", ".sql", ".json", ".yaml", ".yml", ".toml", ".ini", ".conf",
        ".ts", ".tsx", ".css", ".html", "Makefile", ".ci/run")
RULES = [
    ("a path of one machine", re.compile(r"(?<![\w.])/(?:work|root|tmp/wt|Users)/|(?<![\w.])/home/\w+|\.\./shared/")),
    ("left for later", re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")),
    ("a person speaking", re.compile(r"\bI(?:'m|'ve|'ll| am| think| will| have| was)\b|\b(?:imho|afaik)\b", re.I)),
    ("who wrote it", re.compile(r"co-authored-by|(?:generated|written|made) (?:by|with) (?:ai\b|an? (?:ai|llm)\b|claude|chatgpt|copilot)", re.I)),
    ("a person's address", re.compile(r"[\w.+-]+@(?!(?:\w+\.)*example\.)[\w-]+\.(?:com|org|net|io|de|dev)\b")),
]
NOT_EXCEPTED = re.compile(r"allows words: \S")


def check(name, offences):
    for number, line in enumerate(read(name).split("\n"), 1):
        for what, pattern in RULES:
            match = pattern.search(line)
            if match and not NOT_EXCEPTED.search(line):
                offences.append(f"{name}:{number}: {what}: {match[0]}")
        if line != line.rstrip() and not name.endswith(".md"):
            offences.append(f"{name}:{number}: blanks at the end of the line")
        if "\t" in line and name.endswith((".c", ".h", ".py", ".sql", ".def")):
            offences.append(f"{name}:{number}: a tab")
    if not read(name).endswith("\n") and read(name):
        offences.append(f"{name}: no line end at the end of the file")


def main():
    offences = []
    for name in files(*TEXT):
        if name != SELF and "/data/" not in name:
            check(name, offences)
    return report(offences)


sys.exit(main())
