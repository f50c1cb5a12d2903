"""What a strict WebSocket server answers to the bytes of a client (RFC 6455), as a table: no I/O here.

A case is what is sent behind the handshake, in pieces, and what must come back, frame by frame. Where the answer is a close frame
the pieces end at the very byte that earns it: an answer that comes only later is a failure. LIMIT is the longest message taken.
"""

import codecs
import itertools
import random
import struct
from dataclasses import dataclass

LIMIT = 131072
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0
MASK = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True)
class Case:
    group: str
    name: str
    sent: bytes
    # Frames as (opcode, payload); an int in place of the payload: a close frame with this code and any reason.
    answers: tuple
    # After the last answer the connection still works; else the server has closed it.
    open: bool = True
    path: str | None = None  # of the echo server; None: all that echo


def masked(payload, mask=MASK):
    """XOR as one big number: fast enough for messages at the limit."""
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def length_field(length, form, mask_bit):
    if form == 0:
        return bytes([mask_bit | length])
    return bytes([mask_bit | {2: 126, 8: 127}[form]]) + struct.pack({2: ">H", 8: ">Q"}[form], length)


def frame(opcode, payload=b"", fin=True, rsv=0, mask=MASK, form=None, announced=None):
    """A client's frame. `form`: bytes the length is written in behind the second byte; None: the shortest. `announced`: a length other
    than the payload's."""
    length = len(payload) if announced is None else announced
    if form is None:
        form = 0 if length < 126 else 2 if length < 65536 else 8
    head = bytes([fin << 7 | rsv << 4 | opcode]) + length_field(length, form, 0x80 if mask is not None else 0)
    return head + (payload if mask is None else mask + masked(payload, mask))


def close_payload(code, reason=b""):
    return struct.pack(">H", code) + reason


def text(payload, **options):
    return frame(TEXT, payload, **options)


def refused(group, name, sent, code=1002, before=()):
    return Case(group, name, sent, (*before, (CLOSE, code)), open=False)


def pattern(length):
    return bytes(itertools.islice(itertools.cycle(b"abcdefghijklmnopqrstuvwxyz .,"), length))


def lengths():
    for opcode, word in ((TEXT, "text"), (BINARY, "binary")):
        for length in (0, 1, 125, 126, 127, 65535, 65536, LIMIT - 1, LIMIT):
            payload = pattern(length)
            yield Case("lengths", f"{word} of {length}", frame(opcode, payload), ((opcode, payload),))
        yield refused("lengths", f"{word} of the limit + 1", frame(opcode, announced=LIMIT + 1)[:10], 1009)
    some = [pattern(n) for n in (0, 3, 125, 126, 65536, 1)]
    yield Case("lengths", "several in one write", b"".join(text(one) for one in some), tuple((TEXT, one) for one in some))
    yield Case("lengths", "a mask of zeros", text(b"hello", mask=b"\0\0\0\0"), ((TEXT, b"hello"),))
    yield Case("lengths", "a mask of ones", text(b"hello", mask=b"\xff\xff\xff\xff"), ((TEXT, b"hello"),))
    yield Case("lengths", "every byte", frame(BINARY, bytes(range(256))), ((BINARY, bytes(range(256))),))


def forms():
    for length in (0, 1, 125):
        yield refused("forms", f"{length} in two bytes", text(pattern(length), form=2)[:4])
    for length in (0, 1, 125, 126, 65535):
        yield refused("forms", f"{length} in eight bytes", text(b"", form=8, announced=length)[:10])
    yield refused("forms", "a ping of 4 in two bytes", frame(PING, b"abcd", form=2)[:2])
    yield refused("forms", "a close of 2 in eight bytes", frame(CLOSE, close_payload(1000), form=8)[:2])
    yield refused("forms", "top bit set", b"\x82\xff\x80")
    yield refused("forms", "top bit set and a small length", b"\x81\xff\x80\0\0\0\0\x01\0\0"[:3])
    yield refused("forms", "all bits set", b"\x82\xff\xff")
    yield refused("forms", "the greatest length", b"\x82\xff\x7f" + b"\xff" * 7, 1009)
    yield refused("forms", "four gigabytes", text(b"", form=8, announced=1 << 32)[:10], 1009)


