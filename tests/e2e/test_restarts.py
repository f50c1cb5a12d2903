"""Deaths, rolling restarts, stop: what the supervisor does, seen from outside, and what clients see of it."""

import http.client
import os
import signal
import subprocess
import threading
import time

import httpx
import pytest
from harness.client import custom
from harness.processes import Process
from harness.sse import Follower
from harness.waiting import wait_until

SINGLES = ("sequencer-1", "job-runner-1", "exporter-1", "streamer-1", "api-1")


@pytest.fixture(scope="module")
def sturdy():
    """A Signalbox that the tests of this file may shoot at; its actors are never throttled."""
    from harness.server import Server

    server = Server({"restart.late_deaths": 1000, "restart.total_deaths": 10000, "stream.ping_ms": 500,
                     "restart.early_deaths": 1000})  # fmt: skip
    try:
        server.start()
        yield server
        server.begin()
    finally:
        server.close()


@pytest.fixture
def shot(sturdy):
    sturdy.begin()
    yield sturdy
    sturdy.verify()


def append_until_acked(client, run_id, value, key):
    """As a careful client does it: the same key again until there is a definite answer."""

    def once():
        try:
            answer = client.post_events(run_id, custom(value), key=key)
        except httpx.TransportError:
            return None
        assert answer.status_code in (201, 503), answer.text
        return answer.json() if answer.status_code == 201 else None

    return wait_until(once, "a definite answer", 15)


@pytest.mark.requirement("I1", "I2", "I5", "I9", "I16")
@pytest.mark.parametrize("name", SINGLES)
def test_a_killed_actor_is_replaced_and_nothing_is_lost(shot, name):
    client = shot.client()
    run_id = client.new_run()
    shot.settled(name)
    reader = Follower(shot, run_id)
    reader.start()
    try:
        for n in range(20):
            if n == 10:
                before = shot.kill(name)
            got = append_until_acked(client, run_id, n, f"k{n}")
            assert got["first_seq"] == n + 2
        after = shot.actor_ready(name, before["generation"])
        assert after["restarts"] == before["restarts"] + 1 and after["pid"] != before["pid"]
        assert after["planned_restarts"] == before["planned_restarts"]
        client.finish(run_id)
        assert reader.wait_complete() == client.log(run_id)
    finally:
        reader.stop()


@pytest.mark.requirement("I16")
def test_a_killed_api_refuses_no_connection(shot):
    """The listener belongs to the supervisor: with one api left, or none for a moment, connections wait."""
    client = shot.client()
    for name in ("api-1", "api-2"):
        shot.settled(name)
    for name in ("api-1", "api-2"):
        shot.kill(name)
    answer = None
    for _ in range(5):
        try:
            answer = client.get("/health", auth=False)
            break
        except httpx.ConnectError as error:
            raise AssertionError("refused") from error
        except httpx.TransportError:
            continue  # the connection was in the hands of the dead one
    assert answer is not None and answer.status_code == 200


@pytest.mark.requirement("I5")
def test_killing_or_restarting_the_api_drops_no_stream(shot):
    client = shot.client()
    run_id = client.new_run()
    streams = [shot.stream(run_id) for _ in range(10)]
    try:
        for stream in streams:
            stream.take(1)
        shot.kill_and_wait("api-1")
        shot.kill_and_wait("api-2")
        shot.command("restart", "api")
        append_until_acked(client, run_id, 1, "k")
        for stream in streams:
            assert stream.next_event().seq == 2
    finally:
        for stream in streams:
            stream.close()


@pytest.mark.requirement("R055", "I5")
def test_a_killed_streamer_breaks_its_streams_off(shot):
    client = shot.client()
    run_id = client.new_run()
    streams = [shot.stream(run_id) for _ in range(8)]
    try:
        for stream in streams:
            stream.take(1)
        for name in ("streamer-1", "streamer-2"):
            shot.kill_and_wait(name)
        for stream in streams:
            assert stream.wait_broken() == []
        append_until_acked(client, run_id, 1, "k")
        with shot.stream(run_id, headers={"Last-Event-ID": "1"}) as again:
            assert again.next_event().seq == 2
    finally:
        for stream in streams:
            stream.close()


