"""
Runs the load against one Signalbox, breaks things, and judges what clients saw.

A campaign is one server. A phase is one kind of fault: load begins, rounds of the fault are made, the load ends, every
run is closed, and the checker looks at the phase's whole history, at the table by SQL, at REST pages and at a fresh
replay of every stream.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from chaos import job_load
from chaos.assembled import Assembled
from chaos.checker import Connection, Feed, History, Observer, Op, Read, Row, Write, check, check_table
from chaos.job_checker import check_jobs
from chaos.job_load import JobLoad
from chaos.load import SLOTS, digest, key_of, run_of, thread_of
from chaos.readers import KINDS
from harness.paths import ROOT
from harness.processes import Process, open_descriptors
from harness.server import Server
from harness.sse import SseStream
from harness.waiting import WaitTimeout, wait_until

PRODUCERS, LANES = 4, 2
READER_PROCESSES, READERS = 2, 20
FEEDS = 4
SETTLE_S = 5.0

SETTINGS = {
    "restart.early_deaths": 1_000_000, "restart.late_deaths": 1_000_000, "restart.total_deaths": 1_000_000,
    "stop.sequencer_ms": 1500, "runs.cancel_deadline_ms": 2000, "runs.timer_ms": 300,
    "stream.sweep_ms": 600_000,  # the backstop is off: what it would hide must be repaired by the rules themselves
} | job_load.SETTINGS  # fmt: skip

AUDIT = """
create table chaos_writes (position bigint, epoch bigint, writer_is_owner boolean);
create function chaos_note() returns trigger language plpgsql as $$
begin
    insert into chaos_writes
    select new.position, s.epoch, s.backend_pid = pg_backend_pid() from shards s where s.shard = new.shard;
    return new;