def unmasked():
    for opcode, word in ((TEXT, "text"), (BINARY, "binary"), (CLOSE, "close"), (PING, "ping"), (PONG, "pong")):
        payload = close_payload(1000) if opcode == CLOSE else b"hi"
        yield refused("unmasked", word, frame(opcode, payload, mask=None)[:2])
    yield refused("unmasked", "empty text", text(b"", mask=None))
    yield refused("unmasked", "long text", text(pattern(70000), mask=None)[:2])
    yield refused("unmasked", "a continuation", text(b"a", fin=False) + frame(CONTINUATION, b"b", mask=None)[:2])
    yield refused("unmasked", "behind a good one", text(b"a") + text(b"b", mask=None)[:2], before=((TEXT, b"a"),))


def reserved_bits():
    for rsv in range(1, 8):
        yield refused("reserved", f"bits {rsv} of a text", text(b"hi", rsv=rsv)[:1])
    for opcode, word in ((BINARY, "binary"), (CLOSE, "close"), (PING, "ping"), (PONG, "pong")):
        yield refused("reserved", f"bit 4 of a {word}", frame(opcode, b"", rsv=4)[:1])
    yield refused("reserved", "bit 4 of a continuation", text(b"a", fin=False) + frame(CONTINUATION, b"b", rsv=4)[:1])
    yield refused("reserved", "bit 2 behind a good one", text(b"a") + text(b"b", rsv=2)[:1], before=((TEXT, b"a"),))


def opcodes():
    for opcode in (*range(3, 8), *range(11, 16)):
        yield refused("opcodes", f"{opcode}", frame(opcode, b"hi")[:1])
    for opcode in (3, 11):
        yield refused("opcodes", f"{opcode}, not final", frame(opcode, b"hi", fin=False)[:1])
        yield refused("opcodes", f"{opcode} inside a message", text(b"a", fin=False) + frame(opcode, b"b")[:1])
        yield refused("opcodes", f"{opcode} behind a good one", text(b"a") + frame(opcode)[:1], before=((TEXT, b"a"),))


