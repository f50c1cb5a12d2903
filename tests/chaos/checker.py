"""
Judges the history of a chaos run by the invariants I1–I11 and I16 of the reliability plan.

Every event carries a key of its own, so no search over orders is needed: one pass per run with a map from key to seq,
and one sweep by time for I6. Nothing here talks to a server; tests/chaos/test_checker.py breaks every invariant once.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from chaos.assembled import check_assembled

TERMINAL = ("RUN_FINISHED", "RUN_FAILED", "RUN_CANCELLED")


class Row(NamedTuple):
    """An event as some observer saw it. key None: an event no producer made (RUN_STARTED, the ending)."""

    seq: int
    kind: str
    key: str
    hash: str


@dataclass
class Op:
    """
    One append as its producer knows it. result: ok, fail (definitely refused) or unknown. begin and end are on one
    clock for the whole machine. answers: (first, last) of every positive answer to the same key, repeats included.
    """

    lane: str
    ordinal: int
    run: str
    keys: list
    hashes: list
    begin: float
    end: float
    result: str
    answers: list = field(default_factory=list)
    detail: str = ""

    @property
    def first(self):
        return self.answers[0][0]

    @property
    def last(self):
        return self.answers[0][1]


@dataclass
class Connection:
    """What one reader's connection showed: events after its cursor. closing: it reached the tidy end."""

    cursor: int
    rows: list


@dataclass
class Observer:
    """
    A reader of one run over all its connections. complete: it should have seen the whole run. types: all that it was to see of
    it besides the ending; empty: everything.
    """

    name: str
    run: str
    connections: list
    complete: bool = True
    complaints: list = field(default_factory=list)
    types: tuple = ()


@dataclass
class Feed:
    """A reader of a tenant's or thread's stream over all its connections: (run, seq, hash) as they came."""

    name: str
    events: list
    from_start: bool  # it must have the phase's first event
    complaints: list = field(default_factory=list)


class Read(NamedTuple):
    """A page read that began at `begin`: the head it told, and the seqs from after + 1 that it showed."""

    begin: float
    run: str
    after: int
    seqs: list
    head: int


class Write(NamedTuple):
    """One committed batch as the database saw it: who held the shard's epoch, and who wrote."""

    position: int
    epoch: int
    writer_is_owner: bool


@dataclass
class History:
    ops: list = field(default_factory=list)
    tables: dict = field(default_factory=dict)  # run -> [Row] by seq, the truth
    heads: dict = field(default_factory=dict)  # run -> last_seq as stored
    copies: dict = field(default_factory=dict)  # (name, run) -> [Row]: pages, fresh replays
    observers: list = field(default_factory=list)
    assembled: list = field(default_factory=list)  # chaos.assembled.Assembled: what clients of conversations had in the end
    logs: dict = field(default_factory=dict)  # run -> [(type, payload)] by seq, the truth for those
    complaints: list = field(default_factory=list)  # of their readers
    shown: dict = field(default_factory=dict)  # kind of reader -> how much its readers saw
    log: list = field(default_factory=list)  # (run, seq, hash) of all runs by position
    feeds: list = field(default_factory=list)
    apart: set = field(default_factory=set)  # runs of the log that are not in the thread of the others
    jobs: dict = field(default_factory=dict)  # run that holds jobs -> ([Row] by seq, last_seq as stored)
    reads: list = field(default_factory=list)
    lives: list = field(default_factory=list)  # (run, type): acknowledged lifecycle events, an answer or a request each
    writes: list = field(default_factory=list)
    restarts: list = field(default_factory=list)  # (actor, counted, injected)
    late: list = field(default_factory=list)  # what had not settled in time after the last fault


class Violation(NamedTuple):
    invariant: str
    run: str
    text: str

    def __str__(self):
        return f"{self.invariant} run {self.run}: {self.text}"


