"""Appending: order, all-or-nothing, repeats, closed runs, and every way to be refused."""

import json

import pytest
from harness.client import assert_problem, custom, random_id, raw_events
from harness.events import ENDINGS, LIFECYCLE, RESERVED, SAMPLES, TYPES, invalid, valid

pytestmark = pytest.mark.any_database


@pytest.mark.requirement("R018", "R019", "R023", "R027")
def test_seqs_are_dense(client, run_id):
    assert client.append(run_id, "MESSAGE_STARTED", SAMPLES["MESSAGE_STARTED"]) == {
        "first_seq": 2, "last_seq": 2, "cancel_requested": False,
    }  # fmt: skip
    got = client.append_many(run_id, [custom(n) for n in range(10)])
    assert (got["first_seq"], got["last_seq"]) == (3, 12)
    assert [seq for seq, _, _ in client.log(run_id)] == list(range(1, 13))
    assert client.run(run_id)["last_seq"] == 12


@pytest.mark.requirement("R033")
@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_every_event_type_is_taken(client, run_id, kind):
    client.append(run_id, kind, SAMPLES[kind])
    _, got, payload = client.log(run_id)[-1]
    assert got == kind and json.loads(payload) == SAMPLES[kind]


@pytest.mark.requirement("R033")
def test_the_events_of_a_life_are_taken_in_their_order(client, run_id):
    for kind in LIFECYCLE:
        client.append(run_id, kind, valid(kind)[0])
    assert [got for _, got, _ in client.log(run_id)] == ["RUN_STARTED", *LIFECYCLE]


@pytest.mark.requirement("R020", "I4")
@pytest.mark.parametrize(
    "payload",
    [
        '{"name":"n","value":1.0}',
        '{"name": "n" ,  "value" : [ 1 , 2 ]}',
        '{"value":1e3,"name":"n"}',
        '{"name":"n","value":"\\u00e9\\ud83d\\ude00\\/"}',
        '{"name":"n","value":"é😀"}',
        '{"name":"n","value":-0}',
        '{"name":"n","value":9223372036854775807}',
        '{"name":"n","value":0.1000000000000000055511151231257827}',
        '{"name":"n","value":{"b":1,"a":{"z":[],"y":{}}}}',
        '{\t"name":"n",\t"value":" \\r\\n "}',
    ],
)
def test_payloads_come_back_byte_for_byte(box, client, run_id, payload):
    answer = client.post_events(run_id, text=f'{{"type":"CUSTOM","payload":{payload}}}')
    assert answer.status_code == 201, answer.text
    assert client.log(run_id)[-1] == (2, "CUSTOM", payload)
    with box.stream(run_id) as stream:
        assert stream.take(2)[-1] == (2, "CUSTOM", payload)
    assert box.database().events(run_id)[-1][2] == payload


def test_raw_line_ends_between_tokens_become_spaces(box, client, run_id):
    answer = client.post_events(run_id, text='{"type":"CUSTOM",\r\n"payload":{\r\n "name":"n",\n"value":1\r}}')
    assert answer.status_code == 201, answer.text
    flat = '{   "name":"n", "value":1 }'
    assert client.log(run_id)[-1][2] == flat
    with box.stream(run_id) as stream:
        assert stream.take(2)[-1][2] == flat


@pytest.mark.parametrize("ending", ENDINGS)
def test_endings_accept_an_empty_or_missing_payload(client, ending):
    for body in ({"type": ending}, {"type": ending, "payload": {}}):
        run_id = client.new_run()
        assert client.post_events(run_id, body).status_code == 201
        assert client.log(run_id)[-1] == (2, ending, "{}")


@pytest.mark.requirement("I11")
def test_a_closed_log_never_grows(client, run_id):
    client.finish(run_id)
    for body in (custom(1), {"events": [custom(1)]}, {"type": "RUN_FINISHED"}, {"type": "RUN_FAILED"}):
        assert_problem(client.post_events(run_id, body), 409, "run-closed")
    assert client.run(run_id)["last_seq"] == 2


