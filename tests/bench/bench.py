"""Measures one fresh installation against its baselines, in one run, in interleaved rounds; prints the ratios.

Absolute numbers drift with the machine; what counts is a ratio inside one run. Sections:
    append    one event a POST, many events a POST, the sequencer alone; against direct designs in the same PostgreSQL
    latency   acknowledgements at one outstanding and at a fixed rate, against this disk's fdatasync
    feed      readers of the tenant's feed: latency, CPU a delivery (streams of runs: stream.py)
    memory    the idle stack
    recovery  kill -9 of the sequencer, time to the next acknowledgement
    lists     a page of runs among a million, for each filter (LIST_RUNS=N: among N)
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

import lists
from report import Report, median, shown
from system import Cpu, System, kill, pss_bytes

HERE = pathlib.Path(__file__).resolve().parent
PAYLOAD = json.dumps({"message_id": "message-1", "delta": "t=0000000000000000 ".ljust(273, "w")}, separators=(",", ":"))
CLIENTS = 64
RUNS = 64


def ms(values):
    return [value / 1000 for value in values]


class Bench:
    def __init__(self, system, report, rounds, seconds):
        self.system = system
        self.report = report
        self.rounds = rounds
        self.seconds = seconds
        self.tools = system.build / "bench"
        self.many_runs = system.make_runs(RUNS)
        self.one_run = system.make_runs(1)

    # ---- tools ----

    def tool(self, name, *arguments):
        answer = subprocess.run([self.tools / name, *map(str, arguments)], capture_output=True, text=True)
        if answer.returncode != 0:
            raise SystemExit(f"{name}: {answer.stderr.strip()}")
        return json.loads(answer.stdout)

    def load(self, runs, *arguments, seconds=None):
        """Producers over HTTP. Every POST must be acknowledged, at the latest after a retry."""
        result = self.accounted(lambda: self.tool(
            "load", "--address", self.system.address, "--key-file", self.system.key_file, "--runs", runs, "--ms",
            int((seconds or self.seconds) * 1000), *arguments))
        assert not result["unanswered"], result
        return result

    def accounted(self, measure):
        """Adds CPU µs an event, by group of processes; "tool" is the load generator."""
        cpu = Cpu(self.system)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = measure()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = cpu.used()
        used["tool"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        count = max(result.get("events_all", result.get("events", 0)), 1)
        result["cpu_us"] = {name: round(seconds * 1e6 / count, 2) for name, seconds in used.items()}
        return result

    def readers(self, runs, count):
        """runs None: readers of the tenant's feed."""
        what = ["--feed"] if runs is None else ["--runs", runs]
        process = subprocess.Popen([self.tools / "readers", "--address", self.system.address, "--key-file",
                                    self.system.key_file, *what, "--readers", str(count)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = process.stdout.readline().strip()
        if ready != "ready":
            raise SystemExit("readers did not start")
        return process

    @staticmethod
    def finish_readers(process, wanted_seq=None):
        output, _ = process.communicate("" if wanted_seq is None else f"{wanted_seq}\n", timeout=120)
        return json.loads(output)

    def pgbench(self, script, runs):
        """One design in the same database, 64 direct connections, no HTTP."""
        return self.accounted(lambda: self.run_pgbench(script, runs))

    def run_pgbench(self, script, runs):
        with tempfile.TemporaryDirectory() as directory:
            answer = subprocess.run(
                ["pgbench", "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2",
                 f"--time={max(1, round(self.seconds))}", f"--file={HERE / script}", f"--define=runs={runs}",
                 f"--define=payload={PAYLOAD}", "--log", "--sampling-rate=0.2", self.system.dsn()],
                capture_output=True, text=True, cwd=directory)
            if answer.returncode != 0:
                raise SystemExit(f"pgbench {script}: {answer.stderr.strip()[-500:]}")
            latencies = sorted(int(line.split()[2]) for path in pathlib.Path(directory).iterdir()
                               for line in path.read_text().splitlines())
        rate = float(re.search(r"tps = ([0-9.]+) \(without", answer.stdout)[1])
        done = int(re.search(r"actually processed: ([0-9]+)", answer.stdout)[1])
        return {"events": done, "events_per_s": rate, "p50_us": latencies[len(latencies) // 2],
                "p99_us": latencies[int(len(latencies) * 0.99)]}

    def fsync(self, seconds=1.0):
        """Appends of 8 KiB with fdatasync, in the directory of the measured installation."""
        path = os.path.join(self.system.directory, "fsync")
        block = b"x" * 8192
        took = []
        until = time.monotonic() + seconds
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        while time.monotonic() < until:
            began = time.perf_counter_ns()
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            took.append((time.perf_counter_ns() - began) / 1000)
        os.close(descriptor)
        os.unlink(path)
        took.sort()
        return {"p50_us": took[len(took) // 2], "p99_us": took[int(len(took) * 0.99)]}

    def repeat(self, cells):
        """Interleaved rounds: {name: function}. Results by name, in order of the rounds."""
        results = {name: [] for name in cells}
        for round_number in range(self.rounds):
            for name, measure in cells.items():
                self.system.checkpoint()
                results[name].append(measure())
                print(f"    round {round_number + 1}  {name:<44} "
                      f"{shown(results[name][-1].get('events_per_s', results[name][-1]['p50_us']))}/s  "
                      f"p99 {results[name][-1]['p99_us'] / 1000:.2f} ms", flush=True)
        for name, values in results.items():
            self.report.cell(name, [value.get("events_per_s", value["p50_us"]) for value in values], raw=values)
        return {name: {key: [value[key] for value in values]
                       for key in ("events_per_s", "p50_us", "p99_us") if key in values[0]}
                for name, values in results.items()}

    def note_cpu(self, name):
        raw = self.report.cells[name]["raw"]
        parts = sorted(((who, median([one["cpu_us"][who] for one in raw])) for who in raw[0]["cpu_us"]),
                       key=lambda part: -part[1])
        self.report.note(f"CPU µs an event, {name}: {sum(used for _, used in parts):.1f} = "
                         + " + ".join(f"{who} {used:.1f}" for who, used in parts if used >= 0.3))

    # ---- sections ----

    def append(self):
        with self.system.database() as database:
            database.execute((HERE / "baselines.sql").read_text())
            tenant = self.system.tenant(database)
        commands = os.path.join(self.system.run_directory, "commands.sock")
        got = self.repeat({
            "counter, then insert, 64 runs": lambda: self.pgbench("counter.sql", RUNS),
            "HTTP, 64 connections, 64 runs": lambda: self.load(self.many_runs, "--connections", CLIENTS),
            "counter in one statement, 64 runs": lambda: self.pgbench("counter_one_statement.sql", RUNS),
            "HTTP, 64 connections, 64 runs, no key":
                lambda: self.load(self.many_runs, "--connections", CLIENTS, "--keyless"),
            "advisory lock, 64 runs": lambda: self.pgbench("advisory_lock.sql", RUNS),
            "counter, then insert, 1 run": lambda: self.pgbench("counter.sql", 1),
            "HTTP, 64 connections, 1 run": lambda: self.load(self.one_run, "--connections", CLIENTS),
            "counter in one statement, 1 run": lambda: self.pgbench("counter_one_statement.sql", 1),
            "advisory lock, 1 run": lambda: self.pgbench("advisory_lock.sql", 1),
            "COPY BINARY, 1,024 rows":
                lambda: self.accounted(lambda: self.tool("copy_load", "--dsn", self.system.dsn(), "--ms",
                                                         int(self.seconds * 1000))),
            "HTTP, 16 connections, 100 events a POST":
                lambda: self.load(self.many_runs, "--connections", 16, "--events", 100),
            "sequencer, 1,024 outstanding":
                lambda: self.accounted(lambda: self.tool(
                    "command_load", "--socket", commands, "--runs", self.many_runs, "--tenant", tenant, "--ms",
                    int(self.seconds * 1000))),
        })
        self.check_counts()
        row = self.report.row
        ours = got["HTTP, 64 connections, 64 runs"]
        hot = got["HTTP, 64 connections, 1 run"]
        rate = lambda name: got[name]["events_per_s"]
        row("append/s, 64 connections, 64 runs", ours["events_per_s"], "counter, then insert",
            rate("counter, then insert, 64 runs"), at_least=2)
        row("  the same", ours["events_per_s"], "counter in one statement",
            rate("counter in one statement, 64 runs"), at_least=1)
        row("  the same", ours["events_per_s"], "advisory lock + max(seq)", rate("advisory lock, 64 runs"))
        row("  the same without Idempotency-Key", rate("HTTP, 64 connections, 64 runs, no key"),
            "counter, then insert", rate("counter, then insert, 64 runs"))
        row("  ack p99, ms", ms(ours["p99_us"]), "counter, then insert",
            ms(got["counter, then insert, 64 runs"]["p99_us"]), at_most=0.5)
        row("append/s, 64 connections, one run", hot["events_per_s"], "counter, then insert",
            rate("counter, then insert, 1 run"), at_least=12)
        row("  the same", hot["events_per_s"], "advisory lock + max(seq)", rate("advisory lock, 1 run"), at_least=7)
        row("  the same", hot["events_per_s"], "counter in one statement", rate("counter in one statement, 1 run"))
        row("events/s, 100 a POST, 16 connections", rate("HTTP, 16 connections, 100 events a POST"),
            "COPY BINARY, B=1,024", rate("COPY BINARY, 1,024 rows"), at_least=0.5)
        row("events/s, sequencer alone, 1,024 outstanding", rate("sequencer, 1,024 outstanding"),
            "COPY BINARY, B=1,024", rate("COPY BINARY, 1,024 rows"), at_least=0.9)
        for name in got:
            self.note_cpu(name)

    def check_counts(self):
        """Everything that was acknowledged is in the log, once."""
        cells = self.report.cells
        acked = {True: 0, False: 0}
        for name, cell in cells.items():
            if name.startswith(("HTTP", "sequencer")):
                acked["1 run" in name] += sum(raw["events_all"] for raw in cell["raw"])
        for path, one in ((self.many_runs, False), (self.one_run, True)):
            ids = open(path).read().split()
            with self.system.database() as database:
                stored = database.execute("select count(*) from run_events where run_id = any(%s::uuid[]) and seq > 1",
                                          (ids,)).fetchone()[0]
            assert stored == acked[one], f"acknowledged {acked[one]}, stored {stored}"
        self.report.note(f"acknowledged = stored: {acked[False] + acked[True]:,} events")

    def latency(self):
        got = self.repeat({
            "fdatasync": self.fsync,
            "HTTP, 1 connection": lambda: self.load(self.many_runs, "--connections", 1),
            "HTTP, 1,000 events/s": lambda: self.load(self.many_runs, "--connections", CLIENTS, "--rate", 1000),
        })
        one = got["HTTP, 1 connection"]
        fixed = got["HTTP, 1,000 events/s"]
        disk = got["fdatasync"]
        self.report.row("ack p50, 1 outstanding, ms", ms(one["p50_us"]), "fdatasync p50", ms(disk["p50_us"]), at_most=5)
        self.report.row("ack p99, 1,000 events/s (open loop), ms", ms(fixed["p99_us"]), "fdatasync p99",
                        ms(disk["p99_us"]))
        self.report.row("ack p50, 1,000 events/s (open loop), ms", ms(fixed["p50_us"]))
        self.note_cpu("HTTP, 1 connection")

    def feed(self):
        """The tenant's feed under load on 64 runs: every reader sees every event, in order (checked by the tests)."""
        for readers, rate in ((1, 1000), (100, 1000)):
            process = self.readers(None, readers)
            cpu = Cpu(self.system)
            produced = self.load(self.many_runs, "--warmup-ms", 0, "--connections", 16, "--rate", rate)
            seen = self.finish_readers(process, produced["events_all"])
            assert seen["broken"] == 0, seen
            assert seen["lowest_seq"] == seen["highest_seq"] == produced["events_all"], (seen, produced)
            name = f"{readers} feed reader{'s' * (readers > 1)}, {rate:,} events/s"
            self.report.cell(name, [seen["deliveries_per_s"]], raw=[produced | {"readers": seen}])
            self.report.row(f"post to feed reader p99, {name}, ms", seen["sent_p99_us"] / 1000,
                            "ack p99", produced["p99_us"] / 1000)
            self.report.row("  streamer CPU µs a delivery", cpu.used()["streamer"] * 1e6 / seen["deliveries"])

    def memory(self):
        time.sleep(3)
        groups = {name: sum(map(pss_bytes, pids)) for name, pids in self.system.pids().items()
                  if name not in ("postgres", "redis")}
        self.report.cell("idle PSS", [sum(groups.values())], groups=groups)
        self.report.row("idle stack without PostgreSQL and Redis, PSS MB", sum(groups.values()) / 1e6, at_most=40)
        self.report.note("PSS MB: " + ", ".join(f"{name} {used / 1e6:.1f}" for name, used in groups.items()))

    def recovery(self, kills=20):
        """One producer that repeats until acknowledged; the sequencer is killed between its requests."""
        host, port = self.system.address.rsplit(":", 1)
        run = open(self.system.make_runs(1)).read().strip()
        took = []
        for number in range(kills):
            connection = http.client.HTTPConnection(host, int(port), timeout=10)
            pid = self.system.pid_of("sequencer")
            self.append_once(connection, run, f"before-{number}")
            kill(pid)
            began = time.monotonic()
            self.append_once(connection, run, f"after-{number}")
            took.append(time.monotonic() - began)
            connection.close()
            time.sleep(1.2)  # a death within the first second of being ready counts as an early one
            self.system.wait_ready()
        took.sort()
        self.report.cell("sequencer death to next ack", took)
        self.report.row("sequencer kill -9 to next ack, p50 s", median(took))
        self.report.row(f"  longest but one of {kills}, s", took[-2], at_most=0.25)
        self.report.row(f"  longest of {kills}, s", took[-1], at_most=1)

    def append_once(self, connection, run, key):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                status, _ = self.system.post(connection, f"/api/v1/runs/{run}/events",
                                             {"type": "CUSTOM", "payload": {"name": "bench", "value": 1}},
                                             {"Idempotency-Key": key})
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            if status == 201:
                return
        raise SystemExit("no acknowledgement for 30 s")


SECTIONS = ("memory", "append", "latency", "feed", "recovery", "lists")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION")
    options = parser.parse_args()
    report = Report()
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if os.getloadavg()[0] > 0.5:
        report.note(f"others are using this machine (load average {os.getloadavg()[0]:.1f}): designs with many processes "
                    "get the larger share of it, so ratios of rates are too low; CPU an event is what to compare")
    system = System(options.build)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        bench = Bench(system, report, options.rounds, options.seconds)
        report.header()
        for section in SECTIONS:
            if section != "lists" and (not options.sections or section in options.sections):
                getattr(bench, section)()
        verified = system.ask("verify")
        report.note("signalbox verify: " + verified.stdout.strip().splitlines()[-1])
        assert verified.returncode == 0, verified
        if not options.sections or "lists" in options.sections:  # last: its runs have no events to verify
            lists.measure(system, report, int(os.environ.get("LIST_RUNS", lists.RUNS)))
    finally:
        system.stop()
    about = {"began": began, "rounds": options.rounds, "seconds": options.seconds, "cores": os.cpu_count()}
    report.write(pathlib.Path(options.build) / "bench", about)
    report.summary()


if __name__ == "__main__":
    main()
