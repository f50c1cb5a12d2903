"""signalbox jobs and signalbox schedules: what people type."""

import json
import pty
import os

import pytest
from harness.client import random_id
from harness.jobs import Jobs
from harness.keys import first_tenant


@pytest.fixture
def queue(client):
    """A queue of its own; its jobs end with their run."""
    name, run_id = f"cli {random_id()}", client.new_run()
    yield name, run_id
    client.finish(run_id)


def typed(box, *arguments, code=0):
    result = box.command(*arguments, check=False)
    assert result.returncode == code, (arguments, result.returncode, result.stdout, result.stderr)
    return result


def jobs(box, *arguments, code=0):
    return typed(box, "jobs", *arguments, code=code)


def tell(box, *arguments) -> dict:
    return json.loads(jobs(box, *arguments, "--json").stdout)


def enqueue(box, queue, key, *more) -> dict:
    name, run_id = queue
    return tell(box, "enqueue", "of the cli", "--run", run_id, "--queue", name, "--key", f"{run_id} {key}", *more)


def fail(box, *made):
    bus = Jobs(box, first_tenant(box))
    for job in made:
        bus.fail(job["id"], bus.claim(job["id"]), kind="fatal", reason="broken")
    bus.close()


@pytest.mark.requirement("R081")
def test_enqueue_list_and_show(box, queue):
    name, run_id = queue
    made = enqueue(box, queue, "a", "--kind", "report", "--payload", '{"n": [1, "ä"]}')
    assert made == {"id": made["id"], "job_key": f"{run_id} a", "status": "pending"}
    again = enqueue(box, queue, "a")
    assert again["id"] == made["id"] and again["payload"] == {"n": [1, "ä"]} and again["artifact_kind"] == "report"
    other = enqueue(box, queue, "b")
    for arguments in (("--queue", name), ("--run", run_id), ("--status", "pending", "--queue", name), ("--type", "of the cli", "--queue", name)):
        assert [job["id"] for job in tell(box, "list", *arguments)["jobs"]] == [other["id"], made["id"]], arguments
    assert [job["id"] for job in tell(box, "list", "--key", f"{run_id} a")["jobs"]] == [made["id"]]
    assert [job["id"] for job in tell(box, "list", "--queue", name, "--limit", "1")["jobs"]] == [other["id"]]
    assert tell(box, "list", "--queue", name, "--status", "error") == {"jobs": []}
    lines = jobs(box, "list", "--queue", name).stdout.splitlines()
    assert len(lines) == 2 and lines[0].startswith(other["id"]) and "pending" in lines[0] and f"{run_id} b" in lines[0]
    shown = tell(box, "show", made["id"])
    assert shown["events"][0]["type"] == "JOB_QUEUED" and shown["queue"] == name
    fail(box, made)
    text = jobs(box, "show", made["id"]).stdout
    for part in (made["id"], name, "error", "attempts\n  1  ", "JOB_FAILED broken", "events\n  2  ", "JOB_STARTED"):
        assert part in text, part


def test_a_list_of_several_pages(box, client, queue):
    name, run_id = queue
    body = {"jobs": [{"job_type": "of the cli", "queue": name, "job_key": f"{run_id} {n}"} for n in range(1000)]}
    assert client.post(f"/api/v1/runs/{run_id}/jobs", body).status_code == 201
    enqueue(box, queue, "last")
    found = tell(box, "list", "--run", run_id, "--limit", "100000")["jobs"]
    assert len({job["id"] for job in found}) == len(found) == 1001
    assert len(jobs(box, "list", "--run", run_id).stdout.splitlines()) == 100