@pytest.mark.requirement("I11")
def test_nothing_may_follow_the_ending_in_one_request(client, run_id):
    answer = client.post_events(run_id, {"events": [{"type": "RUN_FINISHED"}, custom(1)]})
    assert answer.status_code in (409, 422), answer.text
    assert client.run(run_id)["last_seq"] == 1


def test_the_ending_may_be_the_last_of_a_batch(client, run_id):
    got = client.append_many(run_id, [custom(1), {"type": "RUN_FINISHED"}])
    assert got["last_seq"] == 3 and client.run(run_id)["status"] == "finished"


@pytest.mark.requirement("I9")
def test_a_key_gives_the_same_answer_for_ever(client, run_id):
    body = {"events": [custom(1), custom(2)]}
    first = client.post_events(run_id, body, key="k 1")
    client.append(run_id, "CUSTOM", custom(3)["payload"])
    again = client.post_events(run_id, body, key="k 1")
    assert (first.status_code, first.text) == (again.status_code, again.text)
    assert first.json()["last_seq"] == 3
    client.finish(run_id)
    after_end = client.post_events(run_id, body, key="k 1")
    assert (first.status_code, first.text) == (after_end.status_code, after_end.text)
    assert client.run(run_id)["last_seq"] == 5


@pytest.mark.requirement("I9")
def test_the_ending_itself_is_repeatable(client, run_id):
    first = client.post_events(run_id, {"type": "RUN_FINISHED"}, key="end")
    again = client.post_events(run_id, {"type": "RUN_FINISHED"}, key="end")
    assert first.status_code == again.status_code == 201 and first.text == again.text


@pytest.mark.requirement("I9")
def test_a_key_with_another_body_is_refused(client, run_id):
    client.append(run_id, "CUSTOM", custom(1)["payload"], key="k")
    assert_problem(client.post_events(run_id, custom(2), key="k"), 409, "idempotency-mismatch")
    client.finish(run_id)
    assert_problem(client.post_events(run_id, custom(2), key="k"), 409, "idempotency-mismatch")
    assert client.run(run_id)["last_seq"] == 3


def test_keys_belong_to_the_run(client, run_id):
    second = client.new_run()
    client.append(run_id, "CUSTOM", custom(1)["payload"], key="same")
    client.append(second, "CUSTOM", custom(2)["payload"], key="same")
    assert client.run(second)["last_seq"] == 2


def test_a_replay_is_found_before_anything_else_is_looked_at(client, run_id):
    body = custom(1) | {"expected_seq": 1}
    first = client.post_events(run_id, body, key="k")
    client.append(run_id, "CUSTOM", custom(2)["payload"])
    again = client.post_events(run_id, body, key="k")  # the head has moved, the answer has not
    assert again.status_code == 201 and again.text == first.text


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ä", "bell\x07"])
def test_keys_must_be_printable_and_short(client, run_id, key):
    answer = client.request(
        "POST", f"/api/v1/runs/{run_id}/events", content=json.dumps(custom(1)),
        headers={b"Idempotency-Key": key.encode("utf-8")},
    )  # fmt: skip
    assert answer.status_code == 400, (key, answer.text)
    assert client.run(run_id)["last_seq"] == 1


def test_keys_of_every_printable_character_are_taken(client, run_id):
    key = "".join(map(chr, range(0x21, 0x7F))) + "k" * 161
    assert len(key) == 255
    first = client.append(run_id, "CUSTOM", custom(1)["payload"], key=key)
    assert client.append(run_id, "CUSTOM", custom(1)["payload"], key=key) == first


