"""Deaths of the sequencer between two steps of what it does to jobs. These need a build with fault points."""

import json
import random
import uuid

import pytest
from harness.jobs import Heard, Jobs, change, new_job
from harness.paths import fault_bin_dir
from harness.server import Server
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points"
)

JOB_POINTS = ["sequencer_job_queued", "sequencer_job_evaluated", "sequencer_jobs_before_commit", "sequencer_jobs_published",
              "sequencer_jobs_looked"]  # fmt: skip
COMMAND = ["sequencer_after_send", "sequencer_after_commit", "sequencer_half_answered"]
CUSTOM = 17


@pytest.fixture(scope="module")
def fault_box():
    server = Server({"restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000,
                     "sequencer.jobs_cached": 64, "jobs.per_run_max": 300, "runs.timer_ms": 100}, faults=True)  # fmt: skip
    try:
        server.start()
        yield server
        server.command("verify")
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
def bus(box):
    with Jobs(box) as bus:
        yield bus


class Death:
    """The sequencer dies at `point`, once, while the block runs; behind it the successor serves."""

    def __init__(self, box, point):
        self.box, self.point = box, point

    def __enter__(self):
        self.generation = self.box.settled("sequencer-1")["generation"]
        self.box.allow_restart("sequencer-1")
        self.box.faults.order(self.point, "kill")

    def __exit__(self, kind, *_):
        if kind is None:
            self.box.faults.obeyed(self.point)
            self.box.actor_ready("sequencer-1", self.generation)


def kinds(box, run) -> list:
    return [kind for _, kind, _ in box.database().events(run)]


@pytest.mark.requirement("R044", "K11")
@pytest.mark.parametrize("point", [*COMMAND, "sequencer_job_evaluated", "sequencer_jobs_before_commit", "sequencer_jobs_published"])
def test_a_death_loses_and_doubles_no_job(box, bus, point):
    """Each command is asked again of the successor, under its number; what had been done is only told."""
    run = bus.create()
    child = str(uuid.uuid4())
    enqueue_point = "sequencer_job_queued" if point == "sequencer_job_evaluated" else point
    with Death(box, enqueue_point):
        told = bus.enqueue_many(run, [new_job(max_attempts=2), new_job(), new_job(child=child)])
    assert [answer["outcome"] for answer in told] == ["OK"] * 3
    first, second, detached = (answer["job"] for answer in told)
    token = bus.claim(second)
    with Death(box, point):
        own = bus.claim(first)
    with Death(box, point):
        told = bus.change_many(
            change(first, "FAIL", token=own, reason="x", retry_ms=1), change(second, "COMPLETE", token=token, result="7"),
            change(detached, "CANCEL"),
            events=[{"index": 1, "type": CUSTOM, "payload": json.dumps({"name": "a", "value": 1})}])  # fmt: skip
    assert [(answer["outcome"], answer["status"]) for answer in told] == [
        ("OK", "pending"), ("OK", "success"), ("OK", "cancelled")]  # fmt: skip
    assert kinds(box, run) == ["RUN_STARTED", "JOB_QUEUED", "JOB_QUEUED", "JOB_STARTED", "JOB_STARTED", "JOB_RETRYING", "CUSTOM",
                               "JOB_COMPLETED"]  # fmt: skip
    assert kinds(box, child) == ["RUN_STARTED", "JOB_QUEUED", "JOB_CANCELLED", "RUN_CANCELLED"]
    bus.finish(run)
    assert kinds(box, run)[8:] == ["JOB_CANCELLED", "RUN_FINISHED"]
    assert box.database().value("select count(*) from job_open where run_id in (%s, %s)", run, child) == 0


@pytest.mark.parametrize("point", ["sequencer_after_send", "sequencer_after_commit"])
def test_a_death_at_a_change_without_an_event(box, bus, point):
    run = bus.create()
    job = bus.enqueue(run)["job"]
    token = bus.claim(job)
    with Death(box, point):
        assert bus.change(job, "RELEASE", token=token)["outcome"] == "OK"
    assert box.database().rows("select claim, token, attempts from job_open where job_id = %s", job) == [(1, None, 0)]
    assert kinds(box, run) == ["RUN_STARTED", "JOB_QUEUED", "JOB_STARTED"]


@pytest.mark.parametrize("point", ["sequencer_jobs_looked", "sequencer_jobs_before_commit", "sequencer_after_commit"])
def test_a_death_while_a_run_with_jobs_ends(box, bus, point):
    """A sequencer that has just begun knows none of the run's jobs, and looks for them first."""
    run = bus.create()
    told = bus.enqueue_many(run, [new_job() for _ in range(20)])
    token = bus.claim(told[0]["job"])
    with Death(box, "sequencer_after_receive"):
        bus.append(bus.create())
    with Death(box, point):
        assert bus.finish(run)["outcome"] == "OK"
    assert kinds(box, run)[22:] == ["JOB_CANCELLED"] * 20 + ["RUN_FINISHED"]
    assert bus.complete(told[0]["job"], token)["outcome"] == "LEASE_LOST"
    assert box.database().value("select count(*) from job_open where run_id = %s", run) == 0