def check(history: History) -> list:
    """All violations, the gravest first."""
    found = []
    by_run = defaultdict(list)
    for op in history.ops:
        by_run[op.run].append(op)
    for run, rows in history.tables.items():
        found += check_table(run, rows, history.heads.get(run))
        found += check_ops(run, by_run.get(run, ()), rows)
        found += check_real_time(run, by_run.get(run, ()))
        found += check_lanes(run, by_run.get(run, ()))
    for run in by_run.keys() - history.tables.keys():
        for op in by_run[run]:
            if op.result == "ok":
                found.append(Violation("I1", run, f"{op.lane}#{op.ordinal} was acknowledged, its run is not in the table"))
    for (name, run), rows in history.copies.items():
        found += check_copy(name, run, rows, history.tables.get(run, []))
    for observer in history.observers:
        found += check_observer(observer, history.tables.get(observer.run, []))
    for one in history.assembled:
        found += [Violation(invariant, one.run, text) for invariant, text in check_assembled(one, history.logs.get(one.run, []))]
    found += [Violation("I5", "-", text) for text in history.complaints]
    found += [Violation("I16", "-", f"no reader by {kind} saw anything") for kind, much in history.shown.items() if not much]
    found += check_lives(history.lives, history.tables)
    for feed in history.feeds:
        found += check_feed(feed, [event for event in history.log if not feed.from_start or event[0] not in history.apart])
    found += check_reads(history.reads, history.ops)
    found += check_writes(history.writes)
    found += [
        Violation("I16", "-", f"{actor}: {counted} restarts counted, {injected} deaths caused")
        for actor, counted, injected in history.restarts
        if counted != injected
    ]
    found += [Violation("I16", "-", text) for text in history.late]
    return found


def check_table(run, rows, head) -> list:
    """I2, I3: dense, ended once, no key twice."""
    found, seen = [], {}
    for expected, row in enumerate(rows, 1):
        if row.seq != expected:
            kind = "I3" if row.seq < expected else "I2"
            found.append(Violation(kind, run, f"seq {row.seq} where {expected} should be"))
            break
    if head is not None and head != (rows[-1].seq if rows else 0):
        found.append(Violation("I2", run, f"head {head}, last event {rows[-1].seq if rows else 0}"))
    for row in rows:
        if row.key is not None:
            if row.key in seen:
                found.append(Violation("I3", run, f"key {row.key} at {seen[row.key]} and {row.seq}"))
            seen[row.key] = row.seq
    for row in rows[:-1]:
        if row.kind in TERMINAL:
            found.append(Violation("I11", run, f"events after the ending at {row.seq}"))
            break
    return found


def check_ops(run, ops, rows) -> list:
    """I1, I9, I11: what producers were told is what is there."""
    found = []
    at = {row.key: row for row in rows if row.key is not None}
    by_seq = {row.seq: row for row in rows}
    known = set()
    for op in ops:
        known.update(op.keys)
        name = f"{op.lane}#{op.ordinal}"
        if len(set(map(tuple, op.answers))) > 1:
            found.append(Violation("I9", run, f"{name}: one key, answers {op.answers}"))
        if op.result == "ok":
            found += _check_acknowledged(run, name, op, by_seq)
        elif op.result == "fail":
            present = [key for key in op.keys if key in at]
            if present:
                found.append(Violation("I11", run, f"{name} was refused ({op.detail}), yet {present[0]} is there"))
        else:
            found += _check_whole_or_none(run, name, op, at)
    for key in at.keys() - known:
        found.append(Violation("I9", run, f"key {key} at {at[key].seq} was never sent"))
    return found


