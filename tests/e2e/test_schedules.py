"""Schedules: what is asked of them, and that each of their ticks becomes one job."""

import datetime
import json
import zoneinfo

import psycopg
import pytest
from e2e.test_statements import statements_of
from harness.client import assert_problem
from harness.keys import make_tenant
from harness.openapi import Document
from harness.paths import fault_bin_dir
from harness.waiting import wait_until

DOCUMENT = Document()
LONG = "@every 366d"
LONG_S = 366 * 86400


def put(client, name, **members):
    return client.request("PUT", f"/api/v1/schedules/{name}", json={"spec": "0 0 1 1 *", "job_type": "tick"} | members)


def made(client, name, **members) -> dict:
    answer = put(client, name, **members)
    assert answer.status_code in (200, 201), answer.text
    assert not DOCUMENT.answer_faults(DOCUMENT.operations["setSchedule"], answer)
    return answer.json()


def shown(client, name) -> dict:
    answer = client.get(f"/api/v1/schedules/{name}")
    assert answer.status_code == 200, answer.text
    assert not DOCUMENT.answer_faults(DOCUMENT.operations["getSchedule"], answer)
    return answer.json()


def time_of(text) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


# ---- what is asked of them ----


@pytest.mark.requirement("K14", "R081")
def test_a_schedule_is_made_shown_changed_and_deleted(box):
    client = box.client(make_tenant(box, "schedules"))
    assert client.get("/api/v1/schedules").json() == {"schedules": []}
    answer = put(client, "nightly%20r%C3%A4port", spec="30 2 * * *", tz="Europe/Berlin", payload={"n": 9007199254740993})
    assert answer.status_code == 201
    first = answer.json()
    assert first["name"] == "nightly räport" and first["payload"] == {"n": 9007199254740993}
    assert {k: first[k] for k in ("spec", "tz", "queue", "job_type", "priority", "max_attempts", "concurrency_key")} == {
        "spec": "30 2 * * *", "tz": "Europe/Berlin", "queue": "default", "job_type": "tick", "priority": 0, "max_attempts": 3,
        "concurrency_key": None}  # fmt: skip
    assert (first["enabled"], first["missed"], first["last_at"], first["last_error"]) == (True, "skip", None, None)
    local = time_of(first["next_at"]).astimezone(zoneinfo.ZoneInfo("Europe/Berlin"))
    now = datetime.datetime.now(datetime.timezone.utc)
    assert (local.hour, local.minute) == (2, 30) or local.fold == 0 and local.hour == 3, "half past two, or behind the gap"
    assert now < time_of(first["next_at"]) < now + datetime.timedelta(hours=26)
    # Anything but its times: the next one stays.
    box.database().execute("update job_schedules set next_at = '2031-01-01' where tenant_id = %s", box.database().value(
        "select tenant_id from job_schedules where name = %s order by created_at desc", "nightly räport"))  # fmt: skip
    second = made(client, "nightly%20r%C3%A4port", spec="30 2 * * *", tz="Europe/Berlin", queue="q", priority=-7, max_attempts=9,
                  concurrency_key="k", missed="all")  # fmt: skip
    assert second["next_at"].startswith("2031-01-01T00:00:00") and second["payload"] == {}
    assert (second["queue"], second["priority"], second["max_attempts"], second["concurrency_key"]) == ("q", -7, 9, "k")
    third = made(client, "nightly%20r%C3%A4port", spec="30 2 * * *", tz="UTC", enabled=False)
    assert third["next_at"] is None and third["enabled"] is False
    assert time_of(made(client, "nightly%20r%C3%A4port", spec="30 2 * * *")["next_at"]) > now
    made(client, "another")
    listed = client.get("/api/v1/schedules")
    assert not DOCUMENT.answer_faults(DOCUMENT.operations["listSchedules"], listed)
    assert [s["name"] for s in listed.json()["schedules"]] == ["another", "nightly räport"]
    assert all("payload" not in s for s in listed.json()["schedules"])
    gone = client.request("DELETE", "/api/v1/schedules/another")
    assert gone.status_code == 200 and gone.json()["name"] == "another"
    assert_problem(client.request("DELETE", "/api/v1/schedules/another"), 404, "not-found")
    assert_problem(client.get("/api/v1/schedules/another"), 404, "not-found")
    notes = client.get("/api/v1/audit").json()["entries"]
    assert [note["action"] for note in notes if note["action"].startswith("schedule.")] == [
        "schedule.delete", "schedule.set", "schedule.set", "schedule.set", "schedule.set", "schedule.set"]  # fmt: skip
    client.request("DELETE", "/api/v1/schedules/nightly%20r%C3%A4port")


