"""The embedded PostgreSQL and Redis as children of the supervisor."""

import os
import signal

import pytest
from harness.client import custom
from harness.processes import Process
from harness.waiting import wait_until

UNLIMITED = {"restart.late_deaths": 1000000, "restart.early_deaths": 1000000, "restart.total_deaths": 1000000}


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_planned_restart_of_a_service(own_box, name):
    box = own_box()
    run_id = box.client().new_run()
    before = box.service(name)
    box.command("restart", name)
    after = box.service(name)
    assert after["pid"] != before["pid"] and after["state"] == "ready"
    assert after["planned_restarts"] == 1 and after["restarts"] == 0
    box.all_healthy()
    assert wait_until(lambda: box.client().post_events(run_id, custom(1)).status_code == 201, "an append")


def test_a_killed_postmaster_is_replaced_as_soon_as_its_backends_are_gone(own_box):
    box = own_box(UNLIMITED)
    for count in range(1, 4):
        wait_until(box.ready, "everything ready")
        Process.of(box.service("postgres")["pid"]).kill()
        wait_until(lambda: box.service("postgres")["restarts"] == count and box.service("postgres")["state"] == "ready",
                   "postgres is back", 20)
    box.all_healthy()
    # one death a kill: no start was wasted on a server whose predecessor was still there
    assert box.service("postgres")["restarts"] == 3


def test_frozen_leftovers_of_a_killed_supervisor_hold_nothing_up(own_box):
    box = own_box()
    status = box.status()
    pids = [entry["pid"] for entry in status["actors"] + status["services"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    Process.of(status["supervisor"]["pid"]).kill()
    box.process.wait()
    box.launch()
    box.wait_ready(timeout=20)
    box.reset_counters()
    assert not any((process := Process.of(pid)) and process.alive() for pid in pids)
