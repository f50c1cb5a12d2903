"""
Bad input: every route of routes.c against everything a broken or hostile client sends. Each must be answered with a
documented problem of the right status, and the processes live (box.verify counts their deaths).

ROUTES has a row for every route; a route without one fails test_every_route_has_a_row. A row may name a route that is
not there yet.
"""

import json
import re
from dataclasses import dataclass, field

import pytest
from harness.client import PROBLEM, random_id
from harness.paths import ROOT

DEEP = 10_000
HUGE = 10 << 20
PROBLEMS = {p["slug"]: p for p in json.loads((ROOT / "contracts" / "problems.json").read_text(encoding="utf-8"))}

UUID, TEXT, OBJECT, ARRAY, NUMBER, TIME, WORD, ANY = "uuid", "text", "object", "array", "number", "time", "word", "any"
BELOW, FLAG = "a number that may be below 0", "true or false"
# Values that are of no use to a field of that kind. null may mean "not given", so nobody sends it here.
WRONG = {
    UUID: [True, 0, -1, 1.5, "", "x", [], {}, "00000000-0000-0000-0000-00000000000g", "x" * 70000],
    TEXT: [True, 0, 1.5, [], {}],
    WORD: [True, 0, 1.5, "", "no such word", [], {}],
    OBJECT: [True, 0, 1.5, "text", [], [{}]],
    ARRAY: [True, 0, 1.5, "text", {}],
    NUMBER: [True, -1, 1.5, "1", [], {}, 1e300],
    BELOW: [True, 1.5, "1", [], {}, 1e300],
    FLAG: [0, 1, 1.5, "", "true", [], {}],
    TIME: [True, 0, "", "yesterday", "2026-13-01T00:00:00Z", [], {}],
    ANY: [],
}


@dataclass(frozen=True)
class Body:
    """What a route reads of its body: {field: kind}."""

    fields: dict = field(default_factory=dict)
    needed: tuple = ()
    good: dict = field(default_factory=dict)  # a body with nothing wrong in it
    empty: bool = True  # no body at all counts as {}
    open: bool = False  # fields that nobody knows are the client's own; the answer is a stream