@pytest.mark.parametrize(
    "members, pointer, detail",
    [
        ({"spec": None}, "/spec", "needs a spec"),
        ({"spec": "61 * * * *"}, "/spec", "field 1 (minute), character 1: 61 is not within 0-59"),
        ({"spec": "0 0 30 2 *"}, "/spec", "never comes"),
        ({"spec": 7}, "/spec", "text"),
        ({"tz": "Europe/Nowhere"}, "/tz", "no time zone"),
        ({"tz": "../../etc/passwd"}, "/tz", "not the name"),
        ({"job_type": ""}, "/job_type", "text"),
        ({"job_type": None}, "/job_type", "needs a job_type"),
        ({"queue": "q" * 256}, "/queue", "255"),
        ({"priority": 1001}, "/priority", "1000"),
        ({"max_attempts": 0}, "/max_attempts", "1000"),
        ({"missed": "some"}, "/missed", "skip, all or none"),
        ({"enabled": "yes"}, "/enabled", "true or false"),
    ],
)
def test_what_is_refused(client, members, pointer, detail):
    problem = assert_problem(put(client, "refused", **members), 422, "invalid-payload")
    assert problem["errors"][0]["pointer"] == pointer and detail in problem["detail"], problem
    assert_problem(client.get("/api/v1/schedules/refused"), 404, "not-found")


def test_more_that_is_refused(client):
    assert_problem(put(client, "refused", colour="red"), 422, "unknown-field")
    assert_problem(put(client, "refused", payload="x" * 70000), 413, "too-large")
    assert_problem(put(client, "%ff"), 404, "not-found")
    assert_problem(put(client, "n" * 256), 404, "not-found")


def test_a_tenant_has_its_own_and_at_most_a_thousand(box, other):
    client = box.client(make_tenant(box, "many schedules"))
    made(client, "same")
    assert_problem(other.get("/api/v1/schedules/same"), 404, "not-found")
    made(other, "same", job_type="other")
    assert shown(client, "same")["job_type"] == "tick"
    other.request("DELETE", "/api/v1/schedules/same")
    assert shown(client, "same")["job_type"] == "tick"
    tenant = client.get("/api/v1/session").json()["tenant_id"]
    box.database().execute(
        "insert into job_schedules (tenant_id, name, spec, job_type, max_attempts, enabled) "
        "select %s, 'n' || n, '@daily', 't', 3, false from generate_series(2, 1000) n", tenant)  # fmt: skip
    assert_problem(put(client, "one-more"), 422, "invalid-payload")
    assert put(client, "same").status_code == 200
    assert len(client.get("/api/v1/schedules").json()["schedules"]) == 1000
    box.database().execute("delete from job_schedules where tenant_id = %s", tenant)


@pytest.mark.requirement("K14", "I10")
def test_a_schedule_moves_only_from_where_it_was_seen(box):
    client, database = box.client(make_tenant(box, "moving")), box.database()
    tenant = client.get("/api/v1/session").json()["tenant_id"]
    made(client, "s", spec="0 3 * * *")
    query = "select move_job_schedule(%s, 's', %s, '2031-01-02', '2031-01-01', null)"
    row = "select next_at, last_at from job_schedules where tenant_id = %s"
    before = database.rows(row, tenant)
    assert database.value(query, tenant, "2030-01-01", role="job_runner") is False
    made(client, "s", spec="0 3 * * *", enabled=False)
    assert database.value(query, tenant, before[0][0], role="job_runner") is False
    made(client, "s", spec="0 3 * * *")
    assert database.rows(row, tenant) == before
    assert database.value(query, tenant, before[0][0], role="job_runner") is True
    assert [str(time)[:10] for time in database.rows(row, tenant)[0]] == ["2031-01-02", "2031-01-01"]
    for role, forbidden in (("api", query.replace("%s", "null")), ("job_runner", "update job_schedules set enabled = true"),
                            ("sequencer", "select 1 from job_schedules")):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.value(forbidden, role=role)
    client.request("DELETE", "/api/v1/schedules/s")