def test_cancel_and_retry(box, queue):
    made = enqueue(box, queue, "a")
    assert "cancelled" in jobs(box, "cancel", made["id"], "--reason", "enough").stdout
    assert tell(box, "show", made["id"])["events"][-1]["payload"]["reason"] == "enough"
    assert tell(box, "retry", made["id"])["status"] == "pending"
    dead = [enqueue(box, queue, n) for n in "bcd"]
    fail(box, *dead)
    asked = jobs(box, "retry", "--all", "--status", "error", "--queue", queue[0], code=1)
    assert "3 jobs" in asked.stderr and tell(box, "show", dead[0]["id"])["status"] == "error", "nobody has said yes"
    done = jobs(box, "retry", "--all", "--status", "error", "--queue", queue[0], "--type", "of the cli", "--yes")
    assert done.stdout == "3 jobs wait again, 0 could not be retried\n"
    assert {job["status"] for job in tell(box, "list", "--queue", queue[0])["jobs"]} == {"pending"}
    assert tell(box, "retry", "--all", "--queue", queue[0]) == {"retried": 0, "refused": 0}, "nothing to ask about"


@pytest.mark.parametrize("answer, code", [("y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_it_asks(box, queue, answer, code):
    fail(box, enqueue(box, queue, "a"))
    here, there = pty.openpty()
    os.write(here, f"{answer}\n".encode())
    asked = box.spawn_on(there, "jobs", "retry", "--all", "--queue", queue[0])
    out, err = asked.communicate(timeout=20)
    os.close(here), os.close(there)
    assert asked.returncode == code and "Retry 1 job? [y/N]" in err, (out, err)
    assert (out == "1 job waits again, 0 could not be retried\n") == (code == 0)


def test_queues_and_pauses(box, queue):
    name, _ = queue
    enqueue(box, queue, "a")
    for arguments in (("--queue", name), ("--type", "of the cli/")):
        assert "paused" in jobs(box, "pause", *arguments).stdout
    told = tell(box, "queues")
    assert [q for q in told["queues"] if q["queue"] == name][0]["paused"] and "of the cli/" in told["paused_job_types"]
    text = jobs(box, "queues").stdout
    assert f"{name}  paused " in text and "jobs of type of the cli/ are paused" in text
    assert tell(box, "resume", "--queue", name)["paused"] is False
    assert "not paused" in jobs(box, "resume", "--type", "of the cli/").stdout
    told = tell(box, "queues")
    assert not any(q["paused"] for q in told["queues"] if q["queue"] == name) and "of the cli/" not in told["paused_job_types"]
    assert box.client().request("DELETE", f"/api/v1/queues/{name.replace(' ', '%20')}").status_code == 200
    assert tell(box, "pause", "--all")["paused"] and "all jobs are paused" in jobs(box, "queues").stdout
    assert not tell(box, "resume", "--all")["paused"]


def test_wrong_use_and_what_is_not_there(box, own_box, queue):
    _, run_id = queue
    for arguments in (
        (), ("nonsense",), ("list", "x"), ("show",), ("retry",), ("retry", "--yes"), ("cancel",), ("pause",), ("pause", "--queue", "a", "--all"),
        ("pause", "--type", "a", "--queue", "b"), ("list", "--limit", "0"), ("list", "--limit", "x"), ("list", "--status", "done"),
        ("show", random_id(), "--queue", "a"), ("enqueue", "x"), ("enqueue", "x", "--run", run_id, "--payload", "{"),
        ("enqueue", "--run", run_id), ("retry", random_id(), "--all"), ("retry", "--all", "--status", "pending", "--yes"), ("queues", "--yes"),
    ):  # fmt: skip
        assert jobs(box, *arguments, code=2).stderr.startswith("signalbox"), arguments
    for arguments in (("show", "x"), ("show", random_id()), ("cancel", random_id()), ("retry", random_id()), ("enqueue", "x", "--run", "x"),
                      ("enqueue", "x", "--run", random_id())):  # fmt: skip
        assert jobs(box, *arguments, code=4).stderr, arguments
    assert own_box(started=False).command("jobs", "list", check=False).returncode == 3
    help_text = box.command("help", "jobs").stdout
    for word in ("list", "show ID", "enqueue TYPE", "retry --all", "cancel ID", "pause, resume", "queues"):
        assert word in help_text


# ---- schedules ----


@pytest.fixture
def nightly(box):
    """The name of a schedule that is gone behind the test, whatever it was called by then."""
    name = f"nightly/ä {random_id()}"
    yield name
    box.command("schedules", "delete", name, check=False)


def schedules(box, *arguments, code=0):
    return typed(box, "schedules", *arguments, code=code)


def told(box, *arguments) -> dict:
    return json.loads(schedules(box, *arguments, "--json").stdout)


@pytest.mark.requirement("R081")
def test_a_schedule_from_its_making_to_its_end(box, nightly):
    made = told(box, "create", nightly, "--spec", "30 2 29 2 *", "--type", "of the cli", "--tz", "Europe/Berlin", "--queue", "nights",
                "--payload", '{"n": [9007199254740993, "ä"]}', "--priority", "-7", "--attempts", "9", "--concurrency-key", "k",
                "--missed", "none")  # fmt: skip
    asked = {"name": nightly, "spec": "30 2 29 2 *", "tz": "Europe/Berlin", "job_type": "of the cli", "queue": "nights", "priority": -7,
             "payload": {"n": [9007199254740993, "ä"]}, "max_attempts": 9, "concurrency_key": "k", "missed": "none"}  # fmt: skip
    assert made | asked | {"enabled": True} == made and made["next_at"]
    assert told(box, "show", nightly) == made
    assert [s["name"] for s in told(box, "list")["schedules"] if s["name"] == nightly] == [nightly]
    [line] = [line for line in schedules(box, "list").stdout.splitlines() if line.startswith(nightly)]
    assert made["next_at"] in line and "Europe/Berlin" in line and "of the cli" in line
    paused = told(box, "pause", nightly)
    assert paused | asked | {"enabled": False, "next_at": None} == paused, "nothing but that has changed"
    assert "  paused  " in schedules(box, "list").stdout
    resumed = told(box, "resume", nightly)
    assert resumed | asked | {"enabled": True, "next_at": made["next_at"]} == resumed
    text = schedules(box, "show", nightly).stdout
    for part in (f"name             {nightly}", "spec             30 2 29 2 *", "last_error       -", '[9007199254740993,"ä"]'):
        assert part in text, part
    other = told(box, "create", nightly, "--spec", "@every 1h30m", "--type", "another", "--paused")
    assert (other["spec"], other["job_type"], other["tz"], other["payload"], other["enabled"]) == ("@every 1h30m", "another", "UTC", {}, False)
    assert schedules(box, "delete", nightly).stdout == f"{nightly} is deleted\n"
    assert all(s["name"] != nightly for s in told(box, "list")["schedules"])


def test_wrong_use_of_schedules_and_what_is_not_there(box, nightly):
    good = ("create", nightly, "--spec", "@daily", "--type", "x")
    for arguments in (
        (), ("nonsense",), ("list", nightly), ("show",), ("create",), ("pause",), ("resume",), ("delete",), ("create", nightly, "--spec", "@daily"),
        ("create", nightly, "--type", "x"), (*good, "--payload", "{"), (*good, "--priority", "high"), (*good, "--attempts", "1.5"),
        (*good, "--attempts", "0"), (*good, "--missed", "some"), (*good, "--tz", "Europe/Nowhere"), ("list", "--spec", "@daily"),
        ("pause", nightly, "--paused"), ("create", nightly, "--spec", "61 * * * *", "--type", "x"), (*good, "--nonsense"),
    ):  # fmt: skip
        assert schedules(box, *arguments, code=2).stderr.startswith("signalbox"), arguments
    for verb in ("show", "pause", "resume", "delete"):
        assert schedules(box, verb, nightly, code=4).stderr, verb
    assert "61 is not within 0-59" in schedules(box, "create", nightly, "--spec", "61 * * * *", "--type", "x", code=2).stderr
    help_text = box.command("help", "schedules").stdout
    for word in ("list", "show NAME", "create NAME", "pause, resume NAME", "delete NAME", "--missed"):
        assert word in help_text
