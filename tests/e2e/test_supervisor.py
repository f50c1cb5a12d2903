"""Supervision itself, seen from outside: one supervisor, fake actors that keep or break the contract."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness.supervisor import Refused, Supervisor, children_of, is_alive
from harness.waiting import stays_true, wait_until

QUICK_WATCHDOG = {"watchdog.warn_ms": 500, "watchdog.abort_ms": 1000, "watchdog.kill_ms": 300,
                  "watchdog.ready_ms": 1500}
NAMES = ["sequencer-1", "job-runner-1", "exporter-1", "streamer-1", "streamer-2", "api-1", "api-2"]


@contextlib.contextmanager
def running(orders=None, **settings):
    supervisor = Supervisor(orders, **settings)
    try:
        with supervisor:
            yield supervisor
    finally:
        supervisor.end()


@contextlib.contextmanager
def started(orders=None, **settings):
    """The same without waiting for readiness."""
    supervisor = Supervisor(orders, **settings)
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.end()


def started_names(supervisor):
    return [line["name"] for line in supervisor.log(actor="supervisor", message="started")]


# ---- start ----

def test_starts_in_order_and_says_so():
    with running() as supervisor:
        names = started_names(supervisor)
        assert names[0] == "prepare" and names[1:] == NAMES
        status = supervisor.status()
        assert [actor["name"] for actor in status["actors"]] == NAMES
        for actor in status["actors"]:
            assert actor["state"] == "ready" and actor["restarts"] == 0 and actor["planned_restarts"] == 0
            assert is_alive(actor["pid"]) and actor["uptime_ms"] >= 0
        supervisor.wait_actor("api-2", healthy=True)
        assert status["services"] == []
        assert status["supervisor"]["pid"] == supervisor.process.pid
        assert status["generation"] == max(actor["generation"] for actor in status["actors"])
        host, _, port = status["listen"].rpartition(":")
        with socket.create_connection((host, int(port)), 5):
            pass


def test_a_child_gets_what_the_contract_says_and_nothing_else():
    with running() as supervisor:
        for line in supervisor.log(message="up"):
            wanted = {"api": "metrics,public,settings", "sequencer": "commands,events,metrics,settings",
                      "job-runner": "jobs,metrics,settings"}  # fmt: skip
            actor, _, number = line["actor"].rpartition("-")
            if actor == "streamer":  # the listener of its slot, and that of the other one
                wanted[actor] = f"handover,handover-{3 - int(number)},metrics,settings"
            assert line["fds"] == wanted.get(actor, "metrics,settings")
            assert line["uid"] == supervisor.uid and line["cwd"] == "/" and line["held"] == "0"
            assert line["board"] == "no"
            # 0..3, the named ones, and the listing's own descriptor
            assert len(line["open"].split(",")) == 4 + len(line["fds"].split(",")) + 1
        slots = [line["slot"] for line in supervisor.log(message="up")]
        assert len(set(slots)) == len(slots)


def test_secrets_reach_neither_environment_nor_log_nor_status():
    supervisor = Supervisor()
    try:
        supervisor.start(environment={"DATABASE_URL": "postgresql://x:canary-other@h/d"})
        supervisor.wait_ready()
        for actor in supervisor.status()["actors"]:
            with open(f"/proc/{actor['pid']}/environ", "rb") as file:
                assert b"canary" not in file.read()
            with open(f"/proc/{actor['pid']}/cmdline", "rb") as file:
                assert b"canary" not in file.read()
        assert "canary" not in supervisor.ask("status")
        supervisor.ask("dump")
        supervisor.wait_log(message="state of the supervisor")
        assert "canary" not in supervisor.log_path.read_text()
    finally:
        supervisor.end()


def test_children_cannot_gain_rights_and_die_with_us():
    with running() as supervisor:
        pid = supervisor.actor("api-1")["pid"]
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert fields["NoNewPrivs"] == "1" and fields["SigBlk"].strip("0") == ""
        assert fields["Umask"] == "0077"
        if os.geteuid() == 0:
            assert fields["Groups"].strip() == "" and fields["CapEff"].strip("0") == ""
        assert os.getsid(pid) == pid


def test_a_second_supervisor_refuses():
    with running() as supervisor:
        before = supervisor.status()["actors"]
        other = Supervisor()
        other.settings = supervisor.settings
        try:
            other.start()
            assert other.wait_exit() == 1
            assert "already running" in other.log_path.read_text()
        finally:
            other.end()
        assert [actor["pid"] for actor in supervisor.status()["actors"]] == [actor["pid"] for actor in before]


def test_an_address_in_use_is_said_clearly():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with started(**{"server.listen": listen}) as supervisor:
            assert supervisor.wait_exit() == 1
            assert f"cannot listen on {listen}" in supervisor.log_path.read_text()


def test_ipv6_and_nonsense_addresses():
    with running(**{"server.listen": "[::1]:0"}) as supervisor:
        assert supervisor.status()["listen"].startswith("[::1]:")
    for listen in ("localhost", "127.0.0.1:99999", "example.org:1", ":1", "[::1:1"):
        with started(**{"server.listen": listen}) as supervisor:
            assert supervisor.wait_exit() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to run as")
def test_programs_in_a_closed_directory_can_be_started():
    supervisor = Supervisor()
    closed = supervisor.root / "closed"
    closed.mkdir(mode=0o700)
    closed.chmod(0o700)
    try:
        # A real program: an interpreter could not read a script there. Sequencer and the like are scripts and fail.
        subprocess.run(["cp", "-a", supervisor.bin, closed / "bin"], check=True)
        (closed / "bin/signalbox-exporter").unlink()
        shutil.copy("/bin/true", closed / "bin/signalbox-exporter")
        supervisor.settings["instance.bin_dir"] = str(closed / "bin")
        supervisor.start()
        wait_until(lambda: supervisor.log(message="ended", name="exporter-1", end="exit code 0 (done)"),
                   "the program ran", timeout=40)
    finally:
        supervisor.end()


def test_sockets_are_private():
    with running() as supervisor:
        for name in ("commands.sock", "events.sock", "handover-1.sock", "handover-2.sock"):
            status = (supervisor.run_dir / name).stat()
            assert status.st_mode & 0o777 == 0o600 and status.st_uid == supervisor.uid
        status = (supervisor.run_dir / "control.sock").stat()
        assert status.st_mode & 0o777 == 0o600 and status.st_uid == os.geteuid()


def test_an_actor_that_never_gets_ready_holds_nobody_up():
    with running({"exporter": "never-ready"}, **QUICK_WATCHDOG) as supervisor:
        assert supervisor.actor("api-2")["state"] == "ready"
        supervisor.wait_log(message="not ready in time, aborting it", name="exporter-1")
        supervisor.wait_actor("exporter-1", restarts=1)


# ---- prepare ----

def test_a_missing_dependency_of_prepare_delays_no_actor_and_is_tried_again():
    supervisor = Supervisor()
    try:
        supervisor.on_prepare(f"[ -f {supervisor.root}/there ] || {{ echo no database >&2; exit 75; }}\n")
        supervisor.start()
        supervisor.wait_ready()
        wait_until(lambda: len([name for name in started_names(supervisor) if name == "prepare"]) >= 3,
                   "prepare was tried three times")
        (supervisor.root / "there").touch()
        supervisor.wait_log(message="finished", name="prepare")
        assert supervisor.log(actor="prepare", message="no database")
    finally:
        supervisor.end()


@pytest.mark.parametrize("code, by_systemd, told", [(1, False, 1), (78, False, 1), (1, True, 1), (78, True, 78)])
def test_a_failed_prepare_ends_everything(code, by_systemd, told):
    """People know 1; the unit's RestartPreventExitStatus= needs to see that another start would not help."""
    supervisor = Supervisor()
    try:
        supervisor.on_prepare(f"echo 'an administrator must run: CREATE ROLE x' >&2; exit {code}\n")
        supervisor.start(environment={"NOTIFY_SOCKET": "/nowhere/notify"} if by_systemd else None)
        assert supervisor.wait_exit() == told
        line = supervisor.log(message="cannot be made ready, stopping")[0]
        assert "an administrator must run: CREATE ROLE x" in line["reason"]
        assert "api-1" not in started_names(supervisor)
    finally:
        supervisor.end()


