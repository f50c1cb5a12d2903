"""The client code in docs/streams.md does what the page says, as it stands there."""

import json
import re
import subprocess
import sys
import threading

import pytest
from harness.client import custom
from harness.paths import ROOT

SAMPLES = dict(re.findall(r"```(sh|python)\n(.*?)```", (ROOT / "docs/streams.md").read_text(), re.DOTALL))


@pytest.fixture
def sample(box, client, tmp_path):
    def run(name, run_id):
        text = SAMPLES[name].replace("http://127.0.0.1:8080", client.locate())
        key = tmp_path / "api-key"
        key.write_text(client.key + "\n")
        if name == "python":
            arguments = [sys.executable, "-c", f"key, run = {client.key!r}, {run_id!r}\n" + text]
        else:
            arguments = ["bash", "-ec", f"RUN={run_id}\n" + text.replace("var/api-key", str(key))]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def live_run(client, run_id):
    """Ends while it is being read."""
    client.append_many(run_id, [custom(n) for n in range(20)])

    def write():
        client.append_many(run_id, [custom(n) for n in range(20)])
        client.finish(run_id)

    timer = threading.Timer(0.5, write)
    timer.start()
    yield run_id
    timer.join()


def test_the_python_of_the_page(client, sample, live_run):
    printed = [tuple(line.split(" ")) for line in sample("python", live_run).splitlines()]
    assert printed == [(str(seq), kind) for seq, kind, _ in client.log(live_run)]


def test_the_shell_of_the_page(client, sample, live_run, tmp_path):
    sample("sh", live_run)
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(e["seq"], e["type"]) for e in lines] == [(seq, kind) for seq, kind, _ in client.log(live_run)]
