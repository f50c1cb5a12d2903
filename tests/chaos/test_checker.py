"""The checker itself: a good history passes, and each invariant broken once is found."""

import copy
import json
import random
import time

import pytest
from chaos.assembled import CLIENTS
from chaos.checker import Connection, Feed, History, Observer, Op, Read, Row, Write, check

RUN = "r"


def row(seq, key=None, digest=None, kind="CUSTOM"):
    return Row(seq, kind, key, digest if digest is not None else (f"h-{key}" if key else "-"))


def op(lane, ordinal, keys, begin, end, first=None, result="ok", run=RUN):
    answers = [(first, first + len(keys) - 1)] if result == "ok" else []
    return Op(lane, ordinal, run, list(keys), [f"h-{k}" for k in keys], begin, end, result, answers)


CHAT = "c"
# One event each: its type, its payload, and the frames it is to clients of AG-UI and of the AI SDK.
SAID = [
    ("RUN_STARTED", {}, [{"type": "RUN_STARTED", "runId": CHAT}], [{"type": "start", "messageId": CHAT}, {"type": "start-step"}]),
    (
        "MESSAGE_DELTA", {"message_id": "m", "delta": "one "},
        [{"type": "TEXT_MESSAGE_START", "messageId": "m"}, {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "one "}],
        [{"type": "text-start", "id": "m"}, {"type": "text-delta", "id": "m", "delta": "one "}],
    ),
    (
        "MESSAGE_DELTA", {"message_id": "m", "delta": "two"},
        [{"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "two"}], [{"type": "text-delta", "id": "m", "delta": "two"}],
    ),
    (
        "CUSTOM", {"name": "chaos", "value": {"k": "k1"}}, [{"type": "CUSTOM", "name": "chaos", "value": {"k": "k1"}}],
        [{"type": "data-custom", "data": {"name": "chaos", "value": {"k": "k1"}}}],
    ),
    (
        "TOOL_CALL_STARTED", {"tool_call_id": "t", "arguments": "[1]"},
        [
            {"type": "TOOL_CALL_START", "toolCallId": "t"}, {"type": "TOOL_CALL_ARGS", "toolCallId": "t", "delta": "[1]"},
            {"type": "TOOL_CALL_END", "toolCallId": "t"},
        ],
        [{"type": "tool-input-available", "toolCallId": "t", "input": [1]}],
    ),
    (
        "TOOL_CALL_COMPLETED", {"tool_call_id": "t", "result": "done"},
        [{"type": "TOOL_CALL_RESULT", "toolCallId": "t", "content": "done"}],
        [{"type": "tool-output-available", "toolCallId": "t", "output": "done"}],
    ),
    (
        "MESSAGE_COMPLETED", {"message_id": "m", "content": "one two"},
        [{"type": "TEXT_MESSAGE_END", "messageId": "m"}], [{"type": "text-end", "id": "m"}],
    ),
    (
        "RUN_FINISHED", {}, [{"type": "RUN_FINISHED", "outcome": {"type": "success"}}],
        [{"type": "finish-step"}, {"type": "finish", "finishReason": "stop"}],
    ),
]  # fmt: skip
LOG = [(kind, payload) for kind, payload, *_ in SAID]
FRAMES = {
    kind: [(seq if part is said[at][-1] else None, part) for seq, said in enumerate(SAID, 1) for part in said[at]]
    for kind, at in (("agui", 2), ("ai-sdk", 3))
}
JOINED = [
    (None, {"type": "RUN_STARTED", "runId": CHAT}),
    (None, {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "m", "role": "assistant", "content": ""}]}),
    (None, {"type": "CUSTOM", "name": "chaos", "value": {"k": "k1"}}), (None, {"type": "TEXT_MESSAGE_START", "messageId": "m"}),
    (4, {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "one two"}), *FRAMES["agui"][5:],
]  # fmt: skip


def assembled(kind, frames, tidy=True):
    client = CLIENTS[kind]()
    for identity, part in frames:
        client.frame(identity and str(identity), json.dumps(part))
    return client.assembled("client", kind, tidy)