def _check_acknowledged(run, name, op, by_seq) -> list:
    if not op.keys and (op.first not in by_seq or by_seq[op.first].kind not in TERMINAL):
        return [Violation("I1", run, f"{name}: the ending acknowledged at {op.first} is not there")]
    for offset, (key, digest) in enumerate(zip(op.keys, op.hashes, strict=True)):
        row = by_seq.get(op.first + offset)
        if row is None or (row.key, row.hash) != (key, digest):
            got = "nothing" if row is None else f"{row.key} {row.hash}"
            return [Violation("I1", run, f"{name}: {key} acknowledged at {op.first + offset}, there is {got}")]
    if op.last != op.first + max(len(op.keys), 1) - 1:
        return [Violation("I1", run, f"{name}: {len(op.keys)} events answered {op.first}..{op.last}")]
    return []


def _check_whole_or_none(run, name, op, at) -> list:
    seqs = [at[key].seq for key in op.keys if key in at]
    if seqs and (len(seqs) != len(op.keys) or seqs != list(range(seqs[0], seqs[0] + len(seqs)))):
        return [Violation("I9", run, f"{name}: of an unknown outcome {seqs} of {len(op.keys)} events are there")]
    return []


def check_lives(lives, tables) -> list:
    """I1, I3: what was acknowledged of questions and cancellations is there; each question has one answer, a run one request."""
    found = []
    told = Counter(tuple(life) for life in lives)
    for run, rows in tables.items():
        there = Counter(row.kind for row in rows)
        for kind in ("CLARIFICATION_NEEDED", "CLARIFICATION_ANSWERED"):
            if told[run, kind] > there[kind]:
                found.append(Violation("I1", run, f"{told[run, kind]} {kind} acknowledged, {there[kind]} there"))
        # One asked again is answered as the first; whoever asks after the end of a cancelled run, too.
        if told[run, "RUN_CANCEL_REQUESTED"] and not there["RUN_CANCEL_REQUESTED"]:
            found.append(Violation("I1", run, "a cancellation acknowledged is not there"))
        if there["CLARIFICATION_ANSWERED"] > there["CLARIFICATION_NEEDED"]:
            found.append(Violation("I3", run, "more answers than questions"))
        if there["RUN_CANCEL_REQUESTED"] > 1:
            found.append(Violation("I3", run, f"{there['RUN_CANCEL_REQUESTED']} requests to cancel"))
    return found


def check_real_time(run, ops) -> list:
    """I6: acknowledged before the other began means smaller seqs. One sweep over begins and ends by time."""
    moments = []
    for op in ops:
        if op.result == "ok" and op.keys:
            moments.append((op.begin, 1, op))
            moments.append((op.end, 0, op))
    moments.sort(key=lambda m: (m[0], -m[1]))  # at the same instant the begin counts as before the end
    highest, holder, found = 0, None, []
    for _, is_begin, op in moments:
        if is_begin:
            op_floor = highest
            if op.first <= op_floor:
                text = f"{op.lane}#{op.ordinal} at {op.first} began after {holder.lane}#{holder.ordinal} at {op_floor} was told"
                found.append(Violation("I6", run, text))
        elif op.last > highest:
            highest, holder = op.last, op
    return found


def check_lanes(run, ops) -> list:
    """I8: what one producer sends one after the other stays in that order."""
    found, last = [], {}
    for op in sorted(ops, key=lambda op: (op.lane, op.ordinal)):
        if op.result != "ok" or not op.keys:
            continue
        before = last.get(op.lane)
        if before is not None and op.first <= before.last:
            text = f"{op.lane}#{op.ordinal} at {op.first}, #{before.ordinal} before it at {before.last}"
            found.append(Violation("I8", run, text))
        last[op.lane] = op
    return found


def check_copy(name, run, rows, table) -> list:
    """I4: another way to read the finished log shows exactly the table."""
    if rows == table:
        return []
    for mine, theirs in zip(table, rows):
        if mine != theirs:
            return [Violation("I4", run, f"{name} shows {theirs}, the table {mine}")]
    return [Violation("I4", run, f"{name} has {len(rows)} events, the table {len(table)}")]