def test_what_is_due_is_found_by_its_index(box):
    statement = next(text for text in statements_of("actors/job-runner/store.c") if "from job_schedules" in text)
    with box.database().connect(autocommit=False) as connection:
        connection.execute(
            "insert into job_schedules (tenant_id, name, spec, job_type, queue, max_attempts, next_at) "
            "select tenant_id, 'n' || n, '@daily', 't', 'q' || n, 3, now() + n * interval '1 minute' "
            "from (select tenant_id from tenants limit 1) t, generate_series(1, 20000) n")  # fmt: skip
        connection.execute("analyze job_schedules")
        connection.execute("prepare due as " + statement)
        rows = connection.execute("explain execute due('{0,2,4,6,8,10,12,14}', 100, now() + interval '5 s')").fetchall()
        connection.rollback()
    plan = "\n".join(row[0] for row in rows)
    assert "job_schedules_due" in plan and "Seq Scan" not in plan, plan


# ---- their ticks ----


@pytest.fixture(scope="module")
def ticking_server():
    from harness.server import Server

    server = Server(
        {"jobs.poll_ms": 60000, "job_runner.count": 2, "restart.late_deaths": 1000, "restart.early_deaths": 1000, "restart.total_deaths": 10000},
        faults=(fault_bin_dir() / "signalbox-job-runner").exists(),
    )  # fmt: skip
    try:
        server.start()
        yield server
        server.begin()
    finally:
        server.close()


class Ticking:
    """A tenant with schedules, seen from the tables."""

    def __init__(self, server):
        self.server, self.database = server, server.database()
        self.client = server.client(make_tenant(server, "ticks"))
        self.tenant = self.client.get("/api/v1/session").json()["tenant_id"]

    def jobs(self, name) -> list:
        return self.database.rows(
            "select * from (select job_key, job_type, queue, priority, max_attempts, detached, payload, run_id, created_by from jobs "
            "where tenant_id = %s) j where job_key like %s order by job_key", self.tenant, f"cron:{name}:%")  # fmt: skip

    def ticks(self, name) -> list:
        return [row[0].removeprefix(f"cron:{name}:") for row in self.jobs(name)]

    def row(self, name, columns="next_at, last_at, last_error"):
        return self.database.rows(f"select {columns} from job_schedules where tenant_id = %s and name = %s", self.tenant, name)[0]

    def due(self, name, next_at):
        self.database.execute(
            "update job_schedules set next_at = %s where tenant_id = %s and name = %s", next_at, self.tenant, name)  # fmt: skip
        self.look()

    def look(self):
        """The runners look when a schedule is written, not only now and then."""
        made(self.client, "look", enabled=False)

    def moved(self, name, beyond=None):
        """Until its next tick lies ahead again."""
        now = beyond or datetime.datetime.now(datetime.timezone.utc)
        wait_until(lambda: (self.row(name)[0] or now) > now, f"schedule {name} to move on")

    def stop(self):
        self.database.execute("delete from job_schedules where tenant_id = %s", self.tenant)


@pytest.fixture
def ticking(ticking_server):
    ticking_server.begin()
    ticking = Ticking(ticking_server)
    yield ticking
    ticking.stop()
    if ticking_server.faults:
        ticking_server.faults.clear()
    ticking_server.verify()


def stamp(seconds) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def latest_long() -> int:
    now = int(datetime.datetime.now().timestamp())
    return now - now % LONG_S


