"""Appends in lines: taken while the body arrives, in chunks, safe to repeat, bounded."""

import json
import socket
import threading

import pytest
from harness.client import PROBLEM, assert_problem, custom, random_id
from harness.paths import is_asan
from harness.raw import RawConnection
from harness.waiting import wait_until

CHUNK = 500  # events of one append


def lines_of(events) -> str:
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)


def numbered(count, first=0) -> str:
    return lines_of(custom(n) for n in range(first, first + count))


def post(client, run_id, text, headers=None, content_type="application/x-ndjson"):
    return client.post(f"/api/v1/runs/{run_id}/events", text=text, headers={"Content-Type": content_type} | (headers or {}))


def values(client, run_id) -> list:
    """Values of the CUSTOM events of a log."""
    return [json.loads(payload)["value"] for _, kind, payload in client.log(run_id) if kind == "CUSTOM"]


@pytest.mark.requirement("R027")
@pytest.mark.parametrize("count", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2345])
def test_every_line_is_one_event_in_order(client, run_id, count):
    answer = post(client, run_id, numbered(count))
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"first_seq": 2, "last_seq": count + 1, "lines": count, "cancel_requested": False}
    assert values(client, run_id) == list(range(count))


@pytest.mark.parametrize("content_type", ["application/x-ndjson; charset=utf-8", "Application/X-NDJSON"])
def test_the_media_type_is_read_without_case_and_parameters(client, run_id, content_type):
    assert post(client, run_id, numbered(2), content_type=content_type).json()["lines"] == 2


def test_line_ends_and_blank_lines(client, run_id):
    text = numbered(1) + "\n  \n" + numbered(1, 1).replace("\n", "\r\n") + numbered(1, 2).rstrip()
    answer = post(client, run_id, text)
    assert answer.json()["lines"] == 5 and answer.json()["last_seq"] == 4
    assert values(client, run_id) == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "\n", "\n \n\r\n"])
def test_a_body_without_events_is_refused(client, run_id, text):
    assert_problem(post(client, run_id, text), 422, "invalid-payload")


@pytest.mark.parametrize("good", [0, 1, CHUNK - 1, CHUNK, CHUNK + 3])
@pytest.mark.parametrize(
    ("bad", "status", "slug"),
    [('{"type":"CUSTOM"', 400, "malformed-json"), ("[1]", 422, "invalid-payload"), ('{"type":"NOBODY"}', 422, "unknown-event-type"),
     ('{"type":"RUN_STARTED"}', 422, "reserved-event-type"), ('{"type":"CUSTOM","x":1}', 422, "unknown-field"),
     ('{"type":"CUSTOM","payload":1}', 422, "invalid-payload")],
)  # fmt: skip
def test_lines_before_a_bad_one_stay_and_are_counted(client, run_id, good, bad, status, slug):
    text = numbered(good) + bad + "\n" + numbered(2, 1000)
    document = assert_problem(post(client, run_id, text), status, slug)
    assert document["lines_accepted"] == good
    assert values(client, run_id) == list(range(good))
    rest = post(client, run_id, numbered(2, good))
    assert rest.status_code == 201 and rest.json()["first_seq"] == good + 2


@pytest.mark.requirement("R027", "I9")
def test_a_body_repeated_with_its_key_is_answered_as_the_first_time(client, run_id):
    text, key = numbered(2 * CHUNK + 7), {"Idempotency-Key": random_id()}
    first = post(client, run_id, text, key)
    client.append(run_id, "CUSTOM", custom("between")["payload"])
    second = post(client, run_id, text, key)
    assert first.status_code == second.status_code == 201 and first.text == second.text
    assert values(client, run_id) == [*range(2 * CHUNK + 7), "between"]
    client.finish(run_id)
    assert post(client, run_id, text, key).text == first.text