def good() -> History:
    """Two producers, an unknown outcome that arrived, one that did not, a refusal; a reader that reconnected."""
    table = [
        row(1, kind="RUN_STARTED"), row(2, "a0"), row(3, "b0"), row(4, "b1"), row(5, "a1"), row(6, "u0"),
        row(7, kind="RUN_FINISHED"),
    ]  # fmt: skip
    history = History(tables={RUN: table}, heads={RUN: 7})
    history.ops = [
        op("A", 0, ["a0"], 0, 1, 2),
        op("B", 0, ["b0", "b1"], 0.5, 2, 3),
        op("A", 1, ["a1"], 2.5, 3, 5),
        op("B", 1, ["u0"], 3, 8, result="unknown"),
        op("B", 2, ["u1"], 9, 14, result="unknown"),
        op("A", 2, ["f0"], 4, 5, result="fail"),
    ]
    history.observers = [
        Observer("reader", RUN, [Connection(0, table[:3]), Connection(3, table[3:])]),
        Observer("filtered", RUN, [Connection(0, table[1:3]), Connection(3, table[3:])], types=("CUSTOM",)),
        Observer("filtered to little", RUN, [Connection(0, table[:1]), Connection(1, table[6:])], types=("RUN_STARTED",)),
    ]
    history.log = [(RUN, n, f"h{n}") for n in range(1, 8)]
    history.feeds = [Feed("tenant", history.log[2:], False), Feed("thread", list(history.log), True)]
    history.copies = {("page", RUN): list(table), ("replay", RUN): list(table)}
    history.reads = [Read(1.5, RUN, 1, [2], 2), Read(3.5, RUN, 4, [5], 5)]
    history.writes = [Write(1, 1, True), Write(3, 1, True), Write(4, 2, True), Write(6, 2, True)]
    history.restarts = [("sequencer-1", 3, 3)]
    history.logs = {CHAT: LOG}
    history.assembled = [assembled(kind, frames) for kind, frames in FRAMES.items()]
    history.assembled += [assembled(kind, frames[:4], tidy=False) for kind, frames in FRAMES.items()]
    history.assembled += [assembled("agui", JOINED)]
    history.shown = {"agui": 3}
    return history


def test_a_good_history_passes():
    assert check(good()) == []


def lost(h):
    h.tables[RUN] = h.tables[RUN][:4] + [row(5, "x1")] + h.tables[RUN][5:]


def hole(h):
    del h.tables[RUN][3]


def wrong_head(h):
    h.heads[RUN] = 9


def doubled(h):
    h.tables[RUN][4] = row(5, "a0")


def seq_twice(h):
    h.tables[RUN].insert(3, row(3, "b0"))


def other_bytes(h):
    h.copies["page", RUN][3] = row(4, "b1", "other")


def page_short(h):
    del h.copies["replay", RUN][-1]


def reader_other_content(h):
    h.observers[0].connections[1].rows[0] = row(4, "zz")


def reader_skips(h):
    del h.observers[0].connections[1].rows[0]


def reader_repeats(h):
    h.observers[0].connections[1].rows.insert(0, h.tables[RUN][2])


def reader_not_to_the_end(h):
    del h.observers[0].connections[1].rows[-1]


def reader_lost_its_cursor(h):
    h.observers[0].connections[1] = Connection(2, h.tables[RUN][2:])


def reader_complains(h):
    h.observers[0].complaints.append("ended tidily before the end")


def reader_beyond_the_table(h):
    h.observers[0].connections[1].rows.append(row(8, "q"))


def filtered_skips(h):
    del h.observers[1].connections[1].rows[1]


def filtered_shows_too_much(h):
    h.observers[2].connections[0].rows.append(h.tables[RUN][1])
    h.observers[2].connections[1].cursor = 2


def filtered_without_the_ending(h):
    h.observers[2].connections.pop()


def overtaken(h):
    h.ops.append(op("C", 0, [], 0, 0.1, 2, result="unknown"))
    h.ops[0].begin, h.ops[0].end = 2.6, 2.9  # a0 at 2 begins after b0..b1 at 3..4 was told


def stale_read(h):
    h.reads.append(Read(3.5, RUN, 2, [3], 4))


def reordered(h):
    h.ops[0].ordinal, h.ops[2].ordinal = 1, 0
    h.ops[0].begin, h.ops[0].end, h.ops[2].begin, h.ops[2].end = 0, 9, 0, 9


def answers_differ(h):
    h.ops[0].answers.append((6, 6))


def half_a_batch(h):
    h.ops[1].result, h.ops[1].answers = "unknown", []
    h.ops[1].keys[1] = h.ops[1].hashes[1] = "missing"
    h.ops.append(op("D", 0, ["b1"], 0, 20, result="unknown"))