def check_observer(observer, table) -> list:
    """I4, I5: one after the other from the cursor on every connection, the same content, and nothing missing in the end."""
    run, name = observer.run, observer.name
    found = [Violation("I5", run, f"{name}: {text}") for text in observer.complaints]
    wanted = [row.seq for row in table if not observer.types or row.kind in observer.types or row.kind in TERMINAL]
    following = dict(zip([0, *wanted], wanted))
    cursor = None
    for connection in observer.connections:
        if cursor is not None and connection.cursor != cursor:
            found.append(Violation("I5", run, f"{name} came back with {connection.cursor}, it had seen {cursor}"))
        cursor = connection.cursor
        for row in connection.rows:
            if row.seq != following.get(cursor):
                found.append(Violation("I5", run, f"{name} saw {row.seq} after {cursor}"))
            cursor = row.seq
            if not 1 <= row.seq <= len(table):
                found.append(Violation("I4", run, f"{name} saw seq {row.seq}, the table ends at {len(table)}"))
            elif table[row.seq - 1] != row:
                found.append(Violation("I4", run, f"{name} saw {row}, the table has {table[row.seq - 1]}"))
    if observer.complete and (cursor or 0) != (wanted[-1] if wanted else 0):
        found.append(Violation("I5", run, f"{name} ended at {cursor}, the run at {len(table)}"))
    return found


def check_feed(feed, log) -> list:
    """I4, I5: the log from the first event seen to the end, each event once, in its order."""
    found = [Violation("I5", "-", f"{feed.name}: {text}") for text in feed.complaints]
    if not log:
        return found
    if not feed.events or feed.events[0] not in log:
        return [*found, Violation("I5", "-", f"{feed.name} saw {feed.events[:1]}, which is no event of the log")]
    start = log.index(feed.events[0])
    if feed.from_start and start > 0:
        found.append(Violation("I5", "-", f"{feed.name} began with event {start} of the log"))
    wanted = log[start:]
    for at, (mine, theirs) in enumerate(zip(wanted, feed.events)):
        if mine != theirs:
            return [*found, Violation("I4", theirs[0], f"{feed.name} saw {theirs} as event {start + at}, the log has {mine}")]
    if len(wanted) != len(feed.events):
        text = f"{feed.name} ended after {len(feed.events)} events of {len(wanted)}"
        found.append(Violation("I5", "-", text))
    return found


def check_reads(reads, ops) -> list:
    """I7: a read that began after an acknowledgement shows what was acknowledged."""
    acknowledged = defaultdict(list)
    for op in ops:
        if op.result == "ok":
            acknowledged[op.run].append((op.end, op.last))
    floors = {}
    for run, acks in acknowledged.items():
        acks.sort()
        highest, steps = 0, []
        for end, last in acks:
            highest = max(highest, last)
            steps.append((end, highest))
        floors[run] = steps
    found = []
    for read in reads:
        floor = _floor_at(floors.get(read.run, ()), read.begin)
        if read.head < floor:
            found.append(Violation("I7", read.run, f"a read told head {read.head} after {floor} had been acknowledged"))
        if read.seqs != list(range(read.after + 1, read.after + 1 + len(read.seqs))):
            found.append(Violation("I2", read.run, f"a page after {read.after} showed {read.seqs[:20]}"))
    return found


def _floor_at(steps, moment) -> int:
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        if steps[middle][0] < moment:
            low = middle + 1
        else:
            high = middle
    return steps[low - 1][1] if low else 0


def check_writes(writes) -> list:
    """I10: epochs never go down along the log, and each batch was written by the session that held the epoch."""
    found, before = [], None
    for write in sorted(writes):
        if before is not None and write.epoch < before.epoch:
            text = f"position {write.position} has epoch {write.epoch}, {before.position} had {before.epoch}"
            found.append(Violation("I10", "-", text))
        if not write.writer_is_owner:
            found.append(Violation("I10", "-", f"position {write.position} written without holding epoch {write.epoch}"))
        before = write
    return found
