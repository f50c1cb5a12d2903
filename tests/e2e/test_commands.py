"""The command line: status, replay with its check, tail, verify, exit codes."""

import json
import signal
import subprocess

import pytest
from harness import trajectories
from harness.client import custom, random_id
from harness.paths import trajectories as trajectories_path
from harness.waiting import wait_until

STATES = {"starting", "ready", "draining", "stopped", "backoff", "throttled"}


def test_status_tells_everything(box):
    status = box.status()
    assert status["listen"] == box.listen and status["generation"] >= 1
    assert status["supervisor"]["pid"] > 1 and status["supervisor"]["version"]
    names = {a["name"] for a in status["actors"]}
    assert {"api-1", "api-2", "sequencer-1", "streamer-1", "streamer-2", "job-runner-1", "exporter-1"} == names
    for actor in status["actors"]:
        assert actor["name"].startswith(actor["actor"]) and actor["state"] in STATES
        assert actor["healthy"] is True and actor["generation"] >= 1 and actor["uptime_ms"] >= 0
        assert isinstance(actor["restarts"], int) and isinstance(actor["planned_restarts"], int)
    assert {s["name"]: s["state"] for s in status["services"]} == {"postgres": "ready", "redis": "ready"}
    database = status["database"]
    assert database["name"] == "signalbox" and database["owner_role"] == "signalbox_owner"
    assert box.database().value("select current_database()") == "signalbox"
    text = box.command("status").stdout
    assert "sequencer-1" in text and box.listen in text
    assert box.api_key not in text + json.dumps(status)


def test_exit_codes(box, own_box):
    idle = own_box(started=False)
    for command in (["status"], ["stop"], ["reload"], ["restart", "api"], ["tail", random_id()], ["verify"]):
        result = idle.command(*command, check=False)
        assert result.returncode == 3, (command, result.returncode, result.stderr)
        assert result.stderr.strip()
    for command in (["nonsense"], ["restart"], ["tail"], ["status", "--nonsense"], ["replay"], ["tail", "x", "y"]):
        assert box.command(*command, check=False).returncode == 2, command
    assert box.command("tail", random_id(), check=False).returncode == 4
    assert box.command("verify", random_id(), check=False).returncode == 4
    bare = subprocess.run([str(box.bin / "signalbox")], capture_output=True, timeout=20)
    assert bare.returncode == 2


def test_migrate_status_shows_everything_applied(box):
    result = box.command("migrate", "status")
    assert "0001" in result.stdout and "0003" in result.stdout


@pytest.mark.requirement("R032", "R034")
def test_replayed_conversations_are_identical_to_their_input(box, client):
    path = trajectories_path()
    wanted = trajectories.load(path)
    result = box.command("replay", path, "--concurrency", "8", "--json", timeout=120)
    runs = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(run["line"] for run in runs) == list(range(1, len(wanted) + 1))
    for run in runs:
        given = wanted[run["line"] - 1]
        shown = client.run(run["run_id"])
        assert shown["status"] == "finished" and shown["last_seq"] == run["last_seq"]
        assert run["events"] in (run["last_seq"], run["last_seq"] - 1)  # with or without RUN_STARTED
        assert shown["metadata"] == trajectories.metadata(given)
        assert trajectories.rebuild(client.log(run["run_id"])) == trajectories.expected(given)
    for run in (runs[0], runs[-1]):
        box.command("replay", "--check", run["run_id"], f"{path}:{run['line']}")
    wrong = f"{path}:{runs[1]['line']}"
    assert box.command("replay", "--check", runs[0]["run_id"], wrong, check=False).returncode == 1
    for malformed in (path, f"{path}:0", f"{path}:x", ":1"):
        assert box.command("replay", "--check", runs[0]["run_id"], malformed, check=False).returncode == 2
    box.command("verify")


def test_replay_goes_on_while_actors_die(own_box, tmp_path):
    box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 10000})
    sample = tmp_path / "some.jsonl"
    given = trajectories.load(trajectories_path(), 12)
    sample.write_text("".join(json.dumps(t) + "\n" for t in given), encoding="utf-8")
    replay = box.spawn("replay", sample, "--concurrency", "4", "--rate", "400", "--json")
    victims = ["sequencer-1", "api-1", "streamer-1", "sequencer-1", "api-2"]
    for name in victims:
        box.allow_restart(name, None)
    while replay.poll() is None:
        name = victims.pop(0) if victims else None
        if name is None:
            break
        box.kill_and_wait(name)
    out, err = replay.communicate(timeout=120)
    assert replay.returncode == 0, err
    runs = [json.loads(line) for line in out.splitlines()]
    assert len(runs) == len(given)
    client = box.client()
    for run in runs:
        assert trajectories.rebuild(client.log(run["run_id"])) == trajectories.expected(given[run["line"] - 1])
    box.command("verify")


def test_replay_refuses_what_it_cannot_read(box, tmp_path):
    assert box.command("replay", tmp_path / "missing.jsonl", check=False).returncode == 1
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"messages":[{"role":"user","content":"x"}]}\n{"messages": [\n')
    result = box.command("replay", broken, check=False)
    assert result.returncode == 1 and "2" in result.stderr


@pytest.mark.requirement("R060", "I5")
def test_tail_follows_a_run_to_its_end_through_a_streamers_death(own_box):
    box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 10000})
    client = box.client()
    run_id = client.new_run()
    tail = box.spawn("tail", run_id, "--json")
    for n in range(5):
        client.append(run_id, "CUSTOM", custom(f"before {n}")["payload"])
    for name in ("streamer-1", "streamer-2"):
        box.kill_and_wait(name)
    for n in range(5):
        client.append(run_id, "CUSTOM", custom(f"after {n}")["payload"])
    client.finish(run_id)
    out, err = tail.communicate(timeout=30)
    assert tail.returncode == 0, err
    assert [json.loads(line)["seq"] for line in out.splitlines()] == list(range(1, 13))


def test_tail_starts_where_it_is_told(box, client, run_id):
    client.append_many(run_id, [custom(n) for n in range(10)])
    client.finish(run_id)
    out = box.command("tail", run_id, "--after-seq", "8", "--json").stdout
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [9, 10, 11, 12]
    text = box.command("tail", run_id).stdout
    assert "RUN_STARTED" in text and "RUN_FINISHED" in text


def test_tail_ends_at_an_interrupt_of_its_user(box, run_id):
    tail = box.spawn("tail", run_id)
    assert "RUN_STARTED" in tail.stdout.readline()
    tail.send_signal(signal.SIGINT)
    tail.communicate(timeout=10)
    assert tail.returncode in (0, 1, -signal.SIGINT, 130)


def test_verify_finds_what_is_wrong(own_box):
    """The log is broken by hand, as the owner, who alone can."""
    box = own_box()
    client = box.client()
    good, bad = client.new_run(), client.new_run()
    for run_id in (good, bad):
        client.append_many(run_id, [custom(n) for n in range(5)])
    box.command("verify")
    box.command("verify", bad)
    box.drained()
    box.database().execute("delete from run_events where run_id = %s and seq = 3", bad)
    result = box.command("verify", check=False)
    assert result.returncode == 1 and bad in result.stdout + result.stderr
    assert good not in result.stdout + result.stderr
    assert box.command("verify", bad, check=False).returncode == 1
    assert box.command("verify", good, check=False).returncode == 0
    box.database().execute("delete from run_events where run_id = %s", bad)
    box.database().execute("delete from run_heads where run_id = %s", bad)
    box.database().execute("delete from runs where run_id = %s", bad)
    wait_until(lambda: not box.database().faults(), "a clean log")
