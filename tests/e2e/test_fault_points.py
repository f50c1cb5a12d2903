"""Deaths and pauses between two steps of an append. These need a build with fault points."""

import threading

import pytest
from e2e.test_fork import FORK_POINTS
from e2e.test_jobs_sequencer_faults import JOB_POINTS
from e2e.test_lifecycle_faults import LIFECYCLE_POINTS
from harness.client import custom
from harness.paths import ROOT, fault_bin_dir
from harness.sse import Follower
from harness.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points"
)

POINTS = ["sequencer_after_receive", "sequencer_before_commit", "sequencer_after_send", "sequencer_after_commit",
          "sequencer_half_answered", "sequencer_after_ack", "sequencer_after_publish"]  # fmt: skip


@pytest.fixture(scope="module")
def fault_box():
    from harness.server import Server

    server = Server({"restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000}, faults=True)
    try:
        server.start()
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


def test_every_point_of_the_sequencer_is_here():
    import re

    found = set()
    for source in (ROOT / "actors" / "sequencer").rglob("*.c"):
        found |= set(re.findall(r'SB_FAULT\("([^"]+)"\)', source.read_text(encoding="utf-8")))
    assert found == set(POINTS) | set(LIFECYCLE_POINTS) | set(FORK_POINTS) | set(JOB_POINTS)


@pytest.mark.requirement("R044", "I1", "I3", "I5", "I9")
@pytest.mark.parametrize("keyed", [True, False], ids=["with key", "without key"])
@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_this_point_loses_and_doubles_nothing(box, point, keyed):
    """The api asks the successor under the same command number: one answer, one event, whatever was done before."""
    client = box.client()
    run_id = client.new_run()
    reader = Follower(box, run_id)
    reader.start()
    try:
        for n in range(2):
            generation = box.settled("sequencer-1")["generation"]
            box.allow_restart("sequencer-1")
            box.faults.order(point, "kill")
            got = client.append(run_id, "CUSTOM", custom(n)["payload"], key=f"k{n}" if keyed else None)
            assert got["first_seq"] == got["last_seq"] == n + 2
            box.faults.obeyed(point)
            box.actor_ready("sequencer-1", generation)
            wait_until(lambda n=n: reader.cursor == n + 2, f"event {n + 2} at the reader", 10)
        if keyed:
            assert client.append(run_id, "CUSTOM", custom(0)["payload"], key="k0")["first_seq"] == 2
        client.finish(run_id)
        assert reader.wait_complete() == client.log(run_id)
        assert len(reader.events) == 4
    finally:
        reader.stop()


@pytest.mark.requirement("I6", "I8")
def test_a_pause_of_the_sequencer_reorders_nothing(box):
    client = box.client()
    run_id = client.new_run()
    box.faults.order("sequencer_after_receive", "sleep 600")
    threads = []
    answers = [None] * 12

    def send(n):
        answers[n] = client.append(run_id, "CUSTOM", custom(n)["payload"])["first_seq"]

    for n in range(12):
        threads.append(threading.Thread(target=send, args=(n,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(2, 14))
    log = client.log(run_id)
    assert [log[seq - 1][2] for seq in answers] == [f'{{"name": "test", "value": {n}}}' for n in range(12)]


@pytest.mark.requirement("I9")
def test_no_answer_in_time_is_an_unknown_outcome_and_safe_to_repeat(own_box):
    box = own_box({"command.timeout_ms": 500}, faults=True)
    client = box.client()
    run_id = client.new_run()
    box.faults.order("sequencer_after_commit", "sleep 1500")
    first = client.post_events(run_id, custom(1), key="k")
    assert first.status_code == 503 and first.json()["type"] == "/problems/outcome-unknown", first.text
    assert int(first.headers["retry-after"]) >= 1
    answer = wait_until(
        lambda: (got := client.post_events(run_id, custom(1), key="k")).status_code == 201 and got, "the answer", 10
    )
    assert answer.json()["first_seq"] == 2
    assert len(client.log(run_id)) == 2
