"""
A sender of commands to the sequencer, as the api is one: an origin, numbers, and everything asked again until it has
its answer. For what HTTP cannot say: several commands in one batch, exact order, commands sent again by hand.
"""

import re
import secrets
import uuid

import msgpack
import zmq

from harness.paths import ROOT
from harness.waiting import wait_until

_MESSAGE = re.compile(r"message (\d+) (\w+)")
_FIELD = re.compile(r"( +)(\w+) (u64|i64|bool|uuid|text|bytes|list)\b")
_EMPTY = {"u64": 0, "i64": 0, "bool": False, "uuid": bytes(16), "text": "", "bytes": b"", "list": []}
OUTCOMES = dict(
    (int(number), name)
    for name, number in re.findall(r"OUTCOME_(\w+) = (\d+)", (ROOT / "proto" / "outcome.h").read_text(encoding="utf-8"))
)


def _declared() -> dict:
    """{name: (number, [(field, type, [(item field, type)])])} of proto/messages.def."""
    found, fields = {}, []
    for line in (ROOT / "proto" / "messages.def").read_text(encoding="utf-8").splitlines():
        if message := _MESSAGE.match(line):
            fields = []
            found[message[2]] = (int(message[1]), fields)
        elif (field := _FIELD.match(line)) and found:
            if len(field[1]) > 4:
                fields[-1][2].append((field[2], field[3]))
            else:
                fields.append((field[2], field[3], []))
    return found


MESSAGES = _declared()
_BY_NUMBER = {number: (name, fields) for name, (number, fields) in MESSAGES.items()}


def _value(kind, given, items):
    if kind == "list":
        return [[_value(k, one.get(name, _EMPTY[k]), ()) for name, k in items] for one in given]
    return uuid.UUID(str(given)).bytes if kind == "uuid" and not isinstance(given, bytes) else given


def encode(name, request, fields) -> bytes:
    """Texts with surrogate escapes become the bytes that these stand for."""
    number, declared = MESSAGES[name]
    unknown = set(fields) - {field for field, _, _ in declared}
    assert not unknown, f"{name} has no field {unknown}"
    body = [_value(kind, fields.get(field, _EMPTY[kind]), items) for field, kind, items in declared]
    return msgpack.packb([1, number, 1, request, 0, 0, body], use_bin_type=True, unicode_errors="surrogateescape")


def decode(frame) -> tuple:
    """(name, request, {field: value})"""
    _, number, _, request, _, _, body = msgpack.unpackb(frame, raw=False)
    name, declared = _BY_NUMBER[number]
    return name, request, {field: value for (field, _, _), value in zip(declared, body)}


def event(type_number, payload="{}", subject="") -> dict:
    return {"type": type_number, "payload": payload, "subject": subject}


CUSTOM, FINISHED = 17, 2


class Commander:
    def __init__(self, server, tenant=None):
        """tenant: default the first one's."""
        self.server = server
        self.tenant = tenant or server.database().value("select tenant_id from tenants order by created_at limit 1")
        self.origin = secrets.randbits(62)
        self.sent, self.answers = {}, {}
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTING_ID, f"test.{secrets.token_hex(6)}".encode())
        self.socket.connect(f"ipc://{server.status()['run_dir']}/commands.sock")
        self._hello()

    def close(self):
        self.socket.close()
        self.context.term()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _hello(self):
        open_numbers = [number for number in self.sent if number not in self.answers]
        self.socket.send(encode("HELLO", 0, {"origin": self.origin, "oldest": min(open_numbers, default=len(self.sent) + 1)}))

    def _ask_again(self):
        """Silence: everything without an answer, in order."""
        self._hello()
        for number in sorted(self.sent):
            if number not in self.answers:
                self.socket.send(self.sent[number])

    def send(self, name, **fields) -> int:
        """Returns the command's number."""
        number = len(self.sent) + 1
        self.sent[number] = encode(name, number, {"origin": self.origin, "tenant": self.tenant} | fields)
        self.socket.send(self.sent[number])
        return number

    def send_again(self, number):
        self.answers.pop(number, None)
        self.socket.send(self.sent[number])

    def _take(self, frame):
        name, request, fields = decode(frame)
        if name == "RESULT":
            fields["run"] = str(uuid.UUID(bytes=fields["run"]))
            fields["outcome"] = OUTCOMES[fields["outcome"]]
            self.answers.setdefault(request, fields)
        elif name == "JOBS_RESULT":
            fields["outcome"] = OUTCOMES[fields["outcome"]]
            self.answers.setdefault(request, fields)
        elif name in ("NACK", "BUSY"):
            first = fields["expected"] if name == "NACK" else request
            for number in sorted(self.sent):
                if number >= first and number not in self.answers:
                    self.socket.send(self.sent[number])

    def answer(self, number, timeout=10.0) -> dict:
        """The RESULT of a command; asks again while there is none."""

        return self.until(lambda: self.answers.get(number), f"an answer to command {number}", timeout)

    def until(self, predicate, what, timeout=10.0):
        """Keeps asking for what has no answer until something is true."""

        def look():
            if not (value := predicate()) and not self.socket.poll(300):
                self._ask_again()
            while self.socket.poll(0):
                self._take(self.socket.recv())
            return value or predicate()

        return wait_until(look, what, timeout)

    # One command and its answer.

    def do(self, name, **fields) -> dict:
        return self.answer(self.send(name, **fields))

    def create(self, run_id=None, **fields) -> str:
        run_id = run_id or str(uuid.uuid4())
        answer = self.do("CREATE_RUN", run=run_id, metadata="{}", started="{}", **fields)
        assert answer["outcome"] == "OK", answer
        return run_id

    def send_append(self, run_id, payload='{"name":"test","value":1}', events=None, **fields) -> int:
        fields.setdefault("expected_seq", -1)
        return self.send("APPEND", run=run_id, events=events or [event(CUSTOM, payload)], **fields)

    def append(self, run_id, *arguments, **fields) -> dict:
        return self.answer(self.send_append(run_id, *arguments, **fields))

    def send_produced(self, run_id, seq, producer="p", epoch=0, **fields) -> int:
        return self.send_append(run_id, producer=producer, producer_epoch=epoch, producer_seq=seq, **fields)

    def produce(self, run_id, seq, producer="p", epoch=0, **fields) -> dict:
        return self.answer(self.send_produced(run_id, seq, producer, epoch, **fields))

    def finish(self, run_id) -> dict:
        return self.append(run_id, events=[event(FINISHED)])
