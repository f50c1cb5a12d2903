"""Direct SQL, as any of the installation's roles, and the invariants that hold in the tables."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness import given

ROLES = ("api", "sequencer", "streamer", "job_runner", "exporter")

GAPS = """
select h.run_id, h.last_seq, count(e.seq), min(e.seq), max(e.seq)
  from run_heads h left join run_events e using (run_id)
 group by h.run_id, h.last_seq
having count(e.seq) <> h.last_seq or min(e.seq) <> 1 or max(e.seq) <> h.last_seq
"""
ORPHANS = "select distinct run_id from run_events e where not exists (select from run_heads h where h.run_id = e.run_id)"
POSITIONS = """
select run_id, seq, position from (
    select run_id, seq, position, lag(position) over (partition by run_id order by seq) as before from run_events) e
 where position <= before
"""


class Database:
    """dsn as `signalbox status` tells it; given: name of the database on TEST_DATABASE_URL, if it is there."""

    def __init__(self, dsn: str, owner_role: str, given_name=None):
        self.given_name = given_name
        self.dsn = dsn
        self.owner_role = owner_role

    def connect(self, role=None, **options):
        """A connection as signalbox_ROLE (default: the owner). Autocommit, unless told otherwise."""
        user = self.owner_role if role is None else f"signalbox_{role}"
        options.setdefault("autocommit", True)
        options.setdefault("connect_timeout", 5)
        if self.given_name is not None:
            return given.connect(self.given_name, user, **options)
        parts = conninfo_to_dict(self.dsn) | {"user": user}
        return psycopg.connect(make_conninfo("", **parts), **options)

    def rows(self, query, *parameters, role=None) -> list:
        with self.connect(role) as connection:
            return connection.execute(query, parameters or None).fetchall()

    def value(self, query, *parameters, role=None):
        rows = self.rows(query, *parameters, role=role)
        return rows[0][0] if rows else None

    def execute(self, query, *parameters, role=None):
        with self.connect(role) as connection:
            return connection.execute(query, parameters or None).rowcount

    def set_quota(self, tenant, *limits):
        """runs, events, bytes, concurrent runs: as the api does for an operator."""
        with self.connect("api") as connection:
            connection.execute("set signalbox.operator = 'on'")
            connection.execute("select set_tenant_quota(%s, %s, %s, %s, %s)", [tenant, *limits])

    def faults(self) -> list:
        """Runs whose log breaks an invariant of the tables: holes, doubles, orphans, positions."""
        with self.connect() as connection:
            found = [f"run {r[0]}: head {r[1]}, {r[2]} events, {r[3]}..{r[4]}" for r in connection.execute(GAPS)]
            found += [f"events of run {r[0]} without a head" for r in connection.execute(ORPHANS)]
            found += [f"run {r[0]} seq {r[1]}: position {r[2]} does not grow" for r in connection.execute(POSITIONS)]
        return found

    def events(self, run_id) -> list:
        """[(seq, type, payload text)] of a run, in order."""
        return self.rows(
            "select seq, event_type::text, payload::text from run_events where run_id = %s order by seq", run_id
        )

    def undelivered(self) -> int:
        """Committed events the bus cursor has not passed."""
        return self.value(
            "select coalesce(sum(p.position - c.position), 0)::bigint from shard_positions p"
            " join outbox_cursors c on c.shard = p.shard and c.sink = 'bus'"
        )