@pytest.mark.requirement("R126")
def test_expected_seq(client, run_id):
    assert client.append(run_id, "CUSTOM", custom(1)["payload"], expected_seq=1)["last_seq"] == 2
    document = assert_problem(client.post_events(run_id, custom(2) | {"expected_seq": 1}), 409, "seq-conflict")
    assert document["last_seq"] == 2
    document = assert_problem(client.post_events(run_id, custom(2) | {"expected_seq": 9}), 409, "seq-conflict")
    assert document["last_seq"] == 2
    got = client.append_many(run_id, [custom(3), custom(4)], expected_seq=2)
    assert got["first_seq"] == 3


@pytest.mark.parametrize("value", [-1, "1", 1.5, None, True, 9223372036854775808])
def test_malformed_expected_seq_is_refused(client, run_id, value):
    answer = client.post_events(run_id, custom(1) | {"expected_seq": value})
    assert answer.status_code == 422, (value, answer.text)
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "CUSTOM", "payload": {"name": "n", "value": 1}, "extra": 1}, "/extra"),
        ({"events": [{"type": "CUSTOM", "payload": {"name": "n", "value": 1}, "seq": 5}]}, "/events/0/seq"),
        ({"events": [custom(1), custom(2) | {"a/b~c": 1}]}, "/events/1/a~1b~0c"),
    ],
)
def test_unknown_fields_are_named_by_pointer(client, run_id, body, pointer):
    document = assert_problem(client.post_events(run_id, body), 422)
    assert pointer in [e["pointer"] for e in document["errors"]]
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {}, {"type": 5}, {"type": None}, {"payload": {}}, {"events": []}, {"events": {}}, {"events": [1]},
        {"events": [{}]}, {"type": "CUSTOM", "payload": []}, {"type": "CUSTOM", "payload": "x"},
        {"type": "CUSTOM", "payload": None}, {"type": "CUSTOM", "events": [custom(1)]}, [], 1, "x", None, True,
    ],
)  # fmt: skip
def test_bodies_of_the_wrong_shape_are_refused(client, run_id, body):
    answer = client.post_events(run_id, text=json.dumps(body))
    assert answer.status_code in (400, 422), (body, answer.status_code, answer.text)
    assert_problem(answer, answer.status_code)
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.requirement("R019", "I11")
@pytest.mark.parametrize("kind", ["NOPE", "custom", "", "RUN_STARTED ", "MESSAGE-DELTA"])
def test_unknown_types_are_refused(client, run_id, kind):
    assert_problem(client.post_events(run_id, {"type": kind, "payload": {}}), 422, "unknown-event-type")
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.parametrize("kind", RESERVED)
def test_clients_cannot_write_what_the_server_writes(client, run_id, kind):
    assert_problem(client.post_events(run_id, {"type": kind, "payload": valid(kind)[0]}), 422, "reserved-event-type")
    assert client.run(run_id)["last_seq"] == 1


OPEN_TYPES = [kind for kind in TYPES if kind not in RESERVED]