NOTHING = Body()
TOKEN = "00000000-0000-4000-8000-000000000001"
ROUTES = {
    ("POST", "/api/v1/runs"): Body({
        "id": UUID, "thread_id": UUID, "parent_run_id": UUID, "metadata": OBJECT, "created_by": TEXT, "deliverable_type": TEXT,
        "start_at": TIME, "delay_ms": NUMBER, "multitask_strategy": WORD, "concurrency": OBJECT,
        "liveness_timeout_ms": NUMBER,
    }),
    ("GET", "/api/v1/runs"): None,
    ("POST", "/api/v1/runs/cancel"): Body({"filter": OBJECT, "expected_count": NUMBER}, needed=("filter",), empty=False),
    ("GET", "/api/v1/runs/{}"): None,
    ("POST", "/api/v1/runs/{}/cancel"): Body({"reason": TEXT}),
    ("POST", "/api/v1/runs/{}/resume"): Body({"clarification_id": TEXT, "response": ANY}),
    ("POST", "/api/v1/runs/{}/fork"): Body({"seq": NUMBER, "id": UUID}, needed=("seq",), good={"seq": 1}, empty=False),
    ("POST", "/api/v1/runs/{}/heartbeat"): NOTHING,
    ("POST", "/api/v1/runs/{}/events"): Body(
        {"type": WORD, "payload": OBJECT, "events": ARRAY, "expected_seq": NUMBER}, needed=("type",),
        good={"type": "CUSTOM", "payload": {"name": "n", "value": 1}}, empty=False,
    ),
    ("GET", "/api/v1/runs/{}/events"): None,
    ("GET", "/api/v1/runs/{}/stream"): None,
    ("POST", "/api/v1/jobs/claim"): Body({
        "queues": ARRAY, "job_types": ARRAY, "max": NUMBER, "worker": TEXT, "wait_ms": NUMBER, "lease_ms": NUMBER, "delivery_ms": NUMBER,
    }),
    ("POST", "/api/v1/jobs/{}/heartbeat"): Body({"token": UUID}, needed=("token",), good={"token": TOKEN}, empty=False),
    ("POST", "/api/v1/jobs/{}/progress"): Body(
        {"token": UUID, "percent": NUMBER, "note": TEXT}, needed=("token",), good={"token": TOKEN}, empty=False
    ),
    ("POST", "/api/v1/jobs/{}/complete"): Body(
        {"token": UUID, "result": ANY, "events": ARRAY}, needed=("token",), good={"token": TOKEN}, empty=False
    ),
    ("POST", "/api/v1/jobs/{}/fail"): Body(
        {"token": UUID, "error": TEXT, "class": WORD, "retry_after_ms": NUMBER}, needed=("token", "error"),
        good={"token": TOKEN, "error": "e"}, empty=False,
    ),
    ("POST", "/api/v1/jobs/{}/release"): Body({"token": UUID}, needed=("token",), good={"token": TOKEN}, empty=False),
    ("POST", "/api/v1/runs/{}/jobs"): Body(
        {"job_type": TEXT, "artifact_kind": TEXT, "job_key": TEXT, "queue": TEXT, "priority": BELOW, "max_attempts": NUMBER, "run_at": TIME,
         "depends_on": ARRAY, "on_dep_fail": WORD, "concurrency_key": TEXT, "detached": FLAG, "debounce_ms": NUMBER},
        needed=("job_type",), good={"job_type": "bad input", "queue": "bad input"}, empty=False,
    ),
    ("GET", "/api/v1/runs/{}/jobs"): None,
    ("GET", "/api/v1/jobs"): None,
    ("POST", "/api/v1/jobs/retry"): Body(
        {"status": WORD, "queue": TEXT, "job_type": TEXT, "run_id": UUID, "dry_run": FLAG, "confirm_count": NUMBER, "cursor": TEXT},
        needed=("status",), good={"status": "error"},
    ),
    ("PUT", "/api/v1/jobs/pause"): NOTHING,
    ("DELETE", "/api/v1/jobs/pause"): None,
    ("GET", "/api/v1/jobs/{}"): None,
    ("POST", "/api/v1/jobs/{}/cancel"): Body({"reason": TEXT}),
    ("POST", "/api/v1/jobs/{}/retry"): Body({"reason": TEXT}),
    ("GET", "/api/v1/queues"): None,
    ("GET", "/api/v1/queues/{}"): None,
    ("PUT", "/api/v1/queues/{}"): Body({
        "paused": FLAG, "concurrency": NUMBER, "key_concurrency": NUMBER, "rate_per_minute": NUMBER, "rate_burst": NUMBER,
    }),
    ("DELETE", "/api/v1/queues/{}"): None,
    ("PUT", "/api/v1/job-types/{}/pause"): NOTHING,
    ("DELETE", "/api/v1/job-types/{}/pause"): None,
    ("GET", "/api/v1/schedules"): None,
    ("GET", "/api/v1/schedules/{}"): None,
    ("PUT", "/api/v1/schedules/{}"): Body(
        {"spec": TEXT, "tz": WORD, "queue": TEXT, "job_type": TEXT, "priority": BELOW, "max_attempts": NUMBER, "concurrency_key": TEXT,
         "enabled": FLAG, "missed": WORD},
        needed=("spec", "job_type"), good={"spec": "@daily", "job_type": "bad input", "enabled": False}, empty=False,
    ),
    ("DELETE", "/api/v1/schedules/{}"): None,
    ("GET", "/api/v1/threads/{}/stream"): None,
    ("GET", "/api/v1/threads/{}/chat"): None,
    ("GET", "/api/v1/stream"): None,
    ("POST", "/api/v1/agui/{}"): Body(
        {"threadId": TEXT, "runId": TEXT, "messages": ARRAY, "resume": ARRAY}, needed=("threadId", "runId", "messages"),
        good={"threadId": "bad input", "runId": "bad input", "messages": []}, empty=False, open=True,
    ),
    ("GET", "/api/v1/agui/{}/runs/{}"): None,
    ("POST", "/api/v1/ai-sdk/chat"): Body(
        {"id": TEXT, "trigger": TEXT, "messageId": TEXT, "agent": TEXT, "messages": ARRAY, "message": OBJECT}, needed=("id", "message"),
        good={"id": "bad input", "message": {"id": "m", "role": "user"}}, empty=False, open=True,
    ),
    ("GET", "/api/v1/ai-sdk/chat/{}/stream"): None,
    ("POST", "/api/v1/ai-sdk/chat/{}/stop"): Body({"reason": TEXT}),
    ("GET", "/api/v1/ws"): None,
    ("GET", "/api/v1/keys"): None,
    ("POST", "/api/v1/keys"): Body({"tenant_id": UUID, "scopes": ARRAY, "expires_in_s": NUMBER, "name": TEXT, "user": TEXT}),
    ("DELETE", "/api/v1/keys/{}"): None,
    ("GET", "/api/v1/tenants"): None,
    ("POST", "/api/v1/tenants"): Body({"name": TEXT}, needed=("name",), good={"name": "bad input"}),
    ("GET", "/api/v1/tenants/{}"): None,
    ("GET", "/api/v1/tenants/{}/quota"): None,
    ("PUT", "/api/v1/tenants/{}/quota"): Body({
        "runs_per_day": NUMBER, "events_per_day": NUMBER, "bytes_per_day": NUMBER, "concurrent_runs": NUMBER,
    }),
    ("GET", "/api/v1/audit"): None,
    ("POST", "/api/v1/session"): NOTHING,
    ("GET", "/api/v1/session"): None,
    ("DELETE", "/api/v1/session"): None,
    ("GET", "/health"): None,
    ("GET", "/ready"): None,
    ("GET", "/metrics"): None,
    ("GET", "/problems/{}"): None,
}  # fmt: skip


