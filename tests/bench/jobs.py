"""Measures jobs beside other queues and beside the limit of PostgreSQL, in one run, in interleaved rounds; prints ratios, goals.

R is that limit: job_limit.c with our tables and nothing else. Peers come from npm (jobs_peers.py) and use the same PostgreSQL
and Redis; where they are missing, a line says so. Sections:
    drain     waiting jobs, concurrency 1, 10, 100: jobs/s, WAL a job (G1, G2, G3, G12)
    http      waiting jobs, ten external workers over HTTP, one job each (G4)
    latency   50 jobs/s, idle: from before the enqueueing to the worker (G5)
    enqueue   one by one, ten abreast, batches of 1,000 (G7, G8)
    snapshot  rounds of filling and draining under a transaction that stays open (G9)
    fair      twenty tenants against one (G10), a quiet tenant behind another's backlog (G11)
    idle      1,000 long polls that wait: statements (G13)
"""

import argparse
import os
import pathlib
import signal
import sys
import time

from jobs_ours import EXTERNAL, RUNS, Ours, Tenant
from jobs_peers import NAMES, Peers
from report import Report, median
from system import Cpu

HERE = pathlib.Path(__file__).resolve().parent
CONCURRENCIES = (1, 10, 100)
ABREAST, BATCH = 10, 1000
PER_SECOND = 50
SNAPSHOT_ROUNDS = 10  # each with a tenth of the jobs
TENANTS, BACKLOG = 20, 2  # the backlog is so many times the jobs of a drain
ENQUEUE_MS = 2000
STARTED = "R with JOB_STARTED"  # c 2, k 100
ALONE = "nothing ahead"  # jobs.claim_ahead = 0
POLLS, POLL_SECONDS = 1000, 5
STATISTICS_SECONDS = 11  # until PostgreSQL has counted what was done before


