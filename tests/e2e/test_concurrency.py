"""Many writers at once."""

import threading
from collections import defaultdict

import pytest
from harness.client import custom
from harness.rawjson import members

pytestmark = pytest.mark.any_database


def write(box, run_id, name, count, acknowledged, batch=1):
    from harness.client import Client

    client = Client(lambda: box.url, box.api_key)
    try:
        for n in range(count):
            got = client.append_many(run_id, [custom([name, n, i]) for i in range(batch)])
            acknowledged[name].append((n, got["first_seq"], got["last_seq"]))
    finally:
        client.close()


def run_writers(box, run_ids, writers, count, batch=1):
    acknowledged, failures = defaultdict(list), []

    def work(name):
        try:
            write(box, run_ids[name % len(run_ids)], name, count, acknowledged, batch)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return acknowledged


@pytest.mark.requirement("R031", "R036", "I1", "I2", "I8")
@pytest.mark.parametrize("batch", [1, 7])
def test_concurrent_appenders_of_one_run(box, client, run_id, batch):
    acknowledged = run_writers(box, [run_id], 16, 25, batch)
    log = client.log(run_id)
    assert [seq for seq, _, _ in log] == list(range(1, 16 * 25 * batch + 2))
    at = {seq: payload for seq, _, payload in log}
    for name, acks in acknowledged.items():
        assert [n for n, _, _ in acks] == list(range(25))
        firsts = [first for _, first, _ in acks]
        assert firsts == sorted(firsts)
        for n, first, last in acks:
            assert last - first == batch - 1
            for i in range(batch):
                assert members(at[first + i])["value"] == f"[{name}, {n}, {i}]"


@pytest.mark.requirement("R031", "I1", "I2")
def test_concurrent_appenders_of_many_runs(box, client):
    runs = [client.new_run() for _ in range(8)]
    run_writers(box, runs, 16, 20)
    for run in runs:
        assert [seq for seq, _, _ in client.log(run)] == list(range(1, 42))


@pytest.mark.requirement("I6")
def test_expected_seq_lets_one_of_many_through(box, client, run_id):
    from concurrent.futures import ThreadPoolExecutor

    for head in range(1, 11):
        with ThreadPoolExecutor(6) as pool:
            answers = list(
                pool.map(lambda n: client.post_events(run_id, custom(n) | {"expected_seq": head}).status_code, range(6))
            )
        assert sorted(answers) == [201] + [409] * 5
    assert client.run(run_id)["last_seq"] == 11


@pytest.mark.requirement("I11")
def test_one_of_many_endings_wins_and_nothing_follows_it(box, client):
    from concurrent.futures import ThreadPoolExecutor

    for _ in range(5):
        run_id = client.new_run()

        def send(n):
            body = {"type": "RUN_FINISHED"} if n % 4 == 0 else custom(n)
            return client.post_events(run_id, body).status_code

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(16)))
        log = client.log(run_id)
        assert answers.count(201) == len(log) - 1 and answers.count(201) + answers.count(409) == 16
        assert [kind for _, kind, _ in log].count("RUN_FINISHED") == 1 and log[-1][1] == "RUN_FINISHED"
