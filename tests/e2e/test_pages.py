"""JSON pages of a run's log."""

import pytest
from harness.client import assert_problem, custom, raw_events

pytestmark = pytest.mark.any_database


@pytest.fixture
def long_run(client, run_id):
    client.append_many(run_id, [custom(n) for n in range(249)])
    return run_id


@pytest.mark.requirement("R032", "I4")
def test_a_page_has_what_the_stream_has(box, client, long_run):
    page = client.page(long_run, limit=1000).json()
    assert page["last_seq"] == 250 and len(page["events"]) == 250
    first = page["events"][0]
    assert first["seq"] == 1 and first["type"] == "RUN_STARTED" and first["ts"].endswith("Z")
    with box.stream(long_run) as stream:
        assert stream.take(250) == client.log(long_run)


def test_pages_of_every_size_give_the_same_log(client, long_run):
    whole = raw_events(client.page(long_run, limit=1000).text)
    for limit in (1, 7, 100, 249, 250, 251):
        found, after = [], 0
        while True:
            page = client.page(long_run, after_seq=after, limit=limit)
            events = raw_events(page.text)
            assert page.json()["last_seq"] == 250
            if not events:
                break
            assert len(events) <= limit
            found += events
            after = found[-1][0]
            if limit == 1 and after >= 5:
                break
        assert found == whole[: len(found)] and (limit == 1 or len(found) == 250)


def test_the_default_page_is_a_hundred(client, long_run):
    assert len(client.page(long_run).json()["events"]) == 100


def test_at_the_head_a_page_is_empty(client, long_run):
    assert client.page(long_run, after_seq=250).json() == {"events": [], "last_seq": 250}


@pytest.mark.requirement("R055")
def test_beyond_the_head_is_an_error(client, long_run):
    for after in (251, 9_000_000_000, 2**63 - 1):
        answer = client.get(f"/api/v1/runs/{long_run}/events", params={"after_seq": after})
        assert_problem(answer, 400, "cursor-beyond-head")


@pytest.mark.parametrize("after", ["-1", "x", "1.0", "", "+1", " 1", "0x1", "9223372036854775808", "1e3"])
def test_malformed_positions_are_refused(client, run_id, after):
    answer = client.get(f"/api/v1/runs/{run_id}/events", params={"after_seq": after})
    assert_problem(answer, 400, "invalid-cursor")


def test_unknown_query_names_do_no_harm(client, run_id):
    answer = client.get(f"/api/v1/runs/{run_id}/events", params={"after_seq": "0", "nonsense": "1"})
    assert answer.status_code in (200, 400)


def test_times_never_go_back_along_the_log(client, run_id):
    for n in range(20):
        client.append(run_id, "CUSTOM", custom(n)["payload"])
    times = [event["ts"] for event in client.page(run_id).json()["events"]]
    assert times == sorted(times)