def fragments():
    def case(name, *frames, answers, path=None):
        return Case("fragments", name, b"".join(frames), answers, path=path)

    more, last, ping = (lambda p=b"": frame(CONTINUATION, p, fin=False)), (lambda p=b"": frame(CONTINUATION, p)), frame(PING, b"p")
    first = text(b"one ", fin=False)
    pong = (PONG, b"p")
    yield case("two", first, last(b"two"), answers=((TEXT, b"one two"),))
    yield case("three", first, more(b"two "), last(b"three"), answers=((TEXT, b"one two three"),))
    yield case("two of binary", frame(BINARY, b"\0\xff", fin=False), last(b"\xfe"), answers=((BINARY, b"\0\xff\xfe"),))
    yield case("all empty", text(b"", fin=False), more(), last(), answers=((TEXT, b""),))
    yield case("empty first", text(b"", fin=False), last(b"x"), answers=((TEXT, b"x"),))
    yield case("empty last", text(b"x", fin=False), last(), answers=((TEXT, b"x"),))
    yield case("empty in the middle", first, more(), more(), last(b"two"), answers=((TEXT, b"one two"),))
    yield case("of one byte", text(b"x", fin=False), *[more(b"y")] * 200, last(b"z"), answers=((TEXT, b"x" + b"y" * 200 + b"z"),))
    yield case("a thousand empty ones", text(b"x", fin=False), *[more()] * 1000, last(b"y"), answers=((TEXT, b"xy"),))
    yield case("a ping between", first, ping, last(b"two"), answers=(pong, (TEXT, b"one two")))
    yield case("pings everywhere", ping, first, ping, ping, more(b"two "), ping, last(b"three"), ping,
               answers=(pong,) * 4 + ((TEXT, b"one two three"), pong))
    yield case("a pong between", first, frame(PONG, b"unasked"), last(b"two"), answers=((TEXT, b"one two"),))
    yield case("two messages", first, last(b"two"), first, last(b"three"), answers=((TEXT, b"one two"), (TEXT, b"one three")))
    yield case("then a whole one", first, last(b"two"), text(b"three"), answers=((TEXT, b"one two"), (TEXT, b"three")))
    yield case("text, then binary", first, last(b"two"), frame(BINARY, b"\xff", fin=False), last(),
               answers=((TEXT, b"one two"), (BINARY, b"\xff")))
    yield case("long ones", text(pattern(60000), fin=False), more(pattern(126)), last(pattern(65536)),
               answers=((TEXT, pattern(60000) + pattern(126) + pattern(65536)),))
    yield refused("fragments", "continuation without a start", last(b"x")[:1])
    yield refused("fragments", "unfinished continuation without a start", more(b"x")[:1])
    yield refused("fragments", "continuation behind a whole message", text(b"a") + last(b"x")[:1], before=((TEXT, b"a"),))
    yield refused("fragments", "continuation behind a finished one", first + last(b"two") + last(b"x")[:1], before=((TEXT, b"one two"),))
    yield refused("fragments", "continuation behind a ping", ping + last(b"x")[:1], before=(pong,))
    yield refused("fragments", "a new text inside", first + text(b"two")[:1])
    yield refused("fragments", "a new unfinished text inside", first + first[:1])
    yield refused("fragments", "a new binary inside", first + frame(BINARY, b"two")[:1])
    yield refused("fragments", "a new text inside, behind a ping", first + ping + text(b"two")[:1], before=(pong,))
    yield Case("fragments", "a close inside", first + frame(CLOSE, close_payload(1000)), ((CLOSE, close_payload(1000)),), open=False)


def pings():
    def case(name, sent, *answers):
        return Case("pings", name, sent, answers)

    every = [pattern(length) for length in range(126)]
    yield case("of every length", b"".join(frame(PING, one) for one in every), *((PONG, one) for one in every))
    for length in (0, 1, 124, 125):
        yield case(f"of {length}", frame(PING, pattern(length)), (PONG, pattern(length)))
    yield case("not UTF-8", frame(PING, b"\xff\xfe\0\x80"), (PONG, b"\xff\xfe\0\x80"))
    yield case("ten in a row", b"".join(frame(PING, bytes([n])) for n in range(10)), *((PONG, bytes([n])) for n in range(10)))
    yield case("around a message", frame(PING, b"1") + text(b"x") + frame(PING, b"2"), (PONG, b"1"), (TEXT, b"x"), (PONG, b"2"))
    yield case("pong, unasked", frame(PONG, b"unasked"))
    yield case("pong, empty", frame(PONG))
    yield case("pong of 125, not UTF-8", frame(PONG, b"\xff" * 125))
    for length in (126, 65535, 65536):
        yield refused("pings", f"ping of {length}", frame(PING, pattern(length))[:2])
        yield refused("pings", f"pong of {length}", frame(PONG, pattern(length))[:2])
    yield refused("pings", "fragmented ping", frame(PING, b"x", fin=False)[:1])
    yield refused("pings", "fragmented pong", frame(PONG, b"x", fin=False)[:1])
    yield refused("pings", "fragmented ping inside a message", text(b"a", fin=False) + frame(PING, fin=False)[:1])


CODES = (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999)
NO_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 5001, 65535)