@pytest.mark.requirement("I5")
@pytest.mark.parametrize("actor", ["api", "streamer", "sequencer", "job-runner", "exporter"])
def test_a_rolling_restart_keeps_streams_open_and_loses_nothing(shot, actor):
    client = shot.client()
    run_id = client.new_run()
    before = {a["name"]: a for a in shot.actors(actor)}
    with shot.stream(run_id) as one, shot.stream(run_id) as two:
        one.take(1), two.take(1)
        restart = shot.spawn("restart", actor)
        sent = 0
        while restart.poll() is None or sent < 10:
            assert append_until_acked(client, run_id, sent, f"k{sent}")["first_seq"] == sent + 2
            sent += 1
        out, err = restart.communicate()
        assert restart.returncode == 0, out + err
        append_until_acked(client, run_id, sent, "last")
        for stream in (one, two):
            assert [seq for seq, _, _ in stream.take(sent + 1, 10)] == list(range(2, sent + 3))
    for name, old in before.items():
        new = shot.actor(name)
        assert new["generation"] > old["generation"] and new["pid"] != old["pid"]
        assert new["restarts"] == old["restarts"] and new["planned_restarts"] == old["planned_restarts"] + 1


def test_restarting_one_instance_leaves_its_sibling_alone(shot):
    before = {a["name"]: a for a in shot.actors("api")}
    shot.command("restart", "api-2")
    assert shot.actor("api-1")["pid"] == before["api-1"]["pid"]
    assert shot.actor("api-2")["pid"] != before["api-2"]["pid"]


@pytest.mark.requirement("R034")
def test_a_draining_sequencer_that_loses_the_database_leaves_the_shard_alone(shot):
    """Its batch waits for a lock when the connection goes: it ends without taking an epoch its successor needs."""
    client = shot.client()
    run_id = client.new_run()
    database = shot.database()
    before = database.value("select epoch from shards")
    generation = shot.actor("sequencer-1")["generation"]
    answers = []
    with database.connect(autocommit=False) as blocker:
        blocker.execute("lock table run_events in exclusive mode")
        sender = threading.Thread(target=lambda: answers.append(client.append(run_id, "CUSTOM", custom(1)["payload"])))
        sender.start()
        waits = "select count(*) from pg_locks where not granted and relation = 'run_events'::regclass"
        wait_until(lambda: database.value(waits) > 0, "the batch waits")
        restart = shot.spawn("restart", "sequencer")
        wait_until(lambda: shot.actor("sequencer-1")["generation"] != generation
                   or shot.actor("sequencer-1")["state"] == "draining", "the old one drains")  # fmt: skip
        database.rows("select pg_terminate_backend(pid) from pg_locks where not granted and relation = 'run_events'::regclass",
                      role="sequencer")  # fmt: skip
        assert restart.wait(20) == 0
    sender.join()
    assert answers[0]["first_seq"] == 2
    assert database.value("select epoch from shards") == before + 1
    assert sum(record.get("message") == "epoch taken" for record in shot.log.records()) == 1


@pytest.mark.requirement("R034")
def test_what_the_predecessor_had_not_published_is_no_obstacle(shot):
    """Publishing is a hint: a successor that cannot read the log's tail in time serves all the same."""
    database = shot.database()
    shot.settled("sequencer-1")
    with database.connect(autocommit=False) as blocker:
        blocker.execute("lock table run_events in access exclusive mode")
        before = shot.kill("sequencer-1")
        shot.actor_ready("sequencer-1", before["generation"])
        served = lambda: any(r.get("message") == "serving" for r in shot.log.records())  # noqa: E731
        wait_until(served, "the successor serves", 6)
        blocker.rollback()
    client = shot.client()
    assert client.append(client.new_run(), "CUSTOM", custom(1)["payload"])["first_seq"] == 2


def test_unknown_actors_cannot_be_restarted(shot):
    result = shot.command("restart", "signaller", check=False)
    assert result.returncode == 4, result.stderr
    assert result.stderr.strip()


@pytest.mark.requirement("I10", "I16")
def test_the_sequencer_dies_many_times(shot):
    client = shot.client()
    run_id = client.new_run()
    reader = Follower(shot, run_id)
    reader.start()
    try:
        for n in range(6):
            shot.settled("sequencer-1")
            generation = shot.kill("sequencer-1")["generation"]
            for i in range(5):
                append_until_acked(client, run_id, [n, i], f"{n}-{i}")
            shot.actor_ready("sequencer-1", generation)
        client.finish(run_id)
        log = client.log(run_id)
        assert len(log) == 32 and reader.wait_complete() == log
    finally:
        reader.stop()


