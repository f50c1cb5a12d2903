"""
A worker of test_jobs_survive.py: `python -m chaos.split '{...}'`. It counts the words of the piece of a conversation that its
job holds, or adds up what the jobs before it found, tells the outside world of it (a file, under the job's effect key), and
the log with the end of the job. It is killed and stopped at any moment, and started again under its name.
"""

import json
import sys
import threading

from chaos.jobs import LEASE_MS, Client, Diary, Lost, Unsent


class Worker:
    def __init__(self, told):
        self.told, self.client, self.diary = told, Client(told, timeout=6.0), Diary(told["out"])

    def jobs(self) -> list:
        wish = {"worker": self.told["name"], "max": 3, "wait_ms": 1000, "lease_ms": LEASE_MS, "delivery_ms": 500}
        try:
            status, text = self.client.connection.request("POST", "/api/v1/jobs/claim", json.dumps(wish))
        except (Unsent, Lost):
            status, text = 503, ""
        if status != 200:
            threading.Event().wait(0.05)
            return []
        return json.loads(text)["jobs"]

    def words(self, job) -> int:
        payload = job["payload"]
        if "text" in payload:
            return len(payload["text"].split())
        _, text, _ = self.client.ask("GET", f"/api/v1/runs/{job['run_id']}/jobs?limit=1000")
        found = {one["job_key"]: one["result"] for one in json.loads(text)["jobs"]}
        return sum(found[key]["words"] for key in payload["parts"])

    def handle(self, job):
        def say(word, **fields):
            return self.client.ask("POST", f"/api/v1/jobs/{job['id']}/{word}", {"token": job["token"]} | fields)

        if say("heartbeat")[0] != 200:
            return  # it is another worker's
        words = self.words(job)
        self.diary.note(effect=job["effect_key"], job=job["job_key"], words=words)
        threading.Event().wait(0.08)
        done = {"type": "CUSTOM", "payload": {"name": "counted", "value": {"job": job["id"], "words": words}}}
        say("complete", result={"words": words}, events=[done])


if __name__ == "__main__":
    worker = Worker(json.loads(sys.argv[1]))
    while True:
        for job in worker.jobs():
            worker.handle(job)
