"""
The readers of the chaos load: `python -m chaos.readers '{...}'`. Each takes a slot, follows its open run to the end,
hanging up at random and coming back with where it was, then goes on to the slot's next run; most by server-sent events, some
by other protocols (KINDS); those of a chat take no slot. At the end of standard input each finishes the run it is at (the driver ends all of them) and
the history is written.
"""

import json
import random
import sys
import threading
import time
from pathlib import Path

from chaos.assembled import CLIENTS
from chaos.conversations import AguiFollower, AiSdkFollower
from chaos.load import SLOTS, digest, key_of, run_of, thread_of
from chaos.protocols import FilteredFollower, LineFollower, SocketFollower
from harness.sse import Follower, SseStream

FINISH_S = 40.0
FEW = ("RUN_STARTED", "CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED", "RUN_CANCEL_REQUESTED")
KINDS = (
    ("events", Follower, {}), ("socket", SocketFollower, {}), ("events", Follower, {}), ("lines", LineFollower, {}),
    ("socket", SocketFollower, {}), ("events", Follower, {}), ("filtered", FilteredFollower, {"types": FEW}),
    ("filtered", FilteredFollower, {"types": ("CUSTOM",)}), ("agui", AguiFollower, {}), ("ai-sdk", AiSdkFollower, {}),
)  # fmt: skip


class Target:
    """As much of a server as a Follower needs."""

    def __init__(self, told):
        self.address = (told["host"], told["port"])
        self.api_key = Path(told["key_path"]).read_text(encoding="ascii").strip()

    def stream(self, run_id, key=None, headers=None):
        return SseStream(self.address, f"/api/v1/runs/{run_id}/stream", key or self.api_key, headers)


class Reader(threading.Thread):
    def __init__(self, number, told, target, stopping):
        super().__init__(daemon=True)
        self.told, self.target, self.stopping = told, target, stopping
        self.slot = number % SLOTS
        self.chance = random.Random(f"{told['seed']}/reader{number}")
        self.number = number
        self.kind, self.make, self.options = KINDS[number % len(KINDS)]
        self.observers, self.assembled, self.complaints, self.absences, self.connections = [], [], [], [], 0

    def run(self):
        if self.make is AiSdkFollower:
            self.follow(thread_of(self.told["phase"]))
            return
        generation = 0
        while True:
            run = run_of(self.told["phase"], self.slot, generation)
            stopped = self.stopping.is_set()  # asked before looking: a 404 after it means there is none
            if self.follow(run):
                generation += 1
            elif stopped:
                return
            else:
                self.stopping.wait(0.1)

    def follow(self, run) -> bool:
        """False: there is no such run."""
        chance, restless = self.chance, 0.03 if self.kind in CLIENTS else 0.01
        follower = self.make(
            self.target, run, leave=lambda: chance.random() < restless, may_miss=True,
            pause_s=lambda: chance.random() * chance.choice((0.01, 0.1, 1.0)), **self.options,
        )  # fmt: skip
        follower.start()
        deadline = None
        while follower.is_alive():
            follower.join(0.2)
            if self.stopping.is_set():
                follower.last = True
                deadline = deadline or time.monotonic() + FINISH_S
                if time.monotonic() > deadline:
                    follower.violations.append(f"not at the end {FINISH_S} s after it; at seq {follower.cursor}")
                    follower.stop()
        if follower.missing:
            return False
        self.absences += follower.absences
        self.connections += follower.connections
        if self.kind in CLIENTS:
            name = f"reader {self.number} ({self.kind})"
            self.assembled += [vars(one) | {"name": name} for one in follower.assembled]
            self.complaints += [f"{name}: {text}" for text in follower.violations]
            return True
        self.observers.append({
            "name": f"reader {self.number} ({self.kind})", "kind": self.kind, "run": run, "complaints": follower.violations,
            "types": self.options.get("types", ()),
            "connections": [
                (cursor, [(seq, kind, key_of(text), digest(text)) for seq, kind, text in events])
                for cursor, events in follower.history
            ],
        })  # fmt: skip
        return True


def main():
    told = json.loads(sys.argv[1])
    stopping = threading.Event()
    target = Target(told)
    readers = [Reader(told["begin"] + n, told, target, stopping) for n in range(told["count"])]
    for reader in readers:
        reader.start()
    sys.stdin.read()
    stopping.set()
    for reader in readers:
        reader.join()
    history = {
        "observers": [observer for reader in readers for observer in reader.observers],
        "assembled": [one for reader in readers for one in reader.assembled],
        "complaints": [complaint for reader in readers for complaint in reader.complaints],
        "absences": [absence for reader in readers for absence in reader.absences],
        "connections": sum(reader.connections for reader in readers),
    }
    Path(told["out"]).write_text(json.dumps(history), encoding="utf-8")


if __name__ == "__main__":
    main()