@pytest.mark.requirement("R070", "K14")
def test_each_tick_becomes_a_job_of_its_own_run(ticking):
    names = [f"s{n}" for n in range(6)]  # over the shards of both runners
    for name in names:
        made(ticking.client, name, spec="@every 1s", queue=f"queue {name}", payload={"for": name}, priority=5, max_attempts=7)
    wait_until(lambda: all(len(ticking.ticks(name)) >= 2 for name in names), "two ticks of each")
    ticking.database.execute("update job_schedules set enabled = false where tenant_id = %s", ticking.tenant)
    for name in names:
        jobs = ticking.jobs(name)
        assert {job[1:6] for job in jobs} == {("tick", f"queue {name}", 5, 7, True)}
        assert all(job[6] == {"for": name} or json.loads(job[6]) == {"for": name} for job in jobs)
        assert {job[8] for job in jobs} == {f"schedule/{name}"}
        assert len({job[7] for job in jobs}) == len(jobs), "a run each"
        for job in jobs:
            kinds = [kind for _, kind, _ in ticking.database.events(str(job[7]))]
            assert kinds == ["RUN_STARTED", "JOB_QUEUED"]
        assert stamp(ticking.row(name)[1].timestamp()) in ticking.ticks(name), "last_at is a tick that was queued"
    runs = ticking.database.value("select count(*) from run_heads where tenant_id = %s", ticking.tenant)
    assert runs == sum(len(ticking.jobs(name)) for name in names), "no run without its job"


@pytest.mark.requirement("R070", "K14")
@pytest.mark.parametrize("missed, expected", [("skip", 1), ("all", 5), ("none", 0)])
def test_missed_ticks(ticking, missed, expected):
    last = latest_long()
    made(ticking.client, "long", spec=LONG, missed=missed)
    ticking.due("long", stamp(last - 4 * LONG_S))
    ticking.moved("long")
    assert ticking.ticks("long") == [stamp(last - n * LONG_S) for n in reversed(range(expected))]
    next_at, last_at, error = ticking.row("long")
    assert (stamp(next_at.timestamp()), error) == (stamp(last + LONG_S), None)
    assert (last_at and stamp(last_at.timestamp())) == (stamp(last) if expected else None)


@pytest.mark.requirement("R070", "K14", "R063")
def test_a_tick_that_is_queued_again_is_not_doubled(ticking):
    last = latest_long()
    made(ticking.client, "twice", spec=LONG)
    for _ in range(3):  # as a runner would that has not heard of the others
        ticking.due("twice", stamp(last))
        ticking.moved("twice")
    assert ticking.ticks("twice") == [stamp(last)]
    assert ticking.database.value("select count(*) from run_heads where tenant_id = %s", ticking.tenant) == 1


@pytest.mark.requirement("K14")
def test_rests(ticking):
    """One that is off, and one whose spec nobody can read."""
    last = latest_long()
    made(ticking.client, "off", spec=LONG, enabled=False)
    ticking.due("off", stamp(last))
    made(ticking.client, "broken", spec=LONG)
    ticking.database.execute("update job_schedules set spec = 'x', next_at = now() where tenant_id = %s and name = 'broken'", ticking.tenant)
    ticking.look()
    wait_until(lambda: ticking.row("broken")[2] is not None, "the error to be noted")
    assert ticking.row("broken")[0] is None and "field 1 (minute)" in ticking.row("broken")[2]
    assert shown(ticking.client, "broken")["last_error"].startswith("spec: ")
    assert made(ticking.client, "broken", spec=LONG)["last_error"] is None
    assert ticking.ticks("broken") == ticking.ticks("off") == []
    made(ticking.client, "off", spec=LONG)
    assert stamp(ticking.row("off")[0].timestamp()) == stamp(last + LONG_S), "from now on, nothing is made up for"


@pytest.mark.requirement("R070", "K14", "I12")
def test_a_runner_that_dies_between_queueing_and_moving(ticking):
    if not ticking.server.faults:
        pytest.skip("needs a build with fault points")
    last = latest_long()
    made(ticking.client, "dies", spec=LONG)
    owner = ticking.database.value(
        "select s.owner from job_shards s join job_schedules d using (shard) where d.tenant_id = %s", ticking.tenant)  # fmt: skip
    ticking.server.allow_restart(owner.split("/")[1])
    ticking.server.faults.order("jobs_before_schedule_moves", "kill")
    ticking.due("dies", stamp(last))
    ticking.server.faults.obeyed("jobs_before_schedule_moves")
    assert ticking.ticks("dies") == [stamp(last)]
    wait_until(lambda: ticking.row("dies")[0].timestamp() > last, "the next runner to move it on", 30)
    assert ticking.ticks("dies") == [stamp(last)]
    ticking.server.all_healthy()
