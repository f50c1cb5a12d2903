"""GET /threads/{id}/chat: the assistant's messages and nobody else's, from any cursor, live and from the table."""

import json
import random
import threading

import pytest
from harness.client import assert_problem, custom, random_id
from harness.feeds import open_feed, thread_feed
from harness.sse import NoFrame
from harness.waiting import wait_until

MESSAGES = ("MESSAGE_STARTED", "MESSAGE_DELTA", "MESSAGE_COMPLETED", "MESSAGE_EDITED")


def chat(thread):
    return f"/api/v1/threads/{thread}/chat"


def event(kind, message, role=None, **fields):
    payload = {"message_id": message} | ({} if role is None else {"role": role}) | fields
    return {"type": f"MESSAGE_{kind}", "payload": payload}


def started(message, role="assistant"):
    return event("STARTED", message, role)


def delta(message, text="x"):
    return event("DELTA", message, delta=text)


def completed(message, role=None, text="x"):
    return event("COMPLETED", message, role, content=text)


def edited(message, text="y"):
    return event("EDITED", message, content=text)


def model(log) -> list:
    """What a chat of this log must show: [(run, seq)] of [(run, seq, type, payload)] in the order of the log."""
    named, there, shown = {}, set(), []
    for run, seq, kind, payload in log:
        if kind not in MESSAGES:
            continue
        at = (run, payload["message_id"])
        if kind == "MESSAGE_STARTED":
            named[at] = payload.get("role") or "assistant"
        elif kind == "MESSAGE_COMPLETED" and payload.get("role") is not None:
            named[at] = payload["role"]
        if at in named:
            show = named[at] == "assistant"
        elif kind == "MESSAGE_COMPLETED":
            show = True
        elif kind == "MESSAGE_DELTA":
            show = False
        elif at in there:
            show = True
        else:
            others = [roles for (_, message), roles in there_roles(log, run, seq).items() if message == at[1]]
            show = bool(others) and all(role == "assistant" for roles in others for role in roles)
        if kind == "MESSAGE_COMPLETED":
            there.add(at)
        if show:
            shown.append((run, seq))
    return shown


def there_roles(log, run, seq):
    """{(run, message): roles that its STARTED and COMPLETED events had} before that event."""
    found = {}
    for each_run, each_seq, kind, payload in log:
        if (each_run, each_seq) == (run, seq):
            return found
        if kind in ("MESSAGE_STARTED", "MESSAGE_COMPLETED"):
            found.setdefault((each_run, payload["message_id"]), []).append(payload.get("role") or "assistant")
    raise AssertionError("the event is not in the log")


def log_of(box, thread) -> list:
    return [
        (run, seq, kind, json.loads(payload))
        for run, seq, kind, payload in box.database().rows(
            "select e.run_id::text, e.seq, e.event_type::text, e.payload::text from run_events e join runs r using (run_id)"
            " where r.thread_id = %s order by e.position", thread,
        )
    ]  # fmt: skip


def shown(frame):
    data = json.loads(frame.data)
    assert data["type"] in MESSAGES
    return data["run_id"], data["seq"]


def read_until_caught_up(box, thread, cursor=None):
    with open_feed(box, chat(thread), cursor=cursor) as stream:
        frames, note = stream.to_caught_up()
        return [(frame.id, shown(frame)) for frame in frames], note["cursor"]


class Conversation:
    def __init__(self, box, client):
        self.box, self.client, self.thread = box, client, random_id()

    def run(self, *events):
        run = self.client.new_run(thread_id=self.thread)
        self.append(run, *events)
        return run

    def append(self, run, *events):
        if events:
            self.client.append_many(run, list(events))

    def wanted(self):
        return model(log_of(self.box, self.thread))


@pytest.fixture
def talk(box, client):
    return Conversation(box, client)


def check(talk, at_least=1, cursors=None):
    """Everything from the start, and from every cursor (or so many of them)."""
    wanted = talk.wanted()
    assert len(wanted) >= at_least
    whole, end = read_until_caught_up(talk.box, talk.thread)
    assert [what for _, what in whole] == wanted
    for n in range(len(whole)) if cursors is None else sorted(random.Random(0).sample(range(len(whole)), cursors)):
        cursor = whole[n][0]
        assert read_until_caught_up(talk.box, talk.thread, cursor)[0] == whole[n + 1 :], n
    assert read_until_caught_up(talk.box, talk.thread, end)[0] == []
    return whole


@pytest.mark.requirement("I5")
def test_the_assistant_is_heard_and_nobody_else(box, talk):
    run = talk.run(
        completed("s1", "system"), completed("u1", "user"), started("a1"), delta("a1", "He"), delta("a1", "llo"),
        {"type": "TOOL_CALL_STARTED", "payload": {"tool_call_id": "t", "name": "n", "arguments": ""}},
        completed("a1"), completed("t1", "tool"), started("u2", "user"), delta("u2", "secret"), completed("u2"),
        completed("a2", "assistant"), completed("a3"), edited("a1"), edited("u1"), edited("u2"), custom(1), delta("a9"),
    )  # fmt: skip
    whole = check(talk)
    kinds = [kind for _, seq, kind, _ in log_of(box, talk.thread) if (run, seq) in {what for _, what in whole}]
    assert kinds == [
        "MESSAGE_STARTED", "MESSAGE_DELTA", "MESSAGE_DELTA", "MESSAGE_COMPLETED", "MESSAGE_COMPLETED",
        "MESSAGE_COMPLETED", "MESSAGE_EDITED",
    ]  # fmt: skip
    with open_feed(box, chat(talk.thread)) as stream, open_feed(box, thread_feed(talk.thread)) as plain:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        frames = [f.data for f in plain.to_caught_up()[0]]
        assert all(f.data in frames for f in stream.to_caught_up()[0])


