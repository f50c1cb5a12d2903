"""Quotas of tenants, enforced by the sequencer, and the usage it keeps for each tenant and day."""

import time
import uuid

import psycopg
import pytest
from harness.client import assert_problem, custom
from harness.commander import CUSTOM, FINISHED, event
from harness.paths import fault_bin_dir
from harness.tenant import Tenant

needs_faults = pytest.mark.skipif(
    not (fault_bin_dir() / "signalbox-sequencer").exists(), reason="needs a build with fault points"
)
RUNS, EVENTS, BYTES, CONCURRENT = 1, 2, 3, 4


def refusal(answer) -> tuple:
    return answer["outcome"], answer["quota"], answer["quota_limit"], answer["quota_used"]


@pytest.fixture
def limited(own_box):
    """limited(runs=3, …) -> a tenant of a server that knew the quota from its start."""
    made = []

    def make(settings=None, faults=False, **quota):
        box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 10000} | (settings or {}), faults=faults)
        tenant = Tenant(box, **quota)
        tenant.box = box
        made.append(tenant)
        if quota:
            box.kill_and_wait("sequencer-1")
        return tenant

    yield make
    for tenant in made:
        tenant.commander.close()


def test_usage_is_what_the_log_holds(box):
    with Tenant(box) as tenant:
        commander = tenant.commander
        first, second = commander.create(), commander.create()
        tenant.check_usage()
        sent = [commander.send_append(first if n % 3 else second, f'{{"n":{n},"text":"é{"x" * n}"}}') for n in range(100)]
        sent += [commander.send_append(first, events=[event(CUSTOM)] * 7)]
        assert all(commander.answer(n)["outcome"] == "OK" for n in sent)
        tenant.check_usage()
        commander.append(first, "{")  # refused by the database
        commander.append(first, expected_seq=1)
        commander.append(first, key="k", hash=bytes(32))
        commander.append(first, key="k", hash=bytes(32))
        commander.produce(first, 0)
        commander.produce(first, 0)
        tenant.check_usage()
        commander.finish(second)
        assert tenant.usage()[3] == 1
        tenant.check_usage()


def test_a_poisoned_batch_is_charged_for_what_it_stored(box):
    with Tenant(box) as tenant:
        commander = tenant.commander
        run = commander.create()
        sent = [commander.send_append(run, "{" if n % 13 == 5 else '{"n":1}') for n in range(60)]
        for number in sent:
            commander.answer(number)
        tenant.check_usage()


def test_runs_of_a_day(limited):
    tenant = limited(runs=3)
    runs = [tenant.try_create() for _ in range(5)]
    assert [answer["outcome"] for answer in runs] == ["OK"] * 3 + ["QUOTA"] * 2
    assert refusal(runs[3]) == ("QUOTA", RUNS, 3, 3)
    # Runs that are there go on; a known id is no new run.
    run = runs[0]["run"]
    assert tenant.commander.append(run)["outcome"] == "OK"
    assert tenant.commander.do("CREATE_RUN", run=run, metadata="{}", started="{}")["outcome"] == "EXISTS"
    tenant.commander.finish(run)
    assert tenant.try_create()["outcome"] == "QUOTA"
    tenant.check_usage()


def test_events_of_a_day(limited):
    tenant = limited(events=5)
    run = tenant.commander.create()  # its RUN_STARTED is the first
    assert refusal(tenant.commander.append(run, events=[event(CUSTOM)] * 5)) == ("QUOTA", EVENTS, 5, 1)
    first = tenant.commander.append(run, events=[event(CUSTOM)] * 4, key="k", hash=bytes(32))
    assert (first["outcome"], first["last_seq"]) == ("OK", 5)
    assert refusal(tenant.commander.append(run)) == ("QUOTA", EVENTS, 5, 5)
    assert refusal(tenant.try_create()) == ("QUOTA", EVENTS, 5, 5)
    assert refusal(tenant.commander.produce(run, 0)) == ("QUOTA", EVENTS, 5, 5)
    # What was done is answered as before; and a run may always end.
    again = tenant.commander.append(run, events=[event(CUSTOM)] * 4, key="k", hash=bytes(32))
    assert again["duplicate"] and again["last_seq"] == 5
    assert tenant.commander.append(run, events=[event(CUSTOM), event(FINISHED)])["outcome"] == "QUOTA"
    assert tenant.commander.finish(run)["outcome"] == "OK"
    tenant.check_usage()


