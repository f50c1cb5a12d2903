"""
The jobs of the chaos load: `python -m chaos.jobs '{...}'`, "role" put or work.

put: lanes that queue jobs on runs of their own, one by one and in batches with parents, some under a key that all lanes ask
for at once, cancel some, try dead ones again, and end runs whose jobs are not done. At the end of standard input the history
is written.

work: workers over HTTP that complete, fail, give back, forget and outlive their leases. Workers are killed, so each writes
what it does as it does it: a line before a report, a line behind its answer. Every effect goes into that file under its key.
"""

import hashlib
import json
import os
import random
import sys
import threading
import time
import uuid
from pathlib import Path

from chaos.load import Connection, Lost, Unsent

GIVE_UP_S = 30.0
LEASE_MS = 1000
RUN_JOBS = 60  # of one run, then it is ended and the next one begins
RULES = ("cancel", "fail", "continue")


def cancels(key: str) -> bool:
    """These keys are cancelled and never tried again by hand, so that a success of one that was cancelled shows."""
    return hashlib.sha256(key.encode()).digest()[0] % 12 == 0


class Client:
    """Says everything until the answer is definite."""

    def __init__(self, told, timeout=12.0):
        self.connection = Connection(told["host"], told["port"], told["key_path"], timeout)

    def ask(self, method, path, body=None, give_up_s=GIVE_UP_S) -> tuple:
        """(status, text, whether an earlier try may have had an effect); status 0: unknown."""
        deadline, doubt, text = time.monotonic() + give_up_s, False, ""
        while time.monotonic() < deadline:
            try:
                status, text = self.connection.request(method, path, body if body is None else json.dumps(body))
            except Unsent:
                time.sleep(0.02)
                continue
            except Lost as error:
                doubt, text = True, repr(error)
                continue
            if status < 500:
                return status, text, doubt
            doubt = doubt or "outcome-unknown" in text
            time.sleep(0.02)
        return 0, text, doubt


class Lane(threading.Thread):
    def __init__(self, name, told, stopping):
        super().__init__(name=name)
        self.name, self.told, self.stopping = name, told, stopping
        self.chance = random.Random(f"{told['seed']}/{name}")
        self.client = Client(told)
        self.ordinal = 0
        self.run_id, self.in_run = None, 0
        self.puts, self.cancelled, self.retried, self.problems = [], [], [], []

    def run(self):
        due = time.monotonic()
        while not self.stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + self.chance.uniform(0.5, 1.5) * self.told["pause_s"], time.monotonic() - 1.0)
            try:
                self.step()
            except Exception as error:
                self.problems.append(f"{self.name}: {error!r}")

    def step(self):
        if self.run_id is None or self.in_run >= RUN_JOBS:
            self.next_run()
            return
        dice = self.chance.random()
        if dice < 0.45:
            self.put([self.job()])
        elif dice < 0.70:
            self.put(self.family())
        elif dice < 0.80:  # the same moment in all lanes: one name
            self.put([self.job(f"hot {int(time.monotonic() * 2)}")])
        elif dice < 0.85 and self.puts:
            self.put(self.chance.choice(self.puts)["jobs"])
        elif dice < 0.93:
            self.cancel()
        else:
            self.retry()

    def next_run(self):
        """The one before ends, perhaps with jobs that are not done: they end with it."""
        if self.run_id is not None and self.chance.random() < 0.5:
            self.client.ask("POST", f"/api/v1/runs/{self.run_id}/events", {"type": "RUN_FINISHED", "payload": {}})
        self.run_id, self.in_run = str(uuid.UUID(int=self.chance.getrandbits(128), version=4)), 0
        status, text, _ = self.client.ask("POST", "/api/v1/runs", {"id": self.run_id})
        if status not in (0, 200, 201):
            self.problems.append(f"{self.name}: a run: {status} {text[:200]}")

    def job(self, name=None, **fields) -> dict:
        self.ordinal += 1
        key = f"{self.told['phase']}.{name or f'{self.name}-{self.ordinal}'}"
        made = {"job_key": key, "queue": self.told["queue"], "job_type": "work", "max_attempts": self.chance.randint(2, 4),
                "payload": {"k": key}, "priority": self.chance.randint(-2, 2)}  # fmt: skip
        if self.chance.random() < 0.3:
            fails = self.chance.choice((0, 0, 0, 1))
            made |= {"job_type": "noop", "payload": {"sleep_ms": self.chance.choice((0, 0, 300)), "fail": fails}}
        if self.chance.random() < 0.08:
            made["detached"] = True
        return made | fields

    def family(self) -> list:
        """Parents, and a child of all of them; sometimes a grandchild."""
        parents = [self.job() for _ in range(self.chance.randint(1, 4))]
        names = [job["job_key"] for job in parents]
        child = self.job(depends_on=names, on_dep_fail=self.chance.choice(RULES), detached=False)
        made = [*parents, child]
        if self.chance.random() < 0.3:
            made.append(self.job(depends_on=[child["job_key"]], on_dep_fail=self.chance.choice(RULES), detached=False))
        return made

    def put(self, jobs):
        put = {"lane": self.name, "run": self.run_id, "jobs": jobs, "ids": None, "begin": time.monotonic()}
        status, text, doubt = self.client.ask("POST", f"/api/v1/runs/{self.run_id}/jobs", {"jobs": jobs})
        put |= {"end": time.monotonic(), "status": status, "doubt": doubt}
        if status in (200, 201):
            put["ids"] = [job["id"] for job in json.loads(text)["jobs"]]
            self.in_run += len(jobs)
        elif status == 409:
            self.run_id = None
        elif status != 0:
            self.problems.append(f"{self.name}: {status} {text[:300]}")
        self.puts.append(put)

    def known(self) -> list:
        return [(job["job_key"], job_id) for put in self.puts[-30:] if put["ids"] for job, job_id in zip(put["jobs"], put["ids"])]

    def cancel(self):
        """What comes soon after its queueing finds it waiting, running and ended."""
        chosen = [(key, job_id) for key, job_id in self.known() if cancels(key)]
        for _, job_id in chosen[-1:]:
            status, text, _ = self.client.ask("POST", f"/api/v1/jobs/{job_id}/cancel", {})
            if status == 200:
                self.cancelled.append((job_id, json.loads(text)["status"]))
            elif status not in (0, 409):
                self.problems.append(f"{self.name}: cancel: {status} {text[:200]}")

    def retry(self):
        """Of any: of most there is nothing to try again."""
        for key, job_id in self.chance.sample(self.known(), min(3, len(self.known()))):
            if not cancels(key):
                status, text, doubt = self.client.ask("POST", f"/api/v1/jobs/{job_id}/retry", {})
                if status != 409 or doubt:  # refused the second time, because the first has begun it again
                    self.retried.append(job_id)
                if status not in (0, 200, 409):
                    self.problems.append(f"{self.name}: retry: {status} {text[:200]}")

    def history(self) -> dict:
        return {"puts": self.puts, "cancelled": self.cancelled, "retried": self.retried, "problems": self.problems}


