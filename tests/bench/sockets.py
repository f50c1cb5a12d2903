"""What the kernel says of TCP connections: how many a server has, and whether all of it has arrived. And waiting for that."""

import time

ESTABLISHED = "01"


def unacknowledged(port, net="/proc/net") -> list:
    """Bytes on their way, of each established connection with this port at its own end."""
    with open(f"{net}/tcp", encoding="ascii") as table:
        next(table)
        rows = [line.split(maxsplit=5) for line in table]
    local = f"{port:04X}"
    return [int(row[4].partition(":")[0], 16) for row in rows if row[3] == ESTABLISHED and row[1].rpartition(":")[2] == local]


def wait_until(what, ready, patience_s=30):
    until = time.monotonic() + patience_s
    while not ready():
        if time.monotonic() > until:
            raise SystemExit(f"not within {patience_s} s: {what}")
        time.sleep(0.05)


def wait_connections(address, count):
    """Until the server at this address has exactly so many."""
    port = int(address.rpartition(":")[2])
    wait_until(f"{count} connections at {address}", lambda: len(unacknowledged(port)) == count)


def steady(measure, patience_s=15, share=0.01, for_s=1.0):
    """The value once it has stayed within a share of itself for a while; what it is at the end of patience otherwise."""
    until = time.monotonic() + patience_s
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < for_s and time.monotonic() < until:
        time.sleep(0.1)
        now = measure()
        if abs(now - value) > share * value:
            value, since = now, time.monotonic()
    return measure()