@pytest.mark.requirement("I9")
def test_another_body_with_the_same_key_is_refused_where_it_differs(client, run_id):
    key = {"Idempotency-Key": random_id()}
    assert post(client, run_id, numbered(CHUNK + 5), key).status_code == 201
    document = assert_problem(post(client, run_id, numbered(CHUNK) + numbered(5, 9000), key), 409, "idempotency-mismatch")
    assert document["lines_accepted"] == CHUNK
    assert values(client, run_id) == list(range(CHUNK + 5))


def test_a_key_in_lines_and_one_of_a_plain_append_do_not_meet(client, run_id):
    assert post(client, run_id, numbered(1), {"Idempotency-Key": "same"}).status_code == 201
    answer = client.append(run_id, "CUSTOM", custom("plain")["payload"], key="same")
    assert answer["first_seq"] == 3 and values(client, run_id) == [0, "plain"]


@pytest.mark.requirement("I9")
def test_a_body_cut_in_the_middle_is_carried_on_by_repeating_it(box, client, run_id):
    text, key = numbered(3 * CHUNK + 100).encode(), random_id()
    cut = len(numbered(CHUNK + 40).encode()) + 9
    with RawConnection(box.address) as raw:
        raw.send(head(box, run_id, len(text), f"Idempotency-Key: {key}\r\n") + text[:cut])
        wait_until(lambda: client.run(run_id)["last_seq"] == CHUNK + 1, "the first chunk to be appended")
    answer = post(client, run_id, text.decode(), {"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"first_seq": 2, "last_seq": 3 * CHUNK + 101, "lines": 3 * CHUNK + 100, "cancel_requested": False}
    assert values(client, run_id) == list(range(3 * CHUNK + 100))


def head(box, run_id, length=None, more="") -> bytes:
    framing = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return (
        f"POST /api/v1/runs/{run_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {box.api_key}\r\n"
        f"Content-Type: application/x-ndjson\r\n{more}{framing}\r\n\r\n"
    ).encode()


def chunked(data, size) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 61, 997, 65536])
def test_chunks_of_every_size_make_the_same_lines(box, client, run_id, size):
    count = 40 if size == 1 else CHUNK + 11
    with RawConnection(box.address) as raw:
        raw.send(head(box, run_id) + chunked(numbered(count).encode(), size))
        status, headers, body = raw.read_response()
        assert status == 201 and json.loads(body)["lines"] == count
        assert "connection" not in headers  # the connection goes on
        raw.send(head(box, run_id) + chunked(numbered(1, count).encode(), 5))
        assert json.loads(raw.read_response()[2])["first_seq"] == count + 2
    assert values(client, run_id) == list(range(count + 1))


def test_a_body_that_comes_byte_by_byte_is_taken_as_it_comes(box, client, run_id):
    text = numbered(3).encode()
    with RawConnection(box.address) as raw:
        raw.send(head(box, run_id, len(text)))
        for at in range(len(text)):
            raw.send(text[at : at + 1])
        assert json.loads(raw.read_response()[2])["lines"] == 3


def test_lines_are_appended_while_the_body_still_arrives(box, client, run_id):
    with RawConnection(box.address) as raw:
        raw.send(head(box, run_id) + chunked(numbered(2 * CHUNK).encode(), 1000)[: -len(b"0\r\n\r\n")])
        wait_until(lambda: client.run(run_id)["last_seq"] == 2 * CHUNK + 1, "two chunks to be appended")
        raw.send(b"0\r\n\r\n")
        assert json.loads(raw.read_response()[2])["last_seq"] == 2 * CHUNK + 1


