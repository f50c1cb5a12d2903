#!/usr/bin/python3
"""The diagrams of docs/architecture/flow.md name what the code has: functions of the sender, messages of the protocol. R238"""

import re
import sys

from tree import files, read, report, without

PAGE = "docs/architecture/flow.md"
FOLDERS = {"api": ("actors/api/", "actors/runtime/"), "sequencer": ("actors/sequencer/", "actors/runtime/"),
           "streamer": ("actors/streamer/", "actors/runtime/"), "job-runner": ("actors/job-runner/", "actors/runtime/")}
OUTSIDE = {"client", "reader", "worker", "PostgreSQL", "bus"}
MESSAGE = re.compile(r"^message \d+ ([A-Z_]+)\s+(.+?) -> (.+?)\s+since", re.M)


def messages():
    """Name -> (senders, receivers)."""
    return {name: (set(re.split(r",\s*", senders)), set(re.split(r",\s*", receivers)))
            for name, senders, receivers in MESSAGE.findall(read("proto/messages.def"))}


def functions(folders):
    found = set()
    for name in files(".c", ".h"):
        if name.startswith(folders):
            found |= set(re.findall(r"^\w[^\n;={}]*?\b(\w+)\(", without(read(name)), re.M))
    return found


def sql_functions():
    return {name for file in files(".up.sql") for name in re.findall(r"create (?:or replace )?function (\w+)\(", read(file))}


class Diagrams:
    def __init__(self):
        self.messages, self.sql = messages(), sql_functions()
        self.known = {actor: functions(folders) for actor, folders in FOLDERS.items()}
        self.offences = []

    def complain(self, number, what):
        self.offences.append(f"{PAGE}:{number}: {what}")

    def check_functions(self, number, actor, text):
        for name in re.findall(r"\b(\w+)\(\)", text):
            if name not in self.known.get(actor, set()) | self.sql:
                self.complain(number, f"{actor} has no function {name}()")

    def check_message(self, number, sender, receiver, text):
        word = re.match(r"([A-Z][A-Z_]+)\b", text)
        if not word or word[1] in ("GET", "POST"):
            return
        if word[1] not in self.messages:
            self.complain(number, f"there is no message {word[1]}")
            return
        senders, receivers = self.messages[word[1]]
        if sender not in senders | {"bus"} or receiver not in receivers | {"bus"}:
            self.complain(number, f"{word[1]} does not go from {sender} to {receiver}")

    def check(self, number, line, names):
        if match := re.match(r"\s*participant (\w+) as (.+)", line):
            names[match[1]] = match[2]
            if match[2] not in FOLDERS and match[2] not in OUTSIDE:
                self.complain(number, f"nobody is called {match[2]}")
        elif match := re.match(r"\s*(\w+)-?->>(\w+): (.+)", line):
            sender, receiver = names.get(match[1]), names.get(match[2])
            if sender is None or receiver is None:
                self.complain(number, "an arrow from or to nobody")
                return
            self.check_functions(number, sender, match[3])
            self.check_message(number, sender, receiver, match[3])
        elif match := re.match(r"\s*Note over (\w+): (.+)", line):
            self.check_functions(number, names.get(match[1]), match[2])
        elif line.strip() not in ("sequenceDiagram", ""):
            self.complain(number, f"not understood: {line.strip()}")


def main():
    diagrams, names, inside, count = Diagrams(), {}, False, 0
    for number, line in enumerate(read(PAGE).splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```mermaid"
            names = {}
            count += inside
        elif inside:
            diagrams.check(number, line, names)
    if count != 5:
        diagrams.complain(1, f"{count} diagrams, not append, publish, reconnect, a claim and an end")
    return report(diagrams.offences)


sys.exit(main())
