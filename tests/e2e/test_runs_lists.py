"""Lists of runs: filters, their combinations, cursors that are bound to them, counts."""

import json

import pytest
from harness.client import assert_problem, random_id
from harness.keys import make_tenant


@pytest.fixture
def tenant(box):
    """A tenant of its own for each test: its list holds what the test has made."""
    return box.client(make_tenant(box, "lists"))


def listed(client, **params) -> list:
    answer = client.get("/api/v1/runs", params=params)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()["runs"]]


def paged(client, limit, **params) -> list:
    """All ids, page by page; a page may be short, and only one without a cursor is the last."""
    found, cursor = [], None
    while True:
        page = client.get("/api/v1/runs", params=params | {"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["runs"]) <= limit
        found += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.requirement("R010", "R004")
def test_statuses_are_given_once_repeatedly_or_by_commas(tenant):
    running, finished, failed = (tenant.new_run() for _ in range(3))
    tenant.append(finished, "RUN_FINISHED", {})
    tenant.append(failed, "RUN_FAILED", {})
    assert listed(tenant) == [failed, finished, running]
    assert listed(tenant, status="finished") == [finished]
    assert listed(tenant, status="finished,failed") == [failed, finished]
    assert listed(tenant, status=["finished", "running"]) == [finished, running]
    assert listed(tenant, status=["finished,running", "failed"]) == [failed, finished, running]
    assert listed(tenant, status="cancelled") == []


@pytest.mark.requirement("R006", "R008")
def test_threads_and_parents_are_filters(tenant):
    thread, parent = random_id(), tenant.new_run()
    in_thread = [tenant.new_run(thread_id=thread) for _ in range(2)]
    child = tenant.new_run(parent_run_id=parent, thread_id=thread)
    assert listed(tenant, thread_id=thread) == [child, *in_thread[::-1]]
    assert listed(tenant, parent_run_id=parent) == [child]
    assert listed(tenant, parent_run_id=parent, thread_id=thread, status="running") == [child]
    assert listed(tenant, thread_id=random_id()) == []


@pytest.mark.requirement("R010")
def test_metadata_is_found_by_what_it_contains(tenant):
    plain = tenant.new_run()
    deep = tenant.new_run(metadata={"env": "prod", "tags": ["a", "b"], "n": {"x": 1, "y": 2}})
    other = tenant.new_run(metadata={"env": "prod"})

    def by(value):
        return listed(tenant, metadata=json.dumps(value))

    assert by({"env": "prod"}) == [other, deep]
    assert by({"tags": ["b"]}) == [deep] and by({"n": {"x": 1}}) == [deep]
    assert by({"env": "test"}) == [] and by({}) == [other, deep, plain]
    assert by({"n": {"x": "1"}}) == []


@pytest.mark.requirement("R010")
def test_an_id_is_found_by_its_beginning(tenant):
    run_id = "0a0b0c0d-" + random_id()[9:]
    near = "0a0b0c0e-" + random_id()[9:]
    tenant.create_run(run_id)
    tenant.create_run(near)
    for text in (run_id[:7], "0A0B0C0"):
        assert set(listed(tenant, q=text)) == {run_id, near}
    for text in (run_id[:8], run_id[:9], run_id[:14], run_id[:20], run_id, run_id.upper()):
        assert listed(tenant, q=text) == [run_id], text
    for text in ("0a0b0c0d0", "nonsense", run_id + "0", "-", "%", "0a0b0c0d-_"):
        assert listed(tenant, q=text) == [], text
    assert_problem(tenant.get("/api/v1/runs", params={"q": ""}), 400, "invalid-parameter")


@pytest.mark.requirement("R010")
def test_times_of_creation_bound_the_list_on_both_sides(tenant):
    runs = [tenant.create_run() for _ in range(3)]
    ids, times = [r["id"] for r in runs], [r["created_at"] for r in runs]
    assert listed(tenant, created_after=times[0]) == [ids[2], ids[1]]
    assert listed(tenant, created_before=times[2]) == [ids[1], ids[0]]
    assert listed(tenant, created_after=times[0], created_before=times[2]) == [ids[1]]
    assert paged(tenant, 1, created_after=times[0]) == [ids[2], ids[1]]
    assert listed(tenant, created_after=times[0].replace("Z", "+00:00")) == [ids[2], ids[1]]
    assert listed(tenant, created_before="1970-01-01T00:00:00Z") == []


def test_filters_are_combined_by_and(tenant):
    thread = random_id()
    wanted = tenant.new_run(thread_id=thread, metadata={"k": 1})
    tenant.new_run(thread_id=thread, metadata={"k": 2})
    tenant.new_run(metadata={"k": 1})
    done = tenant.new_run(thread_id=thread, metadata={"k": 1})
    tenant.finish(done)
    metadata = json.dumps({"k": 1})
    assert listed(tenant, thread_id=thread, metadata=metadata) == [done, wanted]
    assert listed(tenant, thread_id=thread, metadata=metadata, status="running") == [wanted]
    assert listed(tenant, metadata=metadata, status="finished") == [done]
    assert listed(tenant, metadata=metadata, q=wanted[:30]) == [wanted]
    assert listed(tenant, metadata=metadata, q=wanted[:2], status="running", thread_id=thread) == [wanted]
    assert listed(tenant, status="finished", q=wanted[:30]) == []


@pytest.mark.parametrize(
    "params",
    [{}, {"status": "running"}, {"status": "running,finished"}, {"metadata": '{"n":1}'}, {"status": "running", "metadata": '{"n":1}'}],
)  # fmt: skip
def test_pages_of_every_size_give_the_same_list(tenant, params):
    for _ in range(9):
        tenant.new_run(metadata={"n": 1})
    whole = listed(tenant, **params)
    assert len(whole) == 9
    for limit in (1, 2, 3, 8, 9, 10):
        assert paged(tenant, limit, **params) == whole


def test_a_page_is_stable_while_runs_are_added(tenant):
    first = [tenant.new_run() for _ in range(4)][::-1]
    page = tenant.get("/api/v1/runs", params={"limit": 2}).json()
    tenant.new_run()
    rest = tenant.get("/api/v1/runs", params={"limit": 9, "cursor": page["next_cursor"]}).json()
    assert [r["id"] for r in page["runs"] + rest["runs"]] == first and rest["next_cursor"] is None


@pytest.mark.requirement("I15")
def test_a_cursor_is_good_for_its_filters_and_its_tenant_only(tenant, other):
    for _ in range(2):
        tenant.new_run(metadata={"a": 1})
    params = {"limit": 1, "status": "running", "metadata": '{"a":1}'}
    cursor = tenant.get("/api/v1/runs", params=params).json()["next_cursor"]
    assert tenant.get("/api/v1/runs", params=params | {"cursor": cursor}).status_code == 200
    assert tenant.get("/api/v1/runs", params=params | {"cursor": cursor, "limit": 7}).status_code == 200
    for changed in ({"status": "running,failed"}, {"metadata": '{"a":2}'}, {"thread_id": random_id()}, {"q": "a"},
                    {"parent_run_id": random_id()}, {"created_after": "2020-01-01T00:00:00Z"},
                    {"created_before": "2120-01-01T00:00:00Z"}):  # fmt: skip
        answer = tenant.get("/api/v1/runs", params=params | {"cursor": cursor} | changed)
        assert_problem(answer, 400, "invalid-cursor")
    assert_problem(other.get("/api/v1/runs", params=params | {"cursor": cursor}), 400, "invalid-cursor")


@pytest.mark.requirement("R010")
def test_counts_come_on_request_and_do_not_move_with_the_page(tenant):
    for n in range(5):
        tenant.new_run(metadata={"even": n % 2 == 0})
    page = tenant.get("/api/v1/runs", params={"limit": 2}).json()
    assert "total" not in page
    page = tenant.get("/api/v1/runs", params={"limit": 2, "count": "true"}).json()
    assert page["total"] == 5 and page["total_is_exact"] is True
    behind = tenant.get("/api/v1/runs", params={"limit": 2, "count": "true", "cursor": page["next_cursor"]}).json()
    assert behind["total"] == 5
    for params, total in (({"metadata": '{"even":true}'}, 3), ({"status": "running"}, 5), ({"status": "failed"}, 0),
                          ({"thread_id": random_id()}, 0), ({"q": behind["runs"][0]["id"]}, 1)):  # fmt: skip
        assert tenant.get("/api/v1/runs", params=params | {"count": "true"}).json()["total"] == total, params
    assert "total" not in tenant.get("/api/v1/runs", params={"count": "false"}).json()


@pytest.mark.parametrize(
    "params",
    [{"status": "x"}, {"status": ""}, {"status": "running,"}, {"status": ["running", "x"]}, {"thread_id": "x"},
     {"thread_id": "00000000-0000-0000-0000-000000000000"}, {"parent_run_id": ""}, {"created_after": "yesterday"},
     {"created_after": "2026-02-30T00:00:00Z"}, {"created_before": "2026-01-01"}, {"created_before": "2026-01-01T25:00:00Z"},
     {"metadata": "x"}, {"metadata": "[]"}, {"metadata": "1"}, {"metadata": '{"a":1}{"b":2}'}, {"metadata": '{"a":"\\u0000"}'},
     {"count": "yes"}, {"count": ""}, {"thread_id": ["a", "b"]}, {"q": ["a", "b"]}],
)  # fmt: skip
def test_filters_that_are_none_are_refused(client, params):
    assert_problem(client.get("/api/v1/runs", params=params), 400, "invalid-parameter")


@pytest.mark.requirement("I15")
def test_no_filter_shows_runs_of_another_tenant(tenant, other):
    thread, parent = random_id(), other.new_run()
    hidden = other.new_run(thread_id=thread, parent_run_id=parent, metadata={"mine": 1})
    for params in ({}, {"thread_id": thread}, {"parent_run_id": parent}, {"metadata": '{"mine":1}'}, {"q": hidden},
                   {"status": "running"}):  # fmt: skip
        page = tenant.get("/api/v1/runs", params=params | {"count": "true"}).json()
        assert page["runs"] == [] and page["total"] == 0 and page["next_cursor"] is None


@pytest.mark.requirement("R010")
def test_what_is_rare_is_found_behind_many_others(own_box):
    """The walk along the list ends after 10,000 rows; what lies behind is found by an index, or by the next page."""
    box = own_box()
    client = box.client()
    thread = random_id()
    wanted = client.new_run(metadata={"rare": 1}, thread_id=thread)
    tenant_id = box.database().value("select tenant_id from runs where run_id = %s", wanted)
    box.database().execute(
        """with made as (insert into runs (run_id, tenant_id, thread_id, status, metadata, created_at)
                         select gen_random_uuid(), %s, %s, 'running', '{"common": 1}', now() + n * interval '1 ms'
                           from generate_series(1, 25000) n returning run_id, tenant_id)
           insert into run_heads (run_id, tenant_id, last_seq) select run_id, tenant_id, 0 from made""",
        tenant_id, thread,
    )  # fmt: skip
    client.finish(wanted)
    try:
        assert listed(client, metadata='{"rare":1}') == [wanted]
        assert listed(client, metadata='{"rare":1}', status="finished", thread_id=thread) == [wanted]
        assert listed(client, q=wanted) == [wanted]
        assert listed(client, status="finished") == [wanted]
        short = client.get("/api/v1/runs", params={"thread_id": thread, "status": "finished"}).json()
        assert short["runs"] == [] and short["next_cursor"] is not None
        assert paged(client, 100, thread_id=thread, status="finished") == [wanted]
        assert len(set(paged(client, 1000, metadata='{"common":1}'))) == 25000
        page = client.get("/api/v1/runs", params={"count": "true"}).json()
        assert page["total"] == 10000 and page["total_is_exact"] is False
    finally:
        box.database().execute("delete from run_heads where last_seq = 0")
        box.database().execute("""delete from runs where metadata @> '{"common":1}'""")