def test_a_broken_chunk_breaks_the_request_off(box, client, run_id):
    with RawConnection(box.address) as raw:
        raw.send(head(box, run_id) + b"5\r\nabcdefgh")
        status, headers, _ = raw.read_response()
        assert status == 400 and headers["connection"] == "close"
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.requirement("R027")
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_beyond_the_limit_is_refused_cleanly(box, client, run_id, framing):
    """100 MB: refused at once when it is announced, else where the limit is reached, and the answer arrives."""
    size = 100_000_000
    line = json.dumps(custom("x" * 200_000), separators=(",", ":")).encode() + b"\n"
    with RawConnection(box.address, timeout=60) as raw:
        sender = threading.Thread(target=send_all, args=(raw.socket, framing, size, line, box, run_id))
        sender.start()
        status, headers, body = raw.read_response()
        sender.join()
    assert status == 413 and headers["content-type"] == PROBLEM and headers["connection"] == "close"
    document = json.loads(body)
    assert document["type"] == "/problems/too-large"
    if framing == "length":
        assert client.run(run_id)["last_seq"] == 1
    else:
        whole = 67108864 // len(line)
        assert document["lines_accepted"] == whole and client.run(run_id)["last_seq"] == whole + 1
    assert client.get("/ready", auth=False).status_code == 200


def send_all(connection, framing, size, line, box, run_id):
    """A client that sends until nobody takes it any more."""
    try:
        connection.sendall(head(box, run_id, size if framing == "length" else None))
        for _ in range(size // len(line)):
            connection.sendall(line if framing == "length" else b"%x\r\n%b\r\n" % (len(line), line))
    except (BrokenPipeError, ConnectionResetError, socket.timeout):
        pass


def test_a_line_longer_than_an_event_is_refused(client, run_id):
    text = numbered(2) + json.dumps(custom("x" * 300_000)) + "\n" + numbered(1, 2)
    document = assert_problem(post(client, run_id, text), 413, "too-large")
    assert document["lines_accepted"] == 2 and values(client, run_id) == [0, 1]


def test_more_events_than_the_limit_are_refused(own_box):
    box = own_box({"http.ndjson_events": 700})
    client = box.client()
    run_id = client.new_run()
    assert post(client, run_id, numbered(700)).json()["lines"] == 700
    document = assert_problem(post(client, run_id, numbered(701)), 413, "too-large")
    assert document["lines_accepted"] == 700 and client.run(run_id)["last_seq"] == 1401


def test_events_behind_the_end_of_a_run_are_refused_with_their_chunk(client, run_id):
    text = numbered(CHUNK) + lines_of([{"type": "RUN_FINISHED"}, custom("late")])
    document = assert_problem(post(client, run_id, text), 409, "run-closed")
    assert document["lines_accepted"] == CHUNK and client.run(run_id)["status"] == "running"


def test_requests_that_are_refused_at_the_door(box, client, other, run_id):
    assert_problem(post(client, random_id(), numbered(1)), 404, "not-found")
    assert_problem(post(other, run_id, numbered(1)), 404, "not-found")
    assert_problem(post(client, "x", numbered(1)), 404, "not-found")
    answer = client.request("POST", f"/api/v1/runs/{run_id}/events", auth=False, content=numbered(1),
                            headers={"Content-Type": "application/x-ndjson"})  # fmt: skip
    assert_problem(answer, 401, "unauthenticated")
    assert_problem(post(client, run_id, numbered(1), {"Idempotency-Key": "x" * 256}), 400, "invalid-parameter")


def resident_kb(pid) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.mark.skipif(is_asan(), reason="the sanitizer's own memory is not ours")
@pytest.mark.requirement("R027")
def test_memory_stays_bounded_however_long_the_body_is(own_box):
    """60 MB in one request; the process that takes it grows by a few MB (its chunk, its window of commands)."""
    box = own_box({"api.count": 1})
    client = box.client()
    run_id = client.new_run()
    assert post(client, run_id, numbered(CHUNK)).status_code == 201
    pid = box.actor("api-1")["pid"]
    before, peak, done = resident_kb(pid), 0, threading.Event()
    line = json.dumps(custom("x" * 10_000), separators=(",", ":")) + "\n"
    answers = []

    def send():
        answers.append(post(client, run_id, line * 6000))
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    while not done.wait(0.05):
        peak = max(peak, resident_kb(pid))
    sender.join()
    assert answers[0].status_code == 201 and answers[0].json()["lines"] == 6000
    assert peak - before < 12_000, f"grew by {peak - before} KB"