# ---- deaths ----

@pytest.mark.parametrize("name", ["api-1", "sequencer-1", "job-runner-1"])
def test_a_killed_actor_comes_back_under_its_name(name):
    with running() as supervisor:
        before = supervisor.status()
        # a late death: at once
        victim = supervisor.wait_actor(name, state="ready")
        wait_until(lambda: supervisor.actor(name)["uptime_ms"] > 1500, "it has been ready for a second")
        os.kill(victim["pid"], signal.SIGKILL)
        after = supervisor.wait_actor(name, restarts=1, state="ready")
        assert after["generation"] > before["generation"] and after["pid"] != victim["pid"]
        assert after["planned_restarts"] == 0 and "signal 9" in after["last_end"]
        others = {actor["name"]: actor["pid"] for actor in before["actors"] if actor["name"] != name}
        assert others == {actor["name"]: actor["pid"] for actor in supervisor.status()["actors"]
                          if actor["name"] != name}
        death = supervisor.log(message="ended", name=name)[0]["ts"]
        again = supervisor.log(message="started", name=name)[1]["ts"]
        assert seconds(again) - seconds(death) < 0.2


def seconds(text):
    hours, minutes, rest = text[11:-1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def test_early_deaths_pause_then_throttle_and_the_rest_lives_on():
    with running({"streamer-2": "exit 1"}, **{"restart.throttle_ms": 1500}) as supervisor:
        throttled = supervisor.wait_actor("streamer-2", state="throttled")
        assert throttled["restarts"] >= 3 and throttled["pid"] is None
        assert "fake actor was told to exit" in throttled["last_end"]
        waits = [line["wait_ms"] for line in supervisor.log(message="started again later", name="streamer-2")]
        assert len(waits) == 2 and 80 <= waits[0] <= 120 and 160 <= waits[1] <= 240
        assert all(actor["state"] == "ready" for actor in supervisor.status()["actors"]
                   if actor["name"] != "streamer-2")
        # one try per pause, and it may succeed
        supervisor.unorder("streamer-2")
        supervisor.wait_actor("streamer-2", state="ready")


def test_a_wrong_configuration_waits_for_a_reload():
    with running({"exporter-1": "exit 78"}) as supervisor:
        supervisor.wait_actor("exporter-1", state="stopped", restarts=1)
        stays_true(lambda: supervisor.actor("exporter-1")["state"] == "stopped", 0.5)
        supervisor.unorder("exporter-1")
        supervisor.on_reload()
        supervisor.ask("reload")
        supervisor.wait_actor("exporter-1", state="ready", restarts=1)


def test_fenced_and_dependency_exits_are_not_counted():
    with running({"job-runner-1": "exit 75"}, **{"restart.early_deaths": 2}) as supervisor:
        wait_until(lambda: supervisor.actor("job-runner-1")["restarts"] >= 4, "four tries")
        assert supervisor.actor("job-runner-1")["state"] != "throttled"
        supervisor.order("job-runner-1", "exit-ready 70")
        wait_until(lambda: "70" in (supervisor.actor("job-runner-1")["last_end"] or ""), "it is fenced", timeout=25)
        waits = [line["wait_ms"] for line in supervisor.log(message="started again later", name="job-runner-1")]
        assert waits[-1] == 1000


def test_too_many_deaths_end_the_supervisor():
    with running(**{"restart.total_deaths": 3}) as supervisor:
        for count in range(3):
            wait_until(lambda: supervisor.actor("api-1")["uptime_ms"] > 1500
                       and supervisor.actor("api-1")["state"] == "ready", "ready for a second")
            os.kill(supervisor.actor("api-1")["pid"], signal.SIGKILL)
            if count < 2:
                supervisor.wait_actor("api-1", restarts=count + 1, state="ready")
        assert supervisor.wait_exit() == 1
        assert supervisor.log(message="too many deaths over all actors, giving up")


def test_a_vital_actor_throttled_for_too_long_ends_the_supervisor():
    with started({"sequencer": "exit 1"}, **{"restart.throttled_end_ms": 1000, "restart.throttle_ms": 400}) as supervisor:
        assert supervisor.wait_exit() == 1
        assert supervisor.log(message="a vital actor does not come up, giving up", name="sequencer")


def test_one_throttled_api_of_two_ends_nothing():
    with running({"api-1": "exit 1"}, **{"restart.throttled_end_ms": 1000, "restart.throttle_ms": 200}) as supervisor:
        supervisor.wait_actor("api-1", state="throttled")
        stays_true(lambda: supervisor.actor("api-2")["state"] == "ready", 2)


# ---- watchdog ----

def test_a_mute_actor_is_warned_of_aborted_and_replaced():
    with running(**QUICK_WATCHDOG) as supervisor:
        victim = supervisor.wait_actor("streamer-1", healthy=True)
        os.kill(victim["pid"], signal.SIGUSR2)
        supervisor.wait_log(message="no beat", name="streamer-1")
        supervisor.wait_actor("streamer-1", restarts=1, state="ready", healthy=True)
        assert "signal 6" in supervisor.log(message="ended", name="streamer-1")[0]["end"]


def test_a_stopped_actor_is_killed():
    with running(**QUICK_WATCHDOG) as supervisor:
        victim = supervisor.wait_actor("sequencer-1", healthy=True)
        os.kill(victim["pid"], signal.SIGSTOP)
        supervisor.wait_actor("sequencer-1", restarts=1, state="ready")
        assert "signal 9" in supervisor.log(message="ended", name="sequencer-1")[0]["end"]
        assert not is_alive(victim["pid"])


def test_a_hole_in_our_own_time_kills_nobody():
    with running(**QUICK_WATCHDOG) as supervisor:
        before = [actor["pid"] for actor in supervisor.status()["actors"]]
        pids = [supervisor.process.pid, *before]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        stays_true(lambda: True, 3)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        supervisor.wait_log(message="the supervisor itself did not run, all clocks start again")
        assert [actor["pid"] for actor in supervisor.status()["actors"]] == before
        stays_true(lambda: [actor["pid"] for actor in supervisor.status()["actors"]] == before, 1.5)


# ---- planned restarts ----

def test_a_rolling_restart_starts_the_new_one_first():
    with running() as supervisor:
        old = {actor["name"]: actor for actor in supervisor.status()["actors"]}
        supervisor.ask("restart api")
        for name in ("api-1", "api-2"):
            new = supervisor.actor(name)
            assert new["state"] == "ready" and new["generation"] > old[name]["generation"]
            assert new["planned_restarts"] == 1 and new["restarts"] == 0
            ready = [line["ts"] for line in supervisor.log(message="ready", name=name)][1]
            drained = supervisor.wait_log(message="draining", name=name)["ts"]
            assert ready <= drained
        wait_until(lambda: not is_alive(old["api-2"]["pid"]), "the last old one is gone")
        # one instance at a time: the second began after the first old one had gone
        begun = [line["ts"] for line in supervisor.log(message="planned restart")]
        assert begun[1] >= supervisor.log(message="stopped", name="api-1")[0]["ts"]
        assert supervisor.actor("streamer-1")["pid"] == old["streamer-1"]["pid"]


def test_a_successor_that_fails_leaves_the_old_one():
    with running() as supervisor:
        old = supervisor.actor("streamer-1")
        supervisor.order("streamer-1", "exit 1")
        with pytest.raises(Refused) as refused:
            supervisor.ask("restart streamer-1")
        assert refused.value.code == 1 and "the old one was kept" in refused.value.text
        assert "fake actor was told to exit" in refused.value.text
        now = supervisor.actor("streamer-1")
        assert now["pid"] == old["pid"] and now["state"] == "ready"
        assert now["restarts"] == 0 and now["planned_restarts"] == 0
        # a request for all stops at the first failure
        with pytest.raises(Refused):
            supervisor.ask("restart streamer")
        assert supervisor.actor("streamer-2")["planned_restarts"] == 0


def test_the_sequencer_is_held_until_the_old_one_is_gone():
    with running() as supervisor:
        old = supervisor.actor("sequencer-1")
        supervisor.ask("restart sequencer")
        new = supervisor.actor("sequencer-1")
        assert new["planned_restarts"] == 1 and new["generation"] > old["generation"]
        assert supervisor.log(message="up", actor="sequencer-1")[1]["held"] == "1"
        goes = supervisor.wait_log(message="takes over", name="sequencer-1")["ts"]
        assert supervisor.log(message="stopped", name="sequencer-1")[0]["ts"] <= goes
        supervisor.wait_log(message="goes", actor="sequencer-1")


def test_the_sequencer_takes_over_from_one_that_hangs():
    with running({"sequencer": "ignore-drain"}, **{"stop.sequencer_ms": 500}) as supervisor:
        old = supervisor.actor("sequencer-1")
        supervisor.order("sequencer", "")
        supervisor.ask("restart sequencer")
        assert not is_alive(old["pid"]) or wait_until(lambda: not is_alive(old["pid"]), "it is killed")
        supervisor.wait_log(message="goes", actor="sequencer-1")
        now = supervisor.actor("sequencer-1")
        assert now["restarts"] == 0 and now["planned_restarts"] == 1


def test_a_death_in_the_middle_of_a_restart_is_survived():
    with running() as supervisor:
        old = supervisor.actor("api-1")
        supervisor.order("api-1", "never-ready")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(supervisor.run_dir / "control.sock"))
            peer.sendall(b"restart api-1\n")
            wait_until(lambda: len(supervisor.log(message="started", name="api-1")) == 2, "the successor is started")
            os.kill(old["pid"], signal.SIGKILL)
            # the successor has taken its place, though it never gets ready
            now = supervisor.wait_actor("api-1", state="starting", restarts=1)
            assert now["pid"] != old["pid"]
            supervisor.unorder("api-1")
            os.kill(now["pid"], signal.SIGKILL)
            peer.settimeout(10)
            assert peer.recv(1000).startswith(b"error 1 api-1 did not become ready")
        supervisor.wait_actor("api-1", state="ready", restarts=2)


