"""
Rate limits: how many requests get through, by Redis, without it, and when it freezes.

The count is compared with burst + rate * time, ±1. The time is taken twice: from before the first request to after the
last answer (no more may have got through), and from the first answer to the word to stop (no fewer).
"""

import re
import signal
import socket
import threading
import time

import pytest
from harness.client import assert_problem, random_id
from harness.keys import make_key, make_tenant, make_text
from harness.raw import RawConnection
from harness.sse import SseStream, StreamEnded
from harness.waiting import wait_until

CLIENTS = 100
POLICY = re.compile(r'^"\w+";q=\d+;w=\d+(, "\w+";q=\d+;w=\d+)*$')
STATE = re.compile(r'^"\w+";r=\d+;t=\d+(, "\w+";r=\d+;t=\d+)*$')


class Crowd:
    """Clients that ask without a pause, each on a connection of its own, until told to stop."""

    def __init__(self, box, key, count=CLIENTS):
        self.request = f"GET /api/v1/runs/{random_id()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        self.box, self.stopping = box, threading.Event()
        self.statuses, self.slowest, self.first_answer, self.failures = {}, 0.0, None, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._ask) for _ in range(count)]
        box.client(key).get(f"/api/v1/runs/{random_id()}")  # the key is known now; counts as one
        self.begin = None

    def _ask(self):
        try:
            with RawConnection(self.box.address) as raw:
                while not self.stopping.is_set():
                    sent = time.monotonic()
                    raw.send(self.request)
                    status, headers, _ = raw.read_response()
                    took = time.monotonic() - sent
                    with self.lock:
                        self.statuses[status] = self.statuses.get(status, 0) + 1
                        self.slowest = max(self.slowest, took)
                        self.first_answer = self.first_answer or time.monotonic()
                    if headers.get("connection") == "close":
                        raw.close()
                        raw.__init__(self.box.address)
        except OSError as error:
            self.failures.append(repr(error))

    def __enter__(self):
        self.begin = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.told = time.monotonic()
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        self.end = time.monotonic()
        assert not self.failures, self.failures[:3]
        assert set(self.statuses) <= {404, 429}, self.statuses

    @property
    def allowed(self) -> int:
        """404: let through; there is no such run."""
        return self.statuses.get(404, 0)

    def seconds(self) -> tuple:
        """(at least, at most)."""
        return self.told - self.first_answer, self.end - self.begin


def limited(own_box, **limits):
    return own_box({"http.connection_requests": 1000000} | {f"limit.{name}": value for name, value in limits.items()})


