"""
Commands to the sequencer over the bus itself, as an actor sends them: numbered, sent again until they are answered, and
through its deaths.
"""

import hashlib
import json
import random
import time
import uuid

import msgpack
import zmq
from harness.lone_streamer import envelope
from harness.paths import patience

CREATE_RUN, APPEND, HELLO, CANCEL_RUN, RESUME_RUN, FORK_RUN, TOUCH_RUN = range(1, 8)
RESULT, NACK, BUSY = 16, 17, 18
OUTCOMES = ["OK", "EXISTS", "ID_TAKEN", "NOT_FOUND", "RUN_CLOSED", "RUN_PENDING", "SEQ_CONFLICT", "KEY_MISMATCH", "REFUSED",
            "PRODUCER_GAP", "PRODUCER_FENCED", "PRODUCER_EPOCH", "QUOTA", "THREAD_BUSY", "NOT_INTERRUPTED",
            "WRONG_CLARIFICATION", "SEQ_BEYOND_HEAD", "QUESTION_ASKED"]  # fmt: skip
STATUSES = ["pending", "running", "interrupted", "cancelling", "finished", "failed", "cancelled"]
TYPES = {"RUN_STARTED": 1, "RUN_FINISHED": 2, "RUN_FAILED": 3, "RUN_CANCELLED": 4, "TASK_COMPLETED": 12, "CUSTOM": 17,
         "RUN_INTERRUPTED": 19, "RUN_RESUMED": 20, "RUN_CANCEL_REQUESTED": 21, "CLARIFICATION_NEEDED": 29,
         "CLARIFICATION_ANSWERED": 30, "ARTIFACT_CREATED": 34, "JOB_QUEUED": 36}  # fmt: skip
STRATEGIES = {None: 0, "reject": 1, "enqueue": 2, "interrupt": 3, "rollback": 4}
NONE = b"\0" * 16
RESEND_S = 0.15


def sha256(text) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def as_bytes(value) -> bytes:
    return NONE if value is None else uuid.UUID(str(value)).bytes


class Bus:
    """One sending process. Not for several threads."""

    def __init__(self, box, tenant=None):
        self.tenant = tenant or box.database().value("select tenant_id from tenants order by created_at limit 1")
        self.path = f"ipc://{box.status()['run_dir']}/commands.sock"
        self.origin = random.getrandbits(62)
        self.number = 0
        self.context = zmq.Context()
        self.connect()

    def connect(self):
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTING_ID, b"test-%x" % self.origin)
        self.socket.connect(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.context.term()

    def send(self, kind, number, body):
        frame = msgpack.unpackb(envelope(kind, body))
        frame[3] = number
        self.socket.send(msgpack.packb(frame, use_bin_type=True))

    def take(self, number, deadline):
        """The body of the RESULT to `number`; None when nothing of it came before the next resend."""
        resend = min(time.monotonic() + RESEND_S, deadline)
        while self.socket.poll(max(0, int((resend - time.monotonic()) * 1000))):
            frame = msgpack.unpackb(self.socket.recv())
            if frame[1] == RESULT and frame[3] == number:
                return frame[6]
        return None

    def repeat(self, number, kind, body, timeout=20.0):
        """Sends the command until its definite outcome is here."""
        deadline = time.monotonic() + timeout * patience()
        while time.monotonic() < deadline:
            self.send(HELLO, 0, [self.origin, number])
            self.send(kind, number, [self.origin, *body])
            answer = self.take(number, deadline)
            if answer is not None:
                return {"outcome": OUTCOMES[answer[0]], "run": str(uuid.UUID(bytes=answer[1])), "first_seq": answer[2],
                        "last_seq": answer[3], "status": STATUSES[answer[4]], "expected": answer[5],
                        "cancel_requested": answer[6], "duplicate": answer[7]}  # fmt: skip
        raise AssertionError(f"no answer to command {number}")

    def call(self, kind, body):
        self.number += 1
        return self.repeat(self.number, kind, body)

    def all_at_once(self, *commands) -> list:
        """Answers to commands (functions of this bus) that are sent without waiting for any of them."""
        sent = []
        self.call = lambda kind, body: sent.append((kind, body))
        try:
            for command in commands:
                command(self)
        finally:
            del self.call
        first = self.number + 1
        self.number += len(sent)
        self.send(HELLO, 0, [self.origin, first])
        for number, (kind, body) in enumerate(sent, first):
            self.send(kind, number, [self.origin, *body])
        return [self.repeat(number, kind, body) for number, (kind, body) in enumerate(sent, first)]

    def create(self, run=None, thread=None, start_at_us=0, strategy=None, group="", limit=0, liveness_ms=0, key="", body="",
               deliverable=""):  # fmt: skip
        return self.call(CREATE_RUN, [
            self.tenant.bytes, as_bytes(run or uuid.uuid4()), as_bytes(thread), NONE, "{}", "test", deliverable, start_at_us,
            STRATEGIES[strategy], group, limit, liveness_ms, key, sha256(body) if key else b"", "{}",
            NONE, 0, 0,
        ])  # fmt: skip

    def append(self, run, *events, expected=-1, key=""):
        """events: (type, payload)"""
        listed = [[TYPES[kind], payload.get("clarification_id", ""), json.dumps(payload)] for kind, payload in events]
        digest = sha256(json.dumps(events)) if key else b""
        return self.call(
            APPEND, [self.tenant.bytes, as_bytes(run), expected, "test", key, digest, "", 0, 0, NONE, 0, 0, listed]
        )

    def cancel(self, run, payload=None):
        return self.call(CANCEL_RUN, [self.tenant.bytes, as_bytes(run), "test", json.dumps(payload or {"by": "test"}), NONE, 0, 0])

    def resume(self, run, clarification, response):
        payload = {"clarification_id": clarification, "response": response} if clarification else {"response": response}
        return self.call(RESUME_RUN, [
            self.tenant.bytes, as_bytes(run), "test", clarification, sha256(json.dumps(response)), json.dumps(payload), NONE, 0, 0
        ])  # fmt: skip

    def touch(self, run):
        return self.call(TOUCH_RUN, [self.tenant.bytes, as_bytes(run)])