def test_restart_of_a_throttled_actor_tries_at_once():
    with running({"streamer-2": "exit 1"}) as supervisor:
        supervisor.wait_actor("streamer-2", state="throttled")
        with pytest.raises(Refused) as refused:
            supervisor.ask("restart streamer-2")
        assert refused.value.code == 1
        supervisor.wait_actor("streamer-2", state="throttled")
        supervisor.unorder("streamer-2")
        supervisor.ask("restart streamer-2")
        assert supervisor.actor("streamer-2")["state"] == "ready"


def test_nobody_of_that_name():
    with running() as supervisor:
        for name in ("nobody", "api-3", "", "api-", "prepare"):
            with pytest.raises(Refused) as refused:
                supervisor.ask(f"restart {name}")
            assert refused.value.code == 4


# ---- reload ----

def test_a_wrong_file_changes_nothing():
    with running() as supervisor:
        before = supervisor.status()
        supervisor.on_reload("echo 'line 3: no such setting' >&2; exit 78\n")
        with pytest.raises(Refused) as refused:
            supervisor.ask("reload")
        assert refused.value.code == 1 and "line 3: no such setting" in refused.value.text
        supervisor.on_reload("echo api.count=banana\n")
        with pytest.raises(Refused) as refused:
            supervisor.ask("reload")
        assert "api.count must be" in refused.value.text
        assert len(supervisor.log(message="reload failed, everything stays as it is")) == 2
        after = supervisor.status()
        assert [actor["pid"] for actor in before["actors"]] == [actor["pid"] for actor in after["actors"]]


