"""Producers over HTTP: numbers instead of keys, duplicates, gaps, epochs; in one append and in lines."""

import concurrent.futures
import json

import pytest
from harness.client import assert_problem, custom, random_id

CHUNK = 500


def numbers(producer, epoch, seq) -> dict:
    return {"Producer-Id": producer, "Producer-Epoch": str(epoch), "Producer-Seq": str(seq)}


def send(client, run_id, headers, value=1):
    return client.post(f"/api/v1/runs/{run_id}/events", custom(value), headers=headers)


def send_lines(client, run_id, headers, values):
    text = "".join(json.dumps(custom(value)) + "\n" for value in values)
    return client.post(f"/api/v1/runs/{run_id}/events", text=text, headers={"Content-Type": "application/x-ndjson"} | headers)


def values(client, run_id) -> list:
    return [json.loads(payload)["value"] for _, kind, payload in client.log(run_id) if kind == "CUSTOM"]


@pytest.mark.requirement("I9", "R027")
def test_numbers_are_taken_once_and_in_order(client, run_id):
    first = send(client, run_id, numbers("p", 0, 0), "a")
    assert first.status_code == 201 and first.json()["first_seq"] == 2
    again = send(client, run_id, numbers("p", 0, 0), "a")
    assert (again.status_code, again.text) == (200, first.text)
    gap = assert_problem(send(client, run_id, numbers("p", 0, 2), "c"), 409, "producer-gap")
    assert (gap["expected_seq"], gap["received_seq"]) == (1, 2)
    second = send(client, run_id, numbers("p", 0, 1), "b")
    assert second.status_code == 201 and second.json()["first_seq"] == 3
    late = send(client, run_id, numbers("p", 0, 0), "a")
    assert (late.status_code, late.text) == (200, first.text)
    assert values(client, run_id) == ["a", "b"]


@pytest.mark.requirement("I9")
def test_an_epoch_fences_the_ones_before_it(client, run_id):
    assert send(client, run_id, numbers("p", 3, 0)).status_code == 201
    assert_problem(send(client, run_id, numbers("p", 4, 1)), 400, "invalid-producer")
    assert send(client, run_id, numbers("p", 4, 0)).status_code == 201
    document = assert_problem(send(client, run_id, numbers("p", 3, 1)), 403, "producer-fenced")
    assert document["producer_epoch"] == 4
    gap = assert_problem(send(client, run_id, numbers("new", 0, 5)), 409, "producer-gap")
    assert (gap["expected_seq"], gap["received_seq"]) == (0, 5)


@pytest.mark.requirement("I9")
def test_a_duplicate_is_known_after_the_end_of_the_run(client, run_id):
    first = send(client, run_id, numbers("p", 0, 0))
    client.finish(run_id)
    again = send(client, run_id, numbers("p", 0, 0))
    assert (again.status_code, again.text) == (200, first.text)
    assert_problem(send(client, run_id, numbers("p", 0, 1)), 409, "run-closed")


GOOD = numbers("p", 0, 0)


@pytest.mark.parametrize(
    "headers",
    [{k: v for k, v in GOOD.items() if k != name} for name in GOOD]
    + [GOOD | {"Idempotency-Key": "k"}, GOOD | {"Producer-Id": ""}, GOOD | {"Producer-Id": "x" * 256}, GOOD | {"Producer-Id": "a\tb"},
       GOOD | {"Producer-Epoch": "-1"}, GOOD | {"Producer-Epoch": "1.0"}, GOOD | {"Producer-Epoch": "x"}, GOOD | {"Producer-Seq": ""},
       GOOD | {"Producer-Seq": "+1"}, GOOD | {"Producer-Seq": "9007199254740992"}, GOOD | {"Producer-Epoch": "9007199254740992"}],
)  # fmt: skip
def test_headers_that_are_no_producers_are_refused(client, run_id, headers):
    assert_problem(send(client, run_id, headers), 400, "invalid-producer")
    assert_problem(send_lines(client, run_id, headers, [1]), 400, "invalid-producer")
    assert client.run(run_id)["last_seq"] == 1


def test_the_largest_numbers_are_numbers(client, run_id):
    assert send(client, run_id, numbers("~" * 255, 2**53 - 1, 0)).status_code == 201
    assert_problem(send(client, run_id, numbers("~" * 255, 2**53 - 1, 2**53 - 1)), 409, "producer-gap")


@pytest.mark.requirement("I9", "R036")
def test_producers_side_by_side_lose_and_double_nothing(client, run_id):
    """Each sends every number twice, at the same time as the others."""

    def produce(name):
        codes = []
        for seq in range(15):
            for _ in range(2):
                codes.append(send(client, run_id, numbers(name, 0, seq), f"{name}{seq}").status_code)
        return codes

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for codes in pool.map(produce, "abcdef"):
            assert codes == [201, 200] * 15
    found = values(client, run_id)
    assert len(found) == 90
    for name in "abcdef":
        assert [value for value in found if value[0] == name] == [f"{name}{seq}" for seq in range(15)]


@pytest.mark.requirement("I9", "R036")
def test_one_producer_twice_at_once_appends_each_number_once(client, run_id):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(client, run_id, numbers("p", 0, 0)), range(16)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * 15 + [201] and len({answer.text for answer in answers}) == 1
    assert client.run(run_id)["last_seq"] == 2


@pytest.mark.requirement("I9", "R027")
def test_in_lines_every_chunk_takes_a_number(client, run_id):
    everything = list(range(2 * CHUNK + 10))
    first = send_lines(client, run_id, numbers("p", 0, 0), everything)
    assert first.status_code == 201, first.text
    assert first.json()["producer_seq"] == 2 and first.json()["lines"] == len(everything)
    again = send_lines(client, run_id, numbers("p", 0, 0), everything)
    assert (again.status_code, again.json()["first_seq"], again.json()["last_seq"]) == (200, 2, len(everything) + 1)
    gap = assert_problem(send_lines(client, run_id, numbers("p", 0, 4), [1]), 409, "producer-gap")
    assert (gap["expected_seq"], gap["received_seq"], gap["lines_accepted"]) == (3, 4, 0)
    assert send_lines(client, run_id, numbers("p", 0, 3), ["more"]).json()["producer_seq"] == 3
    assert values(client, run_id) == [*everything, "more"]


@pytest.mark.requirement("I9")
def test_lines_broken_off_are_carried_on_by_the_same_number(client):
    run_id = client.new_run()
    everything = list(range(CHUNK + 20))
    assert send_lines(client, run_id, numbers("p", 0, 0), everything[:CHUNK]).status_code == 201
    rest = send_lines(client, run_id, numbers("p", 0, 0), everything)
    assert rest.status_code == 201 and rest.json()["first_seq"] == 2
    assert values(client, run_id) == everything


@pytest.mark.requirement("I15")
def test_producers_belong_to_their_run(client, run_id):
    other_run = client.new_run()
    name = random_id()
    assert send(client, run_id, numbers(name, 0, 0)).status_code == 201
    assert_problem(send(client, other_run, numbers(name, 0, 1)), 409, "producer-gap")
