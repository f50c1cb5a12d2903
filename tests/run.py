#!/usr/bin/python3
"""Runs stages of tests, shows their output as it comes, adds up what passed and failed.

    tests/run.py [--variant release|fault|asan|coverage] [--limit-s N] STAGE...

Stages: source (each script of tests/checks is one test), unit, programs, fuzz, system, chaos, asan, coverage.
The last line is 'N passed, N failed[, N skipped]'; exit 0 when nothing failed.
"""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = {"release": "build", "fault": "build/fault", "asan": "build/asan", "coverage": "build/coverage"}
UNIT_LIMIT_S = 120
INTERRUPT_LIMIT_S = 30


class Tally:
    """Counts of one stage, or of all."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


class Runner:
    def __init__(self, variant, limit_s):
        self.variant = variant
        self.later = []  # stages behind the one that runs
        self.end = time.monotonic() + limit_s if limit_s else None

    def command(self, command, limit_s=None, **environment):
        """Runs one command in a process group of its own; returns its exit code and what it printed."""
        left = self.end - time.monotonic() if self.end else None
        limits = [limit for limit in (limit_s, left) if limit is not None]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
                                   env={**os.environ, **environment})
        too_long = threading.Event()

        def stop():
            """Interrupts, so that tests end the servers they started; kills what does not heed that."""
            too_long.set()
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(INTERRUPT_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(max(1, min(limits)), stop) if limits else None
        if timer:
            timer.daemon = True
            timer.start()
        lines = []
        for line in process.stdout:
            lines.append(line)
            sys.stdout.write(line)
            sys.stdout.flush()
        code = process.wait()
        if timer:
            timer.cancel()
        if too_long.is_set():
            print(f"stopped: took longer than it may: {' '.join(map(str, command))}", flush=True)
        return code, "".join(lines)

    def make(self, *targets, variant=None, **environment):
        jobs = f"-j{os.cpu_count() or 1}"
        # The counts of a make above us must not reach this one: it has its own jobs.
        environment = {"MAKEFLAGS": "", "MFLAGS": "", **environment}
        return self.command(["make", "--no-print-directory", "-s", jobs, f"VARIANT={variant or self.variant}", *targets],
                            **environment)


@contextlib.contextmanager
def built_ahead(runner):
    """Meanwhile, with what is left of the machine, what later stages would begin with is built. They say what does not build."""
    builds = [f"make -s -j{os.cpu_count() or 1} VARIANT={name} all unit-tests" for name in ("asan", "coverage") if name in runner.later]
    process = subprocess.Popen(["nice", "-n", "19", "sh", "-c", "; ".join(builds) or ":"], cwd=ROOT, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, "MAKEFLAGS": "", "MFLAGS": ""})  # fmt: skip
    try:
        yield
    finally:
        process.wait()


def one(code):
    return Tally(passed=1) if code == 0 else Tally(failed=1)


def cmocka_tally(code, output):
    """Counts of a cmocka program; a program that died without its summary is one failure."""
    def count(word):
        return sum(map(int, re.findall(rf"\[\s*{word}\s*\]\s+(\d+) test", output)))
    tally = Tally(count("PASSED"), count("FAILED"), count("SKIPPED"))
    if code != 0 and tally.failed == 0:
        tally.failed = 1
    return tally


def pytest_tally(code, output):
    """Counts of pytest's last summary line(s); an exit code nothing in them explains is one failure."""
    tally = Tally()
    for line in re.findall(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s.*$", output, re.M):
        for number, word in re.findall(r"(\d+) (\w+)", line):
            if word in ("passed", "xpassed"):
                tally.passed += int(number)
            elif word in ("failed", "error", "errors"):
                tally.failed += int(number)
            elif word in ("skipped", "xfailed"):
                tally.skipped += int(number)
    if code != 0 and tally.failed == 0:
        tally.failed = 1
    return tally


def run_source(runner):
    tally = Tally()
    for script in sorted((ROOT / "tests/checks").glob("check_*.py")):
        code, _ = runner.command([sys.executable, str(script)], limit_s=UNIT_LIMIT_S)
        print(f"{'ok    ' if code == 0 else 'FAILED'} {script.stem.removeprefix('check_')}", flush=True)
        tally.add(one(code))
    return tally


def run_unit(runner, variant=None):
    variant = variant or runner.variant
    code, _ = runner.make("unit-tests", variant=variant)
    if code != 0:
        print("FAILED: the unit tests do not build")
        return Tally(failed=1)
    tally = Tally()
    sources = sorted((ROOT / "tests/unit").rglob("*_test.c"))
    for source in sources:
        program = ROOT / OUT[variant] / "tests" / source.relative_to(ROOT / "tests/unit").with_suffix("")
        limit_s = UNIT_LIMIT_S * (3 if variant in ("asan", "coverage") else 1)
        code, output = runner.command([str(program)], limit_s=limit_s)
        tally.add(cmocka_tally(code, output))
    return tally


def run_programs(runner):
    """What can be seen in built programs only: they build, are hardened, and tell the same as the committed files."""
    tally = one(runner.make("all")[0])
    if tally.failed:
        return tally
    hardened = [sys.executable, "tests/checks/programs.py", f"{OUT[runner.variant]}/bin"]
    for name, (code, _) in (("hardening", runner.command(hardened)), ("schema picture", runner.make("check-schema")),
                            ("example settings file", runner.make("check-config"))):
        print(f"{'ok    ' if code == 0 else 'FAILED'} {name}", flush=True)
        tally.add(one(code))
    return tally


def run_fuzz(runner):
    code, _ = runner.make("fuzzers")
    if code != 0:
        return Tally(failed=1)
    tally = Tally()
    for source in sorted((ROOT / "tests/fuzz").glob("*_fuzz.c")):
        code, _ = runner.make("fuzz-" + source.name.removesuffix("_fuzz.c"))
        tally.add(one(code))
    return tally


def run_system(runner):
    return pytest_tally(*runner.make("check-system"))


def run_chaos(runner):
    # Most of the time it waits for what it has stopped.
    runner.make("fault-build")
    with built_ahead(runner):
        return pytest_tally(*runner.make("chaos-quick"))


def run_asan(runner):
    """Unit and black-box tests on the build with AddressSanitizer and UBSan."""
    tally = run_unit(runner, "asan")
    tally.add(pytest_tally(*runner.make("asan-system")))
    return tally


def run_coverage(runner):
    """The lines that unit tests and some black-box tests reach, held against tests/coverage-floor."""
    code, _ = runner.make("coverage", variant="coverage", COVERAGE="quick")
    return one(code)


STAGES = {"source": run_source, "unit": run_unit, "programs": run_programs, "fuzz": run_fuzz, "system": run_system,
          "chaos": run_chaos, "asan": run_asan, "coverage": run_coverage}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", choices=OUT, default="release")
    parser.add_argument("--limit-s", type=int, help="seconds for all stages together")
    parser.add_argument("stages", nargs="+", choices=STAGES)
    options = parser.parse_args()
    # A shell that starts us in the background has SIGINT ignored; what the tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runner = Runner(options.variant, options.limit_s)
    total, summary = Tally(), []
    for place, name in enumerate(options.stages):
        runner.later = options.stages[place + 1:]
        print(f"==== {name}", flush=True)
        started = time.monotonic()
        tally = STAGES[name](runner)
        summary.append(f"{name:10} {tally}  ({time.monotonic() - started:.0f} s)")
        total.add(tally)
    print("====", *summary, total, sep="\n", flush=True)
    return 1 if total.failed or not total.passed else 0


sys.exit(main())
