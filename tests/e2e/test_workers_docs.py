"""The workers in docs/workers.md do what the page says, as they stand there."""

import re
import shutil
import subprocess
import sys

import pytest
from harness.paths import ROOT
from harness.waiting import wait_until
from harness.workers import Jobs

BLOCKS = re.findall(r"```(python|ts)\n(.*?)```", (ROOT / "docs/workers.md").read_text(), re.DOTALL)
LINES = {"python": 30, "ts": 40}


def worker_of(language) -> tuple:
    """(the worker, what it is used for)"""
    return tuple(text for name, text in BLOCKS if name == language)


class Run:
    """The page's worker as a process of its own, with short leases, on the test's queue."""

    def __init__(self, language, client, queue, folder):
        text = "\n".join(worker_of(language)).replace("60000", "400")
        if language == "python":
            # -u: what it prints is read while it works.
            given = f"base, key = {client.locate()!r}, {client.key!r}\n"
            text = text.replace('work(handle, job_types=["count"]', f'work(handle, queues=[{queue!r}], job_types=["count"]')
            arguments = [sys.executable, "-u", "-c", given + text]
        else:
            given = f"const base = {client.locate()!r}, key = {client.key!r};\n"
            (folder / "worker.mjs").write_text(given + text.replace('job_types: ["count"]', f'queues: [{queue!r}], job_types: ["count"]'))
            arguments = ["node", "worker.mjs"]
        assert queue in text + (folder / "worker.mjs").read_text() if language == "ts" else queue in arguments[-1]
        self.output = open(folder / "output", "w+")
        self.process = subprocess.Popen(arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)

    def printed(self) -> list:
        self.output.seek(0)
        return self.output.read().splitlines()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.output.close()


@pytest.fixture(params=["python", "ts"])
def worker(request, client, tmp_path):
    if request.param == "ts" and shutil.which("node") is None:
        pytest.skip("no node on this machine")
    jobs = Jobs(client)
    run = Run(request.param, client, jobs.queue, tmp_path)
    yield jobs, run
    run.stop()


def ended(jobs, job_id) -> dict:
    return wait_until(lambda: (job := jobs.show(job_id))["finished_at"] and job, "the job to end")


def count(jobs, steps, **fields) -> str:
    return jobs.enqueue(job_type="count", payload={"steps": steps}, **fields)[0]


@pytest.mark.parametrize("language", LINES)
def test_they_are_short(language):
    lines = [line for line in worker_of(language)[0].splitlines() if line.strip()]
    assert len(lines) <= LINES[language]


def test_jobs_are_done_and_their_effect_keys_passed_on(worker):
    """The second one lasts longer than its lease, which the beats keep."""
    jobs, run = worker
    short, long = count(jobs, 2), count(jobs, 12)
    assert ended(jobs, short)["result"] == {"steps": 2} and ended(jobs, long)["result"] == {"steps": 12}
    assert jobs.show(long)["attempts"] == 1
    keys = [line.split(":") for line in run.printed()]
    assert len(keys) == 14 and len({key for key, _ in keys}) == 2
    assert jobs.log().count("JOB_STARTED") == 2


def test_a_cancelled_job_stops(worker):
    jobs, run = worker
    job_id = count(jobs, 10_000)
    wait_until(run.printed, "the first step")
    jobs.client.post(f"/api/v1/jobs/{job_id}/cancel", {})
    assert ended(jobs, job_id)["status"] == "cancelled"
    after = count(jobs, 1)
    assert ended(jobs, after)["status"] == "success"


def test_a_lost_lease_stops_the_handler(worker, box):
    """Somebody gives the claim back behind the worker's back. It works on one job at a time: that it takes the job again
    shows that it has stopped, and what it then said of the first attempt was not taken."""
    jobs, run = worker
    job_id = count(jobs, 10_000, max_attempts=1)
    wait_until(run.printed, "the first step")
    token = box.database().value("select o.token from job_open o join job_records r using (id) where r.job_id = %s", job_id)
    jobs.said("release", {"id": job_id, "token": str(token)})
    wait_until(lambda: jobs.log().count("JOB_STARTED") == 2, "the worker to take it again")
    assert "JOB_FAILED" not in jobs.log()
    jobs.client.post(f"/api/v1/jobs/{job_id}/cancel", {})
    assert ended(jobs, job_id)["status"] == "cancelled"
    after = count(jobs, 1)
    assert ended(jobs, after)["status"] == "success"


def test_a_handler_that_raises_fails_the_attempt(worker):
    jobs, _ = worker
    [job_id] = jobs.enqueue(job_type="count", payload=None, max_attempts=1)
    failed = ended(jobs, job_id)
    assert failed["status"] == "error" and "Error" in failed["error"]["error"]
