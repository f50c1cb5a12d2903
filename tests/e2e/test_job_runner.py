"""Job-runners on a server of their own: order, shards, leases, and jobs that survive every death between two steps."""

import json
import re
import signal
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from harness.paths import ROOT, fault_bin_dir
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points"
)

SETTINGS = {"job_runner.count": 2, "jobs.executors": 4, "jobs.poll_ms": 200, "jobs.beat_flush_ms": 100,
            "jobs.stale_check_ms": 200, "jobs.cancel_grace_ms": 300, "jobs.retry_base_ms": 50, "stop.job_runner_ms": 4000,
            "restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000}  # fmt: skip
RUNNERS = ("job-runner-1", "job-runner-2")
# Reached by every job, and those of leases.
POINTS = ["jobs_before_change", "jobs_change_sent", "jobs_result_here", "jobs_claimed", "jobs_before_page", "jobs_before_hold"]
LEASE_POINTS = ["jobs_before_renewal", "jobs_before_confirm"]
OTHER_POINTS = ["jobs_before_schedule_moves"]  # test_schedules.py


@pytest.fixture(scope="module")
def fault_box():
    from harness.server import Server

    server = Server(SETTINGS, faults=True)
    try:
        server.start()
        wait_until(lambda: owners(server) == set(RUNNERS), "both runners to have shards")
        yield server
        server.begin()
    finally:
        server.close()


@pytest.fixture
def box(fault_box):
    fault_box.begin()
    yield fault_box
    fault_box.faults.clear()
    fault_box.verify()


@pytest.fixture
def client(box):
    return box.client()


def owners(box) -> set:
    rows = box.database().rows("select owner from job_shards where until > now()")
    return {owner.split("/")[-1] for owner, in rows} if len(rows) == 16 else set()


def enqueue(client, run, *jobs) -> list:
    jobs = [{"job_type": "noop", "job_key": str(uuid.uuid4()), "payload": {}} | job for job in jobs]
    answer = client.post(f"/api/v1/runs/{run}/jobs", {"jobs": jobs})
    assert answer.status_code == 201, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def state(box, job, columns="status::text, attempts") -> tuple:
    return box.database().rows(f"select {columns} from jobs where id = %s", job)[0]


def wait_state(box, jobs, status="success", timeout=15):
    def all_there():
        found = box.database().rows("select distinct status::text from jobs where id = any(%s)", list(jobs))
        return found == [(status,)]

    wait_until(all_there, f"{len(jobs)} jobs to be {status}", timeout)


def story(box, job) -> list:
    """Its events, in order."""
    rows = box.database().rows(
        "select event_type from run_events where run_id = (select run_id from jobs where id = %s)"
        " and payload->>'job_id' = %s order by position", job, str(job))  # fmt: skip
    return [kind.removeprefix("JOB_") for kind, in rows]


def claim(client, queue, timeout=15, **fields) -> dict:
    """Asks again and again: a runner that has just gained the shard is not asked by a wait that began before."""

    def given():
        answer = client.post("/api/v1/jobs/claim", {"queues": [queue], "worker": "w1", "wait_ms": 300} | fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["jobs"]

    job, = wait_until(given, f"a job of {queue}", timeout)
    return job


def report(client, job, what, **fields):
    return client.post(f"/api/v1/jobs/{job['id']}/{what}", {"token": job["token"]} | fields)


def fresh_queue() -> str:
    return f"q-{uuid.uuid4()}"


# ---- order and limits ----


def test_jobs_run_by_priority_and_within_the_limit_of_their_queue(box, client):
    """Paused, five are put, one at a time is allowed, and with the pause gone they run by priority."""
    run, queue = client.new_run(), fresh_queue()
    assert client.request("PUT", f"/api/v1/queues/{queue}", json={"paused": True, "concurrency": 1}).status_code == 200
    order = [3, -5, 7, 0, 7]
    soon = datetime.now(timezone.utc) + timedelta(seconds=0.2)  # the runner hears of the pause after the answer
    jobs = enqueue(client, run, *({"queue": queue, "priority": n, "payload": {"sleep_ms": 10}, "run_at": soon.isoformat()}
                                  for n in order))  # fmt: skip
    time.sleep(0.5)  # due, and a poll and more: nothing is taken
    assert {state(box, job) for job in jobs} == {("pending", 0)}
    assert client.request("PUT", f"/api/v1/queues/{queue}", json={"paused": False, "concurrency": 1}).status_code == 200
    wait_state(box, jobs)
    rows = box.database().rows(
        "select payload->>'job_id', event_type from run_events where run_id = %s"
        " and event_type in ('JOB_STARTED', 'JOB_COMPLETED') order by seq", run)  # fmt: skip
    wanted = sorted(range(5), key=lambda i: (-order[i], i))
    assert rows == [(jobs[i], kind) for i in wanted for kind in ("JOB_STARTED", "JOB_COMPLETED")]


def test_a_failed_attempt_waits_and_is_repeated(box, client):
    job, = enqueue(client, client.new_run(), {"payload": {"fail": 1, "class": "retryable"}})
    wait_state(box, [job])
    assert story(box, job) == ["QUEUED", "STARTED", "RETRYING", "STARTED", "COMPLETED"]
    assert state(box, job) == ("success", 2)


def test_a_rate_limited_failure_costs_no_attempt_and_slows_its_type(box, client):
    run = client.new_run()
    first, = enqueue(client, run, {"payload": {"fail": 0}})
    wait_state(box, [first])
    external = {"job_type": f"t-{uuid.uuid4()}", "queue": fresh_queue()}
    limited, other = enqueue(client, run, external, external)
    held = claim(client, external["queue"])
    assert held["id"] == limited
    given = claim(client, external["queue"])
    assert given["id"] == other
    third, = enqueue(client, run, external)
    assert report(client, given, "fail", error="429", **{"class": "rate_limited"}, retry_after_ms=400).status_code == 200
    begun = time.monotonic()
    after = claim(client, external["queue"])
    assert time.monotonic() - begun > 0.25
    assert after["attempt"] == 1 and after["id"] in (other, third)
    last = claim(client, external["queue"])
    assert {report(client, job, "complete").status_code for job in (held, after, last)} == {200}


@pytest.mark.parametrize("rule, status", [("cancel", "cancelled"), ("fail", "error"), ("continue", "success")])
def test_a_parent_without_success_decides_about_its_child(box, client, rule, status):
    parent, child, grandchild = enqueue(
        client, client.new_run(),
        {"job_key": (key := str(uuid.uuid4())), "payload": {"fail": 9, "class": "fatal"}},
        {"job_key": key + "/child", "depends_on": [key], "on_dep_fail": rule},
        {"depends_on": [key + "/child"], "on_dep_fail": rule},
    )  # fmt: skip
    wait_state(box, [child, grandchild], status)
    assert state(box, parent)[0] == "error"


# ---- shards ----


def test_two_runners_share_the_shards_and_one_takes_over(box, client):
    run = client.new_run()
    jobs = enqueue(client, run, *({"queue": f"shared-{n}"} for n in range(40)))
    wait_state(box, jobs)
    workers = box.database().rows("select distinct split_part(last_worker, '/', 1) from jobs where id = any(%s)", jobs)
    assert {worker for worker, in workers} == set(RUNNERS)
    box.settled("job-runner-1")
    sleepers = enqueue(client, run, *({"queue": f"shared-{n}", "payload": {"sleep_ms": 500}} for n in range(8)))
    wait_until(lambda: len({worker for worker, in box.database().rows(
        "select split_part(worker, '/', 1) from job_open where worker like 'job-runner-%%'")}) == 2, "both to work")  # fmt: skip
    box.kill("job-runner-1")
    wait_state(box, sleepers)
    for job in sleepers:
        told = story(box, job)
        assert told.count("COMPLETED") == 1 and told[0] == "QUEUED", told
        assert state(box, job)[1] == 1 + told.count("RETRYING"), told  # what was lost was counted, nothing else
    assert any(state(box, job)[1] == 2 for job in sleepers)
    wait_until(lambda: owners(box) == set(RUNNERS), "the successor to have its shards again")


def test_the_shard_of_a_queue_is_the_same_here_and_there(box, client):
    """A runner that computed other shards would answer that nobody works on the queue."""
    run = client.new_run()
    for _ in range(6):
        queue = fresh_queue()
        job, = enqueue(client, run, {"queue": queue, "job_type": "outside"})
        given = claim(client, queue)
        assert given["id"] == job and report(client, given, "complete").status_code == 200


def test_jobs_run_although_no_news_of_them_come(box, client):
    run = client.new_run()
    box.faults.order("jobs_deaf", "stay")
    try:
        before = box.metric("jobs_polled_total")
        jobs = enqueue(client, run, {}, {"payload": {"fail": 1}}, {"job_key": (key := str(uuid.uuid4()))}, {"depends_on": [key]})
        wait_state(box, jobs)
        given, = enqueue(client, run, {"job_type": "outside", "queue": (queue := fresh_queue())})
        held = claim(client, queue)
        assert held["id"] == given and report(client, held, "complete").status_code == 200
        assert box.metric("jobs_polled_total") > before
    finally:
        box.faults.clear()


def test_lost_news_are_noticed_and_read_again(box, client):
    """Beats count a frame that never came, and nothing waits for the next minute."""
    run = client.new_run()
    before = box.metric("job_frames_lost_total")
    parent, child = enqueue(
        client, run,
        {"job_key": (key := str(uuid.uuid4())), "job_type": "outside", "queue": (queue := fresh_queue())},
        {"depends_on": [key]},
    )  # fmt: skip
    given = claim(client, queue)
    box.faults.order("jobs_news_lost", "stay")
    try:
        assert given["id"] == parent and report(client, given, "complete").status_code == 200
        wait_until(lambda: box.metric("job_frames_lost_total") > before, "the loss to be noticed")
        wait_state(box, [child])
    finally:
        box.faults.clear()


# ---- leases ----


def test_a_lease_that_is_over_ends_the_claim_and_nobody_else_s(box, client):
    run, queue = client.new_run(), fresh_queue()
    lost, kept = enqueue(client, run, {"job_type": "outside", "queue": queue}, {"job_type": "outside", "queue": queue})
    first = claim(client, queue, lease_ms=300)
    second = claim(client, queue, lease_ms=300)
    assert (first["id"], second["id"]) == (lost, kept)

    def gone():
        answer = report(client, second, "heartbeat")
        assert answer.status_code == 200 and answer.json() == {"cancel": False, "lease_ms": 300}, answer.text
        return "RETRYING" in story(box, lost)

    wait_until(gone, "the lease of the silent one to be over")
    assert report(client, second, "complete").status_code == 200
    for what in ("complete", "fail", "release", "heartbeat", "progress"):
        fields = {"error": "late"} if what == "fail" else {"percent": 5} if what == "progress" else {}
        answer = report(client, first, what, **fields)
        assert answer.status_code == 409 and answer.json()["type"].endswith("lease-lost"), (what, answer.text)
    again = claim(client, queue, lease_ms=60000)
    assert (again["id"], again["attempt"]) == (lost, 2)
    assert report(client, again, "complete").status_code == 200
    assert story(box, lost) == ["QUEUED", "STARTED", "RETRYING", "STARTED", "COMPLETED"]
    assert story(box, kept) == ["QUEUED", "STARTED", "COMPLETED"]


def test_the_last_lost_attempt_says_what_happened(box, client):
    run, queue = client.new_run(), fresh_queue()
    job, = enqueue(client, run, {"job_type": "outside", "queue": queue, "max_attempts": 1})
    claim(client, queue, lease_ms=100, worker="left-behind")
    wait_state(box, [job], "error")
    error, = state(box, job, "error")
    assert error["error"] == "stuck_job_timeout" and error["last_worker"] == "left-behind" and error["attempts"] == 1
    assert error["job_id"] == job and error["remediation"]
    assert story(box, job) == ["QUEUED", "STARTED", "FAILED"]


def test_a_delivery_that_nobody_took_up_costs_no_attempt(box, client):
    run, queue = client.new_run(), fresh_queue()
    job, = enqueue(client, run, {"job_type": "outside", "queue": queue})
    assert claim(client, queue, lease_ms=60000, delivery_ms=200)["attempt"] == 1
    given = claim(client, queue, lease_ms=60000, delivery_ms=200)
    assert (given["id"], given["attempt"]) == (job, 1)
    assert report(client, given, "heartbeat").json() == {"cancel": False, "lease_ms": 60000}
    time.sleep(0.4)  # longer than the delivery
    assert report(client, given, "complete").status_code == 200
    assert state(box, job) == ("success", 1)


def test_a_cancelled_job_is_told_and_then_ended(box, client):
    run, queue = client.new_run(), fresh_queue()
    job, = enqueue(client, run, {"job_type": "outside", "queue": queue})
    given = claim(client, queue)
    assert client.post(f"/api/v1/jobs/{job}/cancel", {}).status_code in (200, 202)
    wait_until(lambda: report(client, given, "heartbeat").json().get("cancel"), "the worker to hear of it")
    wait_state(box, [job], "cancelled")
    assert report(client, given, "complete").status_code == 409
    assert story(box, job) == ["QUEUED", "STARTED", "CANCELLED"]


def test_a_runner_that_stood_still_ends_only_what_is_over(box, client):
    """Both stop for longer than the lease: their own clocks say that it is over, and so does the database's."""
    run, queue = client.new_run(), fresh_queue()
    short, long = enqueue(client, run, *[{"job_type": "outside", "queue": queue}] * 2)
    first = claim(client, queue, lease_ms=500)
    second = claim(client, queue, lease_ms=60000)
    assert (first["id"], second["id"]) == (short, long)
    processes = [box.process_of(name) for name in RUNNERS]
    for process in processes:
        process.signal(signal.SIGSTOP)
    time.sleep(0.7)
    for process in processes:
        process.signal(signal.SIGCONT)
    wait_until(lambda: "RETRYING" in story(box, short), "the short lease to be over")
    assert report(client, second, "heartbeat").json()["cancel"] is False
    assert report(client, second, "complete").status_code == 200
    again = claim(client, queue)
    assert again["id"] == short and report(client, again, "complete").status_code == 200


def test_the_clock_of_the_database_decides_that_a_lease_is_over(box, client):
    run, queue = client.new_run(), fresh_queue()
    job, = enqueue(client, run, {"job_type": "outside", "queue": queue})
    claim(client, queue, lease_ms=200)
    until, = box.database().rows("update job_open set lease_until = clock_timestamp() + interval '1 second' where job_id = %s"
                                 " returning lease_until", job)[0]  # fmt: skip
    wait_until(lambda: "RETRYING" in story(box, job), "the lease to be over")
    ended = box.database().value("select max(ts) from run_events where run_id = %s and event_type = 'JOB_RETRYING'", run)
    assert ended >= until
    again = claim(client, queue)
    assert report(client, again, "complete").status_code == 200


def test_progress_is_written_with_the_beats_and_recorded(box, client):
    run, queue = client.new_run(), fresh_queue()
    job, = enqueue(client, run, {"job_type": "outside", "queue": queue})
    given = claim(client, queue)
    for percent in (10, 20, 30):
        assert report(client, given, "progress", percent=percent, note="on it").status_code == 200
    wait_until(lambda: state(box, job, "progress->>'percent'") == ("30",), "the last value in the table")
    assert report(client, given, "complete").status_code == 200
    assert story(box, job) == ["QUEUED", "STARTED", "PROGRESS", "COMPLETED"]


# ---- restarts ----


def test_a_planned_restart_gives_back_what_it_cannot_end(box, client):
    """No attempt is lost: the job runs again at once, elsewhere or here, as the same attempt."""
    run = client.new_run()
    job, = enqueue(client, run, {"payload": {"sleep_ms": 700}})
    wait_until(lambda: state(box, job)[0] == "running", "it to run")
    name, = state(box, job, "split_part(last_worker, '/', 1)")
    before = box.actor(name)["generation"]
    box.command("restart", name)
    box.actor_ready(name, before)
    wait_state(box, [job])
    assert story(box, job) == ["QUEUED", "STARTED", "STARTED", "COMPLETED"]
    assert state(box, job) == ("success", 1)


def test_workers_beyond_a_planned_restart_keep_their_claims(box, client):
    run, queue = client.new_run(), fresh_queue()
    job, = enqueue(client, run, {"job_type": "outside", "queue": queue})
    given = claim(client, queue)
    for name in RUNNERS:
        before = box.actor(name)["generation"]
        box.command("restart", name)
        box.actor_ready(name, before)

    def alive():
        answer = report(client, given, "heartbeat")
        assert answer.status_code in (200, 503), answer.text  # nobody has its shard yet
        return answer.status_code == 200

    wait_until(alive, "a runner to know of the claim")
    assert report(client, given, "complete").status_code == 200
    assert story(box, job) == ["QUEUED", "STARTED", "COMPLETED"]


def test_every_point_is_here():
    found = set()
    for source in (ROOT / "actors" / "job-runner").rglob("*.c"):
        found |= set(re.findall(r'SB_FAULT\("(jobs_[^"]+)"\)', source.read_text(encoding="utf-8")))
    assert found == set(POINTS) | set(LEASE_POINTS) | set(OTHER_POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_this_point_loses_and_doubles_nothing(box, client, point):
    for name in RUNNERS:
        box.allow_restart(name, None)
        box.settled(name)
    run = client.new_run()
    box.faults.order(point, "kill")
    if point == "jobs_before_page":
        box.faults.order("jobs_deaf", "stay")  # the table is read instead
    jobs = enqueue(client, run, *({"queue": f"shared-{n}", "payload": {"warn": True}} for n in range(6)))
    box.faults.obeyed(point)
    box.faults.clear()
    wait_state(box, jobs)
    for job in jobs:
        told = story(box, job)
        assert told.count("COMPLETED") == 1 and told.count("QUEUED") == 1, told
        assert state(box, job)[1] == 1 + told.count("RETRYING") <= 2, told
    warnings = box.database().value("select count(*) from run_events where run_id = %s and event_type = 'WARNING'", run)
    assert warnings == len(jobs)


def test_short_jobs_are_claimed_ahead_and_given_back_when_they_have_to_wait(box, client):
    """At no cost: the second claim is the first attempt still."""
    run, queue = client.new_run(), fresh_queue()
    wait_state(box, enqueue(client, run, *({"queue": queue} for _ in range(80))))  # all short: their runner has learnt it
    long = [{"queue": queue, "priority": 2, "payload": {"sleep_ms": 900}}] * 4  # as many as it works on at once
    jobs = enqueue(client, run, *long, *({"queue": queue} for _ in range(4)))
    wait_state(box, jobs)
    assert [story(box, job).count("STARTED") for job in jobs] == [1] * 4 + [2] * 4
    assert {state(box, job)[1] for job in jobs} == {1}


@pytest.mark.parametrize("point", LEASE_POINTS)
def test_a_death_while_leases_are_looked_after_loses_nothing(box, client, point):
    for name in RUNNERS:
        box.allow_restart(name, None)
        box.settled(name)
    run, queue = client.new_run(), fresh_queue()
    job, = enqueue(client, run, {"job_type": "outside", "queue": queue})
    given = claim(client, queue, lease_ms=400)
    box.faults.order(point, "kill")
    if point == "jobs_before_renewal":
        assert report(client, given, "heartbeat").status_code == 200
    box.faults.obeyed(point)
    again = claim(client, queue, lease_ms=60000)
    assert (again["id"], again["attempt"]) == (job, 2)
    assert report(client, given, "complete").status_code == 409
    assert report(client, again, "complete").status_code == 200
    assert story(box, job) == ["QUEUED", "STARTED", "RETRYING", "STARTED", "COMPLETED"]


def test_a_forgotten_transaction_is_seen(box):
    with box.database().connect(role="api", autocommit=False) as connection:
        connection.execute("select 1")
        wait_until(lambda: box.metric("oldest_transaction_ms") > 500, "its age to be told")
    wait_until(lambda: box.metric("oldest_transaction_ms") < 500, "its end to be told")


def test_the_dead_are_counted_by_one_runner(box, client):
    def told():
        return box.metric("jobs_dead") == box.database().value("select count(*) from job_dead")

    wait_until(told, "the dead to be counted")
    job, = enqueue(client, client.new_run(), {"payload": {"fail": 9, "class": "fatal"}})
    wait_state(box, [job], "error")
    wait_until(lambda: box.metric("jobs_dead") > 0 and told(), "one more")


def test_nothing_is_held_when_all_is_done(box):
    wait_until(lambda: box.metric("jobs_stuck") == 0, "no claim to hang")
    assert json.dumps(box.database().rows("select id from job_open where token is not null")) == "[]"