def test_edits_may_stand_in_another_run(talk):
    """Of a message that only other runs have, and only if it was the assistant's in all of them."""
    talk.run(completed("a1", "assistant"), completed("u1", "user"), completed("both", "user"), completed("free"))
    talk.run(completed("both", "assistant"), started("late", "assistant"))
    talk.run(edited("a1"), edited("u1"), edited("both"), edited("free"), edited("nobody"), edited("late"))
    assert len(check(talk)) == 7


def test_a_message_may_change_its_speaker(talk):
    talk.run(
        started("m", "user"), delta("m"), started("m"), delta("m"), completed("m", "user"), delta("m"), edited("m"),
        completed("m", "assistant"), delta("m"), edited("m"),
    )  # fmt: skip
    assert len(check(talk)) == 5


def test_names_are_compared_as_what_they_mean(box, talk):
    run = talk.run()
    for text in (
        '{"type":"MESSAGE_STARTED","payload":{"message_id":"\\u0061\\"b","role":"us\\u0065r"}}',
        '{"type":"MESSAGE_DELTA","payload":{"message_id":"a\\u0022b","delta":"secret"}}',
        '{"type":"MESSAGE_STARTED","payload":{"role":"\\u0061ssistant","message_id":"c\\/d"}}',
        '{"type":"MESSAGE_DELTA","payload":{"delta":"shown","message_id":"c/d"}}',
    ):
        answer = talk.client.post_events(run, text=text)
        assert answer.status_code == 201, answer.text
    assert [seq for _, (_, seq) in check(talk)] == [4, 5]


def test_cursors_are_good_for_one_chat(box, client, talk):
    talk.run(started("a"), delta("a"))
    cursor = check(talk)[0][0]
    other = Conversation(box, client)
    other.run(started("b"))
    for path in (thread_feed(talk.thread), "/api/v1/stream", chat(other.thread)):
        with open_feed(box, path, cursor=cursor) as stream:
            assert stream.status == 400
    with open_feed(box, thread_feed(talk.thread)) as plain:
        theirs = plain.next_event().id
    with open_feed(box, chat(talk.thread), cursor=theirs) as stream:
        assert stream.status == 400
    assert_problem(client.get(chat(talk.thread), params={"types": "CUSTOM"}), 400, "invalid-parameter")
    assert_problem(client.get(chat(talk.thread), params={"after_seq": 1}), 400, "invalid-parameter")
    assert_problem(client.get(chat(random_id())), 404, "not-found")


def test_a_reader_that_comes_in_the_middle_of_an_answer(box, talk):
    """Live, and from the end on, while another's message is being written too."""
    run = talk.run(started("a"), delta("a"), started("u", "user"), delta("u"))
    streams = [open_feed(box, chat(talk.thread)), open_feed(box, chat(talk.thread), query="from=latest")]
    streams[0].to_caught_up()
    streams[1].to_caught_up()
    for n in range(20):
        talk.append(run, delta("u", f"secret {n}"), delta("a", f"{n}"))
        for stream in streams:
            frame = stream.next_note()
            assert frame.is_log_event and json.loads(frame.data)["payload"]["delta"] == f"{n}"
    talk.append(run, completed("u"), completed("a"), edited("u"), edited("a"))
    for stream in streams:
        assert [json.loads(stream.next_note().data)["type"] for _ in range(2)] == ["MESSAGE_COMPLETED", "MESSAGE_EDITED"]
        with pytest.raises(NoFrame):
            while True:
                assert stream.next_frame(0.3).event == "ping"
                raise NoFrame
        stream.close()
    check(talk)


def random_event(source):
    message = source.choice("abcdefgh")
    role = source.choice(["assistant", "assistant", "user", "system", None])
    return source.choice(
        [started(message, role or "assistant"), delta(message), delta(message), delta(message), completed(message, role),
         completed(message), edited(message), custom(0)]
    )  # fmt: skip


class Reader(threading.Thread):
    """Follows a chat and comes back after random numbers of events."""

    def __init__(self, box, thread, seed):
        super().__init__(daemon=True)
        self.box, self.thread, self.source = box, thread, random.Random(seed)
        self.seen, self.error, self.stopping = [], None, threading.Event()

    def run(self):
        cursor = None
        try:
            while not self.stopping.is_set():
                with open_feed(self.box, chat(self.thread), cursor=cursor) as stream:
                    for _ in range(self.source.choice([1, 3, 10, 50])):
                        frame = self.next(stream)
                        if frame is None:
                            return
                        cursor = frame.id
                        self.seen.append(shown(frame))
        except Exception as error:
            self.error = error

    def next(self, stream):
        while not self.stopping.is_set():
            try:
                frame = stream.next_frame(0.2)
            except NoFrame:
                continue
            if frame.is_log_event:
                return frame
        return None


@pytest.mark.requirement("I5")
@pytest.mark.parametrize("seed", range(2))
def test_any_split_into_replay_and_live_shows_the_same(box, talk, seed):
    source = random.Random(seed)
    runs = [talk.run(*[random_event(source) for _ in range(15)]) for _ in range(3)]
    readers = [Reader(box, talk.thread, seed * 10 + n) for n in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(40):
        talk.append(source.choice(runs), *[random_event(source) for _ in range(source.choice([1, 1, 2, 6]))])
    wanted = talk.wanted()

    def complete():
        assert not any(reader.error for reader in readers), [reader.error for reader in readers]
        return all(len(reader.seen) >= len(wanted) for reader in readers)

    try:
        wait_until(complete, "every reader has everything")
    finally:
        for reader in readers:
            reader.stopping.set()
    for reader in readers:
        reader.join(10)
        assert reader.seen == wanted
    check(talk, at_least=50, cursors=12)
