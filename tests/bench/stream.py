"""Measures streams beside other servers, in one run, in interleaved rounds; prints ratios, goals, PASS or MISS.

nchan and Pushpin come from Debian's packages (ops/deps.sh --bench) and run at the same time on free ports. Every figure is
measured here; where a server cannot do a case, a line says so. Sections:
    closed     one run, producers as fast as they are answered: deliveries/s, CPU a delivery
    single     one run, 20 events/s: CPU a delivery, latency from the notice on the bus and from the POST
    channels   a run for each reader, 1 event/s each: latency
    harm       a tenth of the readers takes nothing: what it costs the others
    stalled    memory of a reader that takes nothing, at two backlogs
    burst      5,000 connections at once after a kill -9
    catch_up   readers come back after a kill -9 and read the whole run: rate, pages read from the database
    wander     readers that leave and come back all the time: lost, doubled
    idle       memory of idle streams, 50,000 of them
    dead       peers that vanish without a word: until their streams are gone
"""

import argparse
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import dead
import peers
import sockets
from report import Report, median
from system import Cpu, System, kill, pss_bytes, run_seconds

KIB = 1024
SEQ_BASE = 10 ** 15  # the first seq that the load tool gives itself
SETTINGS = {"STREAM_PER_KEY": "1000000", "STREAM_WRITE_STALL_MS": "600000"}
IDLE_STREAMS = 50000
BURST = 5000


class Ours:
    """Our server, as the sections see any server."""

    name = "ours"

    def __init__(self, build, **settings):
        self.system = System(build, {"SIGNALBOX_" + name: str(value) for name, value in (SETTINGS | settings).items()})
        self.make_runs = self.system.make_runs
        self.stop = self.system.stop
        self.address = self.system.address

    def reader_options(self):
        return ["--address", self.system.address, "--key-file", self.system.key_file]

    load_options = reader_options

    def place(self, posts):
        """What a reader has seen when it has seen all: the run's own first event too."""
        return posts + 1

    def streamers(self):
        return self.system.pids()["streamer"]

    def cpu(self):
        return sum(map(run_seconds, self.streamers()))

    def pss(self):
        return sum(map(pss_bytes, self.streamers()))

    def whole_pss(self):
        """With the processes that the connections came through."""
        return self.pss() + sum(map(pss_bytes, self.system.pids()["api"]))

    def restart(self):
        for pid in self.streamers():
            kill(pid)
        self.system.wait_ready()

    def metric(self, name):
        return self.system.metric(name)


class Other:
    """Another server."""

    def __init__(self, peer, in_order=False):
        self.peer, self.name, self.in_order = peer, peer.name, in_order
        self.make_runs, self.stop, self.restart = peer.make_runs, peer.stop, peer.restart
        self.cpu, self.pss, self.whole_pss, self.address = peer.cpu, peer.pss, peer.pss, peer.address

    def reader_options(self):
        return ["--address", self.peer.address, "--path", self.peer.readers_path, "--data" if self.in_order else "--count"]

    def load_options(self):
        return ["--address", self.peer.load_address, "--path", self.peer.load_path, *self.peer.load_options]

    def place(self, posts):
        return posts + (SEQ_BASE if self.in_order else 0)


