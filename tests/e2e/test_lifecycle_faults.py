"""Deaths of the sequencer between two steps of a cancellation, an answer, a timer. These need a build with fault points."""

import time
import uuid

import pytest
from harness.bus import Bus
from harness.client import custom
from harness.paths import fault_bin_dir
from harness.server import Server
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points"
)

LIFECYCLE_POINTS = ["sequencer_lifecycle_evaluated", "sequencer_gate_looked", "sequencer_timer_due",
                    "sequencer_timer_evaluated", "sequencer_timer_moved"]  # fmt: skip
COMMAND = ["sequencer_after_receive", "sequencer_before_commit", "sequencer_after_send", "sequencer_after_commit",
           "sequencer_half_answered"]  # fmt: skip
TIMER = ["sequencer_timer_due", "sequencer_timer_evaluated", "sequencer_before_commit", "sequencer_after_send",
         "sequencer_after_commit", "sequencer_after_publish"]  # fmt: skip


@pytest.fixture(scope="module")
def fault_box():
    server = Server({"restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000,
                     "runs.cancel_deadline_ms": 1200, "runs.timer_ms": 200}, faults=True)  # fmt: skip
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
    with Bus(box) as bus:
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


def status(box, run) -> str:
    return box.database().value("select status::text from runs where run_id = %s", run)


def in_us(milliseconds) -> int:
    return int((time.time() + milliseconds / 1000) * 1e6)


NEEDED = ("CLARIFICATION_NEEDED", {"clarification_id": "q", "question": "?"})


@pytest.mark.requirement("R044", "R089", "I1", "I9")
@pytest.mark.parametrize("point", [*COMMAND, "sequencer_lifecycle_evaluated"])
def test_a_cancellation_through_a_death_is_one(box, bus, point):
    run = bus.create()["run"]
    with Death(box, point):
        answer = bus.cancel(run)
    assert (answer["outcome"], answer["status"], answer["cancel_requested"], answer["last_seq"]) == ("OK", "cancelling", True, 2)
    assert kinds(box, run)[:2] == ["RUN_STARTED", "RUN_CANCEL_REQUESTED"]
    bus.append(run, ("RUN_CANCELLED", {}))
    assert kinds(box, run) == ["RUN_STARTED", "RUN_CANCEL_REQUESTED", "RUN_CANCELLED"]


@pytest.mark.requirement("R044", "R099", "I1", "I9")
@pytest.mark.parametrize("named", [True, False], ids=["question", "no question"])
@pytest.mark.parametrize("point", [*COMMAND, "sequencer_lifecycle_evaluated"])
def test_an_answer_through_a_death_is_one(box, bus, point, named):
    run = bus.create()["run"]
    bus.append(run, NEEDED if named else ("RUN_INTERRUPTED", {}))
    with Death(box, point):
        answer = bus.resume(run, "q" if named else "", "yes")
    assert (answer["outcome"], answer["status"], answer["first_seq"], answer["last_seq"]) == ("OK", "running", 3, 3)
    if named:
        assert bus.resume(run, "q", "yes")["last_seq"] == 3
        assert bus.resume(run, "q", "no")["outcome"] == "KEY_MISMATCH"
    assert len(kinds(box, run)) == 3 and status(box, run) == "running"


@pytest.mark.requirement("R044", "R010", "I9")
@pytest.mark.parametrize("point", [*COMMAND, "sequencer_gate_looked"])
def test_a_queued_run_through_a_death_is_one(box, bus, point):
    thread = uuid.uuid4()
    first = bus.create(thread=thread)["run"]
    with Death(box, point):
        answer = bus.create(thread=thread, strategy="enqueue")
    run = answer["run"]
    assert (answer["outcome"], answer["status"], answer["last_seq"]) == ("OK", "pending", 0)
    with Death(box, "sequencer_timer_due" if point == COMMAND[0] else point):
        bus.append(first, ("RUN_FINISHED", {}))
        wait_until(lambda: status(box, run) == "running", "the run to start", 15)
    assert kinds(box, run) == ["RUN_STARTED"] and kinds(box, first) == ["RUN_STARTED", "RUN_FINISHED"]


@pytest.mark.requirement("R044", "R094")
@pytest.mark.parametrize("point", TIMER)
def test_a_forced_end_through_a_death_is_one(box, bus, point):
    run = bus.create()["run"]
    box.settled("sequencer-1")
    bus.cancel(run)
    with Death(box, point):
        wait_until(lambda: status(box, run) == "cancelled", "the run to be ended", 15)
    assert kinds(box, run) == ["RUN_STARTED", "RUN_CANCEL_REQUESTED", "RUN_CANCELLED"]


@pytest.mark.requirement("R044", "R010")
@pytest.mark.parametrize("point", TIMER)
def test_a_delayed_start_through_a_death_is_one(box, bus, point):
    box.settled("sequencer-1")
    run = bus.create(start_at_us=in_us(500))["run"]
    with Death(box, point):
        wait_until(lambda: status(box, run) == "running", "the run to start", 15)
    assert kinds(box, run) == ["RUN_STARTED"]
    assert bus.append(run, ("CUSTOM", custom(1)["payload"]))["first_seq"] == 2


@pytest.mark.requirement("R044", "R090")
def test_silence_is_measured_anew_after_a_death(box, bus):
    """Signs of life that no event shows died with the sequencer: the agent gets its whole time again."""
    run = bus.create(liveness_ms=2000)["run"]
    box.settled("sequencer-1")
    bus.touch(run)
    with Death(box, "sequencer_timer_moved"):
        wait_until(lambda: bus.touch(run) and not box.faults.pending("sequencer_timer_moved"), "a due time to move", 15)
    assert status(box, run) == "running"
    wait_until(lambda: status(box, run) == "failed", "the silent run to fail", 15)
    assert kinds(box, run) == ["RUN_STARTED", "RUN_FAILED"]
