"""What actors have given up, as the kernel tells of them and as `signalbox status` and `doctor` do. That it holds is tried from
inside in tests/unit/runtime/confine_test.c."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from harness import paths
from harness.client import custom
from harness.processes import family

SECCOMP_FILTER = "2"


def status_of(pid, task=None) -> dict:
    path = Path(f"/proc/{pid}/task/{task}/status" if task else f"/proc/{pid}/status")
    return dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)


def actors(box) -> list:
    return box.status()["actors"]


def landlock_of_the_kernel() -> int:
    import ctypes

    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def test_every_actor_is_confined(box):
    for actor in actors(box):
        pid = actor["pid"]
        assert actor["confined"] == {"seccomp": "log", "landlock": landlock_of_the_kernel()}, actor["name"]
        for task in os.listdir(f"/proc/{pid}/task"):  # the bus has a thread of its own
            told = status_of(pid, task)
            assert (told["Seccomp"], told["NoNewPrivs"]) == (SECCOMP_FILTER, "1"), (actor["name"], told["Name"])
        limits = Path(f"/proc/{pid}/limits").read_text()
        (core,) = [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core == ["0", "0"]
        # Nobody dumps it: what tells of its memory belongs to root.
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0


def test_the_supervisor_starts_what_it_wants(box):
    """It and the services it runs are not filtered."""
    status = box.status()
    for pid in [status["supervisor"]["pid"], *[service["pid"] for service in status["services"]]]:
        assert status_of(pid)["Seccomp"] == "0"


def test_doctor_and_status_say_so(box):
    document = json.loads(box.command("doctor", "--json", check=False, timeout=90).stdout)
    (step,) = [step for step in document["steps"] if step["title"] == "Are the actors confined?"]
    if landlock_of_the_kernel() > 0:
        assert step["verdict"] == "ok" and step["seen"] == f"seccomp log, Landlock of ABI {landlock_of_the_kernel()}"
    else:
        assert step["verdict"] == "unknown" and "Landlock not in force" in step["seen"]


def test_it_may_be_stricter_and_kills_nobody_who_does_his_work(own_box):
    """Append, read, stream, a second streamer, a new bus client, a restart, a reload: nothing of it is unusual. Spans make
    the api start a fetcher."""
    box = own_box({"security.seccomp": "kill", "trace.otlp_url": "http://127.0.0.1:9/v1/traces"})
    assert {actor["confined"]["seccomp"] for actor in actors(box)} == {"kill"}
    client = box.client()
    run_id = client.new_run()
    with box.stream(run_id) as stream:
        client.append(run_id, "CUSTOM", custom(1)["payload"])
        while stream.next_frame().id != "2":
            pass
    box.command("restart", "sequencer", timeout=60)
    box.command("restart", "streamer", timeout=60)
    box.command("reload")
    client.append(run_id, "CUSTOM", custom(2)["payload"])
    assert client.run(run_id)["last_seq"] == 3
    assert all(status_of(process.pid)["Seccomp"] == SECCOMP_FILTER
               for actor in actors(box) for process in family(actor["pid"]))  # fmt: skip


@pytest.mark.parametrize("value", ["strict", ""])
def test_an_unknown_mode_is_refused(tmp_path, value):
    done = subprocess.run(
        [str(paths.bin_dir() / "signalbox"), "up", "--dir", str(tmp_path / "d"), "--listen", "127.0.0.1:0"],
        env={"PATH": os.environ["PATH"], "SIGNALBOX_SECURITY_SECCOMP": value}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "security.seccomp must be off, log or kill" in done.stderr
