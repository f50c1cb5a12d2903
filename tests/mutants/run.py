#!/usr/bin/python3
"""
Plants one bug at a time and looks whether the suite notices: a mutant that survives is a failure of the suite.

    tests/mutants/run.py [--check] [NAME...]

A mutant is a file NAME.toml beside this one:

    bug = "which rule is broken, in words"
    seconds = 10                      # about how long until it is caught; quick ones come first
    tests = ["tests/e2e/…::test_…"]   # what is expected to catch it, as pytest takes it
    [[change]]
    file = "actors/…"
    find = '''exactly one place in it'''
    replace = '''…'''

With --check it only looks whether every place is there. Everything else happens in a copy of the tracked files under build/mutants/work, built with VARIANT=fault. First all the tests
named must pass without a mutation. The output of each run is in build/mutants/NAME.log. The last line is
'mutants: N caught, N survived'; exit 0 when all were caught.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLACE = ROOT / "build" / "mutants"
WORK = PLACE / "work"
BUILD = Path("build/fault")
TEST_LIMIT_S = 90
RUN_LIMIT_S = 300
INTERRUPT_LIMIT_S = 60


class Unusable(Exception):
    """A mutant that says nothing about the suite: it cannot be planted, built or run."""


class Mutant:
    def __init__(self, path):
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        self.name = path.stem
        self.bug, self.seconds, self.tests, self.changes = told["bug"], told["seconds"], told["tests"], told["change"]

    def changed(self, root):
        """{file: (its text, its text with the bug)}; every place must be there exactly once, also after the ones before."""
        texts = {}
        for change in self.changes:
            file = root / change["file"]
            before, now = texts.get(file) or [file.read_text(encoding="utf-8")] * 2
            count = now.count(change["find"])
            if count != 1:
                raise Unusable(f"{change['file']} has this {count} times: {change['find'].strip().splitlines()[0]}")
            texts[file] = before, now.replace(change["find"], change["replace"])
        return texts


def copy_tree():
    """The tracked files as they are now and the objects of the fault build, with their times, so that make goes on there."""
    shutil.rmtree(WORK, ignore_errors=True)
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
                             "--exclude-standard"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout  # fmt: skip
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (WORK / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, WORK / name)
    if (ROOT / BUILD).is_dir():
        shutil.copytree(ROOT / BUILD, WORK / BUILD, symlinks=True)


def run(command, log, limit_s):
    """Exit code and output of a command in the copy; interrupted when it takes too long, so that it ends its servers."""
    environment = os.environ | {"MAKEFLAGS": "", "MFLAGS": "", "SIGNALBOX_TEST_BIN": str(BUILD / "bin")}
    process = subprocess.Popen(command, cwd=WORK, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)  # fmt: skip
    try:
        output, _ = process.communicate(timeout=limit_s)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=INTERRUPT_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        log.write(output)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise Unusable(f"not done after {limit_s} s") from None
    log.write(output)
    log.flush()
    return process.returncode, output


def build(log):
    jobs = f"-j{os.cpu_count() or 1}"
    code, output = run(["make", "--no-print-directory", jobs, "VARIANT=fault", "all"], log, RUN_LIMIT_S)
    if code != 0:
        raise Unusable(f"does not build: {output.strip().splitlines()[-1]}")


def test(tests, log, limit_s, *options):
    """(exit code of pytest, its output)."""
    return run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short", f"--timeout={TEST_LIMIT_S}",
                "--timeout-method=signal", *options, *tests], log, limit_s)  # fmt: skip


def control(mutants):
    """Without a mutation everything passes and nothing is skipped; else the rest would mean nothing."""
    tests = sorted({name for mutant in mutants for name in mutant.tests})
    with open(PLACE / "control.log", "w", encoding="utf-8") as log:
        build(log)
        code, output = test(tests, log, 3 * RUN_LIMIT_S)
    last = output.strip().splitlines()[-1]
    if code != 0 or "skipped" in last:
        print(*re.findall(r"^(?:FAILED|ERROR|SKIPPED) .*$", output, re.M), sep="\n")
        raise Unusable(f"the tests do not all pass without a mutation: {last}")
    return last


def judge(mutant):
    """The test that caught it, or None."""
    with open(PLACE / f"{mutant.name}.log", "w", encoding="utf-8") as log:
        texts = mutant.changed(WORK)
        try:
            for file, (_, planted) in texts.items():
                file.write_text(planted, encoding="utf-8")
            build(log)
            code, output = test(mutant.tests, log, RUN_LIMIT_S, "-x")
        finally:
            for file, (before, _) in texts.items():
                file.write_text(before, encoding="utf-8")
    if code == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.M)
    if code != 1 or found is None:
        raise Unusable(f"pytest ended with {code}")
    if "ERROR at setup of" in output and not re.search(r"^FAILED ", output, re.M):
        raise Unusable(f"nothing starts with it: {found[1]}")
    return found[1]


def check(mutants):
    """How many do not fit the sources any more."""
    misfits = 0
    for mutant in mutants:
        try:
            mutant.changed(ROOT)
        except (OSError, Unusable) as error:
            misfits += 1
            print(f"{mutant.name}: {error}")
    return misfits


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="only look whether every place to change is there")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names
    mutants = sorted((Mutant(path) for path in HERE.glob("*.toml")), key=lambda mutant: (mutant.seconds, mutant.name))
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        parser.error(f"no such mutant: {' '.join(sorted(unknown))}")
    chosen = [mutant for mutant in mutants if not names or mutant.name in names]
    misfits = check(chosen)
    if misfits or options.check:
        return 1 if misfits else 0
    PLACE.mkdir(parents=True, exist_ok=True)
    copy_tree()
    caught, survived, unusable = 0, 0, 0
    try:
        print(f"control: {control(chosen)}", flush=True)
        for mutant in chosen:
            started = time.monotonic()
            print(f"{mutant.name}: ", end="", flush=True)
            try:
                catcher = judge(mutant)
            except Unusable as error:
                unusable += 1
                print(f"UNUSABLE: {error}", flush=True)
                continue
            if catcher is None:
                survived += 1
                print(f"SURVIVED ({mutant.bug})", flush=True)
            else:
                caught += 1
                print(f"caught by {catcher} in {time.monotonic() - started:.0f} s", flush=True)
    except Unusable as error:
        unusable += 1
        print(f"control: {error}", flush=True)
    extra = f", {unusable} unusable" if unusable else ""
    print(f"mutants: {caught} caught, {survived} survived{extra}", flush=True)
    return 1 if survived or unusable or not caught else 0


sys.exit(main())
