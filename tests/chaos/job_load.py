"""The driver's side of the jobs of a chaos phase: starts, kills and stops the programs of chaos.jobs, and gathers their story."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
from chaos.job_checker import Event, Job, Story
from chaos.jobs import LEASE_MS
from harness.paths import ROOT
from harness.waiting import WaitTimeout, wait_until

LANES, WORKERS, THREADS = 2, 2, 3
SWEEP_MS = 500
SETTINGS = {
    "job_runner.count": 2, "jobs.stale_ms": LEASE_MS, "jobs.stale_check_ms": SWEEP_MS, "jobs.beat_flush_ms": 100,
    "jobs.retry_base_ms": 20, "jobs.retry_cap_ms": 200, "jobs.cancel_grace_ms": LEASE_MS, "jobs.poll_ms": 500,
}  # fmt: skip
# A lease, the look through the table, one more lease when the runner died with it, and what recovery may take.
OVERDUE_S = 2 * LEASE_MS / 1000 + SWEEP_MS / 1000 + 3.0
DRAIN_S = 40.0

LATE = """
select o.token::text, o.job_id::text, o.worker from job_open o
 where o.token is not null and o.lease_until < clock_timestamp()
"""


class Watch(threading.Thread):
    """Looks for claims whose lease is over, and how long they stay so while the database can be asked."""

    def __init__(self, connect):
        super().__init__(daemon=True)
        self.connect, self.stopping = connect, threading.Event()
        self.since, self.worst = {}, {}  # token -> moment; (job, worker, token) -> seconds

    def run(self):
        while not self.stopping.wait(0.1):
            with contextlib.suppress(psycopg.Error, OSError, AssertionError):
                with self.connect() as connection:
                    self.look(connection)
            self.since = {}

    def look(self, connection):
        last = time.monotonic()
        while not self.stopping.wait(0.2):
            rows, now = connection.execute(LATE).fetchall(), time.monotonic()
            if now - last > 1.0:  # the database stood still; so did the leases
                self.since = {}
            last = now
            self.since = {row: self.since.get(row, now) for row in rows}
            for row, since in self.since.items():
                self.worst[row] = now - since


class JobLoad:
    def __init__(self, server, folder, told, overdue_s=OVERDUE_S):
        self.server, self.folder = server, folder
        self.told = told | {"queue": f"q-{told['phase']}"[:60]}
        self.overdue_s = overdue_s
        self.workers, self.diaries, self.paused = {}, [], set()
        self.putter = None

    def start(self):
        self.base = self.server.database().value("select coalesce(max(position), 0) from run_events")
        self.watch = Watch(self.server.database().connect)
        self.watch.start()
        for n in range(WORKERS):
            self.start_worker(n)
        self.put_path = self.folder / f"put-{self.told['phase']}.json"
        self.putter = self._spawn({"role": "put", "name": "j", "lanes": LANES, "pause_s": LANES * 0.1, "out": str(self.put_path)})
        return self

    def _spawn(self, told):
        return subprocess.Popen(
            [sys.executable, "-m", "chaos.jobs", json.dumps(self.told | told)], stdin=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        )  # fmt: skip

    # Faults.

    def start_worker(self, n):
        """Always of the same name: a successor must not be taken for the dead one."""
        diary = self.folder / f"diary-{self.told['phase']}-{len(self.diaries)}.jsonl"
        self.diaries.append(diary)
        self.workers[n] = self._spawn({"role": "work", "name": f"w{n}.", "lanes": THREADS, "out": str(diary)})

    def kill_worker(self, n):
        self.workers[n].kill()
        self._reap(self.workers[n])
        self.start_worker(n)

    def stop_worker(self, n):
        self.workers[n].send_signal(signal.SIGSTOP)
        self.paused.add(n)

    def go_on_worker(self, n):
        self.workers[n].send_signal(signal.SIGCONT)
        self.paused.discard(n)

    # The end.

    @staticmethod
    def _reap(child):
        child.wait()
        child.stdin.close()

    def abandon(self):
        self.watch.stopping.set()
        for child in [*self.workers.values(), *([self.putter] if self.putter else [])]:
            child.kill()
            self._reap(child)

    def end_puts(self):
        self.putter.stdin.close()
        code = self.putter.wait(120)
        assert code == 0, f"chaos.jobs ended with {code}"

    def drain(self) -> Story:
        """Everything that was queued ends; then the workers end, and what happened is gathered."""
        story = Story()
        for n in list(self.paused):
            self.go_on_worker(n)
        try:
            wait_until(lambda: self.server.database().value("select count(*) from job_open") == 0, "the end of all jobs", DRAIN_S)
        except WaitTimeout as error:
            story.problems.append(str(error))
        for child in self.workers.values():
            child.stdin.close()
        for child in self.workers.values():
            child.wait(60)
        self.watch.stopping.set()
        self.watch.join(10)
        story.overdue = [(job, worker, s) for (_, job, worker), s in self.watch.worst.items() if s > self.overdue_s]
        self._take_programs(story)
        self._take_tables(story)
        return story

    def _take_programs(self, story):
        for lane in json.loads(self.put_path.read_text(encoding="utf-8")):
            story.puts += lane["puts"]
            story.cancelled += [tuple(one) for one in lane["cancelled"]]
            story.retried |= set(lane["retried"])
            story.problems += lane["problems"]
        for diary in self.diaries:
            for line in diary.read_text(encoding="utf-8").splitlines() if diary.exists() else ():
                fact = json.loads(line)
                story.facts.append(fact)
                if "problem" in fact:
                    story.problems.append(fact["problem"])

    def _take_tables(self, story):
        with self.server.database().connect() as connection:
            story.jobs = [Job(*row) for row in connection.execute(
                "select r.job_id::text, r.job_key, r.status::text, r.attempts, r.max_attempts, r.run_id::text, r.finish_seq,"
                " r.last_token::text, r.on_dep_fail, o.token is not null"
                " from job_records r left join job_open o using (id) where r.id > %s order by r.id", [self.base])]  # fmt: skip
            story.deps = connection.execute(
                "select p.job_id::text, c.job_id::text from job_deps d join job_records p on p.id = d.parent"
                " join job_records c on c.id = d.child where d.child > %s", [self.base]).fetchall()  # fmt: skip
            story.events = [Event(*row) for row in connection.execute(
                "select position, run_id::text, seq, event_type::text, payload from run_events where position > %s and"
                " (event_type::text like 'JOB\\_%%' or event_type = 'CUSTOM' and payload->>'name' = 'effect')"
                " order by position", [self.base])]  # fmt: skip

    def runs(self, thread) -> tuple:
        """Runs that hold jobs of this phase; those of them that are not in the phase's thread."""
        rows = self.server.database().rows(
            "select distinct e.run_id::text, r.thread_id::text from run_events e join runs r using (run_id)"
            " where e.position > %s and e.event_type = 'RUN_STARTED'", self.base)  # fmt: skip
        return [run for run, _ in rows], {run for run, of in rows if of != thread}
