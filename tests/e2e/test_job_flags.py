"""A job-runner started by hand beside a running server: --once, --max-jobs, --dry-run, and what it refuses."""

import json
import subprocess

import pytest
from harness import paths
from harness.client import random_id
from harness.server import Server
from harness.waiting import wait_until
from harness.workers import Jobs


@pytest.fixture(scope="module")
def server():
    """Its own runner works on no built-in kind's job, so that what is done is done by hand."""
    server = Server({"jobs.executors": 0, "jobs.retry_base_ms": 20})
    try:
        server.start()
        yield server
        server.begin()
    finally:
        server.close()


@pytest.fixture
def box(server):
    server.begin()
    yield server
    server.verify()


@pytest.fixture(scope="module")
def queues():
    """Each is used once; they are in many shards."""
    return (f"by hand {n}" for n in range(1000))


def by_hand(box, *arguments, directory=None, timeout=60):
    command = [str(box.bin / "signalbox-job-runner"), "--dir", str(directory or box.dir), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=box.env(), stdin=subprocess.DEVNULL)


def queue(client, name, run_id=None, payload=None, kind="noop", **fields) -> str:
    body = {"job_type": kind, "job_key": random_id(), "payload": payload or {}, "queue": name} | fields
    answer = client.post(f"/api/v1/runs/{run_id or client.new_run()}/jobs", body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def statuses(client, ids) -> list:
    return [client.get(f"/api/v1/jobs/{job_id}").json()["status"] for job_id in ids]


def runners(box) -> list:
    return [name.rsplit("/", 1)[1] for (name,) in box.database().rows("select name from job_runners order by name")]


@pytest.mark.requirement("R083", "R084", "R085", "R086", "R087")
def test_help_names_every_flag():
    answer = subprocess.run([str(paths.bin_dir() / "signalbox-job-runner"), "--help"], capture_output=True, text=True)
    assert answer.returncode == 0
    for flag in ("--dir", "--once", "--max-jobs", "--dry-run", "--poll-interval", "--stale-check-interval"):
        assert flag in answer.stdout
    assert "jobs.executors = 0" in answer.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--max-jobs", "-1"), ("--max-jobs", "x"), ("--max-jobs",), ("--poll-interval", "0"), ("--poll-interval", "1s"),
     ("--poll-interval", "601"), ("--poll-interval", "1.2345"), ("--stale-check-interval", "-2"), ("--stale-check-interval", ""),
     ("--once", "--dry-run"), ("--once", "--max-jobs", "2"), ("--unknown",), ("what",), ("--once=1",)],
    ids=" ".join,
)  # fmt: skip
def test_wrong_use_is_said(box, arguments):
    answer = by_hand(box, *arguments)
    assert answer.returncode == 2 and "usage: signalbox-job-runner" in answer.stderr and answer.stdout == "", answer


def test_without_a_directory_or_a_server_it_does_not_begin(box, tmp_path):
    answer = subprocess.run([str(box.bin / "signalbox-job-runner"), "--once"], capture_output=True, text=True)
    assert answer.returncode == 2 and "--dir is missing" in answer.stderr
    answer = by_hand(box, "--once", directory=tmp_path)
    assert answer.returncode == 3 and "no server runs in" in answer.stderr
    (tmp_path / "location").write_text(f"run_dir={tmp_path}\ndata_dir=/x\n")
    assert by_hand(box, "--once", directory=tmp_path).returncode == 3
    (tmp_path / "location").write_text("damaged\n")
    assert "damaged" in by_hand(box, "--once", directory=tmp_path).stderr


