"""`signalbox doctor`: each runbook's steps, their verdicts, and that pages and program say the same."""

import json
import re
import signal
import socket
import threading

import pytest
from harness.client import custom, random_id
from harness.paths import ROOT
from harness.waiting import wait_until

BOOKS = {"run-stuck": True, "rebuild-stream": True, "reconnect-rate": False}
VERDICTS = {"ok", "problem", "unknown"}


def examine(box, *arguments, code=None):
    """The document of one look; its exit code must fit what it says."""
    result = box.command("doctor", *arguments, "--json", check=False, timeout=90)
    assert result.returncode in (0, 1), (arguments, result.returncode, result.stderr)
    document = json.loads(result.stdout)
    problems = [step for step in document["steps"] if step["verdict"] == "problem"]
    assert result.returncode == (1 if problems else 0), document
    assert document["verdict"] == ("problem" if problems else "ok")
    assert [step["step"] for step in document["steps"]] == list(range(1, len(document["steps"]) + 1))
    for step in document["steps"]:
        assert step["verdict"] in VERDICTS and step["title"] and step["seen"], step
        assert step["verdict"] != "problem" or step["todo"], step
    if code is not None:
        assert result.returncode == code, document
    return document


def verdicts(document):
    return [step["verdict"] for step in document["steps"]]


def page_titles(book):
    """The bold beginnings of the numbered steps of a page."""
    text = (ROOT / f"docs/runbooks/{book}.md").read_text(encoding="utf-8")
    return [re.sub(r"[.:]$", "", title) for title in re.findall(r"^\*\*\d+\. (.+?)\*\*", text, re.M)]


@pytest.mark.requirement("R236", "R237")
@pytest.mark.parametrize("book", BOOKS)
def test_pages_and_program_have_the_same_steps(box, client, run_id, book):
    document = examine(box, book, *([run_id] if BOOKS[book] else []))
    assert document["runbook"] == book and document["run_id"] == (run_id if BOOKS[book] else None)
    titles = [re.sub(r"[.:]$", "", step["title"]) for step in document["steps"]]
    assert titles == [re.sub(r" \(.*\)$", "", title) for title in page_titles(book)]


@pytest.mark.requirement("R236")
def test_a_healthy_run_has_nothing_to_complain_of(box, client, run_id):
    client.append_many(run_id, [custom(n) for n in range(20)])
    for _ in range(2):  # live, then ended
        assert set(verdicts(examine(box, "run-stuck", run_id, code=0))) == {"ok"}
        document = examine(box, "rebuild-stream", run_id, code=0)
        assert set(verdicts(document)) == {"ok"}
        assert f"seq 1 to {client.run(run_id)['last_seq']}" in document["steps"][1]["seen"]
        if client.run(run_id)["status"] == "running":
            client.finish(run_id)
    assert "RUN_FINISHED" in document["steps"][3]["seen"]
    assert set(verdicts(examine(box, "rebuild-stream", run_id, "--after-seq", "22", code=0))) == {"ok"}
    text = box.command("doctor", "run-stuck", run_id).stdout
    assert re.findall(r"^(\d)\. ", text, re.M) == ["1", "2", "3", "4", "5"] and "nothing to recover" in text


def test_the_first_look_lists_the_runbooks(box):
    document = examine(box, code=0)
    assert set(verdicts(document)) == {"ok"} and document["runbooks"] == list(BOOKS)
    text = box.command("doctor").stdout
    assert all(f"signalbox doctor {book}" in text for book in BOOKS)


def test_exit_codes(box, own_box):
    idle = own_box(started=False)
    for arguments in ([], ["run-stuck", random_id()], ["reconnect-rate"]):
        assert idle.command("doctor", *arguments, check=False).returncode == 3, arguments
    for book in ("run-stuck", "rebuild-stream"):
        assert box.command("doctor", book, random_id(), check=False).returncode == 4
        assert box.command("doctor", book, "no-id", check=False).returncode == 4
        assert box.command("doctor", book, check=False).returncode == 2
    for wrong in (["nonsense"], ["reconnect-rate", random_id()], ["--after-seq", "x"], ["run-stuck", "a", "b"]):
        assert box.command("doctor", *wrong, check=False).returncode == 2, wrong


