"""Jobs as the sequencer keeps them, asked straight over the bus: every change decided once, events and rows together."""

import uuid

import pytest
from harness.jobs import Heard, Jobs, change, new_job


@pytest.fixture
def bus(box):
    with Jobs(box) as bus:
        yield bus


def kinds(box, run) -> list:
    return [kind for _, kind, _ in box.database().events(run)]


def row(box, job, columns="status, attempts, enqueue_seq, finish_seq") -> tuple:
    return box.database().rows(f"select {columns} from jobs where id = %s", job)[0]


def test_a_job_is_queued_claimed_and_completed(box, bus):
    run = bus.create()
    with Heard(box) as heard:
        queued = bus.enqueue(run, type="report", payload='{"n": 1}')
        assert queued | {"job": 0} == {"job": 0, "outcome": "OK", "status": "pending", "attempt": 0, "run": run, "seq": 2}
        job = queued["job"]
        assert row(box, job) == ("pending", 0, 2, None)
        token = bus.claim(job, worker="w7")
        assert row(box, job) == ("running", 1, 2, None)
        done = bus.complete(job, token, {"pages": 7})
        assert done | {"job": 0} == {"job": 0, "outcome": "OK", "status": "success", "attempt": 1, "run": run, "seq": 4}
        assert row(box, job, "status, attempts, finish_seq, result::text, last_worker") == (
            "success", 1, 4, '{"pages": 7}', "w7")  # fmt: skip
        heard.until(lambda h: [j["state"] for j in h.jobs()] == ["WAITING", "RUNNING", "ENDED"], "three states")
        assert heard.jobs()[0]["shard"] == box.database().value("select job_shard(%s, 'default')", bus.tenant)
        heard.until(lambda h: h.hint["jobs"] == len(h.frames) == h.frames[-1][1]["counter"], "the counter in a hint")
    assert kinds(box, run) == ["RUN_STARTED", "JOB_QUEUED", "JOB_STARTED", "JOB_COMPLETED"]
    assert box.database().value("select count(*) from job_open where job_id = %s", job) == 0