def test_reloadable_settings_are_handed_out():
    with running() as supervisor:
        before = [actor["pid"] for actor in supervisor.status()["actors"]]
        supervisor.on_reload(**{"log.level": "debug", "watchdog.warn_ms": 2500})
        os.kill(supervisor.process.pid, signal.SIGHUP)
        wait_until(lambda: len(supervisor.log(message="reloaded", log_level="debug", writable="no")) == len(NAMES),
                   "all have it, and cannot change it")
        assert [actor["pid"] for actor in supervisor.status()["actors"]] == before


def test_other_settings_restart_their_owner_alone():
    with running() as supervisor:
        before = {actor["name"]: actor["pid"] for actor in supervisor.status()["actors"]}
        supervisor.on_reload(**{"stream.ping_ms": 5000, "api.count": 5})
        supervisor.ask("reload")
        after = {actor["name"]: actor for actor in supervisor.status()["actors"]}
        changed = {name for name, actor in after.items() if actor["pid"] != before[name]}
        assert changed == {"streamer-1", "streamer-2"}
        assert after["streamer-2"]["planned_restarts"] == 1
        assert supervisor.wait_log(message="some changes need a new start of the server")["settings"] == "api.count"


def test_a_new_address_is_open_before_the_old_one_closes():
    with running() as supervisor:
        old = supervisor.status()["listen"]
        supervisor.on_reload(**{"server.listen": "127.0.0.2:0"})
        supervisor.ask("reload")
        new = supervisor.status()
        assert new["listen"].startswith("127.0.0.2:")
        assert all(actor["planned_restarts"] == 1 for actor in new["actors"] if actor["actor"] == "api")
        host, _, port = new["listen"].rpartition(":")
        socket.create_connection((host, int(port)), 5).close()
        wait_until(lambda: refused(old), "the old address is closed")
        # an address that cannot be had changes nothing
        supervisor.settings["server.listen"] = "127.0.0.2:0"
        supervisor.on_reload(**{"server.listen": "192.0.2.1:1"})
        with pytest.raises(Refused):
            supervisor.ask("reload")
        assert supervisor.status()["listen"] == new["listen"]


