"""
Faults under load, one kind a test. Load all the while: 4 producers, 50 open runs, 40 readers that reconnect at random; jobs are
queued, worked on by two workers and two job-runners, and judged as well (I12).

CHAOS_PROFILE=quick (default) or nightly chooses the column of counts; CHAOS_SCALE multiplies it; CHAOS_SEED repeats.
"""

import contextlib
import os
import signal
import threading

import pytest
from chaos import job_load
from chaos.campaign import fault_points
from harness.processes import Process
from harness.rogue import NotPermitted, RogueSequencer
from harness.waiting import wait_until

WATCHDOG_S = 12.0  # watchdog.abort_ms and watchdog.kill_ms

COUNTS = {  # quick, nightly
    "sequencer": (40, 1000), "api": (20, 300), "streamer": (20, 300), "job-runner": (20, 300), "exporter": (10, 150),
    "supervisor": (5, 50), "two at once": (10, 200), "sequencer stopped": (10, 100), "others stopped": (5, 50),
    "job-runner stopped": (4, 50), "worker": (12, 300),
    "hung loop": (2, 20), "rolling": (3, 50), "two sequencers": (5, 200), "session ended": (10, 200),
    "postgres fast": (2, 20), "postgres immediate": (2, 50), "postgres killed": (2, 50), "postgres frozen": (2, 20),
    "redis": (3, 60),
}  # fmt: skip

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(4 * 3600)]


def rounds(kind):
    profile = os.environ.get("CHAOS_PROFILE", "quick")
    count = COUNTS[kind][("quick", "nightly").index(profile)]
    return range(max(1, round(count * float(os.environ.get("CHAOS_SCALE", "1")))))


