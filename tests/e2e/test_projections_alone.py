"""Runs in other forms than the native one: the same bytes, however the log was split into table and bus, and whoever made them."""

import json
import os
import random
from datetime import UTC, datetime
from functools import partial

import pytest
from harness.lone_streamer import AG_UI, AI_SDK, FILTERED, HANDOVER, JOIN, NATIVE, NDJSON, TS_US, TYPES, Stage, envelope
from harness.sse import StreamEnded
from harness.waiting import wait_until

NEVER = 600_000  # milliseconds: longer than any test
TS = datetime.fromtimestamp(TS_US // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{TS_US % 1_000_000:06}Z"
SHOWN = ("RUN_STARTED", "MESSAGE_DELTA", "RUN_INTERRUPTED")
CONVERSATIONS = (AI_SDK, AG_UI)


@pytest.fixture
def make_stage(make_lone):
    return partial(make_lone, Stage, stream__sweep_ms=NEVER)


@pytest.fixture
def stage(make_stage):
    """One streamer, subscribed, that only repairs when a frame tells it to."""
    made = make_stage()
    made.start()
    made.wait_subscribed()
    made.beat()
    return made


# ---- what clients must see, written down a second time ---------------------------------------------------------------

def random_log(rng, length) -> list:
    """(type, payload) from seq 1 on, the end included: messages one after the other, pauses and answers."""
    log, message, waits = [("RUN_STARTED", "{}")], 0, False
    while len(log) < length - 1:
        text = "é" * rng.choice([0, 1, 5, 5, 20, 200, 3000])
        kind = rng.choice(["CUSTOM", "MESSAGE_STARTED", "MESSAGE_DELTA", "MESSAGE_DELTA", "MESSAGE_DELTA", "RUN_INTERRUPTED"])
        if waits:
            kind = rng.choice(["CUSTOM", "RUN_RESUMED"])
        message += kind == "MESSAGE_STARTED"
        waits = kind == "RUN_INTERRUPTED" or (waits and kind == "CUSTOM")
        log.append((kind, {
            "CUSTOM": '{"name":"x","value":"%s"}' % text,
            "MESSAGE_STARTED": '{"message_id":"m%d","role":"assistant"}' % message,
            "MESSAGE_DELTA": '{"message_id":"m%d","delta":"%s"}' % (message, text),
        }.get(kind, "{}")))
    return [*log, ("RUN_FINISHED", "{}")]


def pause_after(log, seq) -> int:
    """Where a conversation ends that was opened with this stop_after."""
    return next((at for at, (kind, _) in enumerate(log, 1) if kind == "RUN_INTERRUPTED" and at > seq), len(log))


def filtered(run, log, after=0, types=SHOWN) -> bytes:
    parts, previous = [], 0
    for seq, (kind, payload) in enumerate(log, 1):
        if kind in types or kind == "RUN_FINISHED":
            if seq > after:
                parts.append(f'id: {seq}\ndata: {{"run_id":"{run}","seq":{seq},"prev_seq":{previous},"type":"{kind}","ts":"{TS}",'
                             f'"payload":{payload}}}\n\n')
            previous = seq
    return "".join(parts).encode()


def ndjson(run, log, after=0) -> bytes:
    return "".join(
        f'{{"run_id":"{run}","seq":{seq},"type":"{kind}","ts":"{TS}","payload":{payload}}}\n'
        for seq, (kind, payload) in enumerate(log, 1) if seq > after
    ).encode()


# What a stream says of itself, not of the log.
NOTES = (b"retry:", b": ping", b"event: caught-up", b"event: fell-behind")


def without_notes(body: bytes) -> bytes:
    """Whole event blocks of the log."""
    blocks = body.split(b"\n\n")
    return b"".join(block + b"\n\n" for block in blocks[:-1] if not block.startswith(NOTES)) + blocks[-1]


def end_of(stage, reader) -> tuple:
    """The whole body and whether it ended tidily, while the bus goes on beating."""
    def ended():
        stage.beat()
        try:
            return reader.bytes_to_end(0.1)
        except TimeoutError:
            return None
    return wait_until(ended, "the end of the stream")


# ---- forms -----------------------------------------------------------------------------------------------------------

@pytest.mark.requirement("R046")
@pytest.mark.parametrize("after", [0, 3])
def test_a_filtered_stream_shows_some_types_and_proves_it(stage, after):
    run = stage.make_run(0)
    log = [("RUN_STARTED", "{}"), ("CUSTOM", "{}"), ("MESSAGE_DELTA", '{"a":1}'), ("CUSTOM", "{}"), ("MESSAGE_DELTA", "{}"),
           ("CUSTOM", "{}"), ("RUN_FINISHED", "{}")]
    stage.store_events(run, log[:4])
    reader = stage.open(run, after=after, form=FILTERED, types=SHOWN)
    if after == 0:
        assert reader.seqs(2) == [1, 3]
        reader.body = b""
    stage.publish(run, *stage.store_events(run, log[4:]))
    body, tidy = end_of(stage, reader)
    assert without_notes(body) == filtered(run, log, 3)
    assert tidy and "Content-Type: text/event-stream; charset=utf-8\r\n" in reader.head


def test_filters_of_one_run_do_not_meet(stage):
    run = stage.make_run(0)
    log = random_log(random.Random(3), 40)
    stage.store_events(run, log[:20])
    choices = [("MESSAGE_DELTA",), ("CUSTOM",), ("RUN_STARTED", "RUN_RESUMED"), ()]
    readers = [(types, stage.open(run, form=FILTERED, types=types)) for types in choices * 2]
    native, lines = stage.open(run), stage.open(run, form=NDJSON)
    stage.publish(run, *stage.store_events(run, log[20:]))
    for types, reader in readers:
        body, tidy = end_of(stage, reader)
        assert tidy and without_notes(body) == filtered(run, log, types=types or tuple(TYPES)), types
    assert native.rest() == (list(range(1, 41)), True)
    assert end_of(stage, lines) == (ndjson(run, log), True)


def test_events_that_show_nothing_hold_up_nobody(stage):
    """More of them than a page, and than the window's index of one block, from the table and live."""
    run = stage.make_run(1500)
    reader, late = (stage.open(run, after=after, form=FILTERED, types=("MESSAGE_DELTA",)) for after in (0, 700))
    for _ in range(20):
        stage.append(run, 200)
    stage.append(run, end=True)
    for each in reader, late:
        body, tidy = end_of(stage, each)
        assert tidy and without_notes(body).startswith(b"id: 5501\n") and b'"prev_seq":0,' in body


def test_lines_are_bare(make_stage):
    """No comments, no pings, no retry; chunks of whole lines."""
    stage = make_stage(stream__ping_ms=100)
    stage.start()
    stage.wait_subscribed()
    run = stage.make_run(2)
    lines, native = stage.open(run, form=NDJSON), stage.open(run)
    assert [line["seq"] for line in lines.lines(2)] == [1, 2]
    assert "Content-Type: application/x-ndjson\r\n" in lines.head and "Transfer-Encoding: chunked" in lines.head
    assert native.seqs(2) == [1, 2]
    pings = 0
    while pings < 3:
        pings += native.frame().event == "ping"
    stage.append(run, end=True)
    body, tidy = end_of(stage, lines)
    assert tidy and json.loads(body)["seq"] == 3


def test_a_position_beyond_the_end_of_a_run(stage):
    run = stage.make_run(3)
    frame = stage.open(run, after=90, form=FILTERED, types=SHOWN).event()
    assert (frame.event, frame.id, frame.data) == ("reset", None, '{"last_seq":3}')
    assert stage.open(run, after=90, form=NDJSON).bytes_to_end() == (b"", False)


def test_forms_that_do_not_exist_are_refused(stage):
    run = stage.make_run(1)
    tenant, key = stage.tenant.bytes, stage.key.bytes
    bad = [(9, 0, 0), (FILTERED, 0, JOIN), (0, 0, JOIN), (NDJSON, 2, 0), (0, 2, 0), (FILTERED, 2, 2**63), (2**32 + 1, 0, 0)]
    for form, types, after in bad:
        body = [tenant, key, run.bytes, after, 0, 0, bytes(16), b"", form, types, *NATIVE[2:]]
        with open(os.devnull) as null:
            stage.hand(envelope(HANDOVER, body), [stage.clients.fileno() if form < 0 else null.fileno()])
    wait_until(lambda: sum(line.get("message") == "a handed-over stream was not understood" for line in stage.logs()) == len(bad),
               "rejections")


def test_refused_programs_see_a_status(make_stage):
    """A body that ends early would be a success to them; only event sources must not see an error."""
    stage = make_stage(stream__per_process=1)
    stage.start()
    run = stage.make_run()
    assert stage.open(run).seqs(1) == [1]
    refused = stage.open(run, form=FILTERED)
    assert 10_000 <= int(refused.frame().retry) <= 20_000 and " 200 OK" in refused.head
    for form in NDJSON, AG_UI, AI_SDK:
        refused = stage.open(run, form=form)
        refused.chunks.feed = lambda data: data
        while b"}" not in refused.body:
            refused._read(5)
        assert " 503 " in refused.head.split("\r\n")[0] and "Content-Type: application/problem+json" in refused.head
        assert "Retry-After: " in refused.head and json.loads(refused.body)["type"] == "/problems/busy"


# ---- one encoding for all --------------------------------------------------------------------------------------------

@pytest.mark.requirement("R047")
def test_an_event_is_written_once_for_all_who_share_its_form(stage):
    streamer, run = stage.streamers[0], stage.make_run(1)
    readers = [stage.open(run, form=FILTERED, types=SHOWN) for _ in range(300)]
    for reader in readers:
        assert reader.seqs(1) == [1]
    before = streamer.metric("stream_events_encoded")
    for _ in range(20):
        stage.publish(run, *stage.store_events(run, [("MESSAGE_DELTA", "{}"), ("CUSTOM", "{}")]))
    stage.append(run, end=True)
    for reader in readers:
        assert stage.rest(reader) == ([*range(2, 42, 2), 42], True)
    assert streamer.metric("stream_events_encoded") - before == 41
    assert streamer.metric("stream_events_sent") >= 300 * 42


# ---- conversations ---------------------------------------------------------------------------------------------------

ASKED = [("RUN_STARTED", "{}"), ("MESSAGE_STARTED", '{"message_id":"m1","role":"assistant"}'),
         ("MESSAGE_DELTA", '{"message_id":"m1","delta":"Which one?"}'), ("CUSTOM", '{"name":"x","value":1}'), ("RUN_INTERRUPTED", "{}")]
ANSWERED = [("RUN_RESUMED", "{}"), ("MESSAGE_DELTA", '{"message_id":"m1","delta":" Done."}'), ("RUN_FINISHED", "{}")]


@pytest.mark.requirement("R058")
@pytest.mark.parametrize("form", CONVERSATIONS)
def test_a_conversation_ends_where_the_run_pauses(stage, form):
    run = stage.make_run(0)
    stage.store_events(run, ASKED[:3])
    live = stage.open(run, form=form)
    while b"Which one?" not in live.body:
        live._read(5)
    goes_on = stage.open(run, form=form, stop_after=len(ASKED))
    stage.publish(run, *stage.store_events(run, ASKED[3:]))
    first, tidy = end_of(stage, live)
    assert tidy
    again, tidy = end_of(stage, stage.open(run, form=form))
    assert tidy and without_notes(again) == without_notes(first)
    stage.publish(run, *stage.store_events(run, ANSWERED))
    whole, tidy = end_of(stage, goes_on)
    assert tidy and without_notes(whole).startswith(without_notes(first)) and b"Done." in whole
    assert b"Done." not in first and b"event: ping" not in whole


def test_who_joins_a_conversation_is_told_it_in_short(stage):
    run = stage.make_run(0)
    stage.store_events(run, ASKED[:4])
    joined = stage.open(run, after=JOIN, form=AG_UI)
    while b"Which one?" not in joined.body:
        joined._read(5)
    stage.publish(run, *stage.store_events(run, ASKED[4:]))
    body, tidy = end_of(stage, joined)
    assert tidy and body.count(b'"RUN_STARTED"') == 1
    body, tidy = end_of(stage, stage.open(run, after=JOIN, form=AG_UI))
    assert tidy and b"Which one?" in body
    stays = stage.open(run, after=JOIN, form=AG_UI, stop_after=len(ASKED))
    while b"Which one?" not in stays.body:
        stays._read(5)
    stage.publish(run, *stage.store_events(run, ANSWERED))
    body, tidy = end_of(stage, stays)
    assert tidy and b"Done." in body
    body, tidy = end_of(stage, stage.open(run, after=JOIN, form=AG_UI))
    assert tidy and b"Done." in body and body.count(b'"RUN_FINISHED"') == 1


@pytest.mark.requirement("R060")
def test_a_pause_that_is_half_written_at_a_hand_off_still_ends_it(make_stage):
    stage = make_stage()
    old = stage.start("streamer-1")
    run = stage.make_run(0)
    question = [("RUN_INTERRUPTED", '{"x":"%s"}' % ("y" * 120_000))]
    stage.store_events(run, ASKED[:2])
    readers = [stage.open(run, form=AI_SDK, receive_buffer=4096, send_buffer=size) for size in (4096, 8192, 20_000)]
    for reader in readers:
        while b"start-step" not in reader.body:
            reader._read(5)
    stage.publish(run, *stage.store_events(run, question))
    stage.publish(run, *stage.store_events(run, ANSWERED))
    wait_until(lambda: old.metric("streams_catching_up") == 3, "full sockets")
    stage.start("streamer-2")
    old.drain()
    assert old.wait() == 0
    for reader in readers:
        body, tidy = end_of(stage, reader)
        assert tidy and body.endswith(b"id: 3\n\n") and b"Done." not in body
    stage.wait_logged("streams handed over", streams=3, broken_off=0)


# ---- any split of any log --------------------------------------------------------------------------------------------

class Client:
    """One who comes back with its last id when it is broken off, and what it has seen in all."""

    def __init__(self, stage, run, log, after, form, rng):
        self.stage, self.run, self.log, self.after, self.form, self.rng = stage, run, log, after, form, rng
        self.seen, self.position, self.tidy = b"", after, False
        self.stop_after = rng.choice([0, len(log), rng.randint(0, len(log))])
        self.open()

    def open(self):
        self.reader = self.stage.open(
            self.run, self.position, form=self.form, types=SHOWN if self.form == FILTERED else (), stop_after=self.stop_after,
            receive_buffer=self.rng.choice([None, 4096]), send_buffer=self.rng.choice([None, 4096]))

    def take(self, body):
        """Whole events only, as any client does; a conversation is always told from the start."""
        if self.form in CONVERSATIONS:
            self.seen = without_notes(body) if self.tidy else b""
            return
        mark = b"\n\n" if self.form == FILTERED else b"\n"
        whole, _, _ = body.rpartition(mark)
        whole = without_notes(whole + mark) if whole else b""
        if whole:
            last = whole[:-len(mark)].rpartition(mark)[2]
            self.position = int(last.partition(b'"seq":')[2].partition(b",")[0])
        self.seen += whole

    def step(self) -> bool:
        """Reads for a moment; true at the end."""
        if self.tidy:
            return True
        try:
            body, self.tidy = self.reader.bytes_to_end(0.002)
        except TimeoutError:
            return False
        self.take(body)
        if not self.tidy:
            self.open()
        return self.tidy

    def leave(self):
        """Gone in the middle, and back."""
        if not self.tidy:
            body, self.reader.body = self.reader.body, b""
            self.reader.close()
            self.take(body)
            self.open()

    def check(self):
        if self.form in CONVERSATIONS:
            whole = self.whole()
            assert whole.startswith(self.seen)
            assert self.last_of(self.seen) == pause_after(self.log, self.stop_after)
        else:
            want = filtered if self.form == FILTERED else ndjson
            assert self.seen == want(self.run, self.log, self.after)

    def whole(self):
        """What one who reads at leisure from a table at rest is given."""
        body, tidy = end_of(self.stage, self.stage.open(self.run, form=self.form, stop_after=len(self.log)))
        assert tidy and self.last_of(without_notes(body)) == len(self.log)
        return without_notes(body)

    @staticmethod
    def last_of(body) -> int:
        return int(body.rpartition(b"id: ")[2].partition(b"\n")[0])


@pytest.mark.requirement("I5")
@pytest.mark.parametrize("seed", range(4))
def test_any_split_of_a_log_gives_the_same_bytes(make_stage, seed):
    """Table and bus, lost frames, new sequencers, small windows and pages, a streamer that is killed, drained, or neither."""
    rng = random.Random(seed)
    stage = make_stage(stream__window_bytes=4096, stream__page_events=7, stream__page_bytes=4096, stream__ping_ms=100)
    current = stage.start("streamer-0")
    stage.wait_subscribed()
    stage.beat()
    run, log, clients, done = stage.make_run(0), random_log(rng, 160), [], 0
    ends = {40: "kill", 80: "drain", 120: "drain"} if seed % 2 else {}
    while done < len(log):
        count = min(rng.choice([1, 1, 2, 5, 12]), len(log) - done)
        frame = stage.store_events(run, log[done:done + count])
        stage.publish(run, *frame, lose=rng.random() < 0.3)
        if rng.random() < 0.1:
            stage.publish(run, *frame)
        if rng.random() < 0.04:
            stage.epoch, stage.counter = stage.epoch + 1, 0
        done += count
        if len(clients) < 10 and rng.random() < 0.3:
            form = rng.choice([FILTERED, FILTERED, NDJSON, *CONVERSATIONS])
            after = 0 if form in CONVERSATIONS else rng.choice([0, 0, rng.randint(0, done)])
            clients.append(Client(stage, run, log, after, form, rng))
        for at in [at for at in ends if at <= done]:
            before, current = current, stage.start(f"streamer-{done}")
            if ends.pop(at) == "drain":
                before.drain()
            else:
                before.kill()
        stage.beat()
        for client in clients:
            client.step()
            if rng.random() < 0.05:
                client.leave()
    left = list(clients)

    def all_ended():
        stage.beat()
        for client in list(left):
            if client.step():
                left.remove(client)
        return not left

    wait_until(all_ended, "the ends of all streams", 20)
    for client in clients:
        client.check()