def refused(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except ConnectionRefusedError:
        return True
    return False


# ---- stopping ----

def test_stops_in_reverse_order_and_answers_last():
    with running() as supervisor:
        pids = [actor["pid"] for actor in supervisor.status()["actors"]]
        supervisor.ask("stop")
        assert not any(is_alive(pid) for pid in pids)
        assert supervisor.wait_exit() == 0
        order = [line["name"].rpartition("-")[0] for line in supervisor.log(message="stopped") if "name" in line]
        assert order == ["api", "api", "streamer", "streamer", "exporter", "job-runner", "sequencer"]
        assert not list(supervisor.run_dir.glob("*.sock"))


def test_term_drains_and_a_second_one_halves_the_rest():
    with running({"exporter": "ignore-drain"}, **{"stop.exporter_ms": 4000, "stop.total_ms": 40000}) as supervisor:
        supervisor.process.send_signal(signal.SIGTERM)
        supervisor.wait_log(message="draining", name="exporter-1")
        begin = time.monotonic()
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.wait_exit() == 0
        assert 1.0 < time.monotonic() - begin < 3.5
        assert supervisor.log(message="did not stop in time", name="exporter-1")


def test_two_interrupts_kill():
    with running({"api": "ignore-drain", "exporter": "ignore-drain"}) as supervisor:
        supervisor.process.send_signal(signal.SIGINT)
        supervisor.wait_log(message="draining", name="api-1")
        begin = time.monotonic()
        supervisor.process.send_signal(signal.SIGINT)
        assert supervisor.wait_exit() == 0
        assert time.monotonic() - begin < 3


def test_the_total_time_to_stop_is_kept():
    with running({"exporter": "ignore-drain", "api": "ignore-drain"}, **{"stop.total_ms": 2000}) as supervisor:
        begin = time.monotonic()
        supervisor.ask("stop")
        assert supervisor.wait_exit() == 0
        assert time.monotonic() - begin < 4


def test_a_stop_while_starting():
    with started({"sequencer": "never-ready"}, **{"stop.sequencer_ms": 300}) as supervisor:
        supervisor.wait_log(message="started", name="sequencer-1")
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.wait_exit() == 0
        assert "api-1" not in started_names(supervisor)


# ---- what a killed supervisor leaves ----

def test_actors_end_with_a_killed_supervisor():
    with running() as supervisor:
        pids = [actor["pid"] for actor in supervisor.status()["actors"]]
        supervisor.process.kill()
        supervisor.process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "all actors are gone")