def test_bytes_of_a_day(limited):
    tenant = limited(bytes=100)
    run = tenant.commander.create()  # {}
    payload = '{"x":"' + "y" * 42 + '"}'  # 50 bytes
    assert tenant.commander.append(run, payload)["outcome"] == "OK"
    assert refusal(tenant.commander.append(run, payload)) == ("QUOTA", BYTES, 100, 52)
    assert tenant.commander.append(run, payload.replace("yy", "", 1))["outcome"] == "OK"
    assert refusal(tenant.commander.append(run)) == ("QUOTA", BYTES, 100, 100)
    tenant.check_usage()


def test_concurrent_runs(limited):
    tenant = limited(concurrent=2)
    first, second = tenant.commander.create(), tenant.commander.create()
    assert refusal(tenant.try_create()) == ("QUOTA", CONCURRENT, 2, 2)
    for _ in range(3):
        tenant.commander.finish(first)
        first = tenant.commander.create()
        assert refusal(tenant.try_create()) == ("QUOTA", CONCURRENT, 2, 2)
    tenant.commander.finish(second)
    # An end that the database refuses makes no room.
    assert tenant.commander.append(first, events=[event(FINISHED, "{")])["outcome"] == "REFUSED"
    assert tenant.try_create()["outcome"] == "OK"
    assert tenant.try_create()["outcome"] == "QUOTA"
    tenant.check_usage()


def test_a_limit_holds_within_one_batch(limited):
    tenant = limited(events=20)
    run = tenant.commander.create()
    sent = [tenant.commander.send_append(run) for _ in range(60)]
    outcomes = [tenant.commander.answer(n)["outcome"] for n in sent]
    assert outcomes == ["OK"] * 19 + ["QUOTA"] * 41
    tenant.check_usage()


def test_new_limits_are_known_within_seconds_and_outlive_a_restart(box):
    with Tenant(box) as tenant:
        run = tenant.commander.create()
        tenant.set(events=1)
        tenant.learned(lambda: tenant.commander.append(run)["outcome"] == "QUOTA")
        box.kill_and_wait("sequencer-1")
        assert tenant.commander.append(run)["outcome"] == "QUOTA"
        tenant.set(events=0)
        tenant.learned(lambda: tenant.commander.append(run)["outcome"] == "OK")
        tenant.set(events=1)
        tenant.learned(lambda: tenant.commander.append(run)["outcome"] == "QUOTA")
        tenant.set()
        tenant.learned(lambda: tenant.commander.append(run)["outcome"] == "OK")
        tenant.check_usage()


def test_the_installations_default_and_a_tenants_own(limited):
    tenant = limited({"quota.events_per_day": 3})
    run = tenant.commander.create()
    assert tenant.commander.append(run, events=[event(CUSTOM)] * 2)["outcome"] == "OK"
    assert refusal(tenant.commander.append(run)) == ("QUOTA", EVENTS, 3, 3)
    with Tenant(tenant.box, events=0) as unlimited:
        free = unlimited.commander.create()
        unlimited.learned(lambda: unlimited.commander.append(free, events=[event(CUSTOM)] * 10)["outcome"] == "OK")
    tenant.set(events=5)
    tenant.learned(lambda: tenant.commander.append(run)["outcome"] == "OK")


def test_yesterdays_usage_does_not_count_today(limited):
    tenant = limited(events=3, concurrent=1)
    run = tenant.commander.create()
    assert tenant.commander.append(run, events=[event(CUSTOM)] * 3)["outcome"] == "QUOTA"
    tenant.commander.append(run, events=[event(CUSTOM)] * 2)
    tenant.database.execute("update tenant_usage set day = day - 1 where tenant_id = %s", tenant.id)
    tenant.box.kill_and_wait("sequencer-1")
    # A new day: its events begin at nothing, the run that has not ended is still there.
    assert refusal(tenant.try_create()) == ("QUOTA", CONCURRENT, 1, 1)
    assert tenant.commander.append(run, events=[event(CUSTOM)] * 3)["outcome"] == "OK"
    assert tenant.commander.append(run)["outcome"] == "QUOTA"
    assert tenant.database.rows(
        "select runs, events, active_runs from tenant_usage where tenant_id = %s order by day", tenant.id
    ) == [(1, 3, 1), (0, 3, 1)]


