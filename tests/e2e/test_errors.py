"""Routes, methods and bodies that are refused, always in the one envelope; and keep-alive after them."""

import json

import pytest
from harness.client import assert_problem
from harness.raw import RawConnection

pytestmark = pytest.mark.any_database


@pytest.mark.requirement("R130")
@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/v1", "/api/v1/", "/api/v1/run", "/api/v1/runs/", "//api/v1/runs", "/API/v1/runs",
     "/api/v2/runs", "/api/v1/runs;x", "/api/v1/./runs", "/api/v1/%72uns/", "/api/v1/runs%2f", "/health/", "/readyz"],
)  # fmt: skip
def test_unknown_paths_are_not_found(box, client, path):
    """Sent as they are: no client library tidies them up."""
    with RawConnection(box.address) as raw:
        raw.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\n\r\n".encode())
        status, headers, body = raw.read_response()
    assert status == 404 and headers["content-type"].startswith("application/problem+json")
    assert json.loads(body)["type"] == "/problems/not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/api/v1/runs", {"GET", "POST"}), ("PUT", "/api/v1/runs", {"GET", "POST"}),
     ("POST", "/health", {"GET"}), ("PATCH", "/api/v1/runs/{run}/events", {"GET", "POST"}),
     ("POST", "/api/v1/runs/{run}/stream", {"GET"}), ("DELETE", "/api/v1/runs/{run}", {"GET"})],
)  # fmt: skip
def test_a_known_method_on_a_route_without_it(client, run_id, method, path, allowed):
    answer = client.request(method, path.format(run=run_id))
    assert_problem(answer, 405)
    listed = {word.strip() for word in answer.headers["allow"].split(",")}
    assert allowed <= listed and method not in listed


def test_unknown_methods_and_versions(box):
    for line, status in ((b"BREW / HTTP/1.1", 501), (b"GET /health HTTP/1.0", 505), (b"GET /health HTTP/2.0", 505)):
        with RawConnection(box.address) as raw:
            raw.send(line + b"\r\nHost: x\r\n\r\n")
            assert raw.read_head()[0] == status, line


def test_a_body_over_the_limit_is_refused_before_it_is_read(box, client):
    with RawConnection(box.address) as raw:
        raw.send(
            b"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
            + f"Authorization: Bearer {client.key}\r\n\r\n".encode()
        )
        assert raw.read_head()[0] == 413


def test_head_and_request_line_limits(box):
    with RawConnection(box.address) as raw:
        raw.send(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.read_head()[0] == 414
    with RawConnection(box.address) as raw:
        raw.send(b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + b"y" * 17000 + b"\r\n\r\n")
        assert raw.read_head()[0] == 431


@pytest.mark.requirement("R130")
def test_a_connection_survives_a_refused_request(box, client, run_id):
    head = f"Host: x\r\nAuthorization: Bearer {client.key}\r\n"
    bad = b'{"type":"NOPE"}'
    with RawConnection(box.address) as raw:
        for _ in range(3):
            raw.send(
                f"POST /api/v1/runs/{run_id}/events HTTP/1.1\r\n{head}Content-Length: {len(bad)}\r\n\r\n".encode() + bad
            )
            status, headers, _ = raw.read_response()
            assert status == 422 and headers.get("connection", "keep-alive") != "close"
            raw.send(f"GET /api/v1/runs/{run_id} HTTP/1.1\r\n{head}\r\n".encode())
            assert raw.read_response()[0] == 200


def test_pipelined_requests_are_answered_in_order(box, client, run_id):
    head = f"Host: x\r\nAuthorization: Bearer {client.key}\r\n"
    requests = b""
    for n in range(10):
        body = f'{{"type":"CUSTOM","payload":{{"name":"n","value":{n}}}}}'
        requests += f"POST /api/v1/runs/{run_id}/events HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    with RawConnection(box.address) as raw:
        raw.send(requests)
        for n in range(10):
            status, _, body = raw.read_response()
            assert status == 201 and f'"first_seq":{n + 2}' in body.decode().replace(" ", "")


def test_every_problem_slug_has_a_page(client, run_id):
    from harness.paths import ROOT

    pages = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))
    for slug in ("unknown-event-type", "invalid-payload", "run-closed", "run-pending", "seq-conflict",
                 "idempotency-mismatch", "cursor-beyond-head", "invalid-cursor", "busy", "outcome-unknown",
                 "not-found", "unauthenticated", "forbidden", "too-large", "malformed-json",
                 "number-out-of-range"):  # fmt: skip
        assert slug in pages, slug
