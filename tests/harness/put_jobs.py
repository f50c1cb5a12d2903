"""Jobs as rows of the tables, without the sequencer: for what only reads them."""

import json
import uuid

from harness.client import custom
from harness.keys import make_tenant

OPEN = ("id", "job_id", "tenant_id", "run_id", "queue", "job_type", "priority", "concurrency_key")
OF_OPEN = ("run_at", "deps_left", "worker", "progress", "cancel_requested_at")


class PutJobs:
    """A tenant of its own, whose jobs are written as the owner. Their numbers are log positions of events that are
    no jobs, so that nobody else has them. forget() takes them away: their events are not in any log."""

    def __init__(self, box):
        self.database = box.database()
        self.client = box.client(make_tenant(box, "jobs by hand"))
        self.tenant = self.client.get("/api/v1/session").json()["tenant_id"]
        self.run = self.client.new_run()
        self.free, self.numbers = [], []

    def number(self) -> int:
        if not self.free:
            first = self.client.append_many(self.run, [custom("a number")] * 100)["first_seq"]
            self.free = [row[0] for row in self.database.rows(
                "select position from run_events where run_id = %s and seq >= %s order by seq", self.run, first)]  # fmt: skip
        return self.free.pop(0)

    def put(self, status="pending", parents=(), **given) -> dict:
        """One job, newer than those before. running: with a live claim; other names are columns."""
        job = {
            "id": self.number(), "job_id": str(uuid.uuid4()), "tenant_id": self.tenant, "run_id": self.run, "job_type": "put", "queue": "put",
            "status": "pending" if status == "running" else status, "max_attempts": 3, "payload": {},
            "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-20T10:00:00Z", "enqueue_seq": 1,
        }  # fmt: skip
        job |= {"job_key": f"put {job['id']}"} | {k: v for k, v in given.items() if k not in OF_OPEN}
        with self.database.connect(autocommit=False) as connection:
            insert(connection, "job_records", job)
            if job["status"] == "pending":
                insert(connection, "job_open", opened(job, given, status == "running"))
            if status == "error":
                insert(connection, "job_dead", {"tenant_id": self.tenant, "id": job["id"], "died_at": job["updated_at"]})
            for parent in parents:
                insert(connection, "job_deps", {"parent": parent["id"], "child": job["id"]})
            connection.commit()
        self.numbers.append(job["id"])
        return job

    def forget(self):
        with self.database.connect() as connection:
            for table, column in (("job_deps", "child"), ("job_open", "id"), ("job_dead", "id"), ("job_records", "id")):
                connection.execute(f"delete from {table} where {column} = any (%s)", [self.numbers])


def opened(job, given, running) -> dict:
    row = {name: job.get(name) for name in OPEN} | {"shard": 0, "priority": job.get("priority", 0), "run_at": job["created_at"]}
    if running:
        row |= {"token": str(uuid.uuid4()), "worker": "w1", "claim": 1, "lease_ms": 3_600_000,
                "heartbeat_at": job["created_at"], "started_at": job["created_at"], "lease_until": "2100-01-01T00:00:00Z"}  # fmt: skip
    return row | {name: given[name] for name in OF_OPEN if name in given}


def insert(connection, table, row):
    values = [json.dumps(v) if isinstance(v, (dict, list)) else v for v in row.values()]
    connection.execute(f"insert into {table} ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})", values)
