"""The way from the table to the bus: cursor, order, drain after a death between commit and publish (R044)."""

import pytest
from harness.client import custom
from harness.paths import fault_bin_dir
from harness.sse import Follower
from harness.waiting import wait_until

pytestmark = pytest.mark.any_database


def counts(box) -> list:
    return [box.metric(f"events_{what}_total") for what in ("persisted", "published")]


@pytest.mark.requirement("R022", "R037", "R040", "R045", "R163")
def test_the_cursor_reaches_the_last_position(box, client, run_id):
    box.drained()
    before = counts(box)  # a sequencer that was restarted has published what its predecessor persisted
    client.append_many(run_id, [custom(n) for n in range(100)])
    box.drained()
    positions = box.database().rows(
        "select p.position, c.position from shard_positions p join outbox_cursors c using (shard) where c.sink = 'bus'"
    )
    assert positions and all(last == passed for last, passed in positions)
    wait_until(lambda: box.metric("outbox_lag_ms") == 0, "no lag")

    def settled():
        """Runs of other tests may end by their timers meanwhile."""
        persisted, published = (after - first for after, first in zip(counts(box), before, strict=True))
        return persisted == published >= 100

    wait_until(settled, "as many events to be published as were persisted")


@pytest.mark.requirement("R042")
def test_nobody_moves_the_cursor_back_or_beyond(box, client, run_id):
    client.append(run_id, "CUSTOM", custom(1)["payload"])
    box.drained()
    database = box.database()
    epoch, position = database.rows("select epoch, position from shards join shard_positions using (shard)")[0]
    import psycopg

    for target in (position - 1, position + 1000):
        with pytest.raises(psycopg.Error):
            database.execute("select advance_outbox(0, %s, 'bus', %s)", epoch, target, role="sequencer")
    box.drained()


@pytest.mark.requirement("R038", "R041", "R043", "R044", "I5")
def test_a_death_before_the_publication_is_made_good(own_box):
    """
    Two events are committed and acknowledged, and the publisher dies before it could tell: readers see each once, in
    order, the cursor passes them, and nobody wrote a mark by hand.
    """
    if not (fault_bin_dir() / "signalbox-sequencer").exists():
        pytest.skip("needs a build with fault points")
    box = own_box(faults=True)
    client = box.client()
    run_id = client.new_run()
    reader = Follower(box, run_id)
    reader.start()
    try:
        for n in range(2):
            generation = box.settled("sequencer-1")["generation"]
            box.allow_restart("sequencer-1")
            box.faults.order("sequencer_after_ack", "kill")
            client.append_many(run_id, [custom([n, 0]), custom([n, 1])])
            box.faults.obeyed("sequencer_after_ack")
            box.actor_ready("sequencer-1", generation)
            wait_until(lambda n=n: reader.cursor == 2 * n + 3, "the events at the reader", 10)
            box.drained()
        client.finish(run_id)
        assert reader.wait_complete() == client.log(run_id)
    finally:
        reader.stop()


@pytest.mark.requirement("R043", "R044")
def test_what_was_committed_while_nobody_published_is_drained_after_a_start(own_box):
    """The cursor is put back, as after a crash between commit and mark; the next sequencer drains from there."""
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    client.append_many(run_id, [custom(n) for n in range(20)])
    box.drained()
    box.stop()
    box.start()
    box.database().execute("update outbox_cursors set position = position - 10")
    assert box.database().undelivered() == 10
    box.kill_and_wait("sequencer-1")
    box.drained()
    assert len(client.log(run_id)) == 21