def test_leftovers_are_swept_and_generations_go_on():
    with running() as supervisor:
        before = supervisor.status()
        pids = [actor["pid"] for actor in before["actors"]]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # so that they cannot notice
        supervisor.process.kill()
        supervisor.process.wait()
        supervisor.start()
        supervisor.wait_ready()
        assert not any(is_alive(pid) for pid in pids)
        after = supervisor.status()
        assert min(actor["generation"] for actor in after["actors"]) > before["generation"]


def test_a_recycled_pid_is_left_alone():
    bystander = subprocess.Popen(["/bin/sleep", "60"])
    try:
        with running() as supervisor:
            supervisor.ask("stop")
            supervisor.wait_exit()
            (supervisor.run_dir / "leftovers").write_text(
                f"api-1 {bystander.pid} 1\n\nnonsense\napi-2 99999999999 5\napi-3 -1 1\n{'x' * 300} 5 5\n")
            supervisor.start()
            supervisor.wait_ready()
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


# ---- logs ----

def test_foreign_lines_become_json():
    supervisor = Supervisor()
    try:
        supervisor.on_prepare("echo plain words; printf 'no line end'; head -c 100000 /dev/zero | tr '\\0' y; echo\n"
                              "printf '\\377\\001bytes\\n'\n")
        supervisor.start()
        supervisor.wait_ready()
        lines = supervisor.log(actor="prepare")
        assert lines[0]["message"] == "plain words"
        assert lines[1]["message"].startswith("no line endyyy") and len(lines[1]["message"]) == 65536
        assert lines[2]["message"] == "\ufffd\x01bytes" and len(lines) == 3
    finally:
        supervisor.end()