@pytest.mark.requirement("R030", "R107", "I11")
@pytest.mark.parametrize("kind", OPEN_TYPES)
def test_payloads_are_judged_by_their_type(client, run_id, kind):
    """Every invalid sample of the contract, alone and within a batch."""
    for why, payload in invalid(kind):
        document = assert_problem(client.post_events(run_id, {"type": kind, "payload": payload}), 422, "invalid-payload")
        pointers = [error["pointer"] for error in document["errors"]]
        assert pointers and all(at.startswith("/payload") for at in pointers), (why, document)
        batch = {"events": [custom(0), {"type": kind, "payload": payload}]}
        document = assert_problem(client.post_events(run_id, batch), 422, "invalid-payload")
        assert [error["pointer"] for error in document["errors"]] == ["/events/1" + at for at in pointers]
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.requirement("R030")
@pytest.mark.parametrize(
    ("event", "pointers"),
    [
        ({"type": "MESSAGE_DELTA"}, ["/payload/message_id", "/payload/delta"]),
        ({"type": "MESSAGE_DELTA", "payload": {"message_id": "", "delta": 1}}, ["/payload/message_id", "/payload/delta"]),
        ({"type": "PLAN_CREATED", "payload": {"plan_id": "p", "tasks": [{"task_id": "t", "title": "x"}, {"task_id": 1}]}},
         ["/payload/tasks/1/task_id", "/payload/tasks/1/title"]),
        ({"type": "CITATION_ADDED", "payload": {"citation_id": "k"}}, ["/payload"]),
        ({"type": "SOURCE_ADDED", "payload": {"source_id": "s", "entity_type": "web_source"}}, ["/payload/entity_type"]),
        ({"type": "RUN_FINISHED", "schema_version": 2}, ["/schema_version"]),
        ({"type": "RUN_FINISHED", "schema_version": "1"}, ["/schema_version"]),
        ({"type": "RUN_FINISHED", "schema_version": None}, ["/schema_version"]),
    ],
)
def test_all_that_is_wrong_is_pointed_at(client, run_id, event, pointers):
    document = assert_problem(client.post_events(run_id, event), 422, "invalid-payload")
    assert [error["pointer"] for error in document["errors"]] == pointers
    assert all(error["detail"] for error in document["errors"])
    document = assert_problem(client.post_events(run_id, {"events": [event]}), 422, "invalid-payload")
    assert [error["pointer"] for error in document["errors"]] == ["/events/0" + at for at in pointers]
    assert client.run(run_id)["last_seq"] == 1


def test_no_more_than_sixteen_places_are_pointed_at(client, run_id):
    event = {"type": "PLAN_CREATED", "payload": {"plan_id": "p", "tasks": [1] * 500}}
    document = assert_problem(client.post_events(run_id, event), 422, "invalid-payload")
    assert [error["pointer"] for error in document["errors"]] == [f"/payload/tasks/{n}" for n in range(16)]


def test_the_known_schema_version_may_be_said(client, run_id):
    client.post_events(run_id, custom(1) | {"schema_version": 1}).raise_for_status()
    client.post_events(run_id, {"events": [custom(2) | {"schema_version": 1}]}).raise_for_status()
    assert client.run(run_id)["last_seq"] == 3
    answer = client.post_events(run_id, {"schema_version": 1, "events": [custom(3)]})
    assert_problem(answer, 422, "unknown-field")


def test_names_of_members_may_be_escaped(client, run_id):
    text = '{"type":"MESSAGE_DELTA","payload":{"\\u006dessage_id":"m","del\\u0074a":"x"}}'
    assert client.post_events(run_id, text=text).status_code == 201
    text = '{"type":"MESSAGE_DELTA","payload":{"\\u006dessage_id":"","delta":"x"}}'
    document = assert_problem(client.post_events(run_id, text=text), 422, "invalid-payload")
    assert [error["pointer"] for error in document["errors"]] == ["/payload/message_id"]


@pytest.mark.requirement("R125", "I11")
def test_a_batch_is_taken_whole_or_not_at_all(client, run_id):
    events = [custom(n) for n in range(5)] + [{"type": "NOPE"}] + [custom(9)]
    document = assert_problem(client.post_events(run_id, {"events": events}), 422)
    assert document["errors"][0]["pointer"].startswith("/events/5")
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400), ("{", 400), ('{"type":"CUSTOM"}}', 400), ("{'type':'CUSTOM'}", 400), ('{"type":"CUSTOM",}', 400),
        ('{"type":"CUSTOM","type":"CUSTOM"}', 400), ('{"type":"CUSTOM","payload":{"a":1,"a":2}}', 400),
        ('\ufeff{"type":"CUSTOM"}', 400), ('{"type":"CUSTOM","payload":{"name":"n","value":"\\u0000"}}', 400),
        ('{"type":"CUSTOM","payload":{"name":"n","value":"\\ud800"}}', 400), ("NaN", 400),
        ('{"type":"CUSTOM","payload":{"name":"n","value":01}}', 400),
        ('{"type":"CUSTOM","payload":{"name":"n","value":' + "[" * 40 + "]" * 40 + "}}", 400),
        ('{"type":"CUSTOM","payload":{"name":"n","value":9223372036854775808}}', 422),
        ('{"type":"CUSTOM","payload":{"name":"n","value":-9223372036854775809}}', 422),
    ],
)  # fmt: skip
def test_json_that_is_not_ours_is_refused(client, run_id, text, status):
    answer = client.post_events(run_id, text=text)
    slug = "number-out-of-range" if status == 422 else None
    assert answer.status_code in (status, 422), (text[:80], answer.status_code, answer.text)
    assert_problem(answer, answer.status_code, slug)
    assert client.run(run_id)["last_seq"] == 1


