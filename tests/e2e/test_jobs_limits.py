"""What is asked of queues and types holds for the job-runners, and at once: they would look by themselves in ten minutes only."""

import pytest
from harness.client import assert_problem, random_id
from harness.server import Server
from harness.waiting import wait_until
from harness.workers import Jobs, Poll

PER_RUN = 12


@pytest.fixture(scope="module")
def patient():
    """A server whose job-runners do not look into the table by themselves."""
    server = Server({"jobs.poll_ms": 600_000, "jobs.per_run_max": PER_RUN})
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def jobs(patient):
    patient.begin()
    yield Jobs(patient.client())
    patient.verify()


def put(jobs, path, **body):
    answer = jobs.client.request("PUT", f"/api/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text


def take_back(jobs, path):
    answer = jobs.client.request("DELETE", f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text


def nothing_comes(jobs, **wish):
    """The hint is on its way while the api answers; what comes until then is given back."""
    wait_until(lambda: not [jobs.said("release", job) for job in jobs.claim(wait_ms=100, **wish)], "nothing to be given out", 20)


@pytest.mark.parametrize("what", ["queue", "type", "tenant"])
def test_pauses_hold_and_end(jobs, what):
    path = {"queue": f"queues/{jobs.queue}", "type": "job-types/work/pause", "tenant": "jobs/pause"}[what]
    put(jobs, path, **({"paused": True} if what == "queue" else {}))
    [job_id] = jobs.enqueue()
    nothing_comes(jobs)
    poll = Poll(jobs)
    if what == "queue":
        put(jobs, path, paused=False)
    else:
        take_back(jobs, path)
    [job] = poll.jobs
    assert job["id"] == job_id
    jobs.said("complete", job)


def test_so_many_at_once(jobs):
    put(jobs, f"queues/{jobs.queue}", concurrency=2)
    jobs.enqueue(4)
    held = []
    wait_until(lambda: held.extend(jobs.claim(wait_ms=100)) or len(held) >= 2, "two jobs")
    assert jobs.claim(wait_ms=100, max=10) == [] and len(held) == 2
    poll = Poll(jobs, max=10)
    jobs.said("complete", held[0])
    assert len(poll.jobs) == 1, "a place is free"
    poll = Poll(jobs, max=10)
    put(jobs, f"queues/{jobs.queue}", concurrency=None)
    assert len(poll.jobs) == 1, "there is no limit any more"
    assert jobs.client.get(f"/api/v1/queues/{jobs.queue}").json()["running"] == 3


def test_one_at_once_of_a_key_and_more_when_the_queue_says_so(jobs):
    jobs.enqueue(3, concurrency_key="c")
    [first] = jobs.claim(wait_ms=5000, max=10)
    assert jobs.claim(wait_ms=100, max=10) == []
    poll = Poll(jobs, max=10)
    put(jobs, f"queues/{jobs.queue}", key_concurrency=3)
    found = poll.jobs
    while len(found) < 2:
        found += jobs.claim(wait_ms=5000, max=10)
    assert len({job["id"] for job in [first, *found]}) == 3


def test_so_many_a_minute(jobs):
    put(jobs, f"queues/{jobs.queue}", rate_per_minute=1, rate_burst=2)
    jobs.enqueue(4)
    found = []
    wait_until(lambda: found.extend(jobs.claim(wait_ms=100)) or len(found) >= 2, "the burst")
    assert jobs.claim(wait_ms=100, max=10) == []
    take_back(jobs, f"queues/{jobs.queue}")
    wait_until(lambda: found.extend(jobs.claim(wait_ms=100)) or len(found) == 4, "the rest")


@pytest.mark.parametrize(("table", "path", "body"), [("job_queues", "queues", {"paused": True}), ("job_pauses", "job-types", {})])
def test_names_that_a_tenant_chooses_have_an_end(jobs, patient, table, path, body):
    """Every job-runner keeps all of them."""
    name = "queue" if table == "job_queues" else "job_type"
    tenant = jobs.client.get("/api/v1/session").json()["tenant_id"]
    end = "" if table == "job_queues" else "/pause"
    with patient.database().connect() as connection:
        connection.execute(f"insert into {table} (tenant_id, {name}) select '{tenant}', 'n' || g from generate_series(1, 1000) g")
    try:
        refused = jobs.client.request("PUT", f"/api/v1/{path}/one-more{end}", json=body)
        assert refused.status_code == 422, refused.text
        put(jobs, f"{path}/n7{end}", **body)
    finally:
        with patient.database().connect() as connection:
            connection.execute(f"delete from {table} where tenant_id = '{tenant}' and {name} like 'n%'")
    put(jobs, f"{path}/one-more{end}", **body)
    take_back(jobs, f"{path}/one-more{end}")


def test_so_many_of_one_run_and_the_refusal_names_the_limit(jobs):
    """Detached ones are in runs of their own, and what has ended makes room."""
    jobs.enqueue(PER_RUN)

    def one_more(**fields):
        return jobs.client.post(f"/api/v1/runs/{jobs.run}/jobs", {"job_type": "work", "job_key": random_id(), "queue": jobs.queue} | fields)

    document = assert_problem(one_more(), 429, "quota-exceeded")
    assert (document["quota"], document["limit"], document["used"]) == ("jobs_per_run", PER_RUN, PER_RUN)
    assert one_more(detached=True, queue=random_id()).status_code == 201
    jobs.said("complete", jobs.claim_one())
    assert one_more().status_code == 201