def phantom(h):
    del h.ops[3]


def epoch_down(h):
    h.writes.append(Write(7, 1, True))


def stale_writer(h):
    h.writes[2] = Write(4, 2, False)


def refused_but_there(h):
    h.ops[3].result = "fail"


def after_the_end(h):
    h.tables[RUN][5] = row(6, kind="RUN_FAILED")
    del h.ops[3]


def miscounted(h):
    h.restarts[0] = ("sequencer-1", 2, 3)


def not_settled(h):
    h.late.append("heads differ 5 s after the last fault")


def feed_skips(h):
    del h.feeds[0].events[1]


def feed_repeats(h):
    h.feeds[1].events.insert(3, h.log[2])


def feed_swaps(h):
    h.feeds[1].events[2:4] = reversed(h.feeds[1].events[2:4])


def feed_ends_early(h):
    del h.feeds[0].events[-1]


def feed_begins_late(h):
    del h.feeds[1].events[0]


def feed_shows_what_is_not_there(h):
    h.feeds[0].events.insert(0, ("other", 1, "h"))


def feed_complains(h):
    h.feeds[0].complaints.append("status 500")


def ending_lost(h):
    h.ops.append(Op("F", 0, RUN, [], [], 20, 21, "ok", [(6, 6)]))


def run_gone(h):
    h.ops.append(op("E", 0, ["e0"], 0, 1, 2, run="gone"))


def question_lost(h):
    h.lives.append((RUN, "CLARIFICATION_NEEDED"))


def cancellation_lost(h):
    h.lives.append((RUN, "RUN_CANCEL_REQUESTED"))


def two_answers(h):
    h.tables[RUN][2], h.tables[RUN][3] = row(3, kind="CLARIFICATION_ANSWERED"), row(4, kind="CLARIFICATION_ANSWERED")
    h.tables[RUN][1] = row(2, kind="CLARIFICATION_NEEDED")


def two_cancellations(h):
    h.tables[RUN][2], h.tables[RUN][3] = row(3, kind="RUN_CANCEL_REQUESTED"), row(4, kind="RUN_CANCEL_REQUESTED")


def conversation(invariant, kind, spoil, tidy=True, frames=None):
    """A bad history of a client of this protocol: `spoil` changes its frames."""

    def spoiled(h):
        mine = list(frames or FRAMES[kind])
        spoil(mine)
        h.assembled.append(assembled(kind, mine, tidy))

    spoiled.__name__ = f"{kind}-{spoil.__name__}"
    return spoiled, invariant


def delta_twice(frames):
    at = next(n for n, (_, part) in enumerate(frames) if part.get("delta") == "two")
    frames.insert(at, (None, frames[at][1]))


def delta_missing(frames):
    del frames[next(n for n, (_, part) in enumerate(frames) if part.get("delta") == "two")]


def other_delta(frames):
    at = next(n for n, (_, part) in enumerate(frames) if part.get("delta") == "two")
    frames[at] = (frames[at][0], frames[at][1] | {"delta": "owt"})


def custom_missing(frames):
    del frames[next(n for n, (_, part) in enumerate(frames) if "k1" in json.dumps(part))]


def other_arguments(frames):
    at = next(n for n, (_, part) in enumerate(frames) if "[1]" in json.dumps(part))
    frames[at] = (frames[at][0], frames[at][1] | {"delta": "[2]", "input": [2]})


def result_missing(frames):
    del frames[next(n for n, (_, part) in enumerate(frames) if "done" in json.dumps(part))]


def ends_early(frames):
    del frames[-1 if frames[-1][1]["type"] == "RUN_FINISHED" else -2 :]


def ended_while_it_goes_on(frames):
    frames[1:] = [(2, frames[-1][1])]


def waits_without_a_question(frames):
    last = {"outcome": {"type": "interrupt"}, "finishReason": "other"}
    frames[-1] = (frames[-1][0], frames[-1][1] | last)


def snapshot_short(frames):
    frames[4] = (4, frames[4][1] | {"delta": "one "})


def saw_nothing(h):
    h.shown["ai-sdk"] = 0


def client_complains(h):
    h.complaints.append("reader 8: seq 3 after 3")