class StreamBench:
    def __init__(self, options, report):
        self.report, self.rounds, self.seconds = report, options.rounds, options.seconds
        self.build = pathlib.Path(options.build).resolve()
        self.tools = self.build / "bench"
        self.readers_count = options.readers
        self.scale = options.readers / 1000  # of what is opened in larger numbers
        self.ours = Ours(self.build)
        absent = peers.missing()
        for name in absent:
            report.note(f"{name} is not installed (ops/deps.sh --bench): not measured")
        self.nchan = None if "nchan" in absent else Other(peers.Nchan())
        self.pushpin = None if "Pushpin" in absent else Other(peers.Pushpin())
        self.floor = Other(peers.Hub(self.build))
        self.sites = [site for site in (self.ours, self.nchan, self.pushpin) if site is not None]
        self.live_rates = []

    def note_crashes(self):
        for site in self.sites:
            if site is not self.ours and site.peer.crashes() > 0:
                self.report.note(f"{site.name} crashed {site.peer.crashes()} times by itself; it went on with new workers")

    def stop(self):
        for site in [*self.sites, self.floor]:
            site.stop()

    # ---- tools ----

    def readers(self, site, runs, count, *extra):
        command = [self.tools / "readers", *site.reader_options(), "--runs", runs, "--readers", count, *extra]
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"readers of {site.name} did not start")
        return process

    @staticmethod
    def finish(process, place=None):
        output, _ = process.communicate("" if place is None else f"{place}\n", timeout=600)
        return json.loads(output)

    @staticmethod
    def reach(process, place):
        """Until readers that --hold are there; they stay open."""
        process.stdin.write(f"{place}\n")
        process.stdin.flush()
        if process.stdout.readline().strip() != "complete":
            raise SystemExit("readers ended before they had everything")

    def load(self, site, runs, *extra, seconds=None):
        command = [self.tools / "load", *site.load_options(), "--runs", runs, "--warmup-ms", 0,
                   "--ms", int((seconds or self.seconds) * 1000), *extra]
        answer = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if answer.returncode != 0:
            raise SystemExit(f"load on {site.name}: {answer.stderr.strip()}")
        return json.loads(answer.stdout)

    def watched(self, site, readers, *load, runs=None, extra=(), seconds=None, before=0):
        """Load while readers follow it. What comes from our own server must be all of it, once."""
        runs = runs or site.make_runs(1)
        process = self.readers(site, runs, readers, *extra)
        all_before = Cpu(self.ours.system) if site is self.ours else None
        cpu = site.cpu()
        produced = self.load(site, runs, *load, seconds=seconds)
        place = site.place(before + produced["events_all"])
        seen = self.finish(process, place)
        seen["cpu_us"] = (site.cpu() - cpu) * 1e6 / max(seen["deliveries"], 1)
        seen["all_cpu_us"] = sum(all_before.used().values()) * 1e6 / max(seen["deliveries"], 1) if all_before else None
        seen["produced"] = produced
        seen["missing"] = readers * produced["events_all"] - seen["deliveries"] + (readers if site is self.ours and not before else 0)
        if site is self.ours:
            assert not produced["unanswered"], produced
            assert seen["lost"] == seen["doubled"] == seen["broken"] == 0, seen
            assert seen["lowest_seq"] == seen["highest_seq"] == place, (seen, place)
        return seen

    def repeat(self, section, cells):
        """Interleaved rounds: {name: function returning a dict}. Lists of what they returned, by name."""
        results = {name: [] for name in cells}
        for number in range(self.rounds):
            for name, measure in cells.items():
                self.ours.system.checkpoint()
                results[name].append(measure())
                print(f"    {section}, round {number + 1}: {name}", flush=True)
        for name, values in results.items():
            self.report.cell(f"{section}: {name}", [], raw=values)
        return results

    def cells(self, measure, sites=None):
        return {site.name: lambda site=site: measure(site) for site in sites or self.sites}

    def row(self, name, results, key, baseline="nchan", **goal):
        """One figure of ours, beside that of another server where it was measured."""
        ours = [value[key] for value in results["ours"]]
        if baseline in results:
            self.report.row(name, ours, baseline, [value[key] for value in results[baseline]], **goal)
        else:
            self.report.row(name, ours)

    def note_missing(self, section, results):
        for name, values in results.items():
            lost = sum(value["missing"] for value in values)
            if name != "ours" and lost > 0:
                self.report.note(f"{section}: {name} did not deliver {lost:,} of what was posted")

    # ---- sections ----

    def closed(self):
        def measure(site):
            if site is self.pushpin:  # it answers before it delivers: a number of posts, not a time
                return self.watched(site, self.readers_count, "--connections", 64, "--posts", int(20 * self.seconds) + 1)
            return self.watched(site, self.readers_count, "--connections", 64)

        got = self.repeat("closed", self.cells(measure))
        self.live_rates = [seen["deliveries_per_s"] for seen in got["ours"]]
        count = f"{self.readers_count:,} readers"
        self.row(f"deliveries/s, one run, {count}, closed loop", got, "deliveries_per_s", at_least=3)
        self.row("  the same", got, "deliveries_per_s", "Pushpin", at_least=5)
        self.row("  CPU µs a delivery, streamers alone", got, "cpu_us", at_most=0.2)
        self.row("  CPU µs a delivery, our whole system", self.with_all(got), "cpu_us")
        self.note_missing("closed", got)

    @staticmethod
    def with_all(results):
        ours = [dict(value, cpu_us=value["all_cpu_us"]) for value in results["ours"]]
        return dict(results, ours=ours)

    def single(self):
        seconds = max(self.seconds, 5) if self.seconds > 1 else self.seconds

        def measure(site):
            runs = site.make_runs(1)
            notices = ("--notices", os.path.join(self.ours.system.run_directory, "events.sock"))
            return self.watched(site, self.readers_count, "--connections", 1, "--rate", 20, runs=runs, seconds=seconds,
                                extra=notices if site is self.ours else ())

        got = self.repeat("single", self.cells(measure, [*self.sites, self.floor]))
        count = f"{self.readers_count:,} readers, 20 events/s"
        self.row(f"CPU µs a delivery, {count}, streamers alone", got, "cpu_us", at_most=0.8)
        self.row("  streamers alone", got, "cpu_us", "floor", at_most=1.25)
        self.row("  streamers alone", got, "cpu_us", "Pushpin")
        self.row("  our whole system", self.with_all(got), "cpu_us")
        for values in got.values():
            for seen in values:
                seen["sent_ms"] = seen["sent_p99_us"] / 1000
                # The notice is what another server's POST is: the moment the event is there to be delivered.
                seen["notice_ms"] = (seen["notice_p99_us"] if values is got["ours"] else seen["sent_p99_us"]) / 1000
        self.row(f"notice (theirs: POST) to reader p99, {count}, ms", got, "notice_ms", at_most=0.6)
        self.row("  the same", got, "notice_ms", "floor", at_most=1.5)
        self.row("  POST to reader p99, ours with the commit, ms", got, "sent_ms")
        self.row("  the same", got, "sent_ms", "Pushpin")
        self.note_missing("single", got)

    def channels(self):
        count = self.readers_count

        def measure(site):
            runs = site.make_runs(count)  # new ones: the events of an earlier round would come first, and late
            # Each reader is at its own place: the tool is told how much all of them together get.
            process = self.readers(site, runs, count)
            produced = self.load(site, runs, "--connections", 64, "--rate", count)
            seen = self.finish(process, f"+{produced['events_all'] + count * site.place(0)}")
            return {"sent_ms": seen["sent_p99_us"] / 1000, "ack_ms": produced["p99_us"] / 1000,
                    "behind_ms": (seen["sent_p99_us"] - produced["p99_us"]) / 1000, "lost": seen["lost"] + seen["doubled"],
                    "seen": seen, "produced": produced}

        got = self.repeat("channels", self.cells(measure, [site for site in self.sites if site is not self.pushpin]))
        name = f"POST to reader p99, {count:,} runs, {count:,} events/s"
        self.row(f"{name}, ms", got, "sent_ms")
        self.row("  of that the commit: acknowledgement p99, ms", got, "ack_ms")
        self.report.row("  difference, ms", [value["behind_ms"] for value in got["ours"]], at_most=1)
        assert all(value["lost"] == 0 for value in got["ours"]), got["ours"]

    def harm(self):
        stalled = self.readers_count // 10
        healthy = self.readers_count - stalled
        backlog = max(int(3000 * self.scale), 300)

        def measure(site, with_stalled):
            runs = site.make_runs(1)
            others = self.readers(site, runs, 1, "--stalled", stalled) if with_stalled else None
            filled = self.fill(site, runs, backlog)
            after = ("--after", filled + 1) if site is self.ours else ()
            seen = self.watched(site, healthy, "--connections", 1, "--rate", 50, runs=runs, extra=after,
                                before=filled if site is self.ours else 0)
            if others is not None:
                assert self.finish(others)["open"] == stalled + 1
            return {"cpu_us": seen["cpu_us"], "sent_ms": seen["sent_p99_us"] / 1000, "missing": seen["missing"]}

        sites = [site for site in self.sites if site is not self.pushpin]
        cells = {f"{site.name}{' with stalled' * flag}": lambda site=site, flag=flag: measure(site, flag)
                 for site in sites for flag in (False, True)}
        got = self.repeat("harm", cells)
        for site in sites:
            for key, what in (("cpu_us", "CPU a delivery"), ("sent_ms", "p99")):
                with_them = [value[key] for value in got[f"{site.name} with stalled"]]
                without = [value[key] for value in got[site.name]]
                goal = {"at_most": 1.1} if site is self.ours else {}
                self.report.row(f"{what} of {healthy:,} readers beside {stalled} stalled: {site.name}", with_them,
                                "without them", without, **goal)

    def fill(self, site, runs, posts):
        """Events without a pause; returns how many."""
        if site is self.ours:
            return self.load(site, runs, "--connections", 4, "--events", 100, "--posts", posts // 100, seconds=60)["events_all"]
        return self.load(site, runs, "--connections", 4, "--posts", posts, seconds=60)["events_all"]

    def stalled(self):
        count = max(self.readers_count // 10, 10)
        backlogs = [max(int(events * self.scale), 500) for events in (2500, 10000)]

        def measure(site):
            bytes_by_backlog = []
            for backlog in backlogs:
                used = []
                for stalled in (0, count):  # the same without them: what is kept for any reader is not theirs
                    site.restart()
                    runs = site.make_runs(1)
                    self.finish(self.readers(site, runs, 20))  # one-off memory
                    before = site.pss()
                    process = self.readers(site, runs, 1, "--hold", *(("--stalled", stalled) if stalled else ()))
                    self.reach(process, site.place(self.fill(site, runs, backlog)))
                    used.append(sockets.steady(site.pss) - before)
                    still_open = self.finish(process)["open"]
                    assert site is not self.ours or still_open == stalled + 1
                bytes_by_backlog.append((used[1] - used[0]) / count)
            return {"small": bytes_by_backlog[0] / KIB, "large": bytes_by_backlog[1] / KIB}

        got = self.repeat("stalled", self.cells(measure, [site for site in self.sites if site is not self.pushpin]))
        for name, values in got.items():
            for key, backlog in zip(("small", "large"), backlogs):
                goal = {"at_most": 64} if name == "ours" else {}
                self.report.row(f"KiB a stalled reader, {backlog:,} events behind: {name}", [value[key] for value in values],
                                **goal)

    def burst(self):
        count = int(BURST * self.scale)

        def measure(site):
            site.restart()
            runs = site.make_runs(100)
            seen = self.finish(self.readers(site, runs, count, "--burst"))
            return {"opened_s": seen["opened_s"], "refused": count - seen["open"] + seen["broken"]}

        got = self.repeat("burst", self.cells(measure))
        self.row(f"{count:,} streams opened at once after a kill -9, s", got, "opened_s", at_most=1)
        self.row("  the same", got, "opened_s", "Pushpin")
        self.report.row("  refused", [value["refused"] for value in got["ours"]], at_most=0)
        for name in ("nchan", "Pushpin"):
            if name in got:
                self.report.note(f"burst: {name} refused or did not answer within 20 s: "
                                 f"{median([value['refused'] for value in got[name]]):g} of {count:,}")

    def catch_up(self):
        events = max(int(1000 * self.scale) // 100 * 100, 100)

        def pages(runs, readers):
            self.ours.restart()  # its counters begin at 0
            seen = self.finish(self.readers(self.ours, runs, readers), events + 1)
            assert seen["lowest_seq"] == events + 1 and seen["lost"] == seen["doubled"] == 0, seen
            return seen, self.ours.metric("stream_pages_read_total")

        def measure():
            runs = self.ours.make_runs(1)
            self.fill(self.ours, runs, events)
            _, distinct = pages(runs, 1)
            seen, read = pages(runs, self.readers_count)
            return {"rate": seen["deliveries_per_s"], "distinct": distinct, "read": read}

        got = self.repeat("catch_up", {"ours": measure})["ours"]
        name = f"catch-up of {self.readers_count:,} readers, {events:,} events each, after a kill -9"
        if self.live_rates:
            self.report.row(f"{name}, deliveries/s", [value["rate"] for value in got], "live, closed loop", self.live_rates,
                            at_least=0.5)
        else:
            self.report.row(f"{name}, deliveries/s", [value["rate"] for value in got])
        self.report.row("  pages read from the database", [value["read"] for value in got], "distinct pages",
                        [value["distinct"] for value in got], at_most=1.5)
        self.report.note("catch_up: others keep what they keep in memory, so nothing is left to catch up with after a kill -9")

    def wander(self):
        readers = max(self.readers_count // 10, 10)
        sites = [self.ours] + ([Other(self.nchan.peer, in_order=True)] if self.nchan else [])

        def measure(site):
            runs = site.make_runs(1)
            process = self.readers(site, runs, readers, "--life-ms", 1500, "--absence-ms", 500)
            produced = self.load(site, runs, "--connections", 1, "--rate", 200, seconds=2 * self.seconds)
            seen = self.finish(process, site.place(produced["events_all"]))
            whole = seen["deliveries"] - seen["doubled"] + seen["lost"]
            return {"lost": seen["lost"], "doubled": seen["doubled"], "share": 100 * seen["lost"] / max(whole, 1),
                    "returns": seen["returns"], "late": site.place(produced["events_all"]) - seen["lowest_seq"]}

        got = self.repeat("wander", self.cells(measure, sites))
        name = f"{readers} readers away 500 ms again and again, 200 events/s"
        ours = got["ours"]
        self.report.row(f"{name}: lost", [value["lost"] + value["late"] for value in ours], at_most=0)
        self.report.row("  doubled or reordered", [value["doubled"] for value in ours], at_most=0)
        self.report.note(f"wander: {median([value['returns'] for value in ours]):g} returns in {2 * self.seconds:g} s")
        if "nchan" in got:
            self.report.note(f"wander: nchan lost {median([value['share'] for value in got['nchan']]):.2f} %, doubled "
                             f"{median([value['doubled'] for value in got['nchan']]):g}, with {peers.MESSAGES_KEPT:,} messages "
                             "kept a channel")
        self.report.note("wander: Pushpin keeps no messages itself; a reader that was away cannot go on with it")

    def idle(self):
        count = int(IDLE_STREAMS * self.scale)
        limit = peers.descriptors()
        processes = -(-count // int(limit * 0.85))  # each process may have so many sockets
        grown = {"ours": self.idle_memory(Ours(self.build, STREAMER_COUNT=max(2, processes)), count, limit)}
        if self.nchan:
            nchan = Other(peers.Nchan(workers=max(2, processes), idle=limit - 100))
            grown["nchan"] = self.idle_memory(nchan, count, limit)
        if self.pushpin:
            grown["Pushpin"] = self.idle_memory(self.pushpin, min(count, int(5000 * self.scale)), limit, stop=False)
            self.report.note(f"idle: Pushpin with {min(count, int(5000 * self.scale)):,} connections: it holds all of them in one "
                             f"process, which may have {limit:,} descriptors")
        self.report.cell("idle", [grown["ours"]], raw=grown)
        self.report.row(f"bytes an idle stream, {count:,} streams, {max(2, processes)} streamers and the api", grown["ours"], at_most=1.1 * KIB)
        for name in ("nchan", "Pushpin"):
            if name in grown:
                self.report.row("  the same", grown["ours"], name, grown[name], **({"at_most": 0.1} if name == "nchan" else {}))

    def idle_memory(self, site, count, limit, stop=True):
        """What its processes grow by; kernel memory of the sockets aside."""
        try:
            runs = site.make_runs(1000)
            self.finish(self.readers(site, runs, 100))  # one-off memory of the first streams
            sockets.wait_connections(site.address, 0)
            before = sockets.steady(site.whole_pss)
            share = limit - 200
            tools = [self.readers(site, runs, min(share, count - at), "--sources", 8) for at in range(0, count, share)]
            grown = sockets.steady(site.whole_pss) - before
            seen = [self.finish(tool) for tool in tools]
            opened = sum(one["open"] for one in seen) - sum(one["broken"] for one in seen)
            if opened < count:
                self.report.note(f"idle: of {count:,} streams {site.name} held {opened:,}; bytes are of those")
            assert site.name != "ours" or opened == count, seen
            return grown / max(opened, 1)
        finally:
            if stop:
                site.stop()

    def dead(self):
        dead.measure(self.ours, self.report)


SECTIONS = ("closed", "single", "channels", "harm", "stalled", "burst", "catch_up", "wander", "idle", "dead")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--readers", type=int, default=1000, help="what the goals are for; everything else scales with it")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION")
    options = parser.parse_args()
    report = Report()
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if os.getloadavg()[0] > 0.5:
        report.note(f"others are using this machine (load average {os.getloadavg()[0]:.1f}): compare ratios, not rates")
    resource.setrlimit(resource.RLIMIT_NOFILE, (peers.descriptors(),) * 2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bench = StreamBench(options, report)
    try:
        report.header()
        for section in SECTIONS:
            if not options.sections or section in options.sections:
                getattr(bench, section)()
        bench.note_crashes()
        verified = bench.ours.system.ask("verify")
        report.note("signalbox verify: " + verified.stdout.strip().splitlines()[-1])
        assert verified.returncode == 0, verified
    finally:
        bench.stop()
    about = {"began": began, "rounds": options.rounds, "seconds": options.seconds, "readers": options.readers,
             "cores": os.cpu_count()}
    report.write(pathlib.Path(options.build) / "bench" / "stream", about)
    report.summary()


if __name__ == "__main__":
    main()