@pytest.mark.requirement("I16")
def test_a_new_sequencer_asks_for_what_is_in_flight(own_box):
    """With a retry timer of ten seconds the answer can only be so quick because the successor asks at once."""
    box = own_box({"command.retry_ms": 10_000, "command.timeout_ms": 20_000})
    client = box.client()
    run_id = client.new_run()
    for n in range(3):
        box.settled("sequencer-1")
        box.kill("sequencer-1")
        begin = time.monotonic()
        client.append(run_id, "CUSTOM", custom(n)["payload"])
        assert time.monotonic() - begin < 5


@pytest.mark.requirement("R013")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGQUIT])
def test_the_database_may_go_and_come(shot, number):
    """Nobody dies of it; appends wait or are told to try again; everything is there afterwards."""
    shot.allow_error("database|postgres|connection")
    client = shot.client()
    run_id = client.new_run()
    append_until_acked(client, run_id, 0, "k0")
    pids = {a["name"]: a["pid"] for a in shot.actors()}
    postgres = shot.process_of("postgres")
    with shot.stream(run_id) as stream:
        stream.take(2)
        assert postgres.signal(number)
        append_until_acked(client, run_id, 1, "k1")
        shot.all_healthy()
        assert stream.next_event(10).seq == 3
    assert {a["name"]: a["pid"] for a in shot.actors()} == pids
    assert client.run(run_id)["last_seq"] == 3


@pytest.mark.requirement("R167")
def test_ready_tells_when_the_database_is_away(shot):
    shot.allow_error("database|postgres|connection")
    client = shot.client()
    postgres = shot.process_of("postgres")
    assert postgres.signal(signal.SIGSTOP)
    postgres.signal(signal.SIGCONT)
    postgres.signal(signal.SIGKILL)

    def away():
        try:
            return client.get("/ready", auth=False).status_code == 503
        except httpx.TransportError:
            return False

    wait_until(away, "/ready to say no", 10)
    assert client.get("/health", auth=False).status_code == 200
    shot.all_healthy()


def test_redis_may_go_and_come(shot):
    shot.allow_error("redis")
    client = shot.client()
    run_id = client.new_run()
    redis = shot.process_of("redis")
    assert redis.kill()
    append_until_acked(client, run_id, 0, "k0")
    wait_until(lambda: shot.service("redis")["pid"] not in (redis.pid, None, 0), "a new Redis")
    shot.all_healthy()


def test_a_killed_supervisor_takes_everyone_with_it_and_up_starts_again(own_box):
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    for n in range(20):
        client.append(run_id, "CUSTOM", custom(n)["payload"])
    box.remember()
    family = [p for p in box.known.values() if p.pid != os.getpid()]
    assert box.process_of("supervisor").kill()
    box.process.wait(10)
    box.launch()
    box.wait_ready()
    box.reset_counters()
    old = [p for p in family if p.alive()]
    assert not old, f"two generations: {old}"
    assert len(client.log(run_id)) == 21
    append_until_acked(client, run_id, 20, "k")
    client.finish(run_id)
    assert box.stream_complete(run_id) == client.log(run_id)


def test_a_clean_stop_leaves_nothing_and_the_data_stay(own_box):
    box = own_box()
    client = box.client()
    run_id = client.new_run()
    client.append(run_id, "CUSTOM", custom(1)["payload"])
    with box.stream(run_id) as stream:
        stream.take(2)
        box.verify()
        assert box.stop() == 0
        assert stream.wait_broken() == []
    assert box.command("status", check=False).returncode == 3
    key = box.api_key
    box.start()
    assert box.api_key == key
    assert len(client.log(run_id)) == 2
    assert client.append(run_id, "CUSTOM", custom(2)["payload"])["first_seq"] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it_cleanly(own_box, number):
    box = own_box()
    box.remember()
    supervisor = box.process_of("supervisor")
    assert supervisor.signal(number)
    assert box.process.wait(60) == 0
    for process in box.known.values():
        process.wait_gone(5)


