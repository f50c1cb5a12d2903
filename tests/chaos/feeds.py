"""
The feeds of the chaos load: `python -m chaos.feeds '{...}'`. Some follow the tenant's feed from its end on, some the
stream of the phase's thread from its first event, hanging up at random and coming back with their cursor. At the end of
standard input each goes on until nothing has come for a while (no run is open any more), and the history is written.
"""

import json
import random
import sys
import threading
import time
from pathlib import Path

from chaos.load import digest, thread_of
from chaos.protocols import SocketFeedFollower
from chaos.readers import Target
from harness.feeds import TENANT_FEED, FeedFollower, thread_feed

QUIET_S, FINISH_S = 3.0, 60.0


def make(target, number, thread, **options):
    """Even ones follow the tenant's, odd ones the thread's; of both, every second one by WebSocket."""
    of_tenant, by_socket = number % 2 == 0, number % 4 >= 2
    if by_socket:
        what, start = ({"feed": "tenant"}, "latest") if of_tenant else ({"thread_id": thread}, "start")
        return SocketFeedFollower(target, what, start, **options)
    path, query = (TENANT_FEED, "from=latest") if of_tenant else (thread_feed(thread), "")
    return FeedFollower(target, path, query=query, **options)


def follow(told, target, number):
    chance = random.Random(f"{told['seed']}/feed{number}")
    follower = make(
        target, number, thread_of(told["phase"]), leave=lambda: chance.random() < 0.004, may_miss=True,
        pause_s=lambda: chance.random() * chance.choice((0.01, 0.1, 1.0)),
    )  # fmt: skip
    follower.start()
    return follower


def wait_quiet(followers):
    """Whether events are missing is for the checker to say; here only that no more come."""
    deadline = time.monotonic() + FINISH_S
    seen, since = None, time.monotonic()
    while time.monotonic() < min(deadline, since + QUIET_S):
        now = [len(follower.events) for follower in followers]
        if now != seen:
            seen, since = now, time.monotonic()
        threading.Event().wait(0.1)


def main():
    told = json.loads(sys.argv[1])
    target = Target(told)
    followers = [follow(told, target, n) for n in range(told["count"])]
    sys.stdin.read()
    wait_quiet(followers)
    for follower in followers:
        follower.stop()
    feeds = [
        {
            "name": f"feed {number} {'thread' if number % 2 else 'tenant'}", "thread": number % 2 == 1,
            "complaints": follower.violations, "connections": follower.connections,
            "events": [(event.run_id, event.seq, digest(event.payload)) for event in follower.events],
        }
        for number, follower in enumerate(followers)
    ]  # fmt: skip
    Path(told["out"]).write_text(json.dumps({"feeds": feeds}), encoding="utf-8")


if __name__ == "__main__":
    main()