CONVERSATIONS = [
    conversation(invariant, kind, spoil)
    for kind in CLIENTS
    for invariant, spoil in (
        ("I4", delta_twice), ("I4", delta_missing), ("I4", other_delta), ("I4", custom_missing), ("I4", other_arguments),
        ("I4", result_missing), ("I5", ends_early), ("I5", ended_while_it_goes_on), ("I5", waits_without_a_question),
    )
]  # fmt: skip
BAD = [
    *CONVERSATIONS, conversation("I4", "agui", snapshot_short, frames=JOINED), (saw_nothing, "I16"), (client_complains, "I5"),
    (question_lost, "I1"), (cancellation_lost, "I1"), (two_answers, "I3"), (two_cancellations, "I3"),
    (lost, "I1"), (run_gone, "I1"), (ending_lost, "I1"), (hole, "I2"), (wrong_head, "I2"), (doubled, "I3"), (seq_twice, "I3"),
    (other_bytes, "I4"), (page_short, "I4"), (reader_other_content, "I4"), (reader_beyond_the_table, "I4"),
    (reader_skips, "I5"), (reader_repeats, "I5"), (reader_not_to_the_end, "I5"), (reader_lost_its_cursor, "I5"),
    (filtered_skips, "I5"), (filtered_shows_too_much, "I5"), (filtered_without_the_ending, "I5"),
    (reader_complains, "I5"), (overtaken, "I6"), (stale_read, "I7"), (reordered, "I8"), (answers_differ, "I9"),
    (half_a_batch, "I9"), (phantom, "I9"), (epoch_down, "I10"), (stale_writer, "I10"), (refused_but_there, "I11"),
    (feed_skips, "I4"), (feed_repeats, "I4"), (feed_swaps, "I4"), (feed_ends_early, "I5"), (feed_begins_late, "I5"),
    (feed_shows_what_is_not_there, "I5"), (feed_complains, "I5"), (after_the_end, "I11"), (miscounted, "I16"), (not_settled, "I16"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "invariant"), BAD, ids=[f"{i}-{s.__name__}" for s, i in BAD])
def test_each_broken_invariant_is_found(spoil, invariant):
    history = copy.deepcopy(good())
    spoil(history)
    assert invariant in {violation.invariant for violation in check(history)}


def begins_twice(frames):
    frames.insert(2, (None, frames[1 if frames[1][1]["type"] == "TEXT_MESSAGE_START" else 2][1]))


def delta_before_its_start(frames):
    del frames[next(n for n, (_, part) in enumerate(frames) if part["type"] in ("TEXT_MESSAGE_START", "text-start"))]


def result_of_nothing(frames):
    frames[:] = [one for one in frames if not one[1]["type"].startswith(("TOOL_CALL_START", "tool-input"))]


def goes_back(frames):
    frames.append(frames[-1])


def begins_in_the_middle(frames):
    del frames[0]


def unknown_type(frames):
    frames[2] = (frames[2][0], {"type": "text-news", "id": "m"})


RULES = (begins_twice, delta_before_its_start, result_of_nothing, goes_back, begins_in_the_middle, unknown_type)


@pytest.mark.parametrize("spoil", RULES, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("kind", CLIENTS)
def test_clients_mind_the_rules_of_their_protocol(kind, spoil):
    frames = list(FRAMES[kind])
    spoil(frames)
    with pytest.raises(ValueError):
        assembled(kind, frames)


def test_a_run_ends_with_nothing_open():
    frames = [one for one in FRAMES["agui"] if one[1]["type"] != "TEXT_MESSAGE_END"]
    with pytest.raises(ValueError, match="open"):
        assembled("agui", frames)


def test_every_invariant_has_a_bad_history():
    assert {invariant for _, invariant in BAD} == {f"I{n}" for n in range(1, 12)} | {"I16"}


def test_large_histories_take_little_time():
    chance, history = random.Random(1), History()
    for r in range(100):
        run, rows, moment = f"run-{r}", [row(1, kind="RUN_STARTED")], 0.0
        for n in range(500):
            key = f"{r}-{n}"
            history.ops.append(op(f"L{n % 4}", n, [key], moment, moment + 0.5, n + 2, run=run))
            rows.append(row(n + 2, key))
            moment += 0.5 + chance.random()
        history.tables[run], history.heads[run] = rows, len(rows)
        history.copies["page", run] = list(rows)
        history.observers.append(Observer("r", run, [Connection(0, rows)]))
    begin = time.monotonic()
    assert check(history) == []
    assert time.monotonic() - begin < 10