def test_a_second_up_in_the_same_folder_is_refused(shot):
    second = subprocess.run(
        [str(shot.bin / "signalbox"), "up", "--dir", str(shot.dir), "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60, env=shot.env(),
    )  # fmt: skip
    assert second.returncode == 1, second.stdout + second.stderr
    assert "running" in second.stderr + second.stdout
    assert shot.client().get("/health", auth=False).status_code == 200


def test_a_taken_port_is_an_error_and_not_a_hang(own_box, shot):
    box = own_box(started=False)
    box.listen = shot.listen
    box.launch()
    assert box.process.wait(60) != 0
    assert "in use" in box.log.text()
    box.allow_error("in use")


@pytest.mark.requirement("I16")
def test_a_hung_actor_is_replaced(own_box):
    """SIGSTOP: beats end; the abort only pends, so the ladder must end with a kill."""
    box = own_box({"watchdog.warn_ms": 2000, "watchdog.abort_ms": 4000, "watchdog.kill_ms": 500})
    for name in ("job-runner-1", "sequencer-1"):
        before = box.actor(name)
        box.allow_restart(name)
        box.allow_error(name)
        assert Process.of(before["pid"]).signal(signal.SIGSTOP)
        box.actor_ready(name, before["generation"], 15)
    client = box.client()
    append_until_acked(client, client.new_run(), 1, "k")


def test_an_actor_that_keeps_dying_is_throttled_alone(own_box):
    box = own_box({"restart.late_deaths": 3, "restart.throttle_ms": 2000})
    box.allow_error("exporter-1")
    box.allow_restart("exporter-1", None)

    def kill_again():
        actor = box.actor("exporter-1")
        if actor["state"] == "throttled":
            return True
        process = Process.of(actor["pid"]) if actor["pid"] else None
        if actor["state"] == "ready" and actor["uptime_ms"] > 1100 and process is not None:
            process.kill()
        return False

    wait_until(kill_again, "the exporter to be throttled", 40)
    client = box.client()
    client.append(client.new_run(), "CUSTOM", custom(1)["payload"])
    box.actor_ready("exporter-1")


def test_too_many_deaths_end_the_supervisor(own_box):
    box = own_box({"restart.late_deaths": 1000, "restart.total_deaths": 3})
    box.allow_error(".")
    box.remember()

    def over():
        if box.process.poll() is not None:
            return True
        result = box.command("status", "--json", check=False)
        if result.returncode == 0:
            import json

            for actor in json.loads(result.stdout)["actors"]:
                if actor["state"] == "ready" and actor["uptime_ms"] > 1100 and actor["pid"]:
                    process = Process.of(actor["pid"])
                    if process is not None:
                        process.kill()
        return False

    wait_until(over, "the supervisor to give up", 60)
    assert box.process.returncode == 1


def test_reload_takes_over_and_refuses_nonsense(own_box):
    box = own_box(config='log {\n  level = "info"\n}\n')
    pids = {a["name"]: a["pid"] for a in box.actors()}
    box.config.write_text('log {\n  level = "debug"\n}\n')
    box.command("reload")

    def debug_lines():
        box.client().new_run()
        return any(r["level"] == "debug" for r in box.log.records())

    wait_until(debug_lines, "debug lines")
    assert {a["name"]: a["pid"] for a in box.actors()} == pids
    box.config.write_text('log {\n  level = "loud"\n}\n')
    box.allow_error("loud|settings|configuration|level")
    refused = box.command("reload", check=False)
    assert refused.returncode == 1 and refused.stderr.count("signalbox: ") == 1, refused.stderr
    assert {a["name"]: a["pid"] for a in box.actors()} == pids
    box.config.write_text("nonsense = 1\n")
    assert box.command("reload", check=False).returncode == 1
    box.all_healthy()


def test_a_reload_that_needs_it_restarts_the_actors_concerned(own_box):
    box = own_box(config="stream {\n  ping_ms = 15000\n}\n")
    before = {a["name"]: a for a in box.actors()}
    run_id = box.client().new_run()
    box.config.write_text("stream {\n  ping_ms = 300\n}\n")
    box.command("reload")
    for name in ("streamer-1", "streamer-2"):
        box.actor_ready(name, before[name]["generation"])
    for name in ("sequencer-1", "api-1", "api-2"):
        assert box.actor(name)["pid"] == before[name]["pid"]
    with box.stream(run_id) as stream:
        pings = 0  # the first comes at once, the second shows the new setting
        while pings < 2:
            pings += stream.next_frame(5).event == "ping"


def test_a_folder_the_services_cannot_reach(own_box):
    """A clone under a 0700 home: data and sockets go elsewhere, and status says where."""
    box = own_box(reachable=False)
    client = box.client()
    run_id = client.new_run()
    client.append(run_id, "CUSTOM", custom(1)["payload"])
    run_dir = box.status()["run_dir"]
    if os.geteuid() == 0:
        assert not run_dir.startswith(str(box.home))
        assert run_dir in box.log.text(whole=True)


def test_without_a_pepper_one_is_made_and_kept(own_box):
    box = own_box(pepper=None)
    assert box.client().get("/api/v1/runs").status_code == 200
    box.stop()
    box.start()
    assert box.client().get("/api/v1/runs").status_code == 200


@pytest.mark.parametrize("name, value", [("nonsense.key", "1"), ("log.level", "loud"), ("api.count", "0"),
                                         ("stream.ping_ms", "x"), ("instance.uid", "5")])  # fmt: skip
def test_wrong_settings_stop_the_start(own_box, name, value):
    box = own_box({name: value}, started=False)
    box.launch()
    assert box.process.wait(30) in (1, 2)
    assert name.split(".")[-1] in (box.log.text()).lower()
    box.allow_error(".")


def test_a_planned_restart_with_readers_behind_leaves_the_counts_right(own_box):
    """Old and new process share one place on the metrics board: what the old one takes back is not the new one's."""
    box = own_box({"streamer.count": 1})
    client = box.client()
    run_id = client.new_run()
    for part in range(6):
        client.append_many(run_id, [custom("x" * 4000) for _ in range(200)], key=f"part {part}")
    slow = [box.stream(run_id, receive_buffer=4096) for _ in range(4)]
    wait_until(lambda: box.metric("streams_catching_up") == 4, "all of them to be behind")
    for _ in range(2):
        box.command("restart", "streamer")
        assert all(0 <= a["queued"] <= 4 for a in box.actors("streamer")), box.actors("streamer")
    for stream in slow:
        stream.close()
    wait_until(lambda: box.metric("streams_catching_up") == 0, "all of them to be gone")
    wait_until(lambda: [a["queued"] for a in box.actors("streamer")] == [0], "the beat to say so")


def ask_on_new_connections(box, ended, answers):
    while not ended.is_set():
        connection = http.client.HTTPConnection(*box.address, timeout=20)
        try:
            connection.request("GET", "/api/v1/runs", headers={"Authorization": f"Bearer {box.api_key}"})
            answer = connection.getresponse()
            answers.append((answer.status, answer.read() if answer.status != 200 else b""))
        except (OSError, http.client.HTTPException) as error:
            answers.append((0, repr(error)))
        connection.close()


def test_a_new_api_refuses_nobody(own_box):
    """Who comes before it has reached the database waits in the listener, for milliseconds, and is answered."""
    box = own_box({"api.count": 1})
    ended, answers = threading.Event(), []
    askers = [threading.Thread(target=ask_on_new_connections, args=(box, ended, answers)) for _ in range(2)]
    for asker in askers:
        asker.start()
    for _ in range(5):
        box.command("restart", "api", timeout=60)
    ended.set()
    for asker in askers:
        asker.join()
    assert len(answers) > 20 and [answer for answer in answers if answer[0] != 200] == []


def test_an_api_without_a_database_says_so(own_box):
    """It takes connections all the same, after a second."""
    box = own_box({"api.count": 1})
    box.allow_error("database|postgres|connection")
    postgres = box.process_of("postgres")
    assert postgres.signal(signal.SIGSTOP)  # nobody new gets in
    box.command("restart", "api", timeout=60)
    answer = httpx.get(f"{box.url}/api/v1/runs", headers={"Authorization": f"Bearer {box.api_key}"}, timeout=20)
    postgres.signal(signal.SIGCONT)
    assert answer.status_code == 503 and answer.json()["type"] == "/problems/unavailable", answer.text
