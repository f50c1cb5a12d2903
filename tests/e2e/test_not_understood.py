"""Commands that the sequencer does not understand, from a newer actor or a broken one: refused in their turn, so that nothing
behind them waits for ever."""

import uuid

import pytest
from harness.bus import APPEND, FORK_RUN, HELLO, OUTCOMES, TOUCH_RUN, Bus, sha256
from harness.client import assert_problem, custom

CUSTOM = ("CUSTOM", custom(1)["payload"])


def body_of(bus, command) -> tuple:
    """(kind, body) of what `command` would send."""
    sent = []
    bus.call = lambda kind, body: sent.append((kind, body))
    try:
        command(bus)
    finally:
        del bus.call
    return sent[0]


def changed(command, place, value):
    """The command with one field of its body changed."""

    def make(bus, run):
        kind, body = body_of(bus, lambda bus: command(bus, run))
        place_of = place(body) if callable(place) else place
        return kind, [*body[:place_of], value, *body[place_of + 1 :]]

    return make


NOT_UNDERSTOOD = {
    "of a newer actor": lambda bus, run: (99, ["anything", 7, b"x", [1, 2]]),
    "nothing but its sender": lambda bus, run: (15, []),
    "what another message says": lambda bus, run: (33, [7]),
    "a body that is cut off": lambda bus, run: (APPEND, [bus.tenant.bytes]),
    "fields of other types": lambda bus, run: (TOUCH_RUN, ["a run", 7]),
    "a field too many": changed(lambda bus, run: bus.touch(run), len, "more"),
    "an append of nothing": changed(
        lambda bus, run: bus.append(run, CUSTOM), lambda body: next(i for i, item in enumerate(body) if isinstance(item, list)), []
    ),
    "a strategy there is not": changed(lambda bus, run: bus.create(), 8, 9),
    "an answer without its hash": changed(lambda bus, run: bus.resume(run, "a", 1), 4, b""),
    "a fork without a source": lambda bus, run: (FORK_RUN, [bus.tenant.bytes, run.bytes]),
}


@pytest.fixture
def bus(box):
    with Bus(box) as bus:
        yield bus


@pytest.mark.parametrize("what", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_refused_and_holds_up_nobody(box, bus, what):
    run = uuid.UUID(bus.create()["run"])
    assert bus.call(*NOT_UNDERSTOOD[what](bus, run))["outcome"] == "REFUSED"
    assert bus.append(run, CUSTOM)["first_seq"] == 2
    assert len(box.database().events(run)) == 2


def test_refusals_keep_their_place_among_the_others(bus):
    """All in one go, as an actor sends them: each is answered, in order of the numbers."""
    run = uuid.uuid4()
    first = bus.number + 1
    bus.number += 4
    create, touch = body_of(bus, lambda bus: bus.create(run)), body_of(bus, lambda bus: bus.touch(run))
    commands = [create, (99, ["newer"]), (APPEND, ["not an id"]), touch]
    bus.send(HELLO, 0, [bus.origin, first])
    for number, (kind, body) in enumerate(commands, first):
        bus.send(kind, number, [bus.origin, *body])
    answers = [bus.repeat(number, kind, body) for number, (kind, body) in enumerate(commands, first)]
    assert [answer["outcome"] for answer in answers] == ["OK", "REFUSED", "REFUSED", "OK"]


def test_a_refusal_asked_for_again_is_the_same(bus):
    assert bus.call(99, ["newer"])["outcome"] == "REFUSED"
    assert bus.repeat(bus.number, 99, ["newer"])["outcome"] == "REFUSED"


def test_after_a_death_it_is_still_refused(own_box):
    with Bus(box := own_box()) as bus:
        bus.call(99, ["newer"])
        run = bus.create()["run"]
        box.command("restart", "sequencer", timeout=60)
        assert bus.repeat(1, 99, ["newer"])["outcome"] == OUTCOMES[8]
        assert bus.append(run, CUSTOM)["outcome"] == "OK"


@pytest.mark.parametrize("character", ["a", "é", "漢", "🜁"])
def test_names_of_questions_may_be_as_long_in_every_script(client, character):
    """255 characters, up to 1,020 bytes: asked, answered, and answered again."""
    name = character * 255
    run = client.new_run()
    client.append(run, "CLARIFICATION_NEEDED", {"clarification_id": name, "question": "which?"})
    assert client.run(run)["status"] == "interrupted"
    body = {"clarification_id": name, "response": sha256(name).hex()}
    first = client.post(f"/api/v1/runs/{run}/resume", body)
    assert (first.status_code, first.json()["status"]) == (202, "running")
    assert client.post(f"/api/v1/runs/{run}/resume", body).text == first.text
    assert_problem(client.post(f"/api/v1/runs/{run}/resume", {**body, "response": 1}), 409, "clarification-mismatch")
    assert_problem(client.post(f"/api/v1/runs/{run}/resume", {**body, "clarification_id": name + "x"}), 422)
    assert client.append(run, *CUSTOM)["first_seq"] == 4
