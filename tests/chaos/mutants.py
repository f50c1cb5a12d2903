#!/usr/bin/python3
"""
Planted bugs: `mutants.py [NAME...]`. Each is a change of a few lines in a copy of the tree (build/mutants/tree), built
with fault points, and must make the tests named beside it fail; the untouched copy must pass them all. A mutant that
survives is a failure of the test plan. A text that is no longer in the source stops the run: the mutant must follow it.
"""

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "build" / "mutants" / "tree"
LIMIT_S = 420
ALWAYS = ["-q", "-x", "-p", "no:cacheprovider"]


@dataclass
class Mutant:
    name: str
    what: str
    edits: list  # (file, text there now, text instead)
    tests: list  # arguments of pytest
    environment: dict = field(default_factory=dict)


POINTS = "tests/e2e/test_fault_points.py"
WRITER = "tests/e2e/test_single_writer.py"
CHAOS = "tests/chaos/test_faults.py"
BATCH, INTAKE = "actors/sequencer/batch.c", "actors/sequencer/intake.c"
APPEND_SQL = "migrations/0003_sequencer.up.sql"
EPOCH_CHECK = """begin
    perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;

    -- Loops over arrays"""

MUTANTS = [
    Mutant(
        "ack-before-commit", "the answer goes out before the batch is sent to the database",
        [(BATCH, '    SB_FAULT("sequencer_before_commit");\n',
          "    LIST_FOR_EACH(early, &batch->commands)\n    {\n"
          "        intake_answer(sequencer, LIST_ENTRY(early, struct command, node));\n    }\n"
          '    SB_FAULT("sequencer_before_commit");\n')],
        [POINTS, "-k", "nothing_is_told"],
    ),
    Mutant(
        "publish-before-commit", "streamers hear of events before the commit",
        [(BATCH, '    SB_FAULT("sequencer_before_commit");\n',
          '    publish_batch(sequencer);\n    SB_FAULT("sequencer_before_commit");\n')],
        [POINTS, "-k", "nothing_is_told"],
    ),
    Mutant(
        "asked-again-done-again", "a command re-asked after a death is appended a second time",
        [(BATCH, "    if (command->recovered) {\n", "    if (false && command->recovered) {\n")],
        [POINTS, "-k", "death_at_this_point and without and (after_commit or after_ack)"],
    ),
    Mutant(
        "keys-forgotten", "idempotency keys are not looked up, and the database takes doubles",
        [(INTAKE, "    if (key.length > 0) {\n", "    if (key.length > 100000) {\n"),
         ("migrations/0002_runs.up.sql", "create unique index run_events_idempotency",
          "create index run_events_idempotency")],
        ["tests/e2e/test_append.py", "-k", "key"],
    ),
    Mutant(
        "lost-commit-called-refused", "an unknown outcome is told as a definite failure",
        [(BATCH, "    case DB_LOST:\n        sequencer_lost(sequencer);\n",
          "    case DB_LOST:\n        LIST_FOR_EACH(node, &sequencer->batch.commands)\n        {\n"
          "            struct command *command = LIST_ENTRY(node, struct command, node);\n"
          "            set_outcome(command, OUTCOME_REFUSED);\n            intake_answer(sequencer, command);\n"
          "        }\n        sequencer_lost(sequencer);\n")],
        [CHAOS, "-k", "session_is_terminated or database_goes"],
    ),
    Mutant(
        "repeat-off-by-one", "the answer of a repeated key read from the table is one too high",
        [("actors/sequencer/resolve.c", "(uint64_t)db_int4(result, row, 3) - 1;", "(uint64_t)db_int4(result, row, 3);")],
        [CHAOS, "-k", "sequencer_is_killed"], {"CHAOS_SCALE": "0.25"},
    ),
    Mutant(
        "epoch-not-checked", "append takes any epoch",
        [(APPEND_SQL, EPOCH_CHECK, EPOCH_CHECK.replace("if not found", "if false"))],
        [CHAOS, "-k", "two_sequencers"],
    ),
    Mutant(
        "epoch-without-lock", "the epoch is read, but not held until the commit",
        [(APPEND_SQL, EPOCH_CHECK, EPOCH_CHECK.replace(" for share;", ";"))],
        [WRITER, "-k", "takeover_waits"],
    ),
    Mutant(
        "epoch-key-share", "the epoch is held by a lock that lets a takeover through",
        [(APPEND_SQL, EPOCH_CHECK, EPOCH_CHECK.replace(" for share;", " for key share;"))],
        [WRITER, "-k", "takeover_waits"],
    ),
    Mutant(
        "heads-not-checked", "the database takes batches that do not fit the heads",
        [(APPEND_SQL, " and r.last_seq = h.old and not r.closed", "")],
        [WRITER, "-k", "dense or closed"],
    ),
    Mutant(
        "no-tail-repair", "signs of lost frames are ignored",
        [("actors/streamer/heads.c", "    put_all(streamer, false);\n", "    (void)streamer;\n")],
        [CHAOS, "-k", "sequencer_is_killed"], {"CHAOS_SCALE": "0.5"},
    ),
    Mutant(
        "repair-off-by-one", "a single missing event is not repaired",
        [("actors/streamer/run.c", "    } else if (last_seq >= run->window.next && last_seq > run->target) {\n",
          "    } else if (last_seq > run->window.next && last_seq > run->target) {\n")],
        [CHAOS, "-k", "sequencer_is_killed"], {"CHAOS_SCALE": "0.5"},
    ),
    Mutant(
        "table-before-live", "frames that come before the head was read are dropped",
        [("actors/streamer/run.c", "    bool had_hole = run_has_hole(run);\n",
          "    bool had_hole = run_has_hole(run);\n    if (!run->known) {\n        return;\n    }\n")],
        ["tests/e2e/test_streams.py", "-k", "joins_at_the_very_moment"],
    ),
    Mutant(
        "tidy-end", "a stream that cannot go on is ended as if the run were over",
        [("actors/streamer/reader.c", "    reader_freeze(reader);\n    stream_socket_close(",
          '    if (how == READER_CLOSE_BROKEN && write(reader->fd, "0\\r\\n\\r\\n", 5) < 0) {\n'
          '        LOG_DEBUG("no end");\n    }\n    reader_freeze(reader);\n    stream_socket_close(')],
        ["tests/e2e/test_restarts.py", "-k", "clean_stop"],
    ),
    Mutant(
        "one-receive-per-callback", "a bus socket is read once per signal",
        [("actors/runtime/bus.c", "    while (taken < BUS_BURST) {\n", "    while (taken < 1) {\n"),
         ("actors/runtime/bus.c", "    event_active(socket->main.again, EV_TIMEOUT, 0);\n    return taken;\n",
          "    return taken;\n")],
        ["tests/e2e/test_concurrency.py"],
    ),
]  # fmt: skip