def test_a_reader_that_sleeps_blocks_nobody():
    reader, writer = os.pipe()
    supervisor = Supervisor({"api": "noise 20000"})
    try:
        supervisor.start(stdout=writer)
        os.close(writer)
        supervisor.wait_ready()
        supervisor.wait_actor("api-2", state="ready", healthy=True)
        assert supervisor.status()["supervisor"]["log_lines_dropped"] > 0
        # what is read at last says how much is missing
        os.set_blocking(reader, False)
        text = b""

        def drained():
            nonlocal text
            with contextlib.suppress(BlockingIOError):
                text += os.read(reader, 1 << 20)
            supervisor.ask("dump")
            return b"log lines were dropped" in text
        wait_until(drained, "the log says that lines were dropped")
    finally:
        os.close(reader)
        supervisor.end()


def test_text_for_people():
    with running(**{"log.format": "text"}) as supervisor:
        text = wait_until(lambda: (t := supervisor.log_path.read_text()) and "is ready." in t and t, "the text")
        status = supervisor.status()
        for wanted in (f"http://{status['listen']}", f"{supervisor.root}/api-key", str(supervisor.run_dir)):
            assert wanted in text
        assert "\033" not in text and '{"ts"' not in text


# ---- hardship ----

def test_no_descriptors_left():
    with running() as supervisor:
        wait_until(lambda: supervisor.actor("api-1")["uptime_ms"] > 1500, "ready for a second")
        pid = supervisor.process.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        victim = supervisor.actor("api-1")["pid"]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used - 3, hard))
        os.kill(victim, signal.SIGKILL)
        supervisor.wait_log(message="cannot make a process", name="api-1")
        assert supervisor.process.poll() is None
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        supervisor.wait_actor("api-1", state="ready", restarts=1, timeout=20)
        assert len(os.listdir(f"/proc/{pid}/fd")) <= used + 1


def test_descriptors_do_not_leak():
    with running() as supervisor:
        supervisor.on_reload(**{"log.level": "warn"})
        supervisor.ask("restart api")
        supervisor.ask("reload")
        path = f"/proc/{supervisor.process.pid}/fd"
        before = wait_until(lambda: len(os.listdir(path)), "a count")
        for round_ in range(3):
            supervisor.ask("restart api")
            supervisor.settings["log.level"] = "info" if round_ % 2 else "warn"
            supervisor.on_reload(**{"log.level": "info" if round_ % 2 else "warn"})
            supervisor.ask("reload")
            with contextlib.suppress(Refused):
                supervisor.ask("restart nobody")
        wait_until(lambda: len(os.listdir(path)) <= before, "no more descriptors than before")


def test_rubbish_on_the_control_socket():
    with running() as supervisor:
        path = str(supervisor.run_dir / "control.sock")
        for line in ("", "nonsense", "status now", "restart", "stop it", "x" * 250):
            with pytest.raises(Refused) as refused_:
                supervisor.ask(line)
            assert refused_.value.code == 2
        idle = []
        for _ in range(50):
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(path)
            idle.append(peer)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(b"y" * 5000)
        for peer in idle:
            peer.close()
        wait_until(supervisor.status, "it answers again", timeout=15)
        assert all(actor["restarts"] == 0 for actor in supervisor.status()["actors"])


def test_records_that_break_the_contract_are_dropped():
    with running({"exporter": "rude"}) as supervisor:
        supervisor.wait_actor("exporter-1", state="ready", restarts=0, healthy=True)
        dropped = supervisor.log(message="a record of another generation or version is dropped", name="exporter-1")
        assert len(dropped) == 7
        assert len(supervisor.log(message="a record makes no sense", name="exporter-1")) == 4
        descriptors = os.listdir(f"/proc/{supervisor.process.pid}/fd")
        supervisor.unorder("exporter")
        supervisor.ask("restart exporter")
        wait_until(lambda: len(os.listdir(f"/proc/{supervisor.process.pid}/fd")) <= len(descriptors), "none was kept")


def test_an_actor_that_hangs_up_is_replaced():
    with running({"exporter": "deaf"}, **QUICK_WATCHDOG) as supervisor:
        supervisor.wait_actor("exporter-1", restarts=1)
        assert "signal 6" in supervisor.log(message="ended", name="exporter-1")[0]["end"]