def routes_of_the_api() -> set:
    text = (ROOT / "actors" / "api" / "routes.c").read_text(encoding="utf-8")
    table = text[text.index("struct route routes[]") :]
    return set(re.findall(r'"(GET|POST|PUT|DELETE|PATCH)",\s*"([^"]+)"', table))


HERE = routes_of_the_api()
NAMED = [pytest.param(*route, id=" ".join(route)) for route in ROUTES if route in HERE]
WITH_BODY = [pytest.param(*r, id=" ".join(r)) for r, body in ROUTES.items() if body is not None and r in HERE]

# Texts that are not JSON as we take it: 400 malformed-json, wherever they are sent.
MALFORMED = {
    "not JSON": b"x",
    "cut off": b'{"a":',
    "two values": b"{}{}",
    "trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "comment": b"{}//",
    "NaN": b'{"a":NaN}',
    "leading zero": b'{"a":01}',
    "deep arrays": b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep and open": b"[" * DEEP,
    "NUL escaped": b'{"a":"\\u0000"}',
    "NUL in a name": b'{"a\\u0000b":1}',
    "NUL raw": b'{"a":"\x00"}',
    "NUL behind": b"{}\x00",
    "bad UTF-8": b'{"a":"\xff"}',
    "overlong UTF-8": b'{"a":"\xc0\xaf"}',
    "surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "cut UTF-8": b'{"a":"\xe2\x82"}',
    "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "duplicate keys": b'{"a":1,"a":2}',
    "duplicate keys in escapes": b'{"a":1,"\\u0061":2}',
    "duplicate keys inside": b'{"b":{"a":1,"a":1}}',
    "lone high surrogate": b'{"a":"\\ud800"}',
    "lone low surrogate": b'{"a":"\\udc00"}',
    "surrogates the wrong way": b'{"a":"\\udc00\\ud800"}',
    "line break in a text": b'{"a":"\n"}',
    "too many keys": ("{" + ",".join(f'"k{n}":1' for n in range(10_001)) + "}").encode(),
}
OUT_OF_RANGE = {
    "1e400": b'{"a":1e400}', "minus 1e400": b'{"a":-1e400}', "2^63": b'{"a":9223372036854775808}',
    "long": b'{"a":' + b"9" * 400 + b"}",
}  # fmt: skip


@pytest.fixture
def target(client):
    """The path of a route, with a run of its own in it."""

    def path(pattern):
        if "/agui/" in pattern:
            client.finish(run := client.new_run())
            return pattern.replace("{}", "agent", 1).replace("{}", run)
        if "/runs/{}" in pattern:
            return pattern.format(client.new_run())
        if pattern.endswith("/stop"):
            thread = random_id()
            client.new_run(thread_id=thread)
            return pattern.format(thread)
        if "/problems/{}" in pattern:
            return pattern.format("not-found")
        return pattern.format(random_id())

    return path


def documented(answer) -> dict:
    """A problem that contracts/problems.json knows, with its status. Returns the document."""
    assert answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"].split(";")[0] == PROBLEM, (answer.status_code, answer.text[:500])
    document = answer.json()
    slug = document["type"].removeprefix("/problems/")
    assert slug in PROBLEMS, document
    known = PROBLEMS[slug]
    assert document["status"] == known["status"] == answer.status_code and document["title"] == known["title"], document
    assert document["detail"] and set(document) <= {"type", "title", "status", "detail", "instance", "errors"} | set(
        known.get("fields", {})
    )
    for error in document.get("errors", []):
        assert error["pointer"] == "" or error["pointer"].startswith("/"), document
        assert error["detail"], document
    return document


def refused(answer, *slugs) -> dict:
    document = documented(answer)
    assert document["type"].removeprefix("/problems/") in slugs, (slugs, document)
    return document


def send(client, method, path, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.request(method, path, content=content, headers={"Content-Type": "application/json"})


@pytest.mark.requirement("R130")
def test_every_route_has_a_row():
    assert HERE - set(ROUTES) == set(), "a route of routes.c has no row in ROUTES"
    assert HERE and len(HERE) >= 10


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), WITH_BODY)
def test_what_is_not_json(client, target, method, pattern):
    path = target(pattern)
    for name, body in MALFORMED.items():
        document = refused(send(client, method, path, body), "malformed-json")
        assert "errors" not in document, name
    for body in OUT_OF_RANGE.values():
        refused(send(client, method, path, body), "number-out-of-range")


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), WITH_BODY)
def test_what_is_no_object(client, target, method, pattern):
    path = target(pattern)
    for body in (b"[]", b"1", b'"text"', b"null", b"true", b"[{}]", b" [ ] "):
        assert refused(send(client, method, path, body), "invalid-payload")["errors"][0]["pointer"] == ""
    if not ROUTES[method, pattern].empty:
        refused(send(client, method, path, b""), "malformed-json")
        refused(send(client, method, path, b" \n"), "malformed-json")


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), WITH_BODY)
def test_unknown_and_missing_fields(client, target, method, pattern):
    path, row = target(pattern), ROUTES[method, pattern]
    names = {"nope": "nope", "": "", "a/b": "a~1b", "~": "~0", "ty\u0070e2": "type2", "é": "é", "x" * 5000: "x" * 5000,
             "__proto__": "__proto__"}  # fmt: skip
    for name, pointer in () if row.open else names.items():
        document = refused(send(client, method, path, row.good | {name: 1}), "unknown-field")
        assert document["errors"][0]["pointer"] == f"/{pointer}", document
    for name in row.needed:
        body = {k: v for k, v in row.good.items() if k != name}
        document = refused(send(client, method, path, body), "invalid-payload")
        assert document["errors"][0]["pointer"] in ("", f"/{name}"), document


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), WITH_BODY)
def test_fields_of_the_wrong_kind(client, target, method, pattern):
    path, row = target(pattern), ROUTES[method, pattern]
    for name, kind in row.fields.items():
        for value in WRONG[kind]:
            body = row.good | {name: value}
            if name == "events" and "type" in row.good:
                body = {name: value}
            answer = send(client, method, path, body)
            assert 400 <= answer.status_code < 500, (name, value, answer.status_code, answer.text[:300])
            document = documented(answer)
            assert document["status"] in (413, 422), (name, value, document)
            if document["status"] == 422:
                assert document["errors"][0]["pointer"].startswith(f"/{name}"), (name, value, document)


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), WITH_BODY)
def test_bodies_that_are_too_large(client, target, method, pattern):
    path, row = target(pattern), ROUTES[method, pattern]
    limit = (2 << 20) if pattern.endswith("/events") else (1 << 20)
    for size in (limit + 1, HUGE):
        start = json.dumps(row.good)[:-1] + ("," if row.good else "") + '"big":"'
        text = start + "x" * (size - len(start) - 2) + '"}'
        refused(send(client, method, path, text.encode()), "too-large")
    assert client.get("/health", auth=False).status_code == 200


