"""Commands about jobs among others, and names that mean two things: what nobody sends by itself, and what stops everybody else
when it is not thought of."""

import hashlib
import re
import time
import uuid

import pytest
from e2e.test_statements import statements_of
from harness.jobs import Jobs, change, new_job

KEY_OF_JOBS = 3  # enum key_scope of actors/sequencer/sequencer.h


@pytest.fixture
def bus(box):
    with Jobs(box) as bus:
        yield bus


def generation(box) -> int:
    return box.settled("sequencer-1")["generation"]


def test_a_run_that_waits_and_a_change_without_an_event_go_together(box, bus):
    """The statement has the whole of both: neither writes an event."""
    before = generation(box)
    run = bus.create()
    jobs = [bus.enqueue(run)["job"] for _ in range(5)]
    tokens = [bus.claim(job) for job in jobs]
    in_an_hour = int(time.time() + 3600) * 1_000_000
    for job, token in zip(jobs, tokens):
        pending = str(uuid.uuid4())
        # The new run is looked up first; the other command is there by then.
        created = bus.send("CREATE_RUN", run=pending, metadata="{}", started="{}", start_at=in_an_hour)
        released = bus.send_changes(change(job, "RELEASE", token=token))
        assert bus.answer(created)["outcome"] == "OK"
        assert bus.answer(released)["jobs"][0][1] == 0
        assert box.database().value("select status::text from runs where run_id = %s", pending) == "pending"
    assert box.database().value("select count(*) from job_open where run_id = %s and token is null", run) == 5
    assert generation(box) == before


@pytest.mark.parametrize("named", ["hash of a key", "id of a run"])
def test_a_name_of_something_else_is_no_parent(box, bus, named):
    """Hashes of keys are no secret: one that is given as an id of a job is not that job."""
    before = generation(box)
    run, key, child = bus.create(), uuid.uuid4().hex, str(uuid.uuid4())
    tenant = uuid.UUID(str(bus.tenant)).bytes
    digest = hashlib.blake2b(bytes([KEY_OF_JOBS]) + tenant + key.encode(), digest_size=16).digest()
    parent = child if named == "id of a run" else str(uuid.UUID(bytes=digest))
    jobs = [new_job(key=key, child=child if parent == child else bytes(16)), new_job()]
    told = bus.enqueue_many(run, jobs, parents=[(1, parent)])
    assert [answer["outcome"] for answer in told] == ["NO_PARENT", "NO_PARENT"]
    assert box.database().value("select count(*) from job_records where job_key = %s", key) == 0
    assert generation(box) == before


def test_the_jobs_of_a_run_are_counted_once_not_for_each_of_them(box, bus):
    """10,000 parents of a run of 10,000 jobs took longer than statement_timeout: asked again for ever, with all behind it."""
    run = bus.create()
    jobs = [answer["job"] for answer in bus.enqueue_many(run, [new_job() for _ in range(50)])]
    statement = next(text for text in statements_of("actors/sequencer/store.c") if "n.job_id = any($1::uuid[])" in text)
    with box.database().connect("sequencer") as connection:
        connection.execute("set plan_cache_mode = force_generic_plan")
        connection.execute("prepare looked_at as " + statement)
        explained = "explain (analyze, timing off) execute looked_at(%s)"
        listed = "{" + ",".join(jobs) + "}"
        plan = "\n".join(row[0] for row in connection.execute(explained.replace("%s", f"'{listed}'")))
        connection.execute("deallocate looked_at")
    counts = re.findall(r"job_records j\w* .*rows=50 loops=(\d+)|job_records_run on job_records j\w* .*loops=(\d+)", plan)
    assert counts and all("50" not in count for count in counts), plan