def test_tenants_have_quotas_of_their_own(limited):
    tenant = limited(events=2)
    run = tenant.commander.create()
    tenant.commander.append(run)
    assert tenant.commander.append(run)["outcome"] == "QUOTA"
    with Tenant(tenant.box) as other:
        assert other.commander.append(other.commander.create())["outcome"] == "OK"


def test_the_refusal_names_quota_limit_and_use_and_says_when_to_come_back(limited):
    tenant = limited(events=3, concurrent=1)
    client = tenant.box.client(tenant.key)
    run_id = client.new_run()
    client.append_many(run_id, [custom(1), custom(2)])
    before = time.time()
    answer = client.post_events(run_id, custom(3))
    told = assert_problem(answer, 429, "quota-exceeded")
    assert (told["quota"], told["limit"], told["used"]) == ("events_per_day", 3, 3)
    left = 86400 - before % 86400
    assert left - 5 <= int(answer.headers["retry-after"]) <= left + 1
    tenant.set(concurrent=1)
    tenant.learned(lambda: client.post_events(run_id, custom(3)).status_code == 201)
    answer = client.post("/api/v1/runs", {})
    told = assert_problem(answer, 429, "quota-exceeded")
    assert (told["quota"], told["limit"], told["used"]) == ("concurrent_runs", 1, 1)
    assert int(answer.headers["retry-after"]) <= 60
    client.finish(run_id)
    assert client.post("/api/v1/runs", {}).status_code == 201


POINTS = ["sequencer_before_commit", "sequencer_after_send", "sequencer_after_commit", "sequencer_after_ack"]


@needs_faults
@pytest.mark.requirement("I9")
def test_a_death_around_the_commit_charges_once(limited):
    tenant = limited(faults=True, events=2 * len(POINTS) + 1, runs=2, concurrent=2)
    box, commander = tenant.box, tenant.commander
    run = commander.create()
    for number, point in enumerate(POINTS):
        generation = box.settled("sequencer-1")["generation"]
        box.allow_restart("sequencer-1")
        box.faults.order(point, "kill")
        got = commander.append(run, events=[event(CUSTOM)] * 2)
        assert (got["outcome"], got["last_seq"]) == ("OK", 2 * number + 3)
        box.faults.obeyed(point)
        box.actor_ready("sequencer-1", generation)
        tenant.check_usage()
    # The same with a refusal: it is judged again, and comes out the same.
    generation = box.settled("sequencer-1")["generation"]
    box.allow_restart("sequencer-1")
    box.faults.order("sequencer_after_receive", "kill")
    assert refusal(commander.append(run)) == ("QUOTA", EVENTS, 9, 9)
    box.actor_ready("sequencer-1", generation)
    tenant.check_usage()


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("change", ["runs = runs - 1", "events = events - 1", "bytes = bytes - 1", "active_runs = -1"])
def test_usage_of_a_day_never_goes_back(box, change):
    with Tenant(box) as tenant:
        tenant.commander.append(tenant.commander.create())
        before = tenant.usage()
        wanted = dict(zip(("runs", "events", "bytes", "active_runs"), before))
        column, value = change.split(" = ")
        wanted[column] = wanted[column] - 1 if value.endswith("- 1") else -1
        epoch = tenant.database.value("select epoch from shards")
        with pytest.raises(psycopg.Error) as error:
            tenant.database.execute(
                "select record_usage(0, %s, (now() at time zone 'UTC')::date, %s::uuid[], %s, %s, %s, %s)",
                epoch, [tenant.id], *([value] for value in wanted.values()), role="sequencer")
        assert error.value.sqlstate == "SB002"
        assert tenant.usage() == before


def test_quotas_are_set_for_tenants_that_are_there_and_are_not_negative(box):
    database = box.database()
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        database.execute("select set_tenant_quota(%s, 1, 1, 1, 1)", uuid.uuid4(), role="api")
    with Tenant(box) as tenant, pytest.raises(psycopg.errors.CheckViolation):
        tenant.set(events=-1)
