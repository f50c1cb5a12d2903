"""Metrics, health and logs; and that no secret is in any of them."""

import json
import re

import pytest
from harness.client import custom
from harness.keys import make_key, make_text
from harness.metrics import parse
from harness.paths import is_instrumented
from harness.waiting import wait_until

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")


@pytest.mark.requirement("R158", "R159", "R160", "R161", "R162", "R163")
def test_counters_count_what_they_name(box, client):
    names = ("runs_started_total", "events_persisted_total", "events_published_total", "runs_finished_total")
    box.drained()
    before = {name: box.metric(name) for name in names}
    run_id = client.new_run()
    client.append_many(run_id, [custom(n) for n in range(10)])
    client.finish(run_id)
    wanted = {"runs_started_total": 1, "events_persisted_total": 12, "events_published_total": 12, "runs_finished_total": 1}

    def counted():
        """At least ours: a run that another test has left may end by its timer meanwhile."""
        found = {name: box.metric(name) - before[name] for name in names}
        return all(found[n] >= wanted[n] for n in names) and found[names[1]] == found[names[2]]

    wait_until(counted, "the counters")
    assert box.metric("outbox_lag_ms") == 0


@pytest.mark.requirement("R158")
def test_metrics_are_well_formed(box):
    text = box.metrics()
    samples = parse(text)
    declared = set(re.findall(r"^# TYPE (\S+) (?:counter|gauge|histogram)$", text, re.M))
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.M))
    assert declared and declared == helped
    for name, labels, value in samples:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in declared or base in declared, name
        assert name.startswith("signalbox_") and "actor" in labels and value >= 0
    actors = {labels["actor"] for _, labels, _ in samples}
    assert {a["name"] for a in box.actors()} <= actors
    for name in {n for n, _, _ in samples if n.endswith("_bucket")}:
        for actor in actors:
            rows = [(labels["le"], v) for n, labels, v in samples if n == name and labels["actor"] == actor]
            counts = [v for _, v in rows]
            assert counts == sorted(counts) and (not rows or rows[-1][0] == "+Inf")


@pytest.mark.requirement("R167")
def test_health_and_ready_name_their_parts(client):
    for path in ("/health", "/ready"):
        answer = client.get(path, auth=False)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
        assert isinstance(answer.json(), dict)


@pytest.mark.requirement("R155", "R157")
def test_log_lines_are_json_with_the_common_fields(box):
    records = box.log.records(whole=True)
    assert len(records) > 10
    for record in records:
        assert record["level"] in ("debug", "info", "warn", "error"), record
        assert TIME.match(record["ts"]) and record["actor"] and record["message"], record
    assert not [line for line in box.log.lines(whole=True) if line.strip() and not line.startswith("{")]


@pytest.mark.requirement("R154", "R164", "R165", "R166")
def test_log_hooks_carry_their_ids(own_box):
    box = own_box({"log.level": "debug"})
    client = box.client()
    run_id = client.new_run()
    client.append_many(run_id, [custom(n) for n in range(3)])
    box.drained()

    def about_the_run():
        return [r for r in box.log.records() if r.get("run_id") == run_id]

    wait_until(lambda: any("seq" in json.dumps(list(r)) for r in about_the_run()), "a line about the append")
    assert any(r.get("tenant_id") for r in about_the_run())


@pytest.mark.requirement("R170")
def test_no_secret_reaches_the_logs(own_box):
    """Keys, wrong keys, payloads and headers with canaries go in; none comes out in any line."""
    canary = "canary7f3a9c51"
    box = own_box({"log.level": "debug"})
    client = box.client()
    run_id = client.new_run(metadata={"m": canary + "-metadata"})
    wrong = make_text()[0]
    for key in (client.key, make_key(box), wrong, "sbx_" + canary, wrong[:-2]):
        box.client(key).get("/api/v1/runs")
        box.client(key).get(f"/api/v1/runs?key={key}&token={canary}-query")
    client.append(run_id, "CUSTOM", custom(canary + "-payload")["payload"], key="k")
    client.post_events(run_id, text='{"type":"CUSTOM","payload":{"' + canary + '-broken')
    client.get("/api/v1/runs", headers={"Cookie": f"session={canary}-cookie", "X-Api-Key": canary + "-header"})
    with box.stream(run_id) as stream:
        stream.take(2)
    for name in ("sequencer-1", "api-1", "streamer-1"):
        box.kill_and_wait(name)
    box.verify()
    pepper, key = box.settings["auth.pepper"], client.key
    box.stop()
    written = box.log.text(whole=True)
    assert canary not in written
    assert pepper not in written
    for secret in (key, wrong, key.split("_")[2], wrong.split("_")[2]):
        assert secret not in written


@pytest.mark.requirement("R170", "R177")
def test_no_secret_in_arguments_or_environments(box):
    box.remember()
    secrets = [box.api_key.split("_")[2], box.settings["auth.pepper"]]
    supervisor_and_up = {box.process.pid, box.status()["supervisor"]["pid"]}
    for process in box.known.values():
        if not process.alive():
            continue
        with open(f"/proc/{process.pid}/cmdline", "rb") as arguments:
            text = arguments.read().decode("utf-8", "replace")
        if process.pid not in supervisor_and_up:
            with open(f"/proc/{process.pid}/environ", "rb") as environment:
                text += environment.read().decode("utf-8", "replace")
        assert not [secret for secret in secrets if secret in text], process


@pytest.mark.requirement("R145")
def test_an_idle_server_is_small_and_quiet(own_box):
    from harness.processes import resident_kib

    box = own_box()
    pids = [a["pid"] for a in box.actors()] + [box.status()["supervisor"]["pid"]]
    assert sum(resident_kib(pid) for pid in pids) < 40 * 1024 or is_instrumented()
