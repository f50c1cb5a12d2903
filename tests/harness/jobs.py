"""
Jobs over the bus itself, as the api and a job-runner ask for them: put on runs, claimed, reported. For what HTTP cannot
say, and for whole life stories without a job-runner.
"""

import json
import re
import uuid

import msgpack
import zmq

from harness.commander import Commander, decode
from harness.paths import ROOT
from harness.waiting import wait_until


def _enum(prefix, text) -> dict:
    return {int(number): name for name, number in re.findall(rf"{prefix}(\w+) = (\d+)", text)}


_HEADER = (ROOT / "proto" / "job.h").read_text(encoding="utf-8")
OUTCOMES = _enum("JOB_OUTCOME_", _HEADER)
STATUSES = {number: name.lower() for number, name in _enum("JOB_STATUS_", _HEADER).items()}
STATES = _enum("JOB_STATE_", _HEADER)
CHANGES = {name: number for number, name in _enum("JOB_", re.search(r"enum job_change {(.*?)};", _HEADER, re.S)[1]).items()}
CLASSES = {"retryable": 0, "fatal": 1, "rate_limited": 2}
DEP_FAIL = {"cancel": 0, "fail": 1, "continue": 2}


def new_job(**fields) -> dict:
    """One of ENQUEUE_JOBS."""
    job = fields.pop("job", None) or str(uuid.uuid4())
    fields["on_dep_fail"] = DEP_FAIL[fields.pop("on_dep_fail", "cancel")]
    return {"job": job, "key": job, "type": "test", "queue": "default", "payload": "{}", "max_attempts": 3} | fields


def change(job, what, **fields) -> dict:
    """One of CHANGE_JOBS."""
    fields["class"] = CLASSES[fields.pop("kind", "retryable")]
    if what == "CLAIM":
        fields = {"worker": "w1", "lease_ms": 60000} | fields
    return {"job": job, "what": CHANGES[what], "percent": -1} | fields


class Jobs(Commander):
    def _told(self, answer) -> list:
        assert answer["outcome"] == "OK", answer
        told = []
        for job, outcome, status, attempt, run, seq in answer["jobs"]:
            told.append({"job": str(uuid.UUID(bytes=job)), "outcome": OUTCOMES[outcome], "status": STATUSES.get(status),
                         "attempt": attempt, "run": str(uuid.UUID(bytes=run)), "seq": seq})  # fmt: skip
        return told

    def enqueue_many(self, run, jobs, parents=(), **fields) -> list:
        """parents: (index, job or key)"""
        listed = []
        for index, parent in parents:
            by_id = re.fullmatch(r"[0-9a-f-]{36}", parent) is not None
            listed.append({"index": index} | ({"parent": parent} if by_id else {"key": parent}))
        return self._told(self.do("ENQUEUE_JOBS", run=run or bytes(16), jobs=jobs, parents=listed, **fields))

    def enqueue(self, run, **fields) -> dict:
        return self.enqueue_many(run, [new_job(**fields)])[0]

    def send_changes(self, *changes, events=(), **fields) -> int:
        return self.send("CHANGE_JOBS", changes=list(changes), events=list(events), **fields)

    def change_many(self, *changes, **fields) -> list:
        return self._told(self.answer(self.send_changes(*changes, **fields)))

    def change(self, job, what, **fields) -> dict:
        return self.change_many(change(job, what, **fields))[0]

    def claim(self, job, **fields) -> str:
        """Returns the token."""
        token = str(uuid.uuid4())
        answer = self.change(job, "CLAIM", token=token, **fields)
        assert answer["outcome"] == "OK", answer
        return token

    def complete(self, job, token, result=None, events=()) -> dict:
        listed = [{"index": 0, "type": kind, "payload": json.dumps(payload)} for kind, payload in events]
        text = "" if result is None else json.dumps(result)
        return self.change_many(change(job, "COMPLETE", token=token, result=text), events=listed)[0]

    def fail(self, job, token, kind="retryable", reason="broken", **fields) -> dict:
        return self.change(job, "FAIL", token=token, kind=kind, reason=reason, **fields)


class Heard:
    """What the sequencer publishes: frames of one topic."""

    def __init__(self, box, topic=b"J"):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(f"ipc://{box.status()['run_dir']}/events.sock")
        self.socket.subscribe(topic)
        self.socket.subscribe(b"H")
        self.frames = []
        self.hint = None
        wait_until(lambda: self._pump() or self.hint, "a hint: the subscription is there", 10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.context.term()

    def _pump(self):
        while self.socket.poll(20):
            frame = self.socket.recv()
            name, _, fields = decode(frame[1:])
            if name == "HINT":
                self.hint = fields
            else:
                self.frames.append((name, fields))

    def jobs(self) -> list:
        """[{job fields}] in the order they were said."""
        names = ("id", "job", "tenant", "run", "state", "shard", "queue", "type", "priority", "run_at", "concurrency_key",
                 "attempts", "token", "worker", "lease_ms", "cancel")  # fmt: skip
        found = []
        for name, fields in self.frames:
            for item in fields["jobs"] if name == "JOBS" else ():
                job = dict(zip(names, item))
                found.append(job | {"job": str(uuid.UUID(bytes=job["job"])), "state": STATES[job["state"]]})
        return found

    def until(self, predicate, what):
        return wait_until(lambda: self._pump() or predicate(self), what, 10)
