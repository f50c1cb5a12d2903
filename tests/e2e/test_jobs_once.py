"""What happens once, although it is said twice: the end of a parent, a claim of a name that comes back; and rows that are wrong."""

import uuid

import pytest
from harness.jobs import Jobs, change, new_job
from harness.waiting import wait_until
from harness.workers import Jobs as OfWorkers


@pytest.fixture
def bus(box):
    with Jobs(box) as bus:
        yield bus


def open_row(box, job, columns):
    return box.database().rows(f"select {columns} from job_open where job_id = %s", job)[0]


@pytest.mark.requirement("I12")
def test_a_parent_that_ends_twice_is_counted_once(box, bus):
    """Dead, tried again by hand, done: the child still waits for the other one."""
    run = bus.create()
    first, other, child = (
        answer["job"] for answer in bus.enqueue_many(
            run, [new_job(key=f"{run}:{name}", on_dep_fail="continue") for name in "abc"], [(2, f"{run}:a"), (2, f"{run}:b")])
    )  # fmt: skip
    bus.fail(first, bus.claim(first), kind="fatal")
    assert open_row(box, child, "deps_left") == (1,)
    assert bus.change(first, "RETRY")["outcome"] == "OK"
    bus.complete(first, bus.claim(first))
    assert open_row(box, child, "deps_left") == (1,)
    assert bus.change(child, "CLAIM", token=run)["outcome"] == "NOT_READY"
    bus.complete(other, bus.claim(other))
    bus.complete(child, bus.claim(child))


@pytest.mark.requirement("I12")
def test_one_bad_change_does_not_stop_the_others_of_its_batch(box, bus):
    run = bus.create()
    jobs = [answer["job"] for answer in bus.enqueue_many(run, [new_job() for _ in range(4)])]
    tokens = [bus.claim(job) for job in jobs[:3]]
    told = bus.change_many(
        change(jobs[0], "COMPLETE", token=tokens[0], result="1"), change(jobs[1], "COMPLETE", token=tokens[1], result="{no json"),
        change(str(uuid.uuid4()), "COMPLETE", token=tokens[1]), change(jobs[2], "FAIL", token=tokens[0], reason="x"),
        change(jobs[3], "CLAIM", token=tokens[2], worker=""), change(jobs[2], "COMPLETE", token=tokens[2], result="3"),
    )  # fmt: skip
    assert [answer["outcome"] for answer in told] == ["OK", "REFUSED", "NOT_FOUND", "LEASE_LOST", "REFUSED", "OK"]
    assert [kind for _, kind, _ in box.database().events(run)][-2:] == ["JOB_COMPLETED", "JOB_COMPLETED"]


@pytest.mark.requirement("I12")
def test_a_row_that_is_wrong_stops_no_claim_and_no_sweep(box, client):
    """One that waits and has no job, first in the order; one whose lease has no length. Both are older than the others."""
    jobs, database = OfWorkers(client), box.database()
    bad = jobs.enqueue(2)
    held = jobs.claim_one()
    orphan = next(job for job in bad if job != held["id"])
    with database.connect() as connection:
        record, = connection.execute("select to_json(r)::text from job_records r where job_id = %s", [orphan]).fetchone()
        connection.execute("update job_open set lease_ms = null, lease_until = '-infinity' where job_id = %s", [held["id"]])
        connection.execute("delete from job_records where job_id = %s", [orphan])
    try:
        ids = jobs.enqueue(3)
        claimed = []

        def all_given():
            claimed.extend(jobs.claim(max=3, wait_ms=1000, lease_ms=100))
            return {job["id"] for job in claimed} >= set(ids)

        wait_until(all_given, "the good ones to be claimed")
        wait_until(lambda: jobs.log().count("JOB_RETRYING") >= 3, "their leases to end")
    finally:
        with database.connect() as connection:
            connection.execute("insert into job_records select * from json_populate_record(null::job_records, %s)", [record])
            connection.execute("update job_open set lease_ms = 60000 where job_id = %s", [held["id"]])
        client.finish(jobs.run)


@pytest.mark.requirement("I12", "R055")
def test_a_worker_who_comes_back_under_its_name_does_not_keep_what_the_dead_one_had(box, client):
    """Nor does it end it: a claim is its token."""
    jobs = OfWorkers(client)
    first, second = jobs.enqueue(2)
    dead = jobs.claim_one(worker="w", lease_ms=400)
    again = jobs.claim_one(worker="w", lease_ms=60_000)
    assert {dead["id"], again["id"]} == {first, second}

    def over():
        assert jobs.said("heartbeat", again)["cancel"] is False
        return jobs.show(dead["id"])["attempts"] == 1 and jobs.show(dead["id"])["status"] == "pending"

    wait_until(over, "the end of the dead one's lease")
    assert jobs.say("complete", dead).status_code == 409
    assert jobs.said("complete", again)["status"] == "success"


@pytest.mark.requirement("I12")
def test_the_claim_of_an_executor_whose_process_has_gone_is_not_waited_for(box, bus):
    """Whichever job-runner it was: its minute of lease is not over."""
    run = bus.create()
    job = bus.enqueue(run, type="report")["job"]
    bus.claim(job, worker="job-runner-9/7b/1", lease_ms=60_000)
    wait_until(lambda: "JOB_RETRYING" in [kind for _, kind, _ in box.database().events(run)], "another attempt")
    assert open_row(box, job, "attempts, token") == (1, None)