@pytest.mark.requirement("R130")
@pytest.mark.parametrize("path", ["/api/v1/runs/{}/events"])
def test_events_that_are_too_large_or_too_many(client, target, path):
    path = target(path)
    event = {"type": "CUSTOM", "payload": {"name": "n", "value": "x" * (256 << 10)}}
    refused(send(client, "POST", path, event), "too-large")
    small = {"type": "CUSTOM", "payload": {"name": "n", "value": 1}}
    refused(send(client, "POST", path, {"events": [small] * 1001}), "too-large")
    document = refused(send(client, "POST", path, {"events": [small, event]}), "too-large")
    assert document["errors"][0]["pointer"].startswith("/events/1")
    document = refused(send(client, "POST", path, {"events": [small, {"type": "CUSTOM", "payload": 1}]}), "invalid-payload")
    assert document["errors"][0]["pointer"] == "/events/1/payload"


# Ids there are the client's own texts.
FREE_IDS = re.compile("/(ai-sdk|agui|queues|job-types|schedules)/")

# What stands in "{}" and is no id. The server must not even see a difference to an id that is not there.
BAD_IDS = ["0", "x", "null", "undefined", "..%2fruns", "a" * 4000, "'", "%27%20or%201=1--", "%00", "%0a", "%F0%28%8C%28",
           "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000", "{}", "%7B%7D", "%2e%2e",
           "ABCDEF00-0000-7000-8000-000000000000", "-1", "1e400", "%ED%A0%80"]  # fmt: skip


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), [p for p in NAMED if "{}" in p.values[1] and not FREE_IDS.search(p.values[1])])
def test_ids_that_are_none(client, method, pattern):
    row = ROUTES[method, pattern]
    for bad in [*BAD_IDS, random_id().upper()]:
        content = json.dumps(row.good).encode() if row is not None else None
        answer = client.request(method, pattern.replace("{}", bad), content=content)
        refused(answer, "not-found", "invalid-request", "method-not-allowed")