@pytest.mark.requirement("R087", "K43")
def test_a_dry_run_shows_what_would_be_claimed_and_claims_nothing(box, client, queues):
    """In all shards; by priority; nothing that is not due, paused, blocked or for workers outside."""
    run_id, name = client.new_run(), next(queues)
    late, low, high = (queue(client, name, run_id, **fields) for fields in ({"run_at": "2100-01-01T00:00:00Z"}, {}, {"priority": 5}))
    blocked = queue(client, name, run_id, depends_on=[late])
    outside = queue(client, name, run_id, kind="of a worker outside")
    paused_name = next(queues)
    paused = queue(client, paused_name, run_id)
    assert client.request("PUT", f"/api/v1/queues/{paused_name.replace(' ', '%20')}", content=json.dumps({"paused": True}),
                          headers={"Content-Type": "application/json"}).status_code == 200  # fmt: skip
    ids = [late, low, high, blocked, outside, paused]
    state = "select o::text from job_open o order by id"
    before = box.database().rows(state), client.log(run_id)
    answer = by_hand(box, "--dry-run")
    assert answer.returncode == 0, answer.stderr
    shown = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [job["id"] for job in shown if job["run_id"] == run_id] == [high, low]
    assert {key: shown[0][key] for key in ("job_type", "queue", "priority", "attempt", "max_attempts")} == {
        "job_type": "noop", "queue": name, "priority": 5, "attempt": 1, "max_attempts": 3}  # fmt: skip
    assert (box.database().rows(state), client.log(run_id)) == before and runners(box) == ["job-runner-1"]
    for job_id in ids:
        client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert by_hand(box, "--dry-run").returncode == 3  # nothing


@pytest.mark.requirement("R086")
def test_once_does_one_job_and_says_how_it_went(box, client, queues):
    first, second = queue(client, name := next(queues)), queue(client, name, payload={"fail": 1, "class": "fatal"})
    answer = by_hand(box, "--once", "--poll-interval", "0.2", "--stale-check-interval", "30")
    assert answer.returncode == 0, answer.stderr
    assert statuses(client, [first, second]) == ["success", "pending"]
    assert by_hand(box, "--once").returncode == 1
    assert statuses(client, [second]) == ["error"]
    assert by_hand(box, "--once").returncode == 3
    worker = client.get(f"/api/v1/jobs/{first}").json()["last_worker"]
    assert worker.startswith("manual-")
    # It was a visitor: the server's own runner has had everything all the time.
    assert runners(box) == ["job-runner-1"] and box.database().value("select count(distinct owner) from job_shards") == 1


@pytest.mark.requirement("R085")
def test_max_jobs_is_how_many_it_does(box, client, queues):
    ids = [queue(client, name := next(queues)), *(queue(client, name) for _ in range(3))]
    answer = by_hand(box, "--max-jobs", 3)
    assert answer.returncode == 0, answer.stderr
    assert statuses(client, ids) == ["success", "success", "success", "pending"]
    client.post(f"/api/v1/jobs/{ids[3]}/cancel")


@pytest.mark.requirement("R085")
def test_without_a_limit_it_works_until_it_is_told_to_stop(box, client, queues):
    job_id = queue(client, next(queues))
    command = [str(box.bin / "signalbox-job-runner"), "--dir", str(box.dir), "--max-jobs", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=box.env(), stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: statuses(client, [job_id]) == ["success"], "the job to be done")
        process.terminate()
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log
    finally:
        process.kill()
        process.communicate()
    assert runners(box) == ["job-runner-1"]


@pytest.mark.requirement("I12")
def test_it_ends_nobodys_lease(box, client, queues):
    """The beats of a worker are in the memory of the server's own runner long before they are in the table."""
    jobs = Jobs(client)
    job_id = queue(client, name := next(queues), run_id=jobs.run, kind="of a worker outside")
    command = [str(box.bin / "signalbox-job-runner"), "--dir", str(box.dir), "--max-jobs", "0"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=box.env(), stdin=subprocess.DEVNULL)
    try:
        seen = queue(client, name)
        wait_until(lambda: statuses(client, [seen]) == ["success"], "the visitor to be at work")
        claim, = jobs.claim(queues=[name], lease_ms=600)
        over = "select lease_until + interval '300 ms' < clock_timestamp() from job_open where job_id = %s"

        def is_over_in_the_table():
            assert jobs.said("heartbeat", claim)["cancel"] is False
            return box.database().value(over, job_id)

        wait_until(is_over_in_the_table, "the lease to be over for who reads the table only")
        assert jobs.said("complete", claim)["attempts"] == 1
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.requirement("R073")
@pytest.mark.parametrize("kinds, said", [("noop,unheard", "there is no kind of job unheard"), (",", "enables no kind of job")])
def test_without_a_kind_it_refuses_to_start(kinds, said):
    box = Server({"jobs.kinds": kinds})
    try:
        box.launch()
        ended = wait_until(lambda: box.actor("job-runner-1")["last_end"], "the end of the job-runner", 60)
        assert ended.startswith("exit code 78 (configuration wrong)") and said in ended
    finally:
        box.stop()
        box.remove()