end $$;
create trigger chaos_note after update on shard_positions for each row execute function chaos_note();
"""


class Campaign:
    def __init__(self, seed, rate=None, settings=None):
        self.seed = seed
        self.rate = rate or float(os.environ.get("CHAOS_RATE", "200"))
        self.chance = random.Random(seed)
        self.server = Server(SETTINGS | (settings or {}), faults=True)
        self.rounds = self.acks = self.events = self.reconnects = self.lives = self.jobs = self.attempts = 0
        self.violations = []
        self.recoveries = {}  # kind of fault -> seconds
        self.phases = 0
        self.folder = Path(tempfile.mkdtemp(prefix="sbchaos-"))

    def start(self):
        self.server.start()
        with self.server.database().connect() as connection:
            connection.execute(AUDIT)
        return self

    def close(self):
        try:
            self.server.allow_error(".")
            for actor in self.server.actors():
                self.server.allow_restart(actor["name"], None)
            self.server.command("verify", timeout=300)
            self.server.close()
        finally:
            for left in self.folder.iterdir():
                left.unlink()
            self.folder.rmdir()

    def summary(self) -> str:
        lines = []
        for kind, seconds in sorted(self.recoveries.items()):
            if seconds:
                ordered = sorted(seconds)
                p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
                lines.append(f"chaos: recovery {kind}: n {len(ordered)}, p50 {ordered[len(ordered) // 2]:.3f} s, "
                             f"p99 {p99:.3f} s, max {ordered[-1]:.3f} s")  # fmt: skip
        lines.append(
            f"chaos: seed {self.seed}, {self.events} events, {self.reconnects} stream connections, "
            f"{self.lives} questions, answers and cancellations, {self.jobs} jobs in {self.attempts} attempts"
        )
        lines.append(f"chaos: {self.rounds} rounds, {self.acks} acks, {len(self.violations)} violations")
        return "\n".join(lines)

    @contextmanager
    def phase(self, name, exact_restarts=True, overdue_s=job_load.OVERDUE_S):
        """Load runs inside the `with`; leaving it checks everything and fails on a violation."""
        self.phases += 1
        phase = Phase(self, f"{self.seed}-{self.phases}-{name.replace(' ', '-')}", exact_restarts, overdue_s)
        phase.start()
        try:
            yield phase
        except BaseException:
            phase.abandon()
            raise
        violations = phase.finish()
        self.violations += violations
        assert not violations, "\n".join(map(str, violations[:30])) + f"\nseed {self.seed}\n{self.server.log.tail(30)}"


class Phase:
    def __init__(self, campaign, name, exact_restarts, overdue_s):
        self.campaign, self.server, self.name = campaign, campaign.server, name
        self.chance = campaign.chance
        self.exact_restarts = exact_restarts
        self.injected, self.faults = {}, []
        self.programs = []
        self.overdue_s, self.jobs = overdue_s, None

    # Load.

    def start(self):
        self.server.begin()
        self.base_resources = self.resources()
        host, port = self.server.address
        base = {"seed": f"{self.campaign.seed}/{self.name}", "phase": self.name, "host": host, "port": port,
                "key_path": str(self.server.dir / "api-key")}  # fmt: skip
        self.base_position = self._position() or 0
        self._spawn("feeds", base | {"count": FEEDS})
        for n in range(PRODUCERS):
            self._spawn("producer", base | {"name": f"p{n}.", "lanes": LANES, "rate": self.campaign.rate / PRODUCERS})
        for n in range(READER_PROCESSES):
            self._spawn("readers", base | {"begin": n * READERS, "count": READERS})
        self.jobs = JobLoad(self.server, self.campaign.folder, base, self.overdue_s).start()
        self.base_counts = {a["name"]: a["restarts"] for a in self.server.actors()}
        self.moving()

    def resources(self) -> dict:
        """What must be the same again after everything has come back: descriptors, database sessions."""
        found = {f"descriptors of {a['name']}": open_descriptors(a["pid"]) for a in self.server.actors()}
        found["database sessions"] = self.server.database().value(
            "select count(*) from pg_stat_activity where usename like 'signalbox%' and pid <> pg_backend_pid()"
        )
        return found

    def _spawn(self, program, told):
        out = self.campaign.folder / f"{program}-{len(self.programs)}.json"
        child = subprocess.Popen(
            [sys.executable, "-m", f"chaos.{program}", json.dumps(told | {"out": str(out)})],
            stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT / "tests")}, text=True,
        )  # fmt: skip
        self.programs.append((program, child, out))

    def moving(self, timeout=30.0):
        """Until appends are committed again, as seen in the table."""
        before = self._position()
        wait_until(lambda: self._position() > before, "appends to go on", timeout)

    def _position(self):
        return self.server.database().value("select sum(position)::bigint from shard_positions")

    def pause(self, most=0.3):
        """Faults come at random moments."""
        threading.Event().wait(self.chance.random() * most)

    # Faults.

    def note(self, kind, actor=None, count=1, moment=None):
        """A fault happens now (or did at `moment`); `actor` dies of it `count` times."""
        self.campaign.rounds += 1
        self.faults.append((moment or time.monotonic(), kind))
        if actor is not None:
            self.injected[actor] = self.injected.get(actor, 0) + count

    def kill(self, name, kind=None, settled=True):
        """kill -9 and until the successor is ready. settled: wait until its death would be a late one."""
        before = self.server.settled(name) if settled else self.server.actor(name)
        self.pause()
        process = Process.of(before["pid"])
        self.note(kind or f"kill {before['actor']}", name)
        assert process is not None and process.kill(), f"{name} was dead already"
        self.server.actor_ready(name, before["generation"], 30)

    def kill_at(self, point, kind):
        """Whoever of this kind comes to the fault point first kills itself there. False when nobody came by."""
        before = {a["name"]: self.server.settled(a["name"]) for a in self.server.actors(kind)}
        self.server.faults.order(point, "kill")
        moment = time.monotonic()
        try:
            self.server.faults.obeyed(point, 2)
        except WaitTimeout:
            if self.server.faults.withdraw(point):
                return False
        died = wait_until(
            lambda: [a["name"] for a in self.server.actors(kind) if a["restarts"] > before[a["name"]]["restarts"]],
            f"a death at {point}",
        )[0]
        self.note(f"kill {kind}", died, moment=moment)
        self.server.actor_ready(died, before[died]["generation"], 30)
        return True

    def kill_supervisor(self):
        """Everything goes; `up` is given again at once, as a service manager would."""
        server = self.server
        server.remember()
        supervisor = server.process_of("supervisor")
        self.note("kill supervisor")
        assert supervisor.kill()
        server.process.wait(30)
        server.launch()
        server.wait_ready(60)
        self.base_counts = {}
        self.injected = {}

    # The end.

    def abandon(self):
        if self.jobs is not None:
            self.jobs.abandon()
        for _, child, _ in self.programs:
            child.kill()
            child.wait()
            child.stdin.close()

    def finish(self) -> list:
        """Ends load and runs, collects, checks. Returns the violations."""
        self.server.faults.clear()
        late = []
        try:
            self.server.all_healthy(30)
        except WaitTimeout as error:
            late.append(f"not healthy after the last fault: {error}")
        told = [self._end(program) for program in self.programs if program[0] == "producer"]
        self.jobs.end_puts()
        history = History(late=late)
        runs = self._close_runs(history)
        readers = [self._end(program) for program in self.programs if program[0] == "readers"]
        story = self.jobs.drain()
        feeds = [self._end(program) for program in self.programs if program[0] == "feeds"]
        self._take_clients(history, told, readers)
        self._take_server(history, runs)
        self._take_feeds(history, feeds[0]["feeds"])
        self._take_resources(history)
        self._take_counts(history)
        self._measure(history, readers)
        return check(history) + self._check_jobs(history, story)

    def _check_jobs(self, history, story) -> list:
        """What became of the jobs; and their runs are logs like the others."""
        self.campaign.jobs += len(story.jobs)
        self.campaign.attempts += sum(event.kind == "JOB_STARTED" for event in story.events)
        return check_jobs(story) + [fault for run, (rows, head) in history.jobs.items() for fault in check_table(run, rows, head)]

    def _end(self, program):
        _, child, out = program
        child.stdin.close()
        code = child.wait(120)
        assert code == 0, f"{program[0]} ended with {code}"
        return json.loads(out.read_text(encoding="utf-8"))

    def _runs(self) -> dict:
        """{run id: closed} of this phase, in the order in which they were made."""
        rows = self.server.database().rows("select run_id::text, closed from run_heads")
        there, mine = dict(rows), {}
        for slot in range(SLOTS):
            generation = 0
            while (run := run_of(self.name, slot, generation)) in there:
                mine[run] = there[run]
                generation += 1
        return mine

    def _close_runs(self, history) -> list:
        client, runs = self.server.client(), self._runs()
        for run, closed in runs.items():
            if closed:
                continue
            begin = time.monotonic()
            answer = wait_until(lambda run=run: self._try_finish(client, run), f"the end of {run}", 20)
            op = Op("driver", 0, run, [], [], begin, time.monotonic(), "fail")
            if answer.status_code == 201:
                op.result, op.answers = "ok", [(answer.json()["first_seq"], answer.json()["last_seq"])]
            history.ops.append(op)
        return list(runs)

    @staticmethod
    def _try_finish(client, run):
        answer = client.post_events(run, {"type": "RUN_FINISHED", "payload": {}}, key="driver")
        return answer if answer.status_code in (201, 409) else None

    def _take_clients(self, history, told, readers):
        for part in told:
            for op in part["ops"]:
                history.ops.append(
                    Op(op["lane"], op["ordinal"], op["run"], op["keys"], op["hashes"], op["begin"], op["end"],
                       op["result"], [tuple(a) for a in op["answers"]], op["detail"])
                )  # fmt: skip
            history.reads += [Read(*read) for read in part["reads"]]
            history.lives += [tuple(life) for life in part["lives"]]
            history.late += part["problems"]
        for part in readers:
            for seen in part["observers"]:
                connections = [Connection(c, [Row(*row) for row in rows]) for c, rows in seen["connections"]]
                observer = Observer(seen["name"], seen["run"], connections, True, seen["complaints"], tuple(seen["types"]))
                history.observers.append(observer)
            history.assembled += [Assembled(**one) for one in part["assembled"]]
            history.complaints += part["complaints"]
            self.campaign.reconnects += part["connections"]
        history.shown = dict.fromkeys((kind for kind, *_ in KINDS), 0)
        for seen in [seen for part in readers for seen in part["observers"]]:
            history.shown[seen["kind"]] += sum(len(rows) for _, rows in seen["connections"])
        for one in history.assembled:
            history.shown[one.kind] += one.seq
        self.campaign.lives += len(history.lives)

    def _take_server(self, history, runs):
        client, database = self.server.client(), self.server.database()
        begin = time.monotonic()
        with database.connect() as connection:
            for run in runs:
                rows = connection.execute(
                    "select seq, event_type::text, payload::text from run_events where run_id = %s order by seq", [run]
                ).fetchall()
                history.tables[run] = [as_row(*row) for row in rows]
                history.logs[run] = [(kind, json.loads(text)) for _, kind, text in rows]
                history.heads[run] = connection.execute(
                    "select last_seq from run_heads where run_id = %s", [run]
                ).fetchone()[0]
            writes = connection.execute("select position, epoch, writer_is_owner from chaos_writes").fetchall()
            connection.execute("truncate chaos_writes")
        history.writes = [Write(*write) for write in writes]
        for run in runs:
            history.copies["REST pages", run] = [as_row(*event) for event in client.log(run)]
            history.copies["fresh replay", run] = self._replay(run)
        try:
            self.server.drained(max(0.5, SETTLE_S - (time.monotonic() - begin)))
        except WaitTimeout as error:
            history.late.append(str(error))
        self.campaign.events += sum(len(rows) for rows in history.tables.values())

    def _take_feeds(self, history, feeds):
        """Events of the phase by position; nobody else writes."""
        rows = self.server.database().rows(
            "select run_id::text, seq, payload::text from run_events where position > %s order by position",
            self.base_position,
        )
        history.log = [(run, seq, digest(payload)) for run, seq, payload in rows]
        runs, history.apart = self.jobs.runs(thread_of(self.name))
        self._take_jobs(history, [run for run in runs if run not in history.tables])
        for feed in feeds:
            history.feeds.append(Feed(feed["name"], [tuple(e) for e in feed["events"]], feed["thread"], feed["complaints"]))
            self.campaign.reconnects += feed["connections"]

    def _take_jobs(self, history, runs):
        with self.server.database().connect() as connection:
            for run in runs:
                rows = connection.execute("select seq, event_type::text from run_events where run_id = %s order by seq", [run])
                events = [Row(seq, kind, None, "") for seq, kind in rows]
                [head] = connection.execute("select last_seq from run_heads where run_id = %s", [run]).fetchone()
                history.jobs[run] = (events, head)

    def _take_resources(self, history):
        """Descriptors within 5, sessions within 2 of what they were before the load (I16)."""

        def leaks():
            now = self.resources()
            return {
                name: (before, now.get(name)) for name, before in self.base_resources.items()
                if abs(now.get(name, 0) - before) > (2 if name == "database sessions" else 5)
            }  # fmt: skip

        try:
            wait_until(lambda: not leaks(), "the resources of before", SETTLE_S)
        except WaitTimeout:
            history.late.append(f"not given back: {leaks()}")

    def _replay(self, run):
        with SseStream(self.server.address, f"/api/v1/runs/{run}/stream", self.server.api_key) as stream:
            if stream.status != 200:
                return []
            return [as_row(*event) for event in stream.read_to_end(20)]

    def _take_counts(self, history):
        if self.exact_restarts:
            for actor in self.server.actors():
                counted = actor["restarts"] - self.base_counts.get(actor["name"], 0)
                history.restarts.append((actor["name"], counted, self.injected.get(actor["name"], 0)))
        drains = self.server.metric("bus_safety_drains_total")
        if drains:
            history.late.append(f"the safety timer found unread bus messages {drains:.0f} times")
        history.late += [f"crash report: {line}" for line in self.server.log.crashes()]

    def _measure(self, history, readers):
        """Recovery: from a fault to the end of the first append that began after it and was acknowledged."""
        good = sorted((op.begin, op.end) for op in history.ops if op.result == "ok" and op.lane != "driver")
        self.campaign.acks += len(good)
        for moment, kind in self.faults:
            ends = [end for begin, end in good if begin >= moment]
            if ends:
                self.campaign.recoveries.setdefault(f"{kind} to ack", []).append(min(ends) - moment)
        absences = [absence for part in readers for absence in part["absences"]]
        if absences:
            kind = "broken stream to stream again"
            self.campaign.recoveries.setdefault(kind, []).extend(absences)


def as_row(seq, kind, payload) -> Row:
    return Row(seq, kind, key_of(payload), digest(payload))


def fault_points(actor) -> list:
    """Every SB_FAULT point in an actor's sources: a new one is shot at without being told."""
    found = set()
    for source in sorted((ROOT / "actors" / actor).rglob("*.c")):
        found.update(re.findall(r'SB_FAULT\("([^"]+)"\)', source.read_text(encoding="utf-8")))
    return sorted(found)