@pytest.mark.parametrize("raw", [b'{"type":"CUSTOM","payload":{"name":"n","value":"\xff"}}',
                                 b'{"type":"CUSTOM","payload":{"name":"n","value":"\xc0\x80"}}',
                                 b'{"type":"CUSTOM","payload":{"name":"n","value":"\x01"}}',
                                 b'{"type":"CUSTOM","payload":{"name":"n","value":"\x00"}}'])  # fmt: skip
def test_bytes_that_are_no_text_are_refused(client, run_id, raw):
    answer = client.request("POST", f"/api/v1/runs/{run_id}/events", content=raw)
    assert_problem(answer, 400)
    assert client.run(run_id)["last_seq"] == 1


def test_too_many_keys_are_refused(client, run_id):
    value = {f"k{n}": n for n in range(10_001)}
    answer = client.post_events(run_id, custom(value))
    assert answer.status_code in (400, 413, 422), answer.text


def test_size_limits_of_events_and_batches(client, run_id):
    assert client.post_events(run_id, custom("x" * 250_000)).status_code == 201
    assert_problem(client.post_events(run_id, custom("x" * 263_000)), 413, "too-large")
    assert_problem(client.post_events(run_id, {"events": [custom("x" * 220_000)] * 10}), 413, "too-large")
    assert client.run(run_id)["last_seq"] == 2
    got = client.append_many(run_id, [custom(n) for n in range(1000)])
    assert got["last_seq"] - got["first_seq"] == 999
    answer = client.post_events(run_id, {"events": [custom(n) for n in range(1001)]})
    assert answer.status_code in (413, 422), answer.text
    assert client.run(run_id)["last_seq"] == 1002


def test_a_nearly_full_body_goes_through(box, client, run_id):
    """2 MiB in one request: near the limits of every frame on its way to the table and the streams."""
    got = client.append_many(run_id, [custom("x" * 230_000) for _ in range(9)])
    assert got["last_seq"] == 10
    log = client.log(run_id)
    assert [len(payload) for _, _, payload in log[1:]] == [len(log[1][2])] * 9
    with box.stream(run_id) as stream:
        assert stream.take(10) == log


@pytest.mark.requirement("I7")
def test_a_write_is_seen_by_the_next_read(client, run_id):
    for n in range(50):
        last = client.append(run_id, "CUSTOM", custom(n)["payload"])["last_seq"]
        assert raw_events(client.page(run_id, after_seq=last - 1).text)[0][0] == last


def test_a_key_may_be_used_by_two_requests_at_once(box, client, run_id):
    """The second one waits for the first, or repeats its answer; it never appends again."""
    from concurrent.futures import ThreadPoolExecutor

    def send(_):
        return client.post_events(run_id, custom("once"), key="racing")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(24)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.text for a in answers}) == 1
    assert client.run(run_id)["last_seq"] == 2


def test_a_key_of_another_tenant_finds_nothing(client, other, run_id):
    key = random_id()
    client.append(run_id, "CUSTOM", custom(1)["payload"], key=key)
    assert_problem(other.post_events(run_id, custom(1), key=key), 404, "not-found")
