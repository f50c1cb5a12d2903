"""What operators watch: /ready with its reasons, /metrics of every actor, alerts and dashboard that name only what exists."""

import json
import re
import shutil
import signal
import subprocess

import pytest
from harness.client import custom
from harness.metrics import parse
from harness.paths import ROOT
from harness.processes import family
from harness.waiting import wait_until

PROMTOOL = shutil.which("promtool")
# Names that are fixed elsewhere (R163) or say their unit on purpose; promtool wants base units.
UNIT_IN_NAME = {"signalbox_outbox_lag_ms", "signalbox_loop_delay_us", "signalbox_jobs_oldest_ms", "signalbox_oldest_transaction_ms"}
RULES = ROOT / "ops/prometheus/signalbox.rules.yml"
DASHBOARD = ROOT / "ops/grafana/signalbox.json"
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool")


def samples(box, name):
    return {labels["actor"]: value for found, labels, value in parse(box.metrics()) if found == f"signalbox_{name}"}


@needs_promtool
@pytest.mark.requirement("R158")
def test_promtool_has_nothing_against_our_metrics(box):
    result = subprocess.run([PROMTOOL, "check", "metrics"], input=box.metrics(), capture_output=True, text=True, timeout=30)
    complaints = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    assert result.returncode in (0, 3), complaints
    assert {line.split()[0] for line in complaints} <= UNIT_IN_NAME, complaints


@needs_promtool
def test_promtool_accepts_the_alerts():
    subprocess.run([PROMTOOL, "check", "rules", str(RULES)], check=True, capture_output=True, timeout=30)


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then():
    cases = RULES.with_name("signalbox.rules.test.yml")
    done = subprocess.run([PROMTOOL, "test", "rules", str(cases)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def named(text):
    return set(re.findall(r"\bsignalbox_[a-z_]+\b", text))


def test_alerts_and_dashboard_name_metrics_that_exist(box):
    there = {name for name, _, _ in parse(box.metrics())}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(asked) > 20 and len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert named(" ".join(asked)) <= there
    assert named("\n".join(re.findall(r"expr: (.*)", RULES.read_text(encoding="utf-8")))) <= there
    rules = RULES.read_text(encoding="utf-8")
    assert rules.count("alert:") == rules.count("summary:") == rules.count("action:") >= 10


@pytest.mark.requirement("R158", "R161", "R162")
def test_one_scrape_shows_every_actor_and_what_it_did(box, client, run_id):
    names = {actor["name"] for actor in box.actors()}
    with box.stream(run_id) as stream:
        stream.take(1)
        before = {name: sum(samples(box, name).values()) for name in
                  ("batch_events_count", "batch_events_sum", "batch_commands_sum", "event_delivery_seconds_count",
                   "commit_seconds_count", "http_request_seconds_count")}  # fmt: skip
        client.append_many(run_id, [custom(n) for n in range(30)])
        stream.take(30)
        grown = wait_until(lambda: deltas(box, before), "every histogram to grow")
        assert sum(samples(box, "streams").values()) >= 1
    assert grown["batch_events_sum"] == 30 and grown["batch_commands_sum"] == 1
    for metric in ("queue_depth", "in_flight", "loop_delay_us", "actor_restarts_total", "actor_ready", "actor_healthy"):
        assert names <= set(samples(box, metric)), metric
    assert all(samples(box, "actor_healthy")[name] == 1 for name in names)
    bounds = [labels["le"] for name, labels, _ in parse(box.metrics()) if name == "signalbox_batch_events_bucket"]
    assert {"1", "100", "10000", "+Inf"} <= set(bounds)


def deltas(box, before):
    now = {name: sum(samples(box, name).values()) - value for name, value in before.items()}
    return now if all(value > 0 for value in now.values()) else None


@pytest.mark.requirement("R158")
def test_tokens_are_counted_once(box, client, run_id):
    names = ("tokens_input_total", "tokens_output_total", "cost_micros_total")

    def sums():
        return [sum(samples(box, name).values()) for name in names]

    def usage(**numbers):
        return {"type": "USAGE_RECORDED", "payload": {"model": "m"} | numbers}

    before = sums()
    for _ in range(2):  # the second time is a repetition
        client.append_many(run_id, [usage(input_tokens=10, output_tokens=20, cost_micros=1234), custom(1),
                                    usage(input_tokens=5, output_tokens=1, cost_micros=None)], key="usage")
    refused = client.post_events(run_id, {"events": [usage(input_tokens=7, output_tokens=7, cost_micros=7), {"type": "NONSENSE"}]})
    assert refused.status_code == 422
    lines = "".join(json.dumps(usage(input_tokens=100, output_tokens=0, cost_micros=1)) + "\n" for _ in range(3))
    answer = client.post(f"/api/v1/runs/{run_id}/events", text=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 201, answer.text
    assert [now - then for now, then in zip(sums(), before)] == [315, 21, 1237]


def test_restarts_are_counted_by_actor_and_outlive_the_process(box):
    before = samples(box, "actor_restarts_total")
    box.kill_and_wait("job-runner-1")
    after = samples(box, "actor_restarts_total")
    assert after["job-runner-1"] == before["job-runner-1"] + 1
    assert {name: value for name, value in after.items() if name != "job-runner-1"} == {
        name: value for name, value in before.items() if name != "job-runner-1"
    }


@pytest.mark.requirement("R167")
def test_ready_names_actors_and_reasons(own_box):
    box = own_box({"watchdog.warn_ms": 2500, "watchdog.abort_ms": 120000})
    client = box.client()

    def ready():
        answer = client.get("/ready", auth=False)
        return answer.status_code, answer.json()

    status, document = ready()
    assert status == 200 and document["status"] == "ready" and document["reasons"] == []
    assert document["checks"] == {"database": True, "sequencer": True, "redis": True}
    assert document["actors"] == {actor["name"]: True for actor in box.actors()}

    # One that the others can do without: a reason, and still ready.
    exporter = box.process_of("exporter-1")
    exporter.signal(signal.SIGSTOP)
    wait_until(lambda: ready()[1]["reasons"], "a reason")
    status, document = ready()
    assert status == 200 and document["actors"]["exporter-1"] is False and "exporter-1" in document["reasons"][0]
    exporter.signal(signal.SIGCONT)
    wait_until(lambda: not ready()[1]["reasons"], "no reason any more")

    # The writer: not ready, and it is said why.
    sequencer = box.process_of("sequencer-1")
    sequencer.signal(signal.SIGSTOP)
    wait_until(lambda: ready()[0] == 503, "503", 30)
    status, document = ready()
    assert document["status"] == "not ready" and document["checks"]["sequencer"] is False
    assert any("sequencer" in reason for reason in document["reasons"])
    sequencer.signal(signal.SIGCONT)
    box.all_healthy()
    assert client.get("/health", auth=False).status_code == 200


@pytest.mark.requirement("R167")
def test_ready_says_that_the_database_is_away(own_box):
    box = own_box()
    box.allow_error("")
    client = box.client()
    stopped = family(box.service("postgres")["pid"])
    for process in stopped:
        process.signal(signal.SIGSTOP)
    try:
        answer = wait_until(lambda: not_ready(client), "503 while the database does not answer", 20)
    finally:
        for process in stopped:
            process.signal(signal.SIGCONT)
    assert answer["checks"]["database"] is False and any("database" in reason for reason in answer["reasons"])
    assert client.get("/health", auth=False).status_code == 200
    box.all_healthy(60)


def not_ready(client):
    answer = client.get("/ready", auth=False)
    return answer.json() if answer.status_code == 503 else None