def test_processes_that_outlive_their_actor_end_with_us():
    with running({"exporter": "orphan"}) as supervisor:
        pid = supervisor.process.pid
        orphan = wait_until(lambda: [child for child in children_of(pid) if b"signalbox-orphan" in command_of(child)],
                            "the orphan is ours")[0]
        supervisor.unorder("exporter")
        os.kill(supervisor.actor("exporter-1")["pid"], signal.SIGKILL)
        supervisor.wait_actor("exporter-1", restarts=1, state="ready")
        assert is_alive(orphan)
        supervisor.ask("stop")
        assert not is_alive(orphan)
        assert supervisor.wait_exit() == 0


def command_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


def test_a_stop_in_the_middle_of_a_restart():
    with running({"exporter": "ignore-drain"}, **{"stop.exporter_ms": 1000}) as supervisor:
        supervisor.ask("restart exporter")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(supervisor.run_dir / "control.sock"))
            peer.sendall(b"restart api\n")
            supervisor.ask("stop")
            peer.settimeout(5)
            assert peer.recv(1000) == b"error 1 the server is stopping\n"
        assert supervisor.wait_exit() == 0


def test_deaths_by_the_dozen_leave_nothing_behind():
    limits = {"restart.early_deaths": 1000000, "restart.late_deaths": 1000000, "restart.total_deaths": 1000000}
    with running(**limits) as supervisor:
        path = f"/proc/{supervisor.process.pid}/fd"
        before = len(os.listdir(path))
        for count in range(1, 7):
            for actor in supervisor.status()["actors"]:
                os.kill(actor["pid"], signal.SIGKILL)
            for name in NAMES:
                supervisor.wait_actor(name, state="ready", restarts=count, timeout=30)
        wait_until(lambda: len(os.listdir(path)) <= before, "no more descriptors than before")
        assert len(children_of(supervisor.process.pid)) == len(NAMES)


def test_whoever_asked_for_a_restart_may_go():
    with running() as supervisor:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(supervisor.run_dir / "control.sock"))
            peer.sendall(b"restart api\n")
        supervisor.wait_actor("api-2", planned_restarts=1, state="ready")


def test_a_file_that_is_no_directory_of_ours():
    with started(**{"instance.run_dir": "/nowhere/at/all"}) as supervisor:
        assert supervisor.wait_exit() == 1
        assert "cannot open /nowhere/at/all/supervisor.lock" in supervisor.log_path.read_text()


# ---- systemd ----

def test_words_for_the_init_system():
    supervisor = Supervisor()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = str(supervisor.root / "notify")
        notify.bind(path)
        notify.settimeout(10)
        try:
            supervisor.start(environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
            seen = []
            while not any(text.startswith("READY=1") for text in seen):
                seen.append(notify.recv(1000).decode())
            assert "WATCHDOG=1" in [notify.recv(1000).decode() for _ in range(3)]
            supervisor.process.send_signal(signal.SIGTERM)
            while seen[-1] != "STOPPING=1":
                seen.append(notify.recv(1000).decode())
            assert supervisor.wait_exit() == 0
        finally:
            supervisor.end()


def test_a_listener_of_the_init_system_is_taken():
    supervisor = Supervisor()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # LISTEN_PID must be the supervisor's own pid: a shell sets it and becomes the supervisor.
        program = supervisor.bin / "activated"
        from harness.paths import bin_dir
        program.write_text(f"#!/bin/bash\nexport LISTEN_PID=$$ LISTEN_FDS=1\nexec {bin_dir()}/signalbox-supervisor "
                           "--settings-fd 4\n", encoding="utf-8")
        program.chmod(0o755)
        settings = os.memfd_create("settings", 0)
        os.write(settings, supervisor.table().encode())

        def place():
            os.dup2(listener.fileno(), 100)
            os.dup2(settings, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)
        with open(supervisor.log_path, "ab") as log:
            supervisor.process = subprocess.Popen([program], preexec_fn=place, close_fds=False, stdout=log, stderr=log)
        try:
            supervisor.wait_ready()
            assert supervisor.status()["listen"] == f"127.0.0.1:{port}"
        finally:
            supervisor.end()
            os.close(settings)


def test_nothing_is_left_of_a_stopped_supervisor():
    with running() as supervisor:
        pid = supervisor.process.pid
        assert len(children_of(pid)) == len(NAMES)
        supervisor.ask("stop")
        supervisor.wait_exit()
        assert (supervisor.run_dir / "leftovers").read_text() == ""