def closes():
    def case(name, payload, behind=b"", answer=None, before=b""):
        return Case("closes", name, before + frame(CLOSE, payload) + behind, ((CLOSE, payload[:2] if answer is None else answer),), open=False)

    for code in CODES:
        yield case(f"with {code}", close_payload(code))
    for code in NO_CODES:
        yield refused("closes", f"with {code}, which nobody may send", frame(CLOSE, close_payload(code)))
    yield case("empty", b"")
    yield refused("closes", "of one byte", frame(CLOSE, b"\x03"))
    yield case("with a reason", close_payload(1000, b"bye"))
    yield case("with a reason beyond ASCII", close_payload(1001, "πρός ☃ 😀".encode()))
    yield case("with the longest reason", close_payload(1000, b"x" * 123))
    yield refused("closes", "with a reason too long", frame(CLOSE, close_payload(1000, b"x" * 124))[:2])
    for name, reason in (("stray bytes", b"\xff\xfe"), ("a surrogate", b"a\xed\xa0\x80"), ("a cut character", b"caf\xc3")):
        yield refused("closes", f"with {name} in its reason", frame(CLOSE, close_payload(1000, reason)), 1007)
    yield refused("closes", "with a bad code and a bad reason", frame(CLOSE, close_payload(1005, b"\xff")))
    yield refused("closes", "fragmented", frame(CLOSE, close_payload(1000), fin=False)[:1])
    again = frame(CLOSE, close_payload(1001))
    yield case("twice", close_payload(1000), again)
    yield case("and data behind it", close_payload(1000), text(b"late"))
    yield case("and a ping behind it", close_payload(1000), frame(PING, b"late"))
    yield case("and nonsense behind it", close_payload(1000), b"\xff" * 100)
    yield case("and much behind it", close_payload(1000), text(pattern(100000)) * 3)
    yield refused("closes", "behind a broken rule", text(b"x", rsv=1) + frame(CLOSE, close_payload(1000)))
    yield Case("closes", "behind a message", text(b"x") + frame(CLOSE, close_payload(3000)), ((TEXT, b"x"), (CLOSE, close_payload(3000))), open=False)
    ours = ((PING, b"closing"), (CLOSE, 4000))
    yield Case("closes", "ours is answered", text(b"x") + frame(CLOSE, close_payload(4000)), ours, open=False, path="/closing")
    yield Case("closes", "ours is answered late", text(b"x") + text(b"y") + frame(PING, b"p") + frame(CLOSE), ours, open=False, path="/closing")
    yield Case("closes", "ours, and then a broken rule", text(b"x") + text(b"y", rsv=1), ours, open=False, path="/closing")
    yield Case("closes", "ours is never answered", text(b"x"), ours, open=False, path="/closing")


