"""A real conversation, split into two hundred jobs that wait for each other, while everything is killed."""

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict

import pytest
from harness.paths import ROOT, trajectories
from harness.processes import Process
from harness.server import Server
from harness.trajectories import load
from harness.waiting import WaitTimeout, wait_until

PIECES, MERGES = 180, 18
FAULTS_S = 6.0
SETTINGS = {
    "job_runner.count": 2, "restart.early_deaths": 100_000, "restart.late_deaths": 100_000, "restart.total_deaths": 100_000,
    "stop.sequencer_ms": 1500, "jobs.stale_ms": 1000, "jobs.stale_check_ms": 500, "jobs.beat_flush_ms": 100, "jobs.poll_ms": 500,
    "jobs.retry_base_ms": 20, "jobs.retry_cap_ms": 100,
}  # fmt: skip


def texts() -> list:
    """What was said in a conversation, in PIECES pieces."""
    said = " ".join(m.get("content") or "" for m in load(trajectories(), 1)[0]["messages"]).split()
    return [" ".join(said[n::PIECES]) for n in range(PIECES)]


def split(pieces) -> list:
    """180 pieces, a third of them for the job-runners' own kind; 18 sums of 10, their sum, and one behind all."""
    jobs = []
    for n, text in enumerate(pieces):
        kind = {"job_type": "noop", "payload": {"sleep_ms": 30}} if n % 3 == 2 else {"job_type": "count", "payload": {"text": text}}
        jobs.append(kind | {"job_key": f"piece {n}"})
    for n in range(MERGES):
        of = range(n, PIECES, MERGES)
        parts = [f"piece {m}" for m in of if m % 3 != 2]
        jobs.append({"job_type": "sum", "job_key": f"sum {n}", "payload": {"parts": parts}, "depends_on": [f"piece {m}" for m in of]})
    sums = [f"sum {n}" for n in range(MERGES)]
    jobs.append({"job_type": "sum", "job_key": "total", "payload": {"parts": sums}, "depends_on": sums})
    jobs.append({"job_type": "noop", "job_key": "behind", "payload": {}, "depends_on": ["total", "piece 0"]})
    return [job | {"max_attempts": 1000} for job in jobs]


class Workers:
    def __init__(self, box):
        self.box, self.running, self.started = box, {}, 0
        for n in range(2):
            self.start(n)

    def start(self, n):
        host, port = self.box.address
        told = {"host": host, "port": port, "key_path": str(self.box.dir / "api-key"), "name": f"worker-{n}",
                "out": str(self.box.home / f"diary-{self.started}")}  # fmt: skip
        self.started += 1
        self.running[n] = subprocess.Popen(
            [sys.executable, "-m", "chaos.split", json.dumps(told)], stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT / "tests")}
        )

    def kill(self, n):
        self.running[n].kill()
        self.running[n].wait()

    def facts(self) -> list:
        lines = [line for n in range(self.started) for line in self.read(n)]
        return [json.loads(line) for line in lines]

    def read(self, n) -> list:
        diary = self.box.home / f"diary-{n}"
        return diary.read_text(encoding="utf-8").splitlines() if diary.exists() else []


def break_things(box, workers, chance):
    """Processes die, and some stop for longer than the leases."""
    stopped, deadline = [], time.monotonic() + FAULTS_S
    names = ["sequencer-1", "api-1", "api-2", "job-runner-1", "job-runner-2", "worker", "postgres"]
    shots = chance.sample(names, len(names))
    while time.monotonic() < deadline or shots:
        name = shots.pop() if shots else chance.choice(names[:-1])
        if name == "worker":
            workers.kill(0)
            workers.start(0)
        else:
            process = Process.of({e["name"]: e for s in ("actors", "services") for e in box.status()[s]}[name]["pid"] or 0)
            stop = name.startswith("job-runner") and not stopped
            if process and process.signal(signal.SIGSTOP if stop else signal.SIGKILL) and stop:
                stopped.append((time.monotonic() + 1.5, process))
        if name == "postgres":
            wait_until(box.http_ready, "the database", 20)
        if len(stopped) == 1 and time.monotonic() > stopped[0][0]:
            stopped.pop()[1].signal(signal.SIGCONT)
        wait_until(lambda end=time.monotonic() + chance.uniform(0.05, 0.4): time.monotonic() > end, "the next moment")
    for _, process in stopped:
        process.signal(signal.SIGCONT)


