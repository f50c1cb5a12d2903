"""
Other people's WebSocket clients behind one face, for the same dialogues with each: python3-websockets, python3-wsproto,
python3-autobahn. Each is an async context manager with

    send(text or bytes)   receive() -> text or bytes   ping(bytes): returns behind its pong   close(code, reason) -> the server's code

What breaks the protocol in the client's eyes raises. The npm client is tests/clients/websocket.mjs.
"""

import asyncio
import contextlib
from urllib.parse import urlsplit

import txaio
import websockets
import wsproto
from wsproto import events as happenings

txaio.use_asyncio()
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol  # noqa: E402

LIMIT_S = 20


class ByWebsockets:
    """python3-websockets; it offers compression, as it does by default."""

    def __init__(self, url, headers):
        self.opening = websockets.connect(url, extra_headers=headers, max_size=None)

    async def __aenter__(self):
        self.socket = await self.opening.__aenter__()
        assert self.socket.extensions == [] and self.socket.subprotocol is None
        return self

    async def __aexit__(self, *error):
        await self.opening.__aexit__(*error)

    async def send(self, message):
        await self.socket.send(message)

    async def send_in_parts(self, parts):
        await self.socket.send(parts)

    async def receive(self):
        return await self.socket.recv()

    async def ping(self, payload):
        await (await self.socket.ping(payload))

    async def close(self, code, reason):
        await self.socket.close(code, reason)
        assert self.socket.close_rcvd is not None, "no answer to the close frame"
        return self.socket.close_rcvd.code


class ByWsproto:
    """python3-wsproto, which is the protocol only: the socket is ours."""

    def __init__(self, url, headers):
        self.url, self.headers = urlsplit(url), headers
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.happened, self.parts = asyncio.Queue(), []

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.url.hostname, self.url.port)
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        self.write(happenings.Request(self.url.netloc, self.url.path, extra_headers=headers))
        assert isinstance(await self.next(), happenings.AcceptConnection)
        return self

    async def __aexit__(self, *error):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def write(self, event):
        self.writer.write(self.protocol.send(event))

    async def next(self):
        """What happens next that is not a ping of the server; those are answered."""
        while self.happened.empty():
            data = await self.reader.read(65536)
            self.protocol.receive_data(data or None)
            for event in self.protocol.events():
                if isinstance(event, happenings.Ping):
                    self.write(event.response())
                else:
                    self.happened.put_nowait(event)
        return self.happened.get_nowait()

    async def send(self, message):
        self.write(happenings.Message(data=message))

    async def send_in_parts(self, parts):
        for part in parts[:-1]:
            self.write(happenings.Message(data=part, message_finished=False))
        self.write(happenings.Message(data=parts[-1]))

    async def receive(self):
        parts = []
        while True:
            event = await self.next()
            assert isinstance(event, (happenings.TextMessage, happenings.BytesMessage)), event
            parts.append(event.data)
            if event.message_finished:
                return parts[0][:0].join(parts)

    async def ping(self, payload):
        self.write(happenings.Ping(payload=payload))
        event = await self.next()
        assert isinstance(event, happenings.Pong) and bytes(event.payload) == payload, event

    async def close(self, code, reason):
        self.write(happenings.CloseConnection(code=code, reason=reason))
        event = await self.next()
        assert isinstance(event, happenings.CloseConnection), event
        assert await self.reader.read() == b""
        return event.code


class AutobahnProtocol(WebSocketClientProtocol):
    def onOpen(self):
        self.factory.happened.put_nowait("open")

    def onMessage(self, payload, isBinary):
        self.factory.happened.put_nowait(payload if isBinary else payload.decode())

    def onPong(self, payload):
        self.factory.happened.put_nowait(("pong", payload))

    def onClose(self, wasClean, code, reason):
        self.factory.happened.put_nowait(("close", wasClean, self.remoteCloseCode, reason))


class ByAutobahn:
    """python3-autobahn on asyncio, at its strictest."""

    def __init__(self, url, headers):
        self.url, self.headers = url, headers
        self.happened = asyncio.Queue()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        factory = WebSocketClientFactory(self.url, headers=self.headers, loop=loop)
        factory.setProtocolOptions(failByDrop=False, openHandshakeTimeout=LIMIT_S, closeHandshakeTimeout=LIMIT_S, autoPingInterval=0)
        factory.protocol, factory.happened = AutobahnProtocol, self.happened
        parts = urlsplit(self.url)
        self.transport, self.protocol = await loop.create_connection(factory, parts.hostname, parts.port)
        assert await self.happened.get() == "open"
        return self

    async def __aexit__(self, *error):
        self.transport.close()

    async def send(self, message):
        self.protocol.sendMessage(message if isinstance(message, bytes) else message.encode(), isinstance(message, bytes))

    async def send_in_parts(self, parts):
        """It cuts by size, characters or not."""
        self.protocol.sendMessage("".join(parts).encode(), False, fragmentSize=5)

    async def receive(self):
        event = await self.happened.get()
        assert isinstance(event, (bytes, str)), event
        return event

    async def ping(self, payload):
        self.protocol.sendPing(payload)
        assert await self.happened.get() == ("pong", payload)

    async def close(self, code, reason):
        self.protocol.sendClose(code, reason)
        kind, clean, answered, _ = await self.happened.get()
        assert (kind, clean) == ("close", True)
        return answered


CLIENTS = {"websockets": ByWebsockets, "wsproto": ByWsproto, "autobahn": ByAutobahn}


def talk(name, url, headers, dialogue):
    """Runs `dialogue(client)` to its end with one of CLIENTS; what it returns."""

    async def run():
        async with CLIENTS[name](url, headers) as client:
            return await dialogue(client)

    return asyncio.run(asyncio.wait_for(run(), LIMIT_S * 3))
