"""Our own job queue as the sections of jobs.py see it: an installation, its load tools, and what the log says of them.

The built-in executors are switched off while jobs are put in, and on to drain them; rates of the built-in kind are read from
the log: from the first JOB_STARTED to the last JOB_COMPLETED."""

import json
import math
import pathlib
import subprocess
import time

from system import System

RUNS = 20
FILL_BATCH, FILL_CONNECTIONS = 1000, 4
EXTERNAL = "bench"  # a type that no executor of ours takes
PATIENCE_SECONDS = 120


def settings(executors, ahead=None):
    told = "" if ahead is None else f"  claim_ahead = {ahead}\n"
    return f"jobs {{\n  executors = {executors}\n{told}}}\n"


class Tenant:
    """Who enqueues: a key of its own in a file, runs for the jobs."""

    def __init__(self, ours, name=None):
        self.ours = ours
        if name is None:
            self.key_file = ours.system.key_file
            return
        tenant = ours.asked("tenants", "create", name)["id"]
        key = ours.asked("keys", "create", "--tenant", tenant, "--scope", "read,append")["key"]
        self.key_file = str(pathlib.Path(ours.system.directory) / f"key-{name}")
        pathlib.Path(self.key_file).write_text(key + "\n", encoding="utf-8")

    def runs(self, count=RUNS):
        """A file with the ids of new runs."""
        return self.ours.system.make_runs(count, key=open(self.key_file, encoding="utf-8").read().strip())


class Ours:
    name = "ours"

    def __init__(self, build):
        self.system = System(build, config=settings(0))
        self.tools = self.system.build / "bench"
        self.connection = self.system.database()
        self.tenant = Tenant(self)

    def stop(self):
        self.connection.close()
        self.system.stop()

    def asked(self, *arguments):
        answer = self.system.ask(*arguments)
        if answer.returncode != 0:
            raise SystemExit(" ".join(arguments) + ": " + (answer.stderr or answer.stdout).strip())
        return json.loads(answer.stdout)

    def executors(self, count, ahead=None):
        self.system.configure(settings(count, ahead))

    def value(self, sql, *parameters):
        return self.connection.execute(sql, parameters).fetchone()[0]

    # ---- tools ----

    def tool(self, name, *arguments, key_file=None):
        command = [self.tools / name, "--address", self.system.address, "--key-file", key_file or self.system.key_file, *arguments]
        return subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    @staticmethod
    def finish(process):
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        if process.returncode != 0:
            raise SystemExit(f"{process.args[0]}: {errors.strip()}")
        return json.loads(output.splitlines()[-1])

    def tool_output(self, name, *arguments):
        """Of a tool that needs no server of ours."""
        return self.finish(subprocess.Popen([str(self.tools / name), *map(str, arguments)], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def enqueue(self, runs, *arguments, kind="noop", tenant=None):
        """Jobs by POST; every one must have been answered."""
        key_file = (tenant or self.tenant).key_file
        result = self.finish(self.tool("job_load", "--runs", runs, "--type", kind, *arguments, key_file=key_file))
        assert result["unanswered"] == 0, result
        return result

    def fill(self, jobs, kind="noop", tenant=None, runs=RUNS):
        """So many waiting jobs in new runs; returns the file of the runs."""
        runs = (tenant or self.tenant).runs(runs)
        batch = math.gcd(jobs, FILL_BATCH)
        got = self.enqueue(runs, "--batch", batch, "--connections", FILL_CONNECTIONS, "--jobs", jobs, "--ms", 60000, kind=kind,
                           tenant=tenant)
        assert got["jobs"] == jobs, got
        return runs

    def workers(self, *arguments):
        """External workers that have asked for jobs."""
        process = self.tool("job_workers", "--type", EXTERNAL, *arguments)
        if process.stdout.readline().strip() != "ready":
            raise SystemExit("job_workers: " + process.communicate()[1].strip())
        return process

    def until_waiting(self, count):
        """So many long polls wait, as the apis count them."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self.system.metric("workers_waiting") < count:
            if time.monotonic() > until:
                raise SystemExit(f"{count} workers do not wait; the installation's log: " + self.system.log.name)
            time.sleep(0.1)

    # ---- what the log says ----

    @staticmethod
    def ids(*files):
        return [line for name in files for line in open(name, encoding="utf-8").read().split()]

    def drained(self, runs, jobs, executors, ms, ahead=None):
        """Executors work until so many jobs of these runs are done, or for so long; what the log says of it."""
        heads = lambda: self.value("select sum(last_seq)::int8 from run_heads where run_id = any(%s::uuid[])", runs)
        self.system.checkpoint()
        wanted = heads() + 2 * jobs  # JOB_STARTED and JOB_COMPLETED
        wal = self.wal()
        self.executors(executors, ahead)
        until = time.monotonic() + ms / 1000
        while heads() < wanted and time.monotonic() < until:
            time.sleep(0.02)
        self.executors(0)
        got = self.drain_result(runs, wal)
        if got["jobs"] < jobs:
            self.clear()
        return got

    def drain_result(self, runs, wal):
        used = self.wal() - wal
        done, seconds = self.connection.execute(
            "select count(*) filter (where event_type = 'JOB_COMPLETED'),"
            " extract(epoch from max(ts) filter (where event_type = 'JOB_COMPLETED')"
            "  - min(ts) filter (where event_type = 'JOB_STARTED'))::float8"
            " from run_events where run_id = any(%s::uuid[])", (runs,)).fetchone()
        if done == 0 or not seconds:
            raise SystemExit("no job was done; the installation's log: " + self.system.log.name)
        return {"jobs": done, "seconds": seconds, "jobs_per_s": done / seconds, "wal_bytes": used / done}

    def drain(self, executors, jobs, ms, ahead=None):
        """ahead: jobs claimed beyond the executors; None: as shipped."""
        return self.drained(self.ids(self.fill(jobs)), jobs, executors, ms, ahead)

    def clear(self, kind="noop"):
        """Works off whatever waits."""
        workers = self.workers("--connections", 10, "--max", 100) if kind == EXTERNAL else None
        self.executors(100)
        until = time.monotonic() + PATIENCE_SECONDS
        while self.value("select exists(select from job_open)"):
            if time.monotonic() > until:
                raise SystemExit("jobs are left over; the installation's log: " + self.system.log.name)
            time.sleep(0.1)
        self.executors(0)
        if workers is not None:
            self.finish(workers)

    def wal(self):
        return self.value("select (pg_current_wal_insert_lsn() - '0/0')::int8")

    def waits_ms(self, runs, until=None):
        """From the POST to JOB_STARTED, of each job of these runs that was started before `until`."""
        rows = self.connection.execute(
            "select extract(epoch from e.ts)::float8 * 1e3 - (r.payload->>'at')::float8 / 1e3"
            "  from run_events e join job_records r on r.job_id = (e.payload->>'job_id')::uuid"
            " where e.run_id = any(%s::uuid[]) and e.event_type = 'JOB_STARTED' and e.ts < coalesce(%s, 'infinity'::timestamptz)",
            (runs, until)).fetchall()
        return sorted(row[0] for row in rows)

    def last_start(self, runs):
        return self.value("select max(ts) from run_events where run_id = any(%s::uuid[]) and event_type = 'JOB_STARTED'", runs)

    def transactions(self, seconds):
        """Of all that is on this database, our own questions too, in so many seconds."""
        ask = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
        before = self.value(ask)
        time.sleep(seconds)
        return self.value(ask) - before
