"""Workers that do what the test says, over the public interface, each test with a queue of its own."""

import threading

import httpx

from harness.client import random_id


class Jobs:
    """A run with jobs in a queue that nobody else asks for."""

    def __init__(self, client, queue=None):
        self.client, self.queue = client, queue or f"q-{random_id()}"
        self.run = client.new_run()

    def enqueue(self, count=1, **fields) -> list:
        """Ids."""
        jobs = [{"job_type": "work", "job_key": random_id(), "queue": self.queue} | fields for _ in range(count)]
        answer = self.client.post(f"/api/v1/runs/{self.run}/jobs", {"jobs": jobs})
        assert answer.status_code == 201, answer.text
        return [job["id"] for job in answer.json()["jobs"]]

    def ask(self, client=None, **wish):
        return (client or self.client).post("/api/v1/jobs/claim", {"queues": [self.queue], "worker": "w1"} | wish)

    def claim(self, **wish) -> list:
        answer = self.ask(**wish)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()["jobs"]

    def claim_one(self, **wish) -> dict:
        """Waits for it."""
        [job] = self.claim(**{"wait_ms": 10_000} | wish)
        return job

    def say(self, word, job, client=None, **fields):
        """The answer to heartbeat, progress, complete, fail or release; `fail` says something went wrong."""
        said = {"token": job["token"]} | ({"error": "went wrong"} if word == "fail" else {}) | fields
        return (client or self.client).post(f"/api/v1/jobs/{job['id']}/{word}", said)

    def said(self, word, job, **fields) -> dict:
        answer = self.say(word, job, **fields)
        assert answer.status_code == 200, (word, answer.status_code, answer.text)
        return answer.json()

    def show(self, job_id) -> dict:
        answer = self.client.get(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def log(self) -> list:
        return [kind for _, kind, _ in self.client.log(self.run)]


class Poll(threading.Thread):
    """One claim that waits beside the test; `jobs` when it has ended. One whose server dies has no answer."""

    def __init__(self, jobs, **wish):
        super().__init__(daemon=True)
        self.ask, self.wish, self.answer = jobs.ask, {"wait_ms": 20_000} | wish, None
        self.start()

    def run(self):
        try:
            self.answer = self.ask(**self.wish)
        except httpx.TransportError:
            pass

    @property
    def jobs(self) -> list:
        self.join(30)
        assert self.answer is not None and self.answer.status_code == 200, self.answer and self.answer.text
        return self.answer.json()["jobs"]
