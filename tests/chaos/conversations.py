"""
Readers of conversations, with the habits of the others: AguiFollower reads one run, AiSdkFollower a chat, whose newest run that has not
ended is what its stream shows. Whenever a stream is over they come back, and are told the run from its beginning, or in short;
`assembled` is what each connection came to (chaos.assembled).
"""

from chaos.assembled import OVER, PAUSES, Agui, AiSdk
from chaos.protocols import OtherFollower
from harness.sse import NoFrame, SseStream, StreamEnded

PAUSE_S = 0.2  # until a run that waits is looked at again


class ConversationFollower(OtherFollower):
    kind = client = None

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.assembled = []

    def _converse(self, stream):
        """Reads one connection and says how the client was told that it ended: OVER, PAUSES or ""."""
        self.began()
        client, tidy = self.client(), False
        try:
            tidy = self._read(stream, client)
        except ValueError as error:
            self.violations.append(f"run {client.run} after seq {client.seq}: {error}")
        if tidy and (client.waiting or not client.end):
            self.violations.append(f"run {client.run} ended tidily after seq {client.seq}, which was no end")
        if client.seq or tidy:
            self.assembled.append(client.assembled(self.name, self.kind, tidy))
        return client.end

    def _read(self, stream, client) -> bool:
        """Whether it ended tidily."""
        while not self.stopping.is_set():
            try:
                frame = stream.next_frame(timeout=0.5)
            except NoFrame:
                continue
            except StreamEnded as end:
                if not end.tidy:
                    self._note_end(False)
                return end.tidy
            if frame.data is not None and client.frame(frame.id, frame.data):
                self.cursor = client.seq
                if client.end != OVER and self.leave():
                    self.hang_up(stream.connection.socket)
                    return False
        return False


class AguiFollower(ConversationFollower):
    kind, client = "agui", Agui

    def _one_connection(self):
        with SseStream(self.server.address, f"/api/v1/agui/chaos/runs/{self.run_id}", self.key) as stream:
            self.connections += 1
            if stream.status != 200:
                self.refuse(stream.status, stream.body()[:200])
                return
            self.may_miss = False
            end = self._converse(stream)
            self.ended = self.ended or bool(self.violations) or (end == OVER and self.assembled[-1].tidy)
            if end == PAUSES:
                self.stopping.wait(PAUSE_S)


class AiSdkFollower(ConversationFollower):
    """run_id: the thread. With `last` set, the next time that nothing goes on is the end."""

    kind, client = "ai-sdk", AiSdk

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.last = False

    def _one_connection(self):
        was_last = self.last  # asked before looking
        with SseStream(self.server.address, f"/api/v1/ai-sdk/chat/{self.run_id}/stream", self.key) as stream:
            self.connections += 1
            if stream.status == 204:
                self.ended, self.broken_at = was_last, None
                self.stopping.wait(PAUSE_S)
            elif stream.status != 200:
                self.refuse(stream.status, stream.body()[:200])
            else:
                end = self._converse(stream)
                self.ended = self.ended or bool(self.violations)
                if end == PAUSES:
                    self.stopping.wait(PAUSE_S)
