"""
One producer process of the chaos load: `python -m chaos.producer '{...}'`. Its lanes (threads) append one event or
batch after the other, each with keys of its own, with and without Idempotency-Key; they repeat an unknown outcome under
the same key until it is definite, send refusable requests now and then, ask and answer questions, cancel runs, and read
pages back; a third of what they write is conversation. At the end of standard input the lanes stop and the history is written.
"""

import json
import random
import sys
import threading
import time
from pathlib import Path

from chaos.load import SLOTS, Connection, Lost, Unsent, conversation, digest, payload_of, run_of, spoken, thread_of

GIVE_UP_S = 30.0


class Places:
    """Which generation of each slot this process believes to be open."""

    def __init__(self, phase):
        self.phase = phase
        self.generations = [0] * SLOTS
        self.lock = threading.Lock()

    def run(self, slot):
        return run_of(self.phase, slot, self.generations[slot])

    def over(self, slot, run):
        """The run of this slot has ended; the first to say so moves on."""
        with self.lock:
            if self.run(slot) == run:
                self.generations[slot] += 1


class Lane(threading.Thread):
    def __init__(self, name, told, places, stopping):
        super().__init__(name=name)
        self.told, self.places, self.stopping = told, places, stopping
        self.chance = random.Random(f"{told['seed']}/{name}")
        self.connection = Connection(told["host"], told["port"], told["key_path"])
        self.ops, self.reads, self.acknowledged = [], [], []
        self.lives = []  # [run, type of the event]: what was acknowledged of lifecycles
        self.ordinal = 0
        self.problems = []

    def run(self):
        pause = self.told["lanes"] / self.told["rate"]
        due = time.monotonic()
        while not self.stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause * self.chance.uniform(0.5, 1.5), time.monotonic() - 1.0)
            try:
                self.step()
            except Exception as error:
                self.problems.append(f"{self.name}: {error!r}")

    def step(self):
        dice = self.chance.random()
        slot = self.chance.randrange(SLOTS)
        run = self.places.run(slot)
        if dice < 0.03:
            self.append(slot, run, ending=True)
        elif dice < 0.06:
            self.append(slot, run, refusable=True)
        elif dice < 0.08:
            self.ask_and_answer(run)
        elif dice < 0.085:
            self.live(run, "cancel", {"reason": self.name}, "RUN_CANCEL_REQUESTED")
        elif dice < 0.165 and self.acknowledged:
            self.repeat(self.chance.choice(self.acknowledged))
        else:
            count = 1 if self.chance.random() < 0.75 else self.chance.randint(2, 20)
            self.append(slot, run, count)
            if self.chance.random() < 0.05:
                self.read(run)

    def append(self, slot, run, count=1, ending=False, refusable=False):
        keyed = ending or self.chance.random() < 0.6
        op = {"lane": self.name, "ordinal": self.ordinal, "run": run, "keys": [], "hashes": [], "answers": [], "detail": ""}
        self.ordinal += 1
        op["idempotency"] = f"{self.name}-{op['ordinal']}" if keyed else None
        if ending:
            body = '{"type":"RUN_FINISHED","payload":{}}'
        else:
            body = self._body(op, count, refusable)
        op["begin"] = time.monotonic()
        op["result"] = self._send(op, slot, body)
        op["end"] = time.monotonic()
        self.ops.append(op)
        if op["result"] == "ok" and keyed:
            self.acknowledged = [*self.acknowledged[-199:], (op, body)]
            if ending:
                self.places.over(slot, run)

    def _body(self, op, count, refusable):
        events, talk = [], self.chance.random() < 0.35 and conversation(self.chance, self.name, op["ordinal"], count)
        for i in range(len(talk or range(count))):
            key = f"{self.name}-{op['ordinal']}-{i}"
            if talk:
                kind, text = talk[i][0], spoken(talk[i][1], key)
            else:
                kind, text = "CUSTOM", payload_of(key, self.chance.choice((0, 10, 200, 200, 200, 3000)))
            op["keys"].append(key)
            op["hashes"].append(digest(text))
            events.append(f'{{"type":"{kind}","payload":{text}}}')
        if refusable:
            if self.chance.random() < 0.5:
                return f'{{"events":[{",".join(events)},{{"type":"NO_SUCH_TYPE"}}]}}'
            return f'{{"events":[{",".join(events)}],"expected_seq":900000000}}'
        return events[0] if len(events) == 1 else f'{{"events":[{",".join(events)}]}}'

    def _send(self, op, slot, body) -> str:
        """
        ok | fail | unknown, repeating as a careful client would. A refusal is definite even after a doubt: keys are
        looked up first, so an earlier try that got through would have been answered, and a closed run takes none.
        """
        deadline = time.monotonic() + GIVE_UP_S
        doubt = False
        while time.monotonic() < deadline:
            try:
                status, text = self.connection.request(
                    "POST", f"/api/v1/runs/{op['run']}/events", body, op["idempotency"]
                )
            except Unsent:
                time.sleep(0.02)
                continue
            except Lost as error:
                doubt, op["detail"] = True, str(error)
                if op["idempotency"] is None:
                    return "unknown"
                continue
            verdict = self._judge(op, slot, status, text)
            if verdict == "doubt":
                doubt = True
                if op["idempotency"] is None:
                    return "unknown"
            elif verdict != "again":
                return verdict
        return "unknown" if doubt else "fail"

    def _judge(self, op, slot, status, text) -> str:
        op["detail"] = f"{status} {text[:120]}"
        if status == 201:
            answer = json.loads(text)
            op["answers"].append((answer["first_seq"], answer["last_seq"]))
            return "ok"
        if status == 404:
            self._create(op["run"])
            return "again"
        if status == 503:
            if "outcome-unknown" in text:
                return "doubt"
            time.sleep(0.02)
            return "again"
        if status == 409 and "run-closed" in text:
            self.places.over(slot, op["run"])
            return "fail"
        if status in (409, 422):
            return "fail"
        self.problems.append(f"{self.name}#{op['ordinal']}: {op['detail']}")
        return "doubt" if status >= 500 else "fail"

    def _create(self, run):
        about = {"id": run, "thread_id": thread_of(self.told["phase"])}
        try:
            status, text = self.connection.request("POST", "/api/v1/runs", json.dumps(about))
        except (Unsent, Lost):
            return
        if status not in (200, 201, 503):
            self.problems.append(f"{self.name}: creating {run}: {status} {text[:200]}")

    def ask_and_answer(self, run):
        """The same answer is sent until it is taken, and once more: it must be one event."""
        name = f"{self.name}-{len(self.lives)}-{self.ordinal}"
        asked = {"type": "CLARIFICATION_NEEDED", "payload": {"clarification_id": name, "question": "?"}}
        if self.live(run, "events", asked, "CLARIFICATION_NEEDED", idempotency=name):
            answer = {"clarification_id": name, "response": {"of": self.name}}
            if self.live(run, "resume", answer, "CLARIFICATION_ANSWERED"):
                self.live(run, "resume", answer, None)

    def live(self, run, route, body, kind, idempotency=None) -> bool:
        """Until there is a definite answer; whether it was yes. `kind`: what it has put into the log then."""
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            try:
                status, text = self.connection.request("POST", f"/api/v1/runs/{run}/{route}", json.dumps(body), idempotency)
            except Unsent:
                time.sleep(0.02)
                continue
            except Lost:
                continue
            if status == 503:
                time.sleep(0.02)
            elif status in (201, 202):
                if kind is not None:
                    self.lives.append((run, kind))
                return True
            else:
                # Closed or cancelled by others, not there yet, sixteen questions open: no's, all of them.
                if status not in (404, 409):
                    self.problems.append(f"{self.name}: {route} of {run}: {status} {text[:200]}")
                return False
        return False

    def repeat(self, done):
        """The same key again, later, perhaps after the run's end: the same answer for ever (I9)."""
        op, body = done
        try:
            status, text = self.connection.request("POST", f"/api/v1/runs/{op['run']}/events", body, op["idempotency"])
        except (Unsent, Lost):
            return
        if status == 201:
            answer = json.loads(text)
            op["answers"].append((answer["first_seq"], answer["last_seq"]))
        elif status != 503:
            self.problems.append(f"{self.name}#{op['ordinal']} repeated: {status} {text[:200]}")

    def read(self, run):
        after = self.chance.choice((0, 0, 5, 50))
        begin = time.monotonic()
        try:
            status, text = self.connection.request("GET", f"/api/v1/runs/{run}/events?after_seq={after}&limit=50")
        except (Unsent, Lost):
            return
        if status == 200:
            page = json.loads(text)
            self.reads.append((begin, run, after, [e["seq"] for e in page["events"]], page["last_seq"]))
        elif status not in (400, 404, 503):  # 400: the run is still shorter than that
            self.problems.append(f"{self.name}: page of {run}: {status} {text[:200]}")


def main():
    told = json.loads(sys.argv[1])
    stopping = threading.Event()
    places = Places(told["phase"])
    lanes = [Lane(f"{told['phase']}.{told['name']}{n}", told, places, stopping) for n in range(told["lanes"])]
    for lane in lanes:
        lane.start()
    sys.stdin.read()
    stopping.set()
    for lane in lanes:
        lane.join()
    history = {
        "ops": [op for lane in lanes for op in lane.ops],
        "reads": [read for lane in lanes for read in lane.reads],
        "lives": [life for lane in lanes for life in lane.lives],
        "problems": [problem for lane in lanes for problem in lane.problems],
    }
    Path(told["out"]).write_text(json.dumps(history), encoding="utf-8")


if __name__ == "__main__":
    main()