def limits():
    half = pattern(LIMIT // 2)
    more, last = (lambda p: frame(CONTINUATION, p, fin=False)), (lambda p: frame(CONTINUATION, p))
    yield Case("limits", "fragments up to it", text(half, fin=False) + last(half), ((TEXT, half + half),))
    yield Case("limits", "it is of one message", (text(half, fin=False) + last(half)) * 2, ((TEXT, half + half),) * 2)
    over = frame(CONTINUATION, announced=len(half) + 1)[:10]
    yield refused("limits", "fragments one beyond it", text(half, fin=False) + over, 1009)
    yield refused("limits", "an unfinished one beyond it", text(half, fin=False) + b"\x00" + over[1:], 1009)
    yield refused("limits", "one byte behind it", text(half, fin=False) + more(half) + frame(CONTINUATION, announced=1)[:2], 1009)
    yield refused("limits", "many small ones", frame(BINARY, b"", fin=False) + more(pattern(1024)) * (LIMIT // 1024) + more(b"x")[:2], 1009)
    yield Case("limits", "nothing behind it", text(half, fin=False) + more(half) + more(b"") + last(b""), ((TEXT, half + half),))
    yield Case("limits", "pings inside do not count", text(half, fin=False) + frame(PING, b"x") + last(half),
               ((PONG, b"x"), (TEXT, half + half)))
    yield Case("limits", "binary where only text is spoken", text(b"x") + frame(BINARY, b"y"), ((TEXT, b"x"), (CLOSE, 1003)), open=False, path="/text")


VALID = tuple(
    word.encode() if isinstance(word, str) else word
    for word in (
        "plain", "κόσμε", "ß", "日本語", "💜", "aé日💜z", "\u0080", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff", "\ud7ff", "\ue000",
        "\ufffd", "\ufffe", "\ufeffmark", "\U0001fffe", "\U0002ffff", "\U000fffff", "\U0010fffe", "\0nul", "\x7f", "a\x01b", "\u00a0", "\u0301e",
        "\u2028", "\u200f", "\U000e0001", "👩\u200d🚀", "Ω≈ç√", "русский", "ไทย", "한글", "עברית", "العربية", "🏳️\u200d🌈", "\U0001d11e",
        "ab" * 4 + "é", "abcdefg" + "é" * 2, "abcdefghijklmno" + "💜", "x" * 4095 + "é", "x" * 4094 + "日", "\u1fff", "\u2000", "\ucfff", "\ud000",
        "\uf000", "\U00040000", "\U00080000", "\U000c0000", "\U00100000", "\u00bf", "\u00c0", "\u00ff", "\u0100", "\u0fff", "\u1000",
    )
)  # fmt: skip

INVALID = (
    # Continuations without a beginning.
    b"\x80", b"\xbf", b"\x80\xbf", b"\x80\x80\x80\x80\x80\x80\x80", b"a\x80", b"\xc3\xa9\x80", b"plain text \xa9",
    # Beginnings without a continuation.
    b"\xc3 ", b"\xc3\xc3\xa9", b"\xe2 ", b"\xe2\x82 ", b"\xf0 ", b"\xf0\x9f ", b"\xf0\x9f\x92 ", b"\xe2\x82\xe2\x82\xac", b"\xf0\x9f\x92\xf0",
    b"\xdf\x7f", b"\xc2\xc0", b"\xef\xbf\xc0", b"\xef\xbf\x7f", b"\xf4\x8f\xbf\xc0",
    # Longer forms than needed.
    b"\xc0\x80", b"\xc0\xaf", b"\xc1\x81", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80", b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80",
    # Surrogates.
    b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf", b"hello \xed\xa0\xbd\xed\xb2\x9c",
    # Beyond U+10FFFF.
    b"\xf4\x90\x80\x80", b"\xf4\xbf\xbf\xbf", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf8\x88\x80\x80\x80", b"\xf9\x80\x80\x80\x80", b"\xfb\xbf",
    b"\xfc\x84\x80\x80\x80\x80", b"\xfd\xbf\xbf\xbf\xbf\xbf", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff", b"ascii \xff",
    # The end cuts a character.
    b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x92", b"caf\xc3", b"\xe0\xa0", b"\xed\x9f", b"\xf4\x8f\xbf", b"x" * 4095 + b"\xc3",
    # Far behind good text.
    "κόσμε".encode() + b"\xed\xa0\x80edited", "日本語".encode() + b"\xf4\x90\x80\x80", b"x" * 4096 + b"\x80", b"x" * 65536 + b"\xff",
)  # fmt: skip


def first_bad(payload):
    """How many bytes must be seen to know that no valid text begins so; None: the end cuts a character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(len(payload)):
        try:
            decoder.decode(payload[at : at + 1])
        except UnicodeDecodeError:
            return at + 1
    return None


def cuts(payload):
    """Where to cut: everywhere in a short text, around its last bytes in a long one."""
    return range(max(1, len(payload) - 6), len(payload)) if len(payload) > 64 else range(1, len(payload))


def brief(payload):
    return payload.hex() if len(payload) <= 24 else f"{len(payload)} bytes to {payload[-4:].hex()}"


def utf8():
    for payload in VALID:
        payload.decode()
        split = [text(payload[:cut], fin=False) + frame(CONTINUATION, payload[cut:]) for cut in cuts(payload)]
        bits = [text(b"", fin=False), *(frame(CONTINUATION, payload[at : at + 1], fin=False) for at in range(len(payload))), frame(CONTINUATION)]
        sent = text(payload) + b"".join(split) + (b"".join(bits) if len(payload) <= 64 else b"")
        times = 1 + len(split) + (len(payload) <= 64)
        yield Case("utf8", f"valid {brief(payload)}", sent, ((TEXT, payload),) * times)
    for payload in INVALID:
        bad = first_bad(payload)
        # Fail fast: what was announced behind the bad byte never comes.
        whole = text(payload) if bad is None else text(payload[:bad], announced=len(payload) + 20)
        yield refused("utf8", f"invalid {brief(payload)}", whole, 1007)
    yield Case("utf8", "not looked at in binary", frame(BINARY, b"\xff\xed\xa0\x80\xc3"), ((BINARY, b"\xff\xed\xa0\x80\xc3"),))
    yield Case("utf8", "not looked at in fragments of binary", frame(BINARY, b"\xff", fin=False) + frame(CONTINUATION, b"\xc3"), ((BINARY, b"\xff\xc3"),))
    yield Case("utf8", "begins anew with each message", text(b"a") + frame(BINARY, b"\xc3") + text(b"b"), ((TEXT, b"a"), (BINARY, b"\xc3"), (TEXT, b"b")))
    yield Case("utf8", "a ping inside a character", text(b"\xf0\x9f", fin=False) + frame(PING, b"\xff") + frame(CONTINUATION, b"\x92\x9c"),
               ((PONG, b"\xff"), (TEXT, "💜".encode())))


def utf8_splits():
    """Bad texts cut into two fragments at every place: refused at the same byte, or at the last fragment's end."""
    for payload in INVALID:
        bad = first_bad(payload) or len(payload)
        for cut in (cut for cut in cuts(payload) if cut < bad):
            # Known already before the frame's end is known: the rest of the second one does not come.
            ends = first_bad(payload) is None
            second = frame(CONTINUATION, payload[cut:bad], announced=None if ends else len(payload) - cut + 9)
            yield refused("utf8_splits", f"{brief(payload)} cut at {cut}", text(payload[:cut], fin=False) + second, 1007)


def soups(count=40):
    """Messages, pings and fragments in random order, from fixed seeds."""
    for seed in range(count):
        dice = random.Random(seed)
        sent, answers, words = b"", [], []
        for _ in range(dice.randrange(5, 40)):
            control = dice.random()
            if control < 0.3:
                payload = dice.randbytes(dice.randrange(126))
                sent += frame(PING if control < 0.2 else PONG, payload, mask=dice.randbytes(4))
                answers += [(PONG, payload)] if control < 0.2 else []
            final = dice.random() < 0.5
            word = dice.choice(VALID[:40]) * dice.choice((0, 1, 1, 30, 3000))
            opcode = CONTINUATION if words else TEXT
            if len(word) + sum(map(len, words)) > LIMIT:
                word = b""
            words.append(word)
            sent += frame(opcode, word, fin=final, mask=dice.randbytes(4))
            if final:
                answers.append((TEXT, b"".join(words)))
                words = []
        yield Case("soups", f"seed {seed}", sent + (frame(CONTINUATION) if words else b""), (*answers, *([(TEXT, b"".join(words))] if words else [])))


# fmt: off
ALL = tuple(itertools.chain(lengths(), forms(), unmasked(), reserved_bits(), opcodes(), fragments(), pings(), closes(), limits(), utf8(), utf8_splits(), soups()))
# fmt: on
GROUPS = tuple(dict.fromkeys(case.group for case in ALL))