def unfinished(box) -> list:
    return box.database().rows("select id, job_type, deps_left, attempts, worker, token, lease_until - now() from job_open limit 5")


def dead(workers) -> list:
    return [n for n, worker in workers.running.items() if worker.poll() is not None]


@pytest.fixture
def box():
    server = Server(SETTINGS)
    try:
        server.start()
        # What a runner works on outlives its shard: if it dies then, the next owner knows only that the lease is not over.
        owners = "select count(distinct owner) from job_shards where owner <> ''"
        wait_until(lambda: server.database().value(owners) == 2, "both runners to have shards")
        yield server
        server.allow_error(".")
        for actor in server.actors():
            server.allow_restart(actor["name"], None)
    finally:
        server.close()


@pytest.mark.requirement("I12", "K13", "R054", "R055")
def test_two_hundred_jobs_happen_once_whatever_dies(box):
    seed = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
    print("seed", seed)
    pieces, client = texts(), box.client()
    run, workers = client.new_run(), Workers(box)
    try:
        wanted = split(pieces)
        answer = client.post(f"/api/v1/runs/{run}/jobs", {"jobs": wanted})
        assert answer.status_code == 201 and len(wanted) == 200, answer.text
        break_things(box, workers, random.Random(seed))
        try:
            wait_until(lambda: dead(workers) or not unfinished(box), "the end of all jobs", 40)
        except WaitTimeout as error:
            raise AssertionError(f"{error}: {unfinished(box)}\n{box.output()}") from None
        assert not dead(workers)
    finally:
        for n in workers.running:
            workers.kill(n)
    box.all_healthy()
    jobs = {job["job_key"]: job for job in client.get(f"/api/v1/runs/{run}/jobs?limit=1000").json()["jobs"]}
    assert {job["status"] for job in jobs.values()} == {"success"} and len(jobs) == 200
    assert jobs["total"]["result"]["words"] == sum(len(text.split()) for n, text in enumerate(pieces) if n % 3 != 2) > 0
    events = [(kind, json.loads(text)) for _, kind, text in client.log(run)]
    print(Counter(kind for kind, _ in events))
    check_log(jobs, events)
    check_effects(jobs, events, workers.facts())
    client.finish(run)
    verified = box.command("verify", check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def check_log(jobs, events):
    """One beginning and one end each; no child before its parents."""
    at = defaultdict(list)
    for n, (kind, payload) in enumerate(events):
        if kind.startswith("JOB_"):
            at[payload["job_id"]].append((n, kind))
    ends = {job: [n for n, kind in seen if kind in ("JOB_COMPLETED", "JOB_FAILED", "JOB_CANCELLED")] for job, seen in at.items()}
    assert {len(end) for end in ends.values()} == {1} and len(ends) == 200
    assert Counter(kind for kind, _ in events)["JOB_QUEUED"] == Counter(kind for kind, _ in events)["JOB_COMPLETED"] == 200
    for job in jobs.values():
        began = min(n for n, kind in at[job["id"]] if kind == "JOB_STARTED")
        assert all(ends[parent][0] < began for parent in job["depends_on"]), job


def check_effects(jobs, events, facts):
    """In the log once each; outside, under one key each, however many attempts there were."""
    of_workers = {key: job for key, job in jobs.items() if job["job_type"] != "noop"}
    inside = Counter(payload["value"]["job"] for kind, payload in events if kind == "CUSTOM")
    assert inside == Counter(job["id"] for job in of_workers.values())
    outside = {(fact["job"], fact["effect"], fact["words"]) for fact in facts}
    assert sorted(job for job, _, _ in outside) == sorted(of_workers)
    assert len({effect for _, effect, _ in outside}) == len(of_workers)
    assert all(jobs[job]["result"]["words"] == words for job, _, words in outside)
