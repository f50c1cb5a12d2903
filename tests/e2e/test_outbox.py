"""The way from the table to the bus: cursor, order, drain after a death between commit and publish (R044)."""

import pytest
from harness.client import custom
from harness.paths import fault_bin_dir
from harness.sse import Follower
from harness.waiting import wait_until


@pytest.mark.requirement("R037", "R040", "R045", "R163")
def test_the_cursor_reaches_the_last_position(box, client, run_id):
    client.append_many(run_id, [custom(n) for n in range(100)])
    box.drained()
    positions = box.database().rows(
        "select p.position, c.position from shard_positions p join outbox_cursors c using (shard) where c.sink = 'bus'"
    )
    assert positions and all(last == passed for last, passed in positions)
    wait_until(lambda: box.metric("outbox_lag_ms") == 0, "no lag")
    assert box.metric("events_published_total") == box.metric("events_persisted_total")


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
@pytest.mark.skipif(not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points")
@pytest.mark.parametrize("point", ["sequencer_after_commit", "sequencer_after_ack", "sequencer_after_publish"])
def test_a_death_between_commit_and_publish_is_made_good(own_box, point):
    """The reader sees each event once, in order, although the publisher died before it could tell."""
    box = own_box(faults=True)
    client = box.client()
    run_id = client.new_run()
    reader = Follower(box, run_id)
    reader.start()
    try:
        for n in range(10):
            generation = box.actor("sequencer-1")["generation"]
            box.allow_restart("sequencer-1")
            box.faults.order(point, "kill")
            client.append(run_id, "CUSTOM", custom(n)["payload"], key=f"k{n}")
            box.faults.obeyed(point)
            box.actor_ready("sequencer-1", generation)
            wait_until(lambda n=n: reader.cursor == n + 2, f"event {n + 2} at the reader", 10)
        box.drained()
        client.finish(run_id)
        assert reader.wait_complete() == client.log(run_id)
    finally:
        reader.stop()
