"""Streamers without a server around them (lone_streamer.py), for feeds: batches with positions, published as the test likes."""

import base64
import socket
import uuid
from dataclasses import dataclass

from harness.lone_streamer import EVENTS, HANDOVER, HINT, NATIVE, TS_US, TYPES, Reader, Stage, envelope

THREAD, TENANT = 1, 2
SIGNING = bytes(range(16))


@dataclass(frozen=True)
class Run:
    id: uuid.UUID
    tenant: uuid.UUID
    thread: uuid.UUID


@dataclass
class Batch:
    """One commit: its frames, run by run, as the sequencer would send them."""

    before: int
    after: int
    frames: list


def position_of(frame) -> int:
    """What an opaque cursor says; only a test may look."""
    return int.from_bytes(base64.urlsafe_b64decode(frame.id)[1:9], "big")


class FeedReader(Reader):
    def positions(self, count, timeout=5) -> list:
        return [position_of(self.event(timeout)) for _ in range(count)]


class FeedStage(Stage):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.connection.execute("update shard_positions set position = 0")
        self.connection.execute("truncate run_events")
        self.position = 0
        self.log = []  # (position, Run)
        self.keys = {self.tenant: self.key}  # a key belongs to one tenant

    def run(self, thread=None, tenant=None) -> Run:
        run = Run(uuid.uuid4(), tenant or self.tenant, thread)
        if tenant:
            self.key_of(tenant)
        self.connection.execute(
            "insert into runs (run_id, tenant_id, thread_id, status, created_at) values (%s, %s, %s, 'running', now())",
            [run.id, run.tenant, thread],
        )
        self.connection.execute("insert into run_heads values (%s, %s, 0)", [run.id, run.tenant])
        return run

    def key_of(self, tenant) -> uuid.UUID:
        if tenant not in self.keys:
            self.connection.execute("insert into tenants values (%s, 'x')", [tenant])
            self.keys[tenant] = uuid.uuid4()
            self.connection.execute(
                "insert into api_keys (key_id, tenant_id, public_id, hash, name, scopes) values (%s, %s, %s, %s, '', '{}')",
                [self.keys[tenant], tenant, self.keys[tenant].hex, bytes(32)],
            )
        return self.keys[tenant]

    def commit(self, *runs, store=True, size=2) -> Batch:
        """One event of each of these runs, in this order; a run may come several times."""
        heads, frames, before = {}, {}, self.position
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for run in runs:
                if run not in heads:
                    heads[run] = self.connection.execute(
                        "select last_seq from run_heads where run_id = %s", [run.id]
                    ).fetchone()[0]
            rows = []
            for run in runs:
                self.position += 1
                seq = heads[run] = heads[run] + 1
                kind = "RUN_STARTED" if seq == 1 else "CUSTOM"
                payload = '{"x":"' + "y" * (size - 2) + '"}' if size > 2 else "{}"
                frame = frames.setdefault(run, [run, seq, []])
                frame[2].append([TYPES[kind], TS_US, payload, self.position - before])
                rows.append((run.tenant, run.id, seq, self.position, kind, payload, TS_US))
                self.log.append((self.position, run))
            cursor.execute("update shard_positions set position = %s", [self.position])
            cursor.executemany("update run_heads set last_seq = %s where run_id = %s",
                               [(head, run.id) for run, head in heads.items()])
            if store:
                cursor.executemany(
                    "insert into run_events (tenant_id, run_id, seq, position, event_type, payload, ts)"
                    " values (%s, %s, %s, %s, %s, %s, '1970-01-01Z'::timestamptz + %s * interval '1 microsecond')", rows,
                )
        return Batch(before, self.position, list(frames.values()))

    def send(self, batch, only=None, lose=()):
        """`only`: these frames of the batch; `lose`: counted, but never sent."""
        for at, (run, first_seq, events) in enumerate(batch.frames):
            if only is not None and at not in only:
                continue
            self.counter += 1
            if at in lose:
                continue
            settled = batch.after if at == len(batch.frames) - 1 else 0
            thread = (run.thread or uuid.UUID(int=0)).bytes
            body = [self.counter, run.tenant.bytes, run.id.bytes, first_seq, thread, batch.before, settled, events]
            self.bus.send(b"E" + envelope(EVENTS, body, self.epoch))

    def write(self, *runs, **how):
        self.send(self.commit(*runs, **how))

    def beat(self):
        self.bus.send(b"H" + envelope(HINT, [self.counter, self.position, 0], self.epoch))

    def open_feed(self, after=0, thread=None, tenant=None, key=None, head=None, receive_buffer=None) -> FeedReader:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(self.clients.getsockname())
        ours, _ = self.clients.accept()
        tenant = tenant or self.tenant
        body = [tenant.bytes, (key or self.key_of(tenant)).bytes, bytes(16), after,
                self.position if head is None else head, THREAD if thread else TENANT,
                (thread or uuid.UUID(int=0)).bytes, SIGNING, *NATIVE]  # fmt: skip
        self.hand(envelope(HANDOVER, body), [ours.fileno()])
        ours.close()
        self.sockets.append(client)
        return FeedReader(client)

    def wanted(self, after=0, thread=None, tenant=None) -> list:
        """Positions that such a feed must show."""
        return [
            position for position, run in self.log
            if position > after and run.tenant == (tenant or self.tenant) and (thread is None or run.thread == thread)
        ]  # fmt: skip

    def last_table_read(self):
        """When a statement of the feeds last began."""
        return self.connection.execute(
            "select max(query_start) from pg_stat_activity where usename = 'signalbox_streamer'"
            " and query like '%shard_positions%'"
        ).fetchone()[0]