class Diary:
    """A line a fact, written whole: what a killed worker did is known up to its last moment."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, **fact):
        os.write(self.descriptor, (json.dumps(fact) + "\n").encode())


class Worker(threading.Thread):
    def __init__(self, name, told, stopping, diary):
        super().__init__(name=name, daemon=True)
        self.name, self.told, self.stopping, self.diary = name, told, stopping, diary
        self.chance = random.Random(f"{told['seed']}/{name}/{os.getpid()}")
        self.client = Client(told, timeout=8.0)

    def run(self):
        while not self.stopping.is_set():
            try:
                for job in self.claim():
                    self.handle(job)
            except Exception as error:
                self.diary.note(problem=f"{self.name}: {error!r}")

    def claim(self) -> list:
        wish = {"queues": [self.told["queue"]], "worker": self.name, "wait_ms": 1000, "lease_ms": LEASE_MS,
                "max": self.chance.choice((1, 1, 3))}  # fmt: skip
        if self.chance.random() < 0.5:
            wish["delivery_ms"] = 500
        try:
            status, text = self.client.connection.request("POST", "/api/v1/jobs/claim", json.dumps(wish))
        except (Unsent, Lost):
            self.stopping.wait(0.05)
            return []
        if status != 200:
            self.stopping.wait(0.05)
            if status < 500:
                self.diary.note(problem=f"{self.name}: claim: {status} {text[:200]}")
            return []
        return json.loads(text)["jobs"]

    def handle(self, job):
        if not self.say("heartbeat", job):
            return
        self.diary.note(effect=job["effect_key"], job=job["id"], token=job["token"], attempt=job["attempt"])
        dice = self.chance.random()
        if dice < 0.06:
            return  # forgotten: the lease ends
        if dice < 0.12:  # a zombie: its word may come after that of its successor
            self.stopping.wait(LEASE_MS / 1000 * self.chance.uniform(0.8, 2.5))
        elif dice < 0.4:
            self.stopping.wait(self.chance.random() * 0.1)
        if dice > 0.9 and not self.say("progress", job, percent=self.chance.randint(0, 100), note="half"):
            return
        self.end(job)

    def end(self, job):
        dice = self.chance.random()
        if dice < 0.06:
            self.say("fail", job, error="as told", retry_after_ms=self.chance.choice((1, 50, 300)))
        elif dice < 0.08:
            self.say("fail", job, error="for good", **{"class": "fatal"})
        elif dice < 0.10:
            self.say("fail", job, error="slower", retry_after_ms=20, **{"class": "rate_limited"})
        elif dice < 0.13:
            self.say("release", job)
        else:
            done = {"type": "CUSTOM", "payload": {"name": "effect", "value": {"token": job["token"], "job": job["id"]}}}
            events = [done] if self.chance.random() < 0.5 else []
            for _ in range(1 if self.chance.random() < 0.8 else 2):
                self.say("complete", job, result={"by": job["token"]}, events=events)

    def say(self, word, job, **fields) -> bool:
        """False: this claim is over."""
        about = {"word": word, "job": job["id"], "token": job["token"], "attempt": job["attempt"]}
        self.diary.note(**about, said=fields, at=time.monotonic())
        status, text, doubt = self.client.ask("POST", f"/api/v1/jobs/{job['id']}/{word}", {"token": job["token"]} | fields, 10)
        told = json.loads(text) if status == 200 else {"text": text[:200]}
        self.diary.note(**about, status=status, told=told, doubt=doubt, at=time.monotonic())
        return status == 200 and not told.get("cancel")


def put(told, stopping):
    lanes = [Lane(f"{told['name']}{n}", told, stopping) for n in range(told["lanes"])]
    for lane in lanes:
        lane.start()
    sys.stdin.read()
    stopping.set()
    for lane in lanes:
        lane.join()
    Path(told["out"]).write_text(json.dumps([lane.history() for lane in lanes]), encoding="utf-8")


def work(told, stopping):
    diary = Diary(told["out"])
    workers = [Worker(f"{told['name']}{n}", told, stopping, diary) for n in range(told["lanes"])]
    for worker in workers:
        worker.start()
    sys.stdin.read()
    stopping.set()
    for worker in workers:
        worker.join(20)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    {"put": put, "work": work}[told["role"]](told, threading.Event())
