"""External workers: claims over HTTP, long polls, leases, tokens that are worth nothing any more, ends and their events."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import jobs as wire_jobs
from harness.client import assert_problem, custom, random_id
from harness.raw import RawConnection
from harness.waiting import stays_true, wait_until
from harness.workers import Jobs, Poll

WORDS = ["heartbeat", "progress", "complete", "fail", "release"]


@pytest.fixture
def jobs(client):
    return Jobs(client)


def bus_of(box, jobs) -> wire_jobs.Jobs:
    """Commands of the same tenant, which HTTP cannot say."""
    return wire_jobs.Jobs(box, jobs.client.get("/api/v1/session").json()["tenant_id"])


def waiting(box) -> float:
    return box.metric("workers_waiting")


# ---- claim and complete ----


@pytest.mark.requirement("R053")
def test_a_job_is_claimed_and_completed(jobs):
    [job_id] = jobs.enqueue(payload={"a": [1, 2]}, job_key="key of " + jobs.queue)
    job = jobs.claim_one(lease_ms=30_000)
    assert job["id"] == job_id and job["attempt"] == 1 and job["max_attempts"] == 3 and job["lease_ms"] == 30_000
    assert (job["job_key"], job["job_type"], job["queue"]) == ("key of " + jobs.queue, "work", jobs.queue)
    assert job["run_id"] == jobs.run and job["payload"] == {"a": [1, 2]} and len(job["effect_key"]) == 64
    running = jobs.show(job_id)
    assert (running["status"], running["last_worker"], running["attempts"]) == ("running", "w1", 1)
    done = jobs.said("complete", job, result={"b": None})
    assert done == {"id": job_id, "status": "success", "attempts": 1}
    assert jobs.show(job_id)["result"] == {"b": None}
    assert jobs.log() == ["RUN_STARTED", "JOB_QUEUED", "JOB_STARTED", "JOB_COMPLETED"]


def test_events_come_with_the_end_and_before_it(jobs):
    """Exactly if the job is done: a refused completion writes none."""
    jobs.enqueue()
    job = jobs.claim_one()
    stale = job | {"token": random_id()}
    assert_problem(jobs.say("complete", stale, events=[custom(0)]), 409, "lease-lost")
    bad = jobs.say("complete", job, events=[custom(1), {"type": "CUSTOM", "payload": 1}])
    assert assert_problem(bad, 422, "invalid-payload")["errors"][0]["pointer"] == "/events/1/payload"
    for kind in ("RUN_FINISHED", "RUN_INTERRUPTED", "JOB_COMPLETED"):
        assert jobs.say("complete", job, events=[{"type": kind}]).status_code == 422
    jobs.said("complete", job, events=[custom(1), custom(2)])
    assert jobs.log()[2:] == ["JOB_STARTED", "CUSTOM", "CUSTOM", "JOB_COMPLETED"]
    again = jobs.said("complete", job, events=[custom(1), custom(2)])
    assert again["status"] == "success" and len(jobs.log()) == 6


def test_repeated_ends_are_answered_as_the_first(jobs):
    jobs.enqueue(2)
    first, second = jobs.claim_one(), jobs.claim_one()
    assert jobs.said("complete", first, result=1) == jobs.said("complete", first, result=1)
    assert jobs.said("fail", second, **{"class": "fatal"})["status"] == "error"
    assert jobs.said("fail", second, **{"class": "fatal"})["status"] == "error"
    assert jobs.log().count("JOB_COMPLETED") == jobs.log().count("JOB_FAILED") == 1


def test_a_failed_attempt_is_followed_by_another_until_none_is_left(jobs):
    [job_id] = jobs.enqueue(max_attempts=2)
    first = jobs.claim_one()
    assert jobs.said("fail", first, error="é" * 2000, retry_after_ms=1) == {"id": job_id, "status": "pending", "attempts": 1}
    second = jobs.claim_one()
    assert second["attempt"] == 2 and second["token"] != first["token"] and second["effect_key"] == first["effect_key"]
    assert jobs.said("fail", second)["status"] == "error"
    assert jobs.log()[2:] == ["JOB_STARTED", "JOB_RETRYING", "JOB_STARTED", "JOB_FAILED"]
    reasons = [json.loads(text).get("reason") for _, kind, text in jobs.client.log(jobs.run) if kind == "JOB_RETRYING"]
    assert reasons == ["é" * 1024], "what is kept ends with a whole character"


def test_rate_limited_and_released_attempts_cost_nothing(jobs):
    [job_id] = jobs.enqueue(max_attempts=1)
    assert jobs.said("fail", jobs.claim_one(), **{"class": "rate_limited"}, retry_after_ms=1)["status"] == "pending"
    job = jobs.claim_one()
    assert job["attempt"] == 1
    assert jobs.said("release", job) == {"id": job_id, "status": "pending", "attempts": 0}
    job = jobs.claim_one()
    assert job["attempt"] == 1 and jobs.said("complete", job)["status"] == "success"


def test_what_is_asked_for_is_what_is_given(jobs):
    """Types, queues, and no more than there is room for."""
    jobs.enqueue(5)
    jobs.enqueue(job_type="other")
    elsewhere = Jobs(jobs.client)
    elsewhere.enqueue()
    assert len(jobs.claim(max=3, wait_ms=5000)) == 3
    assert [job["job_type"] for job in jobs.claim(max=9, job_types=["other", "none"], wait_ms=5000)] == ["other"]
    assert jobs.claim(job_types=["none"]) == []
    both = []
    while len(both) < 3:
        both += jobs.claim(max=9, queues=[jobs.queue, elsewhere.queue], wait_ms=5000)
    assert sorted(job["queue"] for job in both) == sorted([jobs.queue] * 2 + [elsewhere.queue])
    assert jobs.claim(max=9) == []


def test_built_in_kinds_are_not_given_to_workers_who_do_not_ask_for_them(jobs):
    jobs.enqueue(job_type="noop", run_at="2099-01-01T00:00:00Z")
    jobs.enqueue()
    assert [job["job_type"] for job in jobs.claim(max=9, wait_ms=5000)] == ["work"]


def test_a_retry_that_is_asked_again_is_known(box, jobs):
    """The api says each with a token of its own: whoever says the same again gets the same answer, and another one is told that it is too late."""
    [job_id] = jobs.enqueue()
    tokens = []
    with bus_of(box, jobs) as wire:
        for _ in range(2):
            jobs.said("fail", jobs.claim_one(), **{"class": "fatal"})
            answer = jobs.client.post(f"/api/v1/jobs/{job_id}/retry", {})
            assert answer.status_code == 200 and answer.json()["status"] == "pending"
            tokens.append(box.database().value("select last_token from job_open where job_id = %s", job_id))
            assert wire.change(job_id, "RETRY", token=tokens[-1])["outcome"] == "OK"
            assert wire.change(job_id, "RETRY", token=random_id())["outcome"] == "ENDED"
    assert None not in tokens and tokens[0] != tokens[1]
    assert jobs.log().count("JOB_QUEUED") == 3


# ---- long polls ----


def test_a_poll_ends_with_nothing(jobs):
    assert jobs.claim() == [] and jobs.claim(wait_ms=0) == []
    assert jobs.claim(wait_ms=50) == []
    assert jobs.claim(wait_ms=50, queues=[f"q{n}" for n in range(100)], max=100) == []


def test_a_waiting_poll_is_woken_by_what_is_queued(box, jobs):
    poll = Poll(jobs)
    wait_until(lambda: waiting(box) >= 1, "the poll to wait")
    [job_id] = jobs.enqueue()
    [job] = poll.jobs
    assert job["id"] == job_id
    jobs.said("complete", job)


def test_polls_side_by_side_never_get_the_same(jobs):
    with ThreadPoolExecutor(6) as pool:
        polls = [pool.submit(jobs.claim, max=2, wait_ms=3000) for _ in range(6)]
        ids = jobs.enqueue(12)
        got = [job for poll in polls for job in poll.result()]
    while len(got) < 12:
        got += jobs.claim(max=12, wait_ms=5000)
    assert sorted(job["id"] for job in got) == sorted(ids) and len({job["token"] for job in got}) == 12
    with ThreadPoolExecutor(6) as pool:
        assert {end["status"] for end in pool.map(lambda job: jobs.said("complete", job), got)} == {"success"}
    assert jobs.log().count("JOB_STARTED") == jobs.log().count("JOB_COMPLETED") == 12


def send_poll(raw, jobs, **wish):
    body = json.dumps({"queues": [jobs.queue], "wait_ms": 20_000} | wish).encode()
    raw.send(f"POST /api/v1/jobs/claim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {jobs.client.key}\r\n"
             f"Content-Length: {len(body)}\r\n\r\n".encode() + body)  # fmt: skip


@pytest.mark.parametrize("how", ["closed", "reset", "half closed"])
def test_a_client_that_went_away_gets_nothing(box, jobs, how):
    """Before there is a job: it is forgotten, and the next one gets it, at the first attempt."""
    before = waiting(box)
    with RawConnection(box.address) as raw:
        send_poll(raw, jobs)
        wait_until(lambda: waiting(box) == before + 1, "the poll to wait")
        if how == "half closed":
            raw.socket.shutdown(1)
        elif how == "reset":
            raw.socket.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER, no time: RST
    wait_until(lambda: waiting(box) == before, "the poll to be forgotten")
    jobs.enqueue()
    job = jobs.claim_one()
    assert job["attempt"] == 1 and jobs.log().count("JOB_STARTED") == 1


# ---- leases ----


def is_running(jobs, job_id) -> bool:
    return jobs.show(job_id)["status"] == "running"


def lapsed(jobs, job_id):
    wait_until(lambda: not is_running(jobs, job_id), "the lease to end")


@pytest.mark.requirement("R055")
def test_heartbeats_keep_a_claim(jobs):
    [job_id] = jobs.enqueue()
    job = jobs.claim_one(lease_ms=800)
    stays_true(lambda: jobs.said("heartbeat", job) == {"cancel": False, "lease_ms": 800} and is_running(jobs, job_id), 1.2)
    lapsed(jobs, job_id)
    assert jobs.log()[-1] == "JOB_RETRYING" and jobs.show(job_id)["attempts"] == 1


@pytest.mark.parametrize("word", WORDS)
def test_a_token_of_another_claim_changes_nothing(jobs, word):
    """A zombie: its lease has ended, another worker has the job; not even its success is taken."""
    [job_id] = jobs.enqueue()
    zombie = jobs.claim_one(lease_ms=100)
    lapsed(jobs, job_id)
    assert_problem(jobs.say(word, zombie), 409, "lease-lost")
    job = jobs.claim_one(worker="w2")
    assert job["attempt"] == 2
    before = jobs.log()
    assert_problem(jobs.say(word, zombie), 409, "lease-lost")
    assert_problem(jobs.say(word, job | {"token": random_id()}), 409, "lease-lost")
    assert jobs.log() == before and jobs.show(job_id)["last_worker"] == "w2"
    jobs.said("complete", job)
    assert_problem(jobs.say(word, zombie), 409, "lease-lost")
    assert jobs.log() == [*before, "JOB_COMPLETED"]


def test_a_delivery_that_nobody_takes_up_costs_no_attempt(jobs):
    [job_id] = jobs.enqueue(max_attempts=1)
    job = jobs.claim_one(delivery_ms=100)
    assert job["lease_ms"] == 100
    lapsed(jobs, job_id)
    assert_problem(jobs.say("complete", job), 409, "lease-lost")
    job = jobs.claim_one(delivery_ms=700)
    assert job["attempt"] == 1
    assert jobs.said("heartbeat", job) == {"cancel": False, "lease_ms": 60_000}
    stays_true(lambda: is_running(jobs, job_id), 1.0, "the claim")
    assert jobs.said("complete", job)["status"] == "success"


def test_a_cancelled_job_is_told_by_its_heartbeat(jobs):
    [job_id] = jobs.enqueue()
    job = jobs.claim_one()
    assert jobs.client.post(f"/api/v1/jobs/{job_id}/cancel", {}).status_code in (200, 202)
    wait_until(lambda: jobs.said("heartbeat", job)["cancel"], "the heartbeat to say it")
    assert jobs.said("complete", job, result=7)["status"] == "cancelled"
    assert jobs.log()[-1] == "JOB_CANCELLED" and jobs.show(job_id)["result"] == 7


def test_progress_is_shown_live_and_now_and_then_in_the_log(box, jobs):
    [job_id] = jobs.enqueue()
    job = jobs.claim_one()

    def told(stream):
        frame = wait_until(lambda: (f := stream.next_frame()).event == "job-progress" and f, "the frame")
        assert frame.id is None
        return json.loads(frame.data)

    with box.stream(jobs.run) as stream:
        stream.to_caught_up()
        assert jobs.said("progress", job, percent=40, note="page 4\nof 10")["cancel"] is False
        assert told(stream) == {"job_id": job_id, "job_type": "work", "attempt": 1, "percent": 40, "message": "page 4\nof 10"}
        for percent in (50, 60, 70):
            jobs.said("progress", job, percent=percent)
        wait_until(lambda: told(stream)["percent"] == 70, "the last word")
    wait_until(lambda: jobs.log()[-1] == "JOB_PROGRESS", "the event")
    jobs.said("progress", job, percent=71)
    jobs.said("complete", job)
    assert jobs.log().count("JOB_PROGRESS") == 1
    for fields in ({"percent": 101}, {"percent": -1}, {"percent": 1.5}, {"note": "é" * 257}, {"note": 1}):
        assert jobs.say("progress", job, **fields).status_code == 422, fields


# ---- whose jobs ----


@pytest.mark.requirement("I15")
def test_jobs_of_another_tenant_are_as_if_they_were_not_there(jobs, other):
    jobs.enqueue(2)
    assert jobs.ask(client=other).json() == {"jobs": []}
    job = jobs.claim_one()
    for word in WORDS:
        assert_problem(jobs.say(word, job, client=other), 404, "not-found")
        assert_problem(jobs.say(word, job | {"id": random_id()}), 404, "not-found")
    assert jobs.said("complete", job)["status"] == "success"
    theirs = Jobs(other, jobs.queue)
    [their_id] = theirs.enqueue()
    assert theirs.claim_one()["id"] == their_id


def test_results_are_bounded(jobs):
    jobs.enqueue()
    job = jobs.claim_one()
    assert assert_problem(jobs.say("complete", job, result="x" * (64 << 10)), 413, "too-large")["errors"][0]["pointer"] == "/result"
    assert jobs.said("complete", job, result="x" * ((64 << 10) - 2))["status"] == "success"


# ---- processes that die ----


def test_a_runner_is_killed_while_polls_wait(box, jobs):
    polls = [Poll(jobs) for _ in range(3)]
    wait_until(lambda: waiting(box) >= 3, "the polls to wait")
    box.kill_and_wait("job-runner-1")
    ids = jobs.enqueue(3)
    got = [job for poll in polls for job in poll.jobs]
    assert sorted(job["id"] for job in got) == sorted(ids)
    assert {jobs.said("complete", job)["status"] for job in got} == {"success"}


@pytest.mark.parametrize("actor", ["api", "job-runner"])
def test_an_orderly_restart_while_polls_wait(box, jobs, actor):
    """A poll at an api that ends is answered early, with nothing; the others do not notice. No job gets lost between them."""
    polls = [Poll(jobs) for _ in range(4)]
    wait_until(lambda: waiting(box) >= 4, "the polls to wait")
    box.command("restart", actor, timeout=60)
    if actor == "api":
        assert [poll.jobs for poll in polls] == [[]] * 4
        jobs = Jobs(box.client(), jobs.queue)  # on new connections: those that are kept end with the old one
        polls = [Poll(jobs) for _ in range(4)]
    ids = jobs.enqueue(4)
    got = [job for poll in polls for job in poll.jobs]
    if actor == "api" and len(got) < 4:  # a poll met the old one once more, as it ended
        got += jobs.claim(max=4, wait_ms=5000)
    assert sorted(job["id"] for job in got) == sorted(ids) and {job["attempt"] for job in got} == {1}


def test_two_runners_and_faults(own_box):
    """One server for all three."""
    box = own_box({"job_runner.count": 2}, faults=True)
    queues_of_both_runners(box)
    killed_between_an_end_and_its_answer(box)
    gone_when_its_job_comes(box)


def queues_of_both_runners(box):
    """Both answer a poll that asks for queues of both: what one of them gives too much goes back, and costs nothing."""
    client = box.client()
    queues = [Jobs(client) for _ in range(8)]
    names = [jobs.queue for jobs in queues]
    wait_until(lambda: box.database().value("select count(distinct owner) from job_shards where owner <> ''") == 2, "both to have shards")
    polls = [Poll(queues[0], queues=names) for _ in range(4)]
    wait_until(lambda: waiting(box) == 4, "the polls to wait")
    ids = [jobs.enqueue()[0] for jobs in queues]
    got = [job for poll in polls for job in poll.jobs]
    while len(got) < len(ids):
        got += queues[0].claim(queues=names, max=9, wait_ms=5000)
    assert sorted(job["id"] for job in got) == sorted(ids) and {job["attempt"] for job in got} == {1}
    with ThreadPoolExecutor(4) as pool:
        assert {end["status"] for end in pool.map(lambda job: queues[0].said("complete", job), got)} == {"success"}


def gone_when_its_job_comes(box):
    """The api finds out before it writes, and another worker gets the job at once: long before the lease is over."""
    jobs = Jobs(box.client())
    with RawConnection(box.address) as raw:
        send_poll(raw, jobs)
        wait_until(lambda: waiting(box) >= 1, "the poll to wait")
        # Due a little later, so that no other answer gets to the fault point first.
        due = time.time() + 0.7
        [job_id] = jobs.enqueue(run_at=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(due)) + f".{int(due % 1 * 1000):03}Z")
        box.faults.order("api_before_answer", "sleep 300")
        box.faults.obeyed("api_before_answer")
    job = jobs.claim_one()
    assert job["id"] == job_id and job["attempt"] == 1 and jobs.log().count("JOB_STARTED") == 2


def killed_between_an_end_and_its_answer(box):
    """The sequencer."""
    jobs = Jobs(box.client())
    jobs.enqueue()
    job = jobs.claim_one()
    box.allow_restart("sequencer-1")
    box.faults.order("sequencer_after_commit", "kill")
    done = jobs.said("complete", job, result=1, events=[custom(1)])
    box.faults.obeyed("sequencer_after_commit")
    assert done == jobs.said("complete", job, result=1, events=[custom(1)])
    assert jobs.log()[2:] == ["JOB_STARTED", "CUSTOM", "JOB_COMPLETED"]


def test_an_api_is_killed_with_what_waits_there(box, jobs):
    """What its polls would have got goes to others, without a lost attempt."""
    polls = [Poll(jobs) for _ in range(4)]
    wait_until(lambda: waiting(box) >= 4, "the polls to wait")
    box.kill_and_wait("api-1")
    box.kill_and_wait("api-2")
    jobs.enqueue()
    job = jobs.claim_one()
    assert job["attempt"] == 1 and jobs.said("complete", job)["status"] == "success"