class Story:
    """Commands about few jobs in any order, many on their way at once."""

    def __init__(self, seed, senders):
        self.random, self.senders = random.Random(seed), senders
        self.run = senders[0].create()
        self.jobs, self.keys, self.tokens = [], [], {}

    def enqueue(self, bus):
        pick, batch = self.random, []
        for _ in range(pick.randrange(1, 6)):
            self.keys.append(pick.choice(self.keys) if self.keys and pick.random() < 0.2 else str(uuid.uuid4()))
            more = {"child": str(uuid.uuid4())} if pick.random() < 0.15 else {"debounce_ms": pick.choice([0, 0, 1])}
            if pick.random() < 0.02:
                more["payload"] = "{"
            batch.append(new_job(key=self.keys[-1], max_attempts=pick.choice([1, 2, 3]),
                                 on_dep_fail=pick.choice(["cancel", "fail", "continue"]), **more))  # fmt: skip
        parents = [{"index": index, "parent": pick.choice(self.jobs[-15:] + [job["job"] for job in batch[:index]])}
                   for index in range(len(batch)) if pick.random() < 0.5 and self.jobs]  # fmt: skip
        return bus.send("ENQUEUE_JOBS", run=self.run, jobs=batch, parents=parents)

    def one_change(self):
        pick = self.random
        job = pick.choice(self.jobs[-25:])
        what = pick.choice(["CLAIM"] * 5 + ["COMPLETE"] * 3 + ["FAIL"] * 2 + [
            "RELEASE", "EXPIRE", "PROGRESS", "CANCEL", "KILL", "RETRY", "SKIP"])  # fmt: skip
        if what == "CLAIM" and (job not in self.tokens or pick.random() < 0.5):
            self.tokens[job] = str(uuid.uuid4())
        token = self.tokens.get(job, str(uuid.uuid4())) if what != "RETRY" else str(uuid.uuid4())
        return change(job, what, token=token, kind=pick.choice(["retryable", "fatal", "rate_limited"]), retry_ms=1,
                      result=pick.choice(["", "1", "{"]) if what == "COMPLETE" else "")  # fmt: skip

    def send(self, bus):
        chance = self.random.random()
        if chance < 0.3 or not self.jobs:
            return self.enqueue(bus)
        if chance < 0.95:
            return bus.send_changes(*(self.one_change() for _ in range(self.random.randrange(1, 12))))
        run, self.run = self.run, self.senders[0].create()
        if chance < 0.97:
            return bus.send("CANCEL_RUN", run=run, actor="test", payload="{}")
        return bus.send_append(run, events=[{"type": self.random.choice([2, 3, 4]), "payload": "{}", "subject": ""}])

    def round(self):
        sent = [(bus, self.send(bus)) for bus in self.random.choices(self.senders, k=self.random.randrange(1, 30))]
        for bus, number in sent:
            for told in bus.answer(number, 30).get("jobs", ()):
                job = str(uuid.UUID(bytes=told[0]))
                if told[1] == 0 and job not in self.jobs:
                    self.jobs.append(job)


@pytest.mark.requirement("I12")
@pytest.mark.parametrize("seed", [1, 2])
def test_in_any_order_the_tables_stay_true(box, seed):
    """Deaths between, commands that the database refuses, a memory that is too small; `verify` follows at the end."""
    with Jobs(box) as one, Jobs(box) as two:
        story = Story(seed, [one, two])
        for number in range(24):
            if number % 8 == 4:
                box.allow_restart("sequencer-1")
                box.faults.order(JOB_POINTS[(number // 8 + seed) % 3], "kill")
            story.round()
    assert "0 violations" in box.command("verify").stdout


def test_an_agent_that_falls_silent_takes_its_jobs_along(box, bus):
    run = bus.create(liveness_ms=300)
    bus.enqueue_many(run, [new_job(), new_job()])
    wait_until(lambda: kinds(box, run)[3:] == ["JOB_CANCELLED", "JOB_CANCELLED", "RUN_FAILED"], "the end of the run", 10)


def test_more_jobs_than_memory_holds(box, bus):
    """Those that were forgotten are read again, by id, by key and by run, and are as they were left."""
    run = bus.create()
    keys = [f"{run}:{n}" for n in range(300)]
    jobs = [new_job(key=key) for key in keys]
    told = bus.enqueue_many(run, jobs)
    assert bus.do("ENQUEUE_JOBS", run=run, jobs=[new_job()])["outcome"] == "QUOTA"
    ids = [answer["job"] for answer in told]
    tokens = {job: str(uuid.uuid4()) for job in ids[:200]}
    for low in range(0, 200, 50):
        claimed = bus.change_many(*(change(job, "CLAIM", token=tokens[job]) for job in ids[low : low + 50]))
        assert {answer["outcome"] for answer in claimed} == {"OK"}
    done = bus.change_many(*(change(job, "COMPLETE", token=tokens[job]) for job in ids[:100]))
    assert {answer["status"] for answer in done} == {"success"}
    again = bus.enqueue_many(run, [new_job(key=key) for key in keys])
    assert [(answer["job"], answer["outcome"]) for answer in again] == [(job, "EXISTS") for job in ids]
    assert [answer["status"] for answer in again] == ["success"] * 100 + ["running"] * 100 + ["pending"] * 100
    assert {answer["outcome"] for answer in bus.change_many(
        *(change(job, "COMPLETE", token=tokens[job]) for job in ids[:100]))} == {"OK"}  # fmt: skip
    assert bus.change(ids[150], "COMPLETE", token=tokens[ids[0]])["outcome"] == "LEASE_LOST"
    bus.finish(run)
    assert kinds(box, run)[601:] == ["JOB_CANCELLED"] * 200 + ["RUN_FINISHED"]
    assert box.database().value("select count(*) from job_open where run_id = %s", run) == 0


def test_runners_are_told_by_the_successor_too(box, bus):
    run = bus.create()
    with Heard(box) as heard:
        with Death(box, "sequencer_after_commit"):
            job = bus.enqueue(run)["job"]
        heard.hint = None
        heard.until(lambda h: h.hint, "the successor's hint")
        bus.claim(job)
        heard.until(lambda h: [j["state"] for j in h.jobs() if j["job"] == job][-1:] == ["RUNNING"], "the claim")
        heard.until(lambda h: h.hint["jobs"] == 1, "a counter that begins again")
