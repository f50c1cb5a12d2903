"""
Readers of feeds: the streams of a thread and of a tenant, in the order of the log.

FeedFollower keeps an opaque cursor and reconnects with it like a browser; `truth` is what such a stream must show.
"""

import json
import random
import threading
from dataclasses import dataclass

from harness.rawjson import members
from harness.sse import NoFrame, NotesOrder, SseStream, StreamEnded

TENANT_FEED = "/api/v1/stream"


def thread_feed(thread_id) -> str:
    return f"/api/v1/threads/{thread_id}/stream"


@dataclass(frozen=True)
class FeedEvent:
    run_id: str
    seq: int
    type: str
    payload: str

    @staticmethod
    def of(frame):
        fields = members(frame.data)
        return FeedEvent(*(json.loads(fields[name]) for name in ("run_id", "seq", "type")), fields["payload"])


def open_feed(server, path, key=None, cursor=None, query="", **options) -> SseStream:
    header = {} if cursor is None else {"Last-Event-ID": cursor}
    return SseStream(server.address, path + (f"?{query}" if query else ""), key or server.api_key, header, **options)


def take(stream, count, timeout=None) -> list:
    """The next `count` events as (cursor, FeedEvent)."""
    frames = [stream.next_event(timeout) for _ in range(count)]
    assert all(frame.is_log_event for frame in frames), frames
    return [(frame.id, FeedEvent.of(frame)) for frame in frames]


def truth(server, runs) -> list:
    """The events of these runs in the order of the log."""
    rows = server.database().rows(
        "select run_id::text, seq, event_type::text, payload::text from run_events where run_id = any(%s::uuid[])"
        " order by position", list(runs),
    )  # fmt: skip
    return [FeedEvent(*row) for row in rows]


class FeedFollower(threading.Thread):
    """Reads a feed over as many connections as it takes, until told to stop. leave, pause_s: as of sse.Follower."""

    def __init__(self, server, path, key=None, leave=None, pause_s=lambda: 0.0, query="", may_miss=False):
        super().__init__(daemon=True, name=f"feed {path}")
        self.server, self.path, self.key, self.query = server, path, key, query
        self.may_miss = may_miss  # a thread that does not exist yet
        self.leave, self.pause_s = leave or (lambda: False), pause_s
        self.cursor = None
        self.events, self.violations = [], []
        self.connections = self.broken = self.left = 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                self._one_connection()
            except (OSError, ConnectionError):
                self.stopping.wait(0.05)
            except Exception as error:  # a bug of the server (or of ours) must fail the test, not vanish
                self.violations.append(f"after {len(self.events)} events: {error!r}")
                return

    def _one_connection(self):
        query = self.query if self.cursor is None else ""
        with open_feed(self.server, self.path, self.key, self.cursor, query) as stream:
            if stream.status in (503, 429) or (stream.status == 404 and self.may_miss and not self.events):
                self.stopping.wait(0.05)
                return
            assert stream.status == 200, (stream.status, stream.body())
            self.connections += 1
            self._read(stream)

    def _read(self, stream):
        notes = NotesOrder()
        while not self.stopping.is_set():
            try:
                frame = stream.next_frame(timeout=0.5)
            except NoFrame:
                continue
            except StreamEnded as end:
                assert not end.tidy, "a feed never ends by itself"
                self.broken += 1
                return
            assert notes.take(frame) is None, frame
            if frame.is_log_event:
                self.cursor = frame.id
                self.events.append(FeedEvent.of(frame))
                if self.leave():
                    self.left += 1
                    stream.reset() if random.random() < 0.5 else stream.close()
                    self.stopping.wait(self.pause_s())
                    return

    def stop(self):
        self.stopping.set()
        self.join(10)