class JobsBench:
    def __init__(self, options, report):
        self.report, self.rounds, self.jobs = report, options.rounds, options.jobs
        self.ms = int(options.seconds * 1000)
        self.ours = Ours(options.build)
        try:
            with self.ours.system.database() as database:
                database.execute((HERE / "job_limit.sql").read_text(encoding="utf-8"))
            self.peers = Peers(self.ours.system, report)
        except BaseException:
            self.ours.stop()
            raise

    # ---- tools ----

    def limit(self, connections, batch, *more):
        """R: libpq and our tables."""
        got = self.ours.tool_output("job_limit", "--dsn", self.ours.system.dsn(), "--connections", connections, "--batch", batch,
                                    "--jobs", self.jobs, "--ms", self.ms, *more)
        holes = self.ours.value("select count(*) from (select run_id from bench_jobs.run_events group by run_id"
                                "  having count(*) <> max(seq) - min(seq) + 1) h")
        assert holes == 0, got
        return got

    def limit_drained(self, connections, batch, *more):
        return lambda: self.with_cpu(self.ours.system, lambda: self.limit(connections, batch, *more))

    def peer(self, name, cell, **more):
        return lambda: self.peers.cell(name, cell, **{"ms": self.ms} | more)

    def repeat(self, section, cells):
        """Interleaved rounds: {name: function returning a dict}. Lists of what they returned, by name."""
        results = {name: [] for name in cells}
        for number in range(self.rounds):
            for name, measure in cells.items():
                self.ours.system.checkpoint()
                results[name].append(measure())
                shown = {key: round(value, 2) for key, value in results[name][-1].items() if key.endswith(("_per_s", "_ms"))}
                print(f"    {section}, round {number + 1}: {name} {shown}", flush=True)
        for name, values in results.items():
            self.report.cell(f"{section}: {name}", [], raw=values)
        return results

    @staticmethod
    def with_cpu(system, measure):
        """CPU µs a job, by group of processes."""
        cpu = Cpu(system)
        got = measure()
        got["cpu_us"] = {name: used * 1e6 / max(got["jobs"], 1) for name, used in cpu.used().items()}
        return got

    def waits(self, runs, until=None):
        """From the POST to JOB_STARTED in the log."""
        took = self.ours.waits_ms(self.ours.ids(runs), until)
        return {"p50_ms": median(took), "p99_ms": took[int(len(took) * 0.99)], "jobs": len(took)}

    def row(self, name, results, ours, key, baseline, **goal):
        """One figure of ours beside another's of the same rounds; without that other's, alone."""
        values = [value[key] for value in results[ours]]
        if baseline in results:
            shown = NAMES.get(baseline.split(",")[0], baseline)
            self.report.row(name, values, shown, [value[key] for value in results[baseline]], **goal)
        elif baseline is None:
            self.report.row(name, values, **goal)

    def note_cpu(self, name, values):
        parts = {who: median([value["cpu_us"][who] for value in values]) for who in values[0]["cpu_us"]}
        self.report.note(f"CPU µs a job, {name}: {sum(parts.values()):.1f} = " + " + ".join(
            f"{who} {used:.1f}" for who, used in sorted(parts.items(), key=lambda part: -part[1]) if used >= 0.3))

    # ---- sections ----

    def drain(self):
        cells = {"R(c 2, k 100)": self.limit_drained(2, 100), "R(c 1, k 1)": self.limit_drained(1, 1),
                 "R(c 1, k 10)": self.limit_drained(1, 10), STARTED: self.limit_drained(2, 100, "--started")}
        for count in CONCURRENCIES:
            cells[f"ours, {count}"] = lambda count=count: self.with_cpu(
                self.ours.system, lambda: self.ours.drain(count, self.jobs, self.ms))
            if count < 100:
                cells[f"{ALONE}, {count}"] = lambda count=count: self.with_cpu(
                self.ours.system, lambda: self.ours.drain(count, self.jobs, self.ms, ahead=0))
            for name in ("graphile", "graphile-tuned", "boss", "boss-batch", "bullmq") if self.peers else ():
                cells[f"{name}, {count}"] = self.peer(name, "drain", jobs=self.jobs, concurrency=count)
        got = self.repeat("drain", cells)
        rate = lambda name, count, baseline, **goal: self.row(name, got, f"ours, {count}", "jobs_per_s", baseline, **goal)
        rate("G1 drained jobs/s, 10 at a time", 10, "R(c 2, k 100)", at_least=0.6)
        rate("  the same", 10, STARTED)
        rate("  the same", 10, f"{ALONE}, 10")
        self.beside_peers(got, 10)
        rate("G2 drained jobs/s, 100 at a time", 100, "ours, 10", at_least=1)
        self.beside_peers(got, 100)
        self.row("G3 drained jobs/s, one at a time, nothing claimed ahead", got, f"{ALONE}, 1", "jobs_per_s", "R(c 1, k 1)",
                 at_least=0.8)
        rate("  the same, as shipped", 1, "R(c 1, k 1)")
        self.beside_peers(got, 1)
        self.row("G12 WAL bytes a job, 10 at a time", got, "ours, 10", "wal_bytes", "R(c 1, k 10)", at_most=1.1)
        self.row("  100 at a time", got, "ours, 100", "wal_bytes", "R(c 2, k 100)")
        self.row("  100 at a time", got, "ours, 100", "wal_bytes", STARTED)
        for name in ("R(c 1, k 1)", f"{ALONE}, 1", "ours, 1", "R(c 1, k 10)", f"{ALONE}, 10", "ours, 10", "R(c 2, k 100)", STARTED,
                     "ours, 100"):
            self.note_cpu(name, got[name])

    def beside_peers(self, got, count):
        for name in ("graphile", "graphile-tuned", "boss", "boss-batch", "bullmq"):
            self.row("  the same", got, f"ours, {count}", "jobs_per_s", f"{name}, {count}")

    def http(self):
        """The built-in executors of the same round are what external workers are measured by."""
        def work():
            return self.ours.finish(self.ours.workers("--connections", 10, "--jobs", self.jobs, "--ms", 2 * self.ms))

        def measure():
            self.ours.fill(self.jobs, kind=EXTERNAL)
            got = self.with_cpu(self.ours.system, work)
            if got["jobs"] < self.jobs:
                self.ours.clear(EXTERNAL)
            return got

        got = self.repeat("http", {"built in": lambda: self.ours.drain(10, self.jobs, self.ms), "external": measure})
        self.row("G4 jobs/s, 10 external workers over HTTP, 1 job each", got, "external", "jobs_per_s", "built in", at_least=0.5)
        self.note_cpu("external workers", got["external"])

    def latency(self):
        ms = max(self.ms, 5000) if self.ms > 1000 else self.ms

        def ours():
            workers = self.ours.workers("--connections", 10, "--jobs", PER_SECOND * ms // 1000)
            made = self.ours.enqueue(self.ours.tenant.runs(), "--rate", PER_SECOND, "--connections", 4, "--jobs",
                                     PER_SECOND * ms // 1000, "--ms", 2 * ms, kind=EXTERNAL)
            seen = self.ours.finish(workers)
            assert seen["jobs"] == made["jobs"], (seen, made)
            return {"p50_ms": seen["p50_us"] / 1000, "p99_ms": seen["p99_us"] / 1000, "jobs": seen["jobs"],
                    "acked_p50_ms": made["p50_us"] / 1000}

        def built_in():
            runs = self.ours.tenant.runs(1)
            self.ours.executors(10)
            self.ours.enqueue(runs, "--rate", PER_SECOND, "--connections", 4, "--ms", ms)
            self.ours.clear()
            return self.waits(runs)

        cells = {"ours": ours, "built in": built_in}
        for name in ("graphile", "graphile-tuned", "boss", "bullmq") if self.peers else ():
            cells[name] = self.peer(name, "latency", ms=ms, concurrency=10)
        got = self.repeat("latency", cells)
        for name, values in got.items():
            lost = sum(value.get("lost", 0) for value in values)
            if lost:
                self.report.note(f"latency: {lost} jobs of {NAMES[name]} were not started")
        self.row(f"G5 enqueue to start at {PER_SECOND}/s, p50 ms", got, "ours", "p50_ms", "bullmq", at_most=0.9)
        self.row("  the same", got, "ours", "p50_ms", "graphile", at_most=0.35)
        for name in ("graphile-tuned", "boss"):
            self.row("  the same", got, "ours", "p50_ms", name)
        self.row("  p99 ms", got, "ours", "p99_ms", "bullmq", at_most=1)
        for name in ("graphile", "graphile-tuned", "boss"):
            self.row("  the same", got, "ours", "p99_ms", name)
        self.row("  p50 to JOB_STARTED in the log, built-in executors, ms", got, "built in", "p50_ms", "bullmq")
        self.row("  the POST's own answer, p50 ms", got, "ours", "acked_p50_ms", None)
        self.report.note("G6 (a worker on another host, by Redis) takes two hosts: not measured here")

    def enqueue(self):
        ms, batches = min(self.ms, ENQUEUE_MS), 2 * self.jobs

        def ours(*arguments):
            got = self.ours.enqueue(self.ours.tenant.runs(), *arguments, "--ms", ms)
            self.ours.clear()
            return got

        cells = {"ours, one by one": lambda: ours("--connections", 1),
                 "ours, abreast": lambda: ours("--connections", ABREAST),
                 "ours, batches": lambda: ours("--connections", 1, "--batch", BATCH, "--jobs", batches),
                 "ours, batches, 4 connections": lambda: ours("--connections", 4, "--batch", BATCH, "--jobs", batches),
                 "R, one by one": lambda: self.limit(1, 1, "--enqueue", "--ms", ms),
                 "R, abreast": lambda: self.limit(ABREAST, 1, "--enqueue", "--ms", ms),
                 "R, batches": lambda: self.limit(1, BATCH, "--enqueue", "--ms", ms)}
        for name in ("graphile", "boss", "bullmq", "bullmq-postgres") if self.peers else ():
            cells[f"{name}, one by one"] = self.peer(name, "enqueue", ms=ms)
            cells[f"{name}, abreast"] = self.peer(name, "enqueue", ms=ms, abreast=ABREAST)
            cells[f"{name}, batches"] = self.peer(name, "enqueue", ms=ms, batch=BATCH)
        got = self.repeat("enqueue", cells)
        goals = {"abreast": {"graphile": 8, "bullmq-postgres": 4}, "batches": {"graphile": 0.8}}
        for way, title in (("abreast", f"G7 enqueued/s, one by one, {ABREAST} abreast"),
                           ("batches", f"G8 enqueued/s, batches of {BATCH:,}"), ("one by one", "enqueued/s, one by one, alone")):
            for name in ("graphile", "bullmq-postgres", "boss", "bullmq", "R"):
                goal = {"at_least": goals[way][name]} if name in goals.get(way, {}) else {}
                self.row(title, got, f"ours, {way}", "jobs_per_s", f"{name}, {way}", **goal)
                title = "  the same" if f"{name}, {way}" in got else title
        self.row(f"  batches of {BATCH:,}, 4 connections", got, "ours, batches, 4 connections", "jobs_per_s", "ours, batches")

    def snapshot(self):
        jobs = self.jobs // SNAPSHOT_ROUNDS
        left = []
        for number in range(self.rounds):
            with self.ours.system.database() as holder:
                holder.execute("begin isolation level repeatable read")
                holder.execute("select count(*) from job_open")
                rates = [self.ours.drain(10, jobs, self.ms)["jobs_per_s"] for _ in range(SNAPSHOT_ROUNDS)]
                holder.execute("rollback")
            print(f"    snapshot, round {number + 1}: {[round(rate) for rate in rates]}", flush=True)
            self.report.cell(f"snapshot, round {number + 1}", rates)
            left.append((rates[0], rates[-1]))
        self.report.row(f"G9 jobs/s after {SNAPSHOT_ROUNDS * jobs:,} jobs under a held snapshot", [last for _, last in left],
                        "the first round", [first for first, _ in left], at_least=0.9)

    def fair(self):
        tenants = [Tenant(self.ours, f"bench-{number}") for number in range(TENANTS)]

        def shared():
            runs = [name for tenant in tenants for name in self.ours.ids(self.ours.fill(self.jobs // TENANTS, tenant=tenant, runs=RUNS // TENANTS))]
            return self.ours.drained(runs, self.jobs // TENANTS * TENANTS, 10, self.ms)

        got = self.repeat("fair", {"one tenant": lambda: self.ours.drain(10, self.jobs, self.ms), "many tenants": shared})
        self.row(f"G10 drained jobs/s of {TENANTS} tenants", got, "many tenants", "jobs_per_s", "one tenant", at_least=0.95)

        def measure(backlog):
            full = self.ours.ids(self.ours.fill(backlog)) if backlog else None
            runs = tenants[0].runs(1)
            self.ours.executors(10)
            self.ours.enqueue(runs, "--rate", PER_SECOND, "--connections", 4, "--ms", self.ms, tenant=tenants[0])
            self.ours.clear()
            return self.waits(runs, self.ours.last_start(full) if full else None)

        backlog = BACKLOG * self.jobs
        got = self.repeat("quiet", {"alone": lambda: measure(0), "behind": lambda: measure(backlog)})
        self.row(f"G11 a quiet tenant's wait behind another's {backlog:,}, p50 ms", got, "behind", "p50_ms", "alone", at_most=2)
        self.row("  p99 ms", got, "behind", "p99_ms", "alone")

    def idle(self):
        """Transactions on the database while 1,000 polls wait, against as long without them."""
        seconds = max(self.ms // 1000 * 4, 10)
        waiting = "--wait-ms", 60000

        def polls():
            workers = self.ours.workers("--connections", POLLS, *waiting)
            self.ours.until_waiting(POLLS)
            count = self.ours.transactions(seconds)
            seen = self.ours.finish(workers)
            assert seen["jobs"] == 0 and seen["claims"] == 0, seen
            return {"statements_per_s": count / seconds}

        time.sleep(STATISTICS_SECONDS)
        without = lambda: {"statements_per_s": self.ours.transactions(seconds) / seconds}
        got = self.repeat("idle", {"without": without, "with": polls})
        more = [(one["statements_per_s"] - other["statements_per_s"]) * POLL_SECONDS for one, other in zip(got["with"], got["without"])]
        self.report.row(f"G13 more statements in {POLL_SECONDS} s with {POLLS:,} polls that wait", more, at_most=1)
        self.row("  statements/s of the whole installation, with them", got, "with", "statements_per_s", "without")


SECTIONS = ("drain", "http", "latency", "enqueue", "snapshot", "fair", "idle")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="the longest time of a cell")
    parser.add_argument("--jobs", type=int, default=50000, help="that a drain finds waiting")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION")
    options = parser.parse_args()
    if options.jobs % 1000:
        parser.error("--jobs is in thousands")
    report = Report()
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if os.getloadavg()[0] > 0.5:
        report.note(f"others are using this machine (load average {os.getloadavg()[0]:.1f}): compare ratios, not rates")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bench = JobsBench(options, report)
    try:
        report.header()
        for section in SECTIONS:
            if not options.sections or section in options.sections:
                getattr(bench, section)()
        verified = bench.ours.system.ask("verify")
        report.note("signalbox verify: " + verified.stdout.strip().splitlines()[-1])
    finally:
        bench.ours.stop()
    about = {"began": began, "rounds": options.rounds, "seconds": options.seconds, "jobs": options.jobs, "cores": os.cpu_count()}
    report.write(pathlib.Path(options.build) / "bench" / "jobs", about)
    report.summary()
    if verified.returncode != 0:
        raise SystemExit("signalbox verify:\n" + "\n".join(verified.stdout.splitlines()[:5]))


if __name__ == "__main__":
    main()
