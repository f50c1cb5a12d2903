"""A tenant of its own, with a quota, and what it has used."""

import uuid

from harness.commander import Commander
from harness.keys import make_tenant
from harness.waiting import wait_until

COUNTED = """
select (select count(*) from runs r where r.tenant_id = t.tenant_id),
       (select count(*) from run_events e join runs r using (run_id)
         where r.tenant_id = t.tenant_id and e.seq > coalesce(r.fork_seq, 0)),
       (select coalesce(sum(octet_length(e.payload::text)), 0)::bigint from run_events e join runs r using (run_id)
         where r.tenant_id = t.tenant_id and e.seq > coalesce(r.fork_seq, 0)),
       (select count(*) from runs r where r.tenant_id = t.tenant_id and r.completed_at is null)
  from tenants t where t.tenant_id = %s
"""


class Tenant:
    """A new tenant, its commander, its quota and its usage."""

    def __init__(self, server, **quota):
        self.key = make_tenant(server, "quotas")
        self.database = server.database()
        self.id = self.database.value("select tenant_id from tenants order by created_at desc limit 1")
        if quota:
            self.set(**quota)
        self.commander = Commander(server, self.id)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.commander.close()

    def set(self, runs=None, events=None, bytes=None, concurrent=None):
        self.database.execute("select set_tenant_quota(%s, %s, %s, %s, %s)", self.id, runs, events, bytes, concurrent, role="api")

    def usage(self) -> tuple:
        rows = self.database.rows(
            "select runs, events, bytes, active_runs from tenant_usage where tenant_id = %s order by day desc", self.id
        )
        return rows[0] if rows else (0, 0, 0, 0)

    def check_usage(self):
        assert self.usage() == self.database.rows(COUNTED, self.id)[0]

    def try_create(self) -> dict:
        return self.commander.do("CREATE_RUN", run=uuid.uuid4(), metadata="{}", started="{}")

    def learned(self, limit_is_known):
        """Limits are read again every few seconds."""
        wait_until(limit_is_known, "the sequencer to know the new limit", 12)