class Stale(Exception):
    pass


def copy_tree():
    """The tracked files and the build with fault points, so that a mutant compiles a file or two."""
    TREE.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        target = TREE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != (ROOT / name).read_bytes():
            shutil.copy2(ROOT / name, target)
    if not (TREE / "build" / "fault").exists():
        shutil.copytree(ROOT / "build" / "fault", TREE / "build" / "fault", copy_function=shutil.copy2)


def build():
    done = subprocess.run(["make", "-s", "-j2", "VARIANT=fault", "all"], cwd=TREE, capture_output=True, text=True)
    if done.returncode != 0:
        raise Stale(f"does not build:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def changed(mutant) -> dict:
    """{file: new text}."""
    texts = {}
    for name, old, new in mutant.edits:
        text = texts.get(name) or (ROOT / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise Stale(f"{name} has {text.count(old)} times: {old!r}")
        texts[name] = text.replace(old, new)
    return texts


def run_tests(arguments, environment):
    import os

    env = os.environ | {"SIGNALBOX_TEST_BIN": "build/fault/bin", "CHAOS_SEED": "mutants"} | environment
    return subprocess.run(
        [sys.executable, "-m", "pytest", *ALWAYS, *arguments], cwd=TREE, env=env, capture_output=True, text=True,
        timeout=LIMIT_S,
    )  # fmt: skip


def try_mutant(mutant) -> tuple:
    """(caught, the first thing that gave it away)."""
    texts = changed(mutant)
    for name, text in texts.items():
        (TREE / name).write_text(text, encoding="utf-8")
    try:
        build()
        done = run_tests(mutant.tests, mutant.environment)
    finally:
        for name in texts:
            (TREE / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    if done.returncode not in (0, 1):
        raise Stale(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    reason = re.search(r"^E +(\S.*)$", done.stdout, re.M)
    return done.returncode == 1, reason.group(1)[:110] if reason else ""


def check_untouched(mutants) -> bool:
    """What is to catch a mutant must pass without it."""
    build()
    seen = []
    for mutant in mutants:
        if (mutant.tests, mutant.environment) in seen:
            continue
        seen.append((mutant.tests, mutant.environment))
        done = run_tests(mutant.tests, mutant.environment)
        if done.returncode != 0:
            print(f"mutants: the untouched tree fails {' '.join(mutant.tests)}\n{done.stdout[-4000:]}")
            return False
    return True


def main(names) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    for mutant in chosen:
        changed(mutant)  # all specifications first: a stale one costs no minutes
    copy_tree()
    if not check_untouched(chosen):
        return 1
    survived = []
    for mutant in chosen:
        begin = time.monotonic()
        caught, reason = try_mutant(mutant)
        if not caught:
            survived.append(mutant.name)
        verdict = "caught  " if caught else "SURVIVED"
        print(f"{verdict} {mutant.name}: {mutant.what} ({time.monotonic() - begin:.0f} s) {reason}", flush=True)
    print(f"mutants: {len(chosen) - len(survived)} of {len(chosen)} caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