BAD_QUERIES = ["limit=0", "limit=-1", "limit=1001", "limit=abc", "limit=1e2", "limit=", "limit=%00", "limit=1&limit=1",
               "limit=" + "9" * 400, "cursor=x", "cursor=%00", "cursor=" + "A" * 4000, "cursor=%ff%fe", "cursor='",
               "after_seq=-1", "after_seq=x", "after_seq=%00", "after_seq=1e400", "after_seq=9223372036854775808",
               "after_seq=0&after_seq=0", "fromSeq=x", "after_seq=0&fromSeq=0", "status=%00", "thread_id=x", "thread_id=%00",
               "q=%00", "q=" + "x" * 4000, "%00=1", "limit=%zz", "%zz", "=", "&&&", "a=%ff", "created_after=x"]  # fmt: skip


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), NAMED)
def test_queries_that_make_no_sense(client, target, method, pattern):
    """A route either does not know the parameter, or says what is wrong; it is never shaken by one."""
    if pattern.endswith("/stream") or pattern == "/api/v1/session" or method == "DELETE":
        pytest.skip("streams are asked below; the others know no parameters")
    path, row = target(pattern), ROUTES[method, pattern]
    if pattern == "/api/v1/jobs/pause":
        pytest.skip("others have jobs here, too")
    if (row is not None and row.open) or "/agui/" in pattern:
        pytest.skip("it answers with a stream")
    for query in BAD_QUERIES:
        content = json.dumps(row.good).encode() if row is not None else None
        answer = client.request(method, f"{path}?{query}", content=content)
        if answer.status_code >= 400 and pattern != "/ready":
            documented(answer)
    if pattern in ("/api/v1/runs", "/api/v1/runs/{}/events") and method == "GET":
        for query in BAD_QUERIES[:9]:
            refused(client.get(f"{path}?{query}"), "invalid-parameter", "invalid-request")


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), [p for p in NAMED if p.values[1].endswith("/stream")])
def test_positions_of_streams_that_make_no_sense(client, target, method, pattern):
    path = target(pattern)
    of_a_run, of_a_chat = "/runs/" in pattern, "/ai-sdk/" in pattern
    bad = ["x", "-1", "1e400", "9223372036854775808", "0x1", "1 2", "%00", "A" * 4000]
    for name in ("after_seq", "fromSeq") if of_a_run else ("after_seq",) if of_a_chat else ("cursor",):
        for value in bad:
            refused(client.get(f"{path}?{name}={value}"), "invalid-cursor", "invalid-parameter", "invalid-request")
    for value in bad[:5]:
        answer = client.get(path, headers={"Last-Event-ID": value})
        refused(answer, "invalid-cursor", "invalid-parameter")
    query = "after_seq=0&fromSeq=0" if of_a_run else "after_seq=0&after_seq=0" if of_a_chat else "after_seq=0"
    refused(client.get(f"{path}?{query}"), "invalid-parameter", "invalid-cursor")


@pytest.mark.requirement("R130")
@pytest.mark.parametrize("pattern", ["/api/v1/runs", "/api/v1/runs/{}/events"])
def test_headers_that_make_no_sense(client, target, pattern):
    path, row = target(pattern), ROUTES["POST", pattern]
    content = json.dumps(row.good).encode()
    for key in ("", "x" * 256, "é".encode(), "a\tb", b"\xff"):
        refused(client.request("POST", path, content=content, headers={"Idempotency-Key": key}), "invalid-parameter",
                "invalid-request")  # fmt: skip


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(("method", "pattern"), NAMED)
def test_routes_that_read_no_body_do_not_mind_one(client, target, method, pattern):
    if ROUTES[method, pattern] is not None or pattern.endswith("/stream"):
        pytest.skip("reads its body, or goes on for ever")
    path = target(pattern)
    plain = client.request(method, path)
    for body in (MALFORMED["deep arrays"], MALFORMED["bad UTF-8"], b"\x00" * 1000):
        answer = client.request(method, path, content=body)
        assert answer.status_code == plain.status_code, (answer.status_code, answer.text[:300])
    documented(client.request(method, path, content=b"x" * HUGE))