def shoot(phase, kind, names):
    """kill -9 at random moments, and every third time at a point between two steps, if the actor has any."""
    points = fault_points(kind)
    for n in rounds(kind):
        if n % 3 != 2 or not points or not phase.kill_at(points[n // 3 % len(points)], kind):
            phase.kill(names[n % len(names)])
        phase.moving()


@pytest.mark.requirement("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I11", "R036", "R060")
def test_no_fault_at_all(campaign):
    """The load alone: what the checker finds here is no matter of faults."""
    with campaign.phase("calm") as phase:
        threading.Event().wait(5)
        phase.moving()


@pytest.mark.requirement("I1", "I6", "I9", "I10", "I16", "R044")
def test_the_sequencer_is_killed(campaign):
    with campaign.phase("kill sequencer") as phase:
        shoot(phase, "sequencer", ["sequencer-1"])


@pytest.mark.requirement("I1", "I9", "I16")
def test_apis_are_killed(campaign):
    with campaign.phase("kill api") as phase:
        shoot(phase, "api", ["api-1", "api-2"])


@pytest.mark.requirement("I4", "I5", "I16", "R052")
def test_streamers_are_killed(campaign):
    with campaign.phase("kill streamer") as phase:
        shoot(phase, "streamer", ["streamer-1", "streamer-2"])


@pytest.mark.requirement("I16")
def test_the_exporter_is_killed(campaign):
    with campaign.phase("kill exporter") as phase:
        for _ in rounds("exporter"):
            phase.kill("exporter-1")


@pytest.mark.requirement("I12", "I16", "R054", "R055")
def test_job_runners_are_killed(campaign):
    with campaign.phase("kill job-runner") as phase:
        shoot(phase, "job-runner", ["job-runner-1", "job-runner-2"])


@pytest.mark.requirement("I12", "R055")
def test_a_stopped_job_runner_comes_back_after_its_successor(campaign):
    """SIGSTOP past the leases, its shards go to the other one, SIGCONT: two owners at once, until it looks."""
    database = campaign.server.database()
    with campaign.phase("job-runner stopped") as phase:
        for n in rounds("job-runner stopped"):
            process = campaign.server.process_of(f"job-runner-{n % 2 + 1}")
            held = database.value("select count(*) from job_shards where owner like %s", f"%/job-runner-{n % 2 + 1}")
            assert process.signal(signal.SIGSTOP)
            phase.note("stop job-runner")
            process.wait_stopped()
            with database.connect() as connection:  # its ten seconds are over
                connection.execute("update job_runners set until = now() where name like %s", [f"%/job-runner-{n % 2 + 1}"])
                connection.execute("update job_shards set until = now() where owner like %s", [f"%/job-runner-{n % 2 + 1}"])
            wait_until(lambda: database.value("select count(distinct owner) from job_shards") == 1, "the other one to own all")
            phase.pause(2.0)
            process.signal(signal.SIGCONT)
            phase.moving()
            if held:
                wait_until(lambda: database.value("select count(distinct owner) from job_shards") == 2, "both to own some")


@pytest.mark.requirement("I12", "R054", "R055")
def test_workers_are_killed_and_stopped(campaign):
    """Their successors have their names. A stopped one wakes behind its lease and goes on as if nothing had been."""
    with campaign.phase("workers") as phase:
        for n in rounds("worker"):
            phase.pause()
            if n % 3 != 2:
                phase.note("kill worker")
                phase.jobs.kill_worker(n % 2)
            else:
                phase.note("stop worker")
                phase.jobs.stop_worker(n % 2)
                phase.pause(3.0)
                phase.jobs.go_on_worker(n % 2)
            phase.moving()


@pytest.mark.requirement("I1", "I5", "I9")
def test_the_supervisor_is_killed(campaign):
    with campaign.phase("kill supervisor", exact_restarts=False) as phase:
        for _ in rounds("supervisor"):
            phase.pause(1.0)
            phase.kill_supervisor()
            phase.moving()


@pytest.mark.requirement("I1", "I5", "I9", "I16")
def test_two_actors_are_killed_at_once(campaign):
    names = ["sequencer-1", "api-1", "api-2", "streamer-1", "streamer-2", "job-runner-1", "job-runner-2", "exporter-1"]
    with campaign.phase("two at once") as phase:
        for _ in rounds("two at once"):
            phase.pause()
            pair = campaign.chance.sample(names, 2)
            before = {name: campaign.server.settled(name) for name in pair}
            for name in pair:
                phase.note("kill two", name)
                assert Process.of(before[name]["pid"]).kill()
                phase.pause(0.1)
            for name in pair:
                campaign.server.actor_ready(name, before[name]["generation"], 30)
            phase.moving()


@pytest.mark.requirement("I10")
def test_a_stopped_sequencer_comes_back_after_its_successor(campaign):
    """SIGSTOP, a forced takeover by `restart sequencer`, SIGCONT somewhere around it."""
    server = campaign.server
    with campaign.phase("sequencer stopped", exact_restarts=False) as phase:
        for _ in rounds("sequencer stopped"):
            phase.pause()
            old = server.process_of("sequencer-1")
            assert old.signal(signal.SIGSTOP)
            phase.note("stop sequencer")
            restart = server.spawn("restart", "sequencer")
            phase.pause(3.0)
            old.signal(signal.SIGCONT)
            out, err = restart.communicate(timeout=60)
            assert restart.returncode == 0, out + err
            old.wait_gone(10)
            server.all_healthy()
            phase.moving()


@pytest.mark.requirement("I10")
@pytest.mark.parametrize("deaf", [True, False], ids=["one hears nothing", "both hear"])
def test_two_sequencers_at_once(campaign, deaf):
    """A second one is started by hand; frozen or not, the first must notice and go, and never write again."""
    server = campaign.server
    with campaign.phase(f"two sequencers {'deaf' if deaf else 'hearing'}", exact_restarts=False) as phase:
        for n in rounds("two sequencers"):
            phase.pause()
            old = server.process_of("sequencer-1")
            frozen = n % 2 == 0
            if frozen:
                assert old.signal(signal.SIGSTOP)
            phase.note("second sequencer")
            epoch = server.database().value("select epoch from shards where shard = 0")
            try:
                with RogueSequencer(server, deaf):
                    wait_until(
                        lambda epoch=epoch: server.database().value("select epoch from shards where shard = 0") > epoch,
                        "the second one to take the epoch",
                    )
                    if frozen:
                        old.signal(signal.SIGCONT)
                    old.wait_gone(20)  # fenced: it ends itself
            except NotPermitted as error:
                old.signal(signal.SIGCONT)
                pytest.skip(str(error))
            server.all_healthy()
            phase.moving()


@pytest.mark.requirement("I5", "I16")
def test_other_actors_are_stopped_and_go_on(campaign):
    names = ["api-1", "streamer-1", "job-runner-1", "exporter-1", "api-2", "streamer-2"]
    with campaign.phase("others stopped") as phase:
        for n in rounds("others stopped"):
            process = campaign.server.process_of(names[n % len(names)])
            assert process.signal(signal.SIGSTOP)
            phase.note("stop others")
            phase.pause(4.0)
            process.signal(signal.SIGCONT)
            phase.moving()


@pytest.mark.requirement("I16")
def test_a_hung_main_loop_is_replaced(campaign):
    """A fault point that spins: the watchdog must end it. Until then no lease can be ended either: that is a write."""
    server = campaign.server
    with campaign.phase("hung loop", overdue_s=job_load.OVERDUE_S + WATCHDOG_S) as phase:
        for _ in rounds("hung loop"):
            before = server.actor("sequencer-1")
            server.faults.order("sequencer_after_receive", "spin")
            server.faults.obeyed("sequencer_after_receive")
            phase.note("hang sequencer", "sequencer-1")
            server.actor_ready("sequencer-1", before["generation"], 30)
            phase.moving()


@pytest.mark.requirement("I5", "I16")
def test_rolling_restarts_under_load(campaign):
    with campaign.phase("rolling") as phase:
        for _ in rounds("rolling"):
            for actor in ("sequencer", "api", "streamer", "job-runner", "exporter"):
                phase.note(f"restart {actor}")
                campaign.server.command("restart", actor, timeout=120)
            campaign.server.command("reload")
            phase.moving()


@pytest.mark.requirement("I1", "I9", "R013")
@pytest.mark.parametrize(
    ("how", "number"),
    [("fast", signal.SIGINT), ("immediate", signal.SIGQUIT), ("killed", signal.SIGKILL)],
    ids=["fast", "immediate", "killed"],
)
def test_the_database_goes_and_comes(campaign, how, number):
    server = campaign.server
    with campaign.phase(f"postgres {how}", exact_restarts=False) as phase:
        for _ in rounds(f"postgres {how}"):
            phase.pause()
            postgres = server.process_of("postgres")
            phase.note(f"postgres {how}")
            assert postgres.signal(number)
            postgres.wait_gone(30)
            server.all_healthy(60)
            phase.moving()


@pytest.mark.requirement("I1", "I9")
def test_the_database_freezes(campaign):
    from harness.processes import family

    server = campaign.server
    with campaign.phase("postgres frozen", exact_restarts=False) as phase:
        for _ in rounds("postgres frozen"):
            frozen = family(server.process_of("postgres").pid)
            phase.note("postgres frozen")
            for process in frozen:
                process.signal(signal.SIGSTOP)
            phase.pause(8.0)
            for process in frozen:
                process.signal(signal.SIGCONT)
            server.all_healthy(60)
            phase.moving()


@pytest.mark.requirement("I1", "I9")
def test_the_sequencers_session_is_terminated(campaign):
    server = campaign.server
    with campaign.phase("session ended", exact_restarts=False) as phase:
        for _ in rounds("session ended"):
            phase.pause()
            phase.note("session ended")
            server.database().execute("select pg_terminate_backend(backend_pid) from shards", role="sequencer")
            phase.moving()


def test_redis_goes_and_comes(campaign):
    """Killed, frozen, flushed by turns: appends and streams do not care."""
    import redis

    server = campaign.server
    with campaign.phase("redis") as phase:
        for n in rounds("redis"):
            process = server.process_of("redis")
            phase.note("redis")
            if n % 3 == 0:
                assert process.kill()
                wait_until(lambda old=process: server.process_of("redis") not in (None, old), "a new Redis")
            elif n % 3 == 1:
                process.signal(signal.SIGSTOP)
                phase.pause(3.0)
                process.signal(signal.SIGCONT)
            else:
                with contextlib.suppress(redis.RedisError, IndexError):
                    sockets = [p for p in _unix_sockets(process.pid) if "redis" in p]
                    redis.Redis(unix_socket_path=sockets[0]).flushall()
            server.all_healthy()
            phase.moving()


def _unix_sockets(pid) -> list:
    """Paths of the unix sockets a process listens on."""
    inodes = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    with open("/proc/net/unix", encoding="utf-8") as table:
        rows = [line.split() for line in table]
    return [row[7] for row in rows if len(row) == 8 and row[6] in inodes]
