"""Handshakes of WebSockets and what a server must answer (RFC 6455, 4.2), as a table. What each changes in a good one."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Handshake:
    name: str
    status: int
    fields: dict = field(default_factory=dict)  # instead of those of a good one, or besides them
    without: tuple = ()
    more: tuple = ()  # fields behind the others
    method: str = "GET"
    version: str = "HTTP/1.1"
    query: str = ""
    path: str = ""  # instead of the route's
    body: bytes = b""


OK = 101
KEY = "Sec-WebSocket-Key"
VERSION = "Sec-WebSocket-Version"
ANOTHER_KEY = "dGhlIHNhbXBsZSBub25jZQ=="

GOOD = (
    Handshake("as the RFC has it", OK),
    Handshake("Upgrade in other letters", OK, {"Upgrade": "WebSocket"}),
    Handshake("Connection in other letters", OK, {"Connection": "uPGRADE"}),
    Handshake("names in small letters", OK, {"upgrade": "websocket", "connection": "upgrade"}, without=("Upgrade", "Connection")),
    Handshake("Connection is a list", OK, {"Connection": "keep-alive, Upgrade"}),
    Handshake("Connection is a list with blanks", OK, {"Connection": "keep-alive ,\tUpgrade , x"}),
    Handshake("Upgrade is a list", OK, {"Upgrade": "h2c, websocket"}),
    Handshake("another key", OK, {KEY: ANOTHER_KEY}),
    Handshake("blanks around the key", OK, {KEY: f"  {ANOTHER_KEY}\t"}),
    Handshake("the own Origin", OK, {"Origin": "http://{listen}"}),
    # Which scheme a proxy before the server speaks is not known to it.
    Handshake("the own Origin behind TLS", OK, {"Origin": "https://{listen}"}),
    Handshake("an empty body, announced", OK, {"Content-Length": "0"}),
    Handshake("an answer of its own is no matter", OK, {"Sec-WebSocket-Accept": "x"}),
    # Nothing is chosen from what is offered: the fields are absent in the answer.
    Handshake("a protocol is offered", OK, {"Sec-WebSocket-Protocol": "chat, superchat"}),
    Handshake("protocols are offered twice", OK, {"Sec-WebSocket-Protocol": "chat"}, more=(("Sec-WebSocket-Protocol", "superchat"),)),
    Handshake("an extension is offered", OK, {"Sec-WebSocket-Extensions": "permessage-deflate"}),
    Handshake("an extension with parameters", OK, {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits, x-webkit"}),
)

BAD = (
    Handshake("no Upgrade", 426, without=("Upgrade",)),
    Handshake("Upgrade to something else", 426, {"Upgrade": "h2c"}),
    Handshake("Upgrade to more than that", 426, {"Upgrade": "websockets"}),
    Handshake("Upgrade is empty", 426, {"Upgrade": ""}),
    Handshake("two Upgrade", 400, more=(("Upgrade", "websocket"),)),
    Handshake("no Connection", 426, without=("Connection",)),
    Handshake("Connection without the token", 426, {"Connection": "keep-alive"}),
    Handshake("Connection with a longer token", 426, {"Connection": "Upgraded"}),
    Handshake("no version", 426, without=(VERSION,)),
    Handshake("version 8", 426, {VERSION: "8"}),
    Handshake("version 14", 426, {VERSION: "14"}),
    Handshake("version with a zero", 426, {VERSION: "013"}),
    Handshake("version with a sign", 426, {VERSION: "+13"}),
    Handshake("two versions in one", 426, {VERSION: "13, 8"}),
    Handshake("two versions", 400, more=((VERSION, "13"),)),
    Handshake("no key", 400, without=(KEY,)),
    Handshake("an empty key", 400, {KEY: ""}),
    Handshake("a key of 15 bytes", 400, {KEY: "AAECAwQFBgcICQoLDA0O"}),
    Handshake("a key of 17 bytes", 400, {KEY: "AAECAwQFBgcICQoLDA0ODxA="}),
    Handshake("a key without its padding", 400, {KEY: ANOTHER_KEY[:22]}),
    Handshake("a key that is no base64", 400, {KEY: "dGhlIHNhbXBsZSBub25j!Q=="}),
    Handshake("a key in the other alphabet", 400, {KEY: "-_-_IHNhbXBsZSBub25jZQ=="}),
    Handshake("a key with bits left over", 400, {KEY: "dGhlIHNhbXBsZSBub25jZR=="}),
    Handshake("a key that is very long", 400, {KEY: "A" * 4000}),
    Handshake("two keys", 400, more=((KEY, ANOTHER_KEY),)),
    Handshake("POST", 405, method="POST"),
    Handshake("PUT", 405, method="PUT", fields={"Content-Length": "0"}),
    Handshake("a method nobody knows", 501, method="UPGRADE"),
    Handshake("HTTP/1.0", 505, version="HTTP/1.0"),
    Handshake("HTTP/2.0", 505, version="HTTP/2.0"),
    Handshake("no Host", 400, without=("Host",)),
    Handshake("two Hosts", 400, more=(("Host", "elsewhere"),)),
    Handshake("a body", 400, {"Content-Length": "5"}, body=b"hello"),
    Handshake("a body in chunks", 400, {"Transfer-Encoding": "chunked"}, body=b"1\r\nx\r\n0\r\n\r\n"),
    Handshake("a blank before the colon", 400, more=(("X-Blank ", "x"),)),
    Handshake("a key of the api in the query", 400, query="?token={key}"),
    Handshake("a key of the api in the query only", 401, query="?access_token={key}", without=("Authorization",)),
    Handshake("a slash behind the path", 404, path="/api/v1/ws/"),
    Handshake("an address that is too long", 414, query="?x=" + "y" * 9000),
    Handshake("a head that is too long", 431, more=tuple((f"X-{n}", "y" * 1000) for n in range(20))),
    Handshake("nobody", 401, without=("Authorization",)),
    Handshake("an unknown key", 401, {"Authorization": "Bearer sbx_nobody"}),
    Handshake("another scheme", 401, {"Authorization": "Basic {key}"}),
    Handshake("two Authorization", 401, more=(("Authorization", "Bearer {key}"),)),
    Handshake("a foreign Origin", 403, {"Origin": "https://elsewhere.example"}),
    Handshake("no one's Origin", 403, {"Origin": "null"}),
    Handshake("the own name with another port", 403, {"Origin": "http://127.0.0.1:1"}),
    Handshake("a longer name", 403, {"Origin": "http://{listen}.elsewhere.example"}),
    Handshake("two Origins", 400, {"Origin": "http://{listen}"}, more=(("Origin", "http://{listen}"),)),
)
