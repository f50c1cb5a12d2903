"""Deaths of the sequencer between two steps of what it does to jobs. These need a build with fault points."""

import json
import uuid

import pytest
from harness.jobs import Heard, Jobs, change, new_job
from harness.paths import fault_bin_dir
from harness.server import Server

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
                     "sequencer.jobs_cached": 64, "jobs.per_run_max": 300}, faults=True)  # fmt: skip
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
