"""Peers that vanish: no FIN, no RST, no ACK. Their connections go through a network of their own that is switched off
(the tests' LostNet), and are handed to a streamer as an api does it. Measured from that moment to the end of the last."""

import os
import pathlib
import socket
import sys
import time
import uuid

import sockets

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness.lone_streamer import HANDOVER, NATIVE, envelope  # noqa: E402
from harness.lost_net import LostNet  # noqa: E402

PEERS = 100
HEARTBEAT_S = 15
PATIENCE_S = 120


def hand_over(site, connection, tenant, key, run):
    """One packet with one socket, to the first slot of the streamers."""
    packet = envelope(HANDOVER, [tenant.bytes, key.bytes, run.bytes, 0, 0, 0, bytes(16), b"", *NATIVE])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.connect(os.path.join(site.system.run_directory, "handover-1.sock"))
        socket.send_fds(peer, [packet], [connection.fileno()])


def open_streams(site):
    return int(site.metric("streams"))


def wait_streams(site, wanted, patience_s):
    """Seconds until so many are open, or patience ends."""
    began = time.monotonic()
    while open_streams(site) != wanted and time.monotonic() - began < patience_s:
        time.sleep(0.1)
    return time.monotonic() - began


def measure(site, report):
    with LostNet() as net:
        if not net.allowed:
            report.note("dead: not measured, no network namespace can be made here")
            return
        with site.system.database() as database:
            tenant, key = database.execute("select tenant_id, key_id from api_keys limit 1").fetchone()
        run = uuid.UUID(open(site.make_runs(1)).read().strip())
        wait_streams(site, 0, 10)
        for _ in range(PEERS):
            with net.connection() as connection:
                port = connection.getsockname()[1]
                hand_over(site, connection, tenant, key, run)
        wait_streams(site, PEERS, 10)
        assert open_streams(site) == PEERS, open_streams(site)
        there = f"/proc/{net.process.pid}/net"
        sockets.wait_until("what they were given is acknowledged", lambda: sockets.unacknowledged(port, there) == [0] * PEERS)
        net.lose()
        last_s = wait_streams(site, 0, PATIENCE_S)
    left = open_streams(site)
    report.cell("dead", [last_s], left=left)
    report.row(f"streams of {PEERS} vanished peers gone, s (heartbeat {HEARTBEAT_S} s)", last_s, at_most=2 * HEARTBEAT_S)
    report.row("  left of them", left, at_most=0)