@pytest.mark.requirement("R236", "R237")
def test_a_stopped_sequencer_is_found_and_named(own_box):
    """Committed and never published: the cursor is taken back as only the owner can, and the sequencer is stopped."""
    box = own_box({"watchdog.warn_ms": 2500, "watchdog.abort_ms": 120000})
    client = box.client()
    run_id = client.new_run()
    client.append_many(run_id, [custom(n) for n in range(5)])
    later = client.create_run(delay_ms=3_600_000)["id"]
    step = examine(box, "run-stuck", later, code=0)["steps"][0]
    assert "pending" in step["seen"] and "start time" in step["todo"]
    box.drained()
    sequencer = box.process_of("sequencer-1")
    sequencer.signal(signal.SIGSTOP)
    sequencer.wait_stopped()
    try:
        box.database().execute("update outbox_cursors set position = position - 3 where sink = 'bus'")
        wait_until(lambda: not box.actor("sequencer-1")["healthy"], "the watchdog to see it")
        document = examine(box, "run-stuck", run_id, code=1)
        assert verdicts(document) == ["problem", "ok", "problem", "problem", "problem"]
        assert "published to 3" in document["steps"][0]["seen"] and "3 events" in document["steps"][2]["seen"]
        assert "sequencer-1" in document["steps"][3]["seen"]
        assert "restart sequencer" in document["steps"][4]["todo"]
        assert verdicts(examine(box, code=1))[0] == "problem"
        box.database().execute("update runs set wake_at = now() - interval '1 minute' where run_id = %s", later)
        document = examine(box, "run-stuck", later, code=1)
        assert "was due 6" in document["steps"][0]["seen"] and "restart sequencer" in document["steps"][4]["todo"]
    finally:
        sequencer.signal(signal.SIGCONT)
    box.all_healthy()
    box.command("restart", "sequencer")
    box.all_healthy()
    box.drained()
    examine(box, "run-stuck", run_id, code=0)
    wait_until(lambda: client.run(later)["status"] == "running", "the start of the run that was due")


@pytest.mark.requirement("R237")
def test_a_missing_row_is_found_and_no_restart_is_advised(own_box):
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    client.append_many(run_id, [custom(n) for n in range(5)])
    box.drained()
    saved = box.database().rows("select * from run_events where run_id = %s and seq = 3", run_id)
    box.database().execute("create table kept as select * from run_events where run_id = %s and seq = 3", run_id)
    box.database().execute("delete from run_events where run_id = %s and seq = 3", run_id)
    document = examine(box, "run-stuck", run_id, code=1)
    assert len(saved) == 1 and verdicts(document)[1] == "problem" and "seq 4" in document["steps"][1]["seen"]
    assert "restart" not in document["steps"][4]["todo"] and verdicts(document)[4] == "problem"
    box.allow_error("missing in the log")
    rebuilt = examine(box, "rebuild-stream", run_id, code=1)
    assert "problem" in verdicts(rebuilt)
    box.database().execute("insert into run_events select * from kept")
    box.database().execute("drop table kept")
    examine(box, "run-stuck", run_id, code=0)


def test_errors_in_a_log_are_shown(box, run_id, tmp_path):
    log = tmp_path / "log"
    line = {"ts": "2026-01-01T00:00:00.000000Z", "level": "info", "actor": "api-1", "message": "up"}
    log.write_text(json.dumps(line) + "\nnot json\n", encoding="utf-8")
    step = examine(box, "run-stuck", run_id, "--log", log, code=0)["steps"][3]
    assert step["verdict"] == "ok" and "no ERROR line" in step["seen"]
    log.write_text(json.dumps(line | {"level": "error", "message": "disk full"}) + "\n", encoding="utf-8")
    step = examine(box, "run-stuck", run_id, "--log", log, code=1)["steps"][3]
    assert step["verdict"] == "problem" and "api-1: disk full" in step["seen"]
    step = examine(box, "run-stuck", run_id, "--log", tmp_path / "none", code=0)["steps"][3]
    assert step["verdict"] == "unknown"


def test_a_position_beyond_the_head_is_a_problem(box, run_id):
    document = examine(box, "rebuild-stream", run_id, "--after-seq", "7", code=1)
    assert "reset" in document["steps"][1]["seen"] and "begin at 0" in document["steps"][1]["todo"]


class Proxy:
    """Passes a connection on; what comes back is held when told so."""

    def __init__(self, target, hold):
        self.target, self.hold = target, hold
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                self.sockets += [client, server]
                threading.Thread(target=self.copy, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self.copy, args=(server, client, self.hold), daemon=True).start()
        except OSError:
            return

    def copy(self, source, sink, hold):
        try:
            while data := source.recv(65536):
                if not hold:
                    sink.sendall(data)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.sockets:
            each.close()


@pytest.mark.requirement("R236")
def test_a_buffering_proxy_is_told_from_a_passing_one(box, run_id):
    document = examine(box, "reconnect-rate", code=0)
    assert verdicts(document) == ["ok", "ok", "ok"]
    assert 200 <= int(re.search(r"every (\d+) ms", document["steps"][1]["seen"])[1]) <= 2000
    with Proxy(box.address, hold=False) as proxy:
        step = examine(box, "reconnect-rate", "--through", proxy.address, code=0)["steps"][0]
        assert step["verdict"] == "ok" and proxy.address in step["seen"]
    with Proxy(box.address, hold=True) as proxy:
        step = examine(box, "reconnect-rate", "--through", proxy.address, code=1)["steps"][0]
        assert step["verdict"] == "problem" and "proxy_buffering" in step["todo"]


@pytest.mark.requirement("R236")
def test_a_reconnecting_client_shows(box, run_id):
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            with box.stream(run_id) as stream:
                stream.take(1)

    storm = threading.Thread(target=come_and_go)
    storm.start()
    try:
        step = examine(box, "reconnect-rate", code=1)["steps"][2]
    finally:
        stop.set()
        storm.join()
    assert step["verdict"] == "problem" and "opened in 3 s" in step["seen"]