def ask_redis(box, *words):
    """One command to the private Redis; the first line of its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as redis:
        redis.settimeout(5)
        redis.connect(f"{box.status()['run_dir']}/redis.sock")
        redis.sendall((" ".join(words) + "\r\n").encode())
        return redis.recv(4096).decode().splitlines()[0]


def states(answer) -> dict:
    """{"key": (remaining, seconds)}"""
    assert STATE.match(answer.headers["ratelimit"]) and POLICY.match(answer.headers["ratelimit-policy"])
    return {name: (int(r), int(t)) for name, r, t in re.findall(r'"(\w+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])}


@pytest.mark.requirement("R142")
def test_a_crowd_gets_its_burst_and_its_rate_and_not_one_more(own_box):
    """Two api processes, one Redis: exact to one request."""
    rate, burst = 100, 50
    box = limited(own_box, key_per_s=rate, key_burst=burst, redis_ms=1000)
    key = make_key(box)
    with Crowd(box, key) as crowd:
        time.sleep(4)  # the crowd asks meanwhile
    least, most = crowd.seconds()
    allowed = crowd.allowed + 1  # and the one before
    assert burst + rate * least - 1 <= allowed <= burst + rate * most + 1, (crowd.statuses, least, most)
    assert sum(crowd.statuses.values()) > 4 * allowed, "nobody was kept waiting by the limit"
    assert box.metric("limits_local_total") == 0
    assert box.metric("requests_limited_total") == crowd.statuses[429]


def test_one_key_leaves_the_other_alone(own_box):
    box = limited(own_box, key_per_s=1, key_burst=3, redis_ms=1000)
    key = make_key(box)
    first, second = box.client(key), box.client(make_tenant(box, "second"))
    assert [first.get("/api/v1/runs").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert second.get("/api/v1/runs").status_code == 200
    # A browser's EventSource gives up for good on every status but 200: it is told to come later.
    for path in ("/api/v1/stream", f"/api/v1/runs/{random_id()}/stream", f"/api/v1/runs/{random_id()}/events"):
        assert_problem(first.get(path, headers={"Accept": "*/*"}), 429, "rate-limited")
        with SseStream(box.address, path, key) as stream:
            assert stream.status == 200 and stream.headers["content-type"].startswith("text/event-stream")
            assert 5000 <= int(stream.next_frame().retry) <= 10000
            with pytest.raises(StreamEnded) as end:
                stream.next_frame()
            assert not end.value.tidy


@pytest.mark.requirement("R142")
def test_answers_say_what_is_left(own_box):
    box = limited(own_box, key_per_s=1, key_burst=3, redis_ms=1000)
    client = box.client(make_key(box))
    for left in (2, 1, 0):
        answer = client.get("/api/v1/runs")
        assert answer.status_code == 200 and answer.headers["ratelimit-policy"] == '"key";q=3;w=3'
        assert states(answer) == {"key": (left, 3 - left)}
    refused = client.get("/api/v1/runs")
    assert_problem(refused, 429, "rate-limited")
    assert refused.headers["retry-after"] == "1" and states(refused)["key"][0] == 0
    assert "ratelimit" not in client.get("/health", auth=False).headers
    wait_until(lambda: client.get("/api/v1/runs").status_code == 200, "the limit to let one through", 3)


def test_all_rules_are_charged_or_none(own_box):
    """The address has less than the key: what it refuses costs the key nothing."""
    box = limited(own_box, key_per_s=1, key_burst=100, address_per_s=1, address_burst=5, loopback="true", redis_ms=1000)
    client = box.client(make_key(box))
    answers = [client.get("/api/v1/runs") for _ in range(9)]
    assert [a.status_code for a in answers[:5]] == [200] * 5 and answers[8].status_code == 429
    let_through = sum(a.status_code == 200 for a in answers)
    assert states(answers[0]) == {"key": (99, 1), "address": (4, 1)}
    wait_until(lambda: client.get("/api/v1/runs").status_code == 200, "the next one", 3)
    left = states(client.get("/api/v1/runs"))["key"][0]
    assert left >= 100 - let_through - 2, "refused requests were charged to the key"


def test_no_limit_on_loopback_unless_asked_for(box, client):
    """The limits by address are on by default, and do not touch loopback."""
    answers = [client.get("/api/v1/runs") for _ in range(50)]
    answers += [box.client(make_text()[0]).get("/api/v1/runs") for _ in range(50)]
    assert {a.status_code for a in answers} == {200, 401}
    assert not [a for a in answers if "ratelimit" in a.headers or "ratelimit-policy" in a.headers]
    assert box.metric("limit_calls_total") == 0


@pytest.mark.requirement("R142")
def test_wrong_keys_are_limited_without_redis_too(own_box):
    box = limited(own_box, login_per_min=1, login_burst=6, loopback="true")
    good = box.client()
    box.process_of("redis").signal(signal.SIGSTOP)
    try:
        statuses = [box.client(make_text()[0]).get("/api/v1/runs").status_code for _ in range(12)]
        answer = good.request("GET", "/api/v1/runs", auth=False)
        assert_problem(answer, 429, "rate-limited")
        assert int(answer.headers["retry-after"]) > 30 and "login" in states(answer)
        assert good.get("/api/v1/runs").status_code == 200, "a good key is not shut out"
    finally:
        box.process_of("redis").signal(signal.SIGCONT)
    assert statuses.count(401) in range(3, 7) and statuses.count(429) == 12 - statuses.count(401)


@pytest.mark.requirement("R142")
def test_redis_killed_in_the_middle(own_box):
    """Never without a limit: what is used up is charged to the next Redis. While only one of the two processes is back
    with Redis, there is its whole rate and half a rate."""
    rate, burst = 100, 50
    box = limited(own_box, key_per_s=rate, key_burst=burst, redis_ms=100)
    key = make_key(box)
    with Crowd(box, key) as crowd:
        for _ in range(2):
            time.sleep(1)  # the crowd asks meanwhile
            assert box.process_of("redis").kill()
            wait_until(lambda: box.service("redis")["state"] == "ready", "Redis to be back")
        before = box.metric("limit_calls_total")
        wait_until(lambda: box.metric("limit_calls_total") > before + 20, "the new Redis to be asked")
    least, most = crowd.seconds()
    assert rate * least * 0.7 <= crowd.allowed <= burst + rate * (most + 0.3), (crowd.statuses, least, most)
    assert box.metric("limits_local_total") > 0
    assert crowd.slowest < 3


@pytest.mark.requirement("R142")
def test_redis_frozen(own_box):
    """Silent for 20 ms: the processes decide alone, each with its half, and nobody waits for Redis."""
    rate, burst = 100, 50
    box = limited(own_box, key_per_s=rate, key_burst=burst, redis_ms=100)
    key = make_key(box)
    with Crowd(box, key, count=40) as crowd:
        time.sleep(1)  # the crowd asks meanwhile
        redis = box.process_of("redis")
        redis.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: box.metric("limits_local_total") > 100, "local decisions")
            time.sleep(2)  # longer than it takes to give the connection up
        finally:
            redis.signal(signal.SIGCONT)
        before = box.metric("limit_calls_total")
        wait_until(lambda: box.metric("limit_calls_total") > before + 20, "Redis to be asked again")
    least, most = crowd.seconds()
    assert rate * least * 0.7 <= crowd.allowed <= burst + rate * (most + 0.3), (crowd.statuses, least, most)
    assert crowd.slowest < 2


def test_a_script_that_redis_forgot_is_told_again(own_box):
    box = limited(own_box, key_per_s=1000, key_burst=1000, redis_ms=1000)
    client = box.client(make_key(box))
    client.get("/api/v1/runs")
    assert ask_redis(box, "SCRIPT", "FLUSH") == "+OK"

    def asked_again():
        before = box.metric("limit_calls_total"), box.metric("limits_local_total")
        client.get("/api/v1/runs")
        return box.metric("limit_calls_total") == before[0] + 1 and box.metric("limits_local_total") == before[1]

    wait_until(asked_again, "the script to be back in Redis")
    assert box.metric("limits_local_total") > 0


def test_redis_keeps_nothing_of_clients_that_are_gone(own_box):
    box = limited(own_box, key_per_s=10, key_burst=10, redis_ms=1000)
    client = box.client(make_key(box))
    for _ in range(5):
        client.get("/api/v1/runs")
    assert ask_redis(box, "DBSIZE") == ":1"
    wait_until(lambda: ask_redis(box, "DBSIZE") == ":0", "the key to expire", 5)
