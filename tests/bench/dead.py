"""Peers that vanish: no FIN, no RST, no ACK. Needs a network of its own (root, unshare, ip), in which packets to them are
dropped; measured from that moment to the end of the last of their streams."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.request

from system import System

PEERS, HEALTHY = 100, 10
VANISHED = "127.0.0.2"  # the first source of the readers' tool
PING_S = 15
PATIENCE_S = 120


def measure(build, report):
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        report.note("dead: not measured, it needs root, unshare and ip")
        return
    answer = subprocess.run(["unshare", "-n", sys.executable, pathlib.Path(__file__).resolve(), "--build", build],
                            capture_output=True, text=True)
    if answer.returncode != 0:
        report.note("dead: not measured: " + answer.stderr.strip().splitlines()[-1])
        return
    gone = json.loads(answer.stdout)
    report.cell("dead", [gone["last_s"]], raw=gone)
    report.row(f"streams of {PEERS} vanished peers gone, s (heartbeat {PING_S} s)", gone["last_s"], at_most=2 * PING_S)
    report.row("  left of them", gone["left"], at_most=0)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def drop_packets():
    """The rule for local addresses moves behind one of ours."""
    ip("rule", "add", "pref", "100", "table", "local")
    ip("rule", "del", "pref", "0")
    ip("rule", "add", "pref", "50", "to", VANISHED, "blackhole")


def streams(system):
    with urllib.request.urlopen(f"http://{system.address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("signalbox_streams{")))


def readers(build, system, runs, count, *extra):
    process = subprocess.Popen([build / "bench/readers", "--address", system.address, "--key-file", system.key_file,
                                "--runs", runs, "--readers", str(count), *extra],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "ready"
    return process


def wait_streams(system, wanted, patience_s):
    """Seconds until no more are open, and how many are."""
    began = time.monotonic()
    while streams(system) > wanted and time.monotonic() - began < patience_s:
        time.sleep(0.1)
    return time.monotonic() - began, streams(system)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    build = pathlib.Path(parser.parse_args().build).resolve()
    ip("link", "set", "lo", "up")
    system = System(build)
    try:
        runs = system.make_runs(10)
        healthy = readers(build, system, runs, HEALTHY)
        vanished = readers(build, system, runs, PEERS, "--sources", "1")
        time.sleep(1)
        assert streams(system) == PEERS + HEALTHY, streams(system)
        drop_packets()
        last_s, left = wait_streams(system, HEALTHY, PATIENCE_S)
        assert left >= HEALTHY and healthy.poll() is None
        print(json.dumps({"last_s": round(last_s, 2), "left": left - HEALTHY}))
        for process in (vanished, healthy):
            process.kill()
            process.wait()
    finally:
        system.stop()


if __name__ == "__main__":
    main()
