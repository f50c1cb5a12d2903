"""A plain HTTP client of the public interface, as a user's program would use it."""

import json
import uuid

import httpx

from harness.rawjson import elements, members

PROBLEM = "application/problem+json"


class Client:
    """One tenant's key against one server. The server may move to another port; `locate` tells where."""

    def __init__(self, locate, key):
        self.locate = locate
        self.key = key
        self.http = httpx.Client(timeout=15, trust_env=False)

    def close(self):
        self.http.close()

    def request(self, method, path, *, auth=True, headers=None, **options):
        sent = dict(headers or {})
        if auth:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        return self.http.request(method, self.locate() + path, headers=sent, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, *, text=None, headers=None, **options):
        """body is sent as compact JSON; text goes out as it is."""
        sent = {"Content-Type": "application/json"} | (headers or {})
        content = text if text is not None else json.dumps(body if body is not None else {})
        return self.request("POST", path, content=content, headers=sent, **options)

    # Runs.

    def create_run(self, run_id=None, key=None, **fields) -> dict:
        if run_id is not None:
            fields["id"] = run_id
        answer = self.post("/api/v1/runs", fields, headers=idempotency(key))
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return answer.json()

    def new_run(self, **fields) -> str:
        return self.create_run(**fields)["id"]

    def run(self, run_id) -> dict:
        answer = self.get(f"/api/v1/runs/{run_id}")
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    # Events.

    def post_events(self, run_id, body=None, *, text=None, key=None, **options):
        return self.post(f"/api/v1/runs/{run_id}/events", body, text=text, headers=idempotency(key), **options)

    def append(self, run_id, type, payload=None, key=None, **more) -> dict:
        body = {"type": type} | ({} if payload is None else {"payload": payload}) | more
        answer = self.post_events(run_id, body, key=key)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return answer.json()

    def append_many(self, run_id, events, key=None, **more) -> dict:
        answer = self.post_events(run_id, {"events": events} | more, key=key)
        assert answer.status_code == 201, (answer.status_code, answer.text)
        return answer.json()

    def finish(self, run_id) -> dict:
        return self.append(run_id, "RUN_FINISHED", {})

    def page(self, run_id, after_seq=None, limit=None):
        asked = {k: v for k, v in (("after_seq", after_seq), ("limit", limit)) if v is not None}
        answer = self.get(f"/api/v1/runs/{run_id}/events", params=asked)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer

    def log(self, run_id) -> list:
        """The whole log by pages: [(seq, type, raw payload text)]."""
        found, after = [], 0
        while True:
            events = raw_events(self.page(run_id, after_seq=after, limit=1000).text)
            if not events:
                return found
            found += events
            after = events[-1][0]


def raw_events(page_text) -> list:
    """[(seq, type, payload text as sent)] of one JSON page."""
    found = []
    for event in elements(members(page_text)["events"]):
        parts = members(event)
        found.append((json.loads(parts["seq"]), json.loads(parts["type"]), parts["payload"]))
    return found


def idempotency(key) -> dict:
    return {} if key is None else {"Idempotency-Key": key}


def custom(value, name="test") -> dict:
    return {"type": "CUSTOM", "payload": {"name": name, "value": value}}


def random_id() -> str:
    return str(uuid.uuid4())


def assert_problem(answer, status, slug=None):
    """The one error envelope (R130). Returns the document."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"].split(";")[0] == PROBLEM, answer.headers
    document = answer.json()
    assert document["status"] == status and document["title"], document
    if slug is not None:
        assert document["type"] == f"/problems/{slug}", document
    return document
