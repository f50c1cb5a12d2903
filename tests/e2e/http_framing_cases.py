"""The framing table: bytes sent, what must come back, and whether the connection lives on.

Each case is sent whole, behind a good request, and split at every byte; see test_http_framing.py. `answers` are the
statuses in order; an answer to HEAD is written "HEAD 200". `closes`: the server ends the connection behind the last
answer. A case that is no complete request has no answer and ends when the client ends it.
"""

from dataclasses import dataclass, field

HOST = b"Host: a\r\n"


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    answers: tuple
    closes: bool
    echoes: dict = field(default_factory=dict)  # header of the last answer -> value
    body: bytes = None  # of the last answer


CASES = []


def add(name, data, answers, closes, echoes=None, body=None):
    assert name not in {case.name for case in CASES}, name
    CASES.append(Case(name, data, tuple(answers), closes, echoes or {}, body))


def good(name, data, count=1, **more):
    add(name, data, [200] * count, False, **more)


def bad(name, data, status=400):
    add(name, data, [status], True)


def get(target=b"/", fields=b"", host=HOST, version=b"HTTP/1.1", method=b"GET"):
    return method + b" " + target + b" " + version + b"\r\n" + host + fields + b"\r\n"


def post(fields, body=b"", method=b"POST"):
    return method + b" / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def chunked(body, fields=b""):
    return post(b"Transfer-Encoding: chunked\r\n" + fields, body)


# ---- what is accepted ----
good("plain get", get())
good("target with query", get(b"/echo?a=b&c=%20d"), echoes={"x-path": "/echo", "x-query": "a=b&c=%20d"})
good("question mark in the query", get(b"/a?b?c"), echoes={"x-path": "/a", "x-query": "b?c"})
good("empty query", get(b"/a?"), echoes={"x-path": "/a", "x-query": ""})
good("escapes are decoded", get(b"/%41%7e"), echoes={"x-path": "/A~"})
good("an escaped slash stays", get(b"/a%2fb"), echoes={"x-path": "/a%2Fb"})
good("dot segments are kept", get(b"/a/../b/./c"), echoes={"x-path": "/a/../b/./c"})
good("escaped dot segments are kept", get(b"/%2e%2e/x"), echoes={"x-path": "/../x"})
good("double slashes are kept", get(b"//a//b"), echoes={"x-path": "//a//b"})
good("all marks in a path", get(b"/!$&'()*+,;=:@-._~"), echoes={"x-path": "/!$&'()*+,;=:@-._~"})
good("slash and question mark in a query", get(b"/?a/b?c"), echoes={"x-query": "a/b?c"})
good("options asterisk", get(b"*", method=b"OPTIONS"), echoes={"x-path": "*"})
good("options with a path", get(b"/x", method=b"OPTIONS"))
good("put", post(b"Content-Length: 2\r\n", b"ab", b"PUT"), body=b"ab")
good("patch", post(b"Content-Length: 2\r\n", b"ab", b"PATCH"), body=b"ab")
good("delete", get(method=b"DELETE"))
add("head", get(method=b"HEAD"), ["HEAD 200"], False)
good("get with a body", post(b"Content-Length: 3\r\n", b"abc", b"GET"), body=b"abc")
good("empty body", post(b"Content-Length: 0\r\n"), body=b"")
good("no body, no length", post(b""), body=b"")
good("length with leading zeros", post(b"Content-Length: 0003\r\n", b"abc"), body=b"abc")
good("binary body", post(b"Content-Length: 6\r\n", b"\x00\r\n\r\n\xff"), body=b"\x00\r\n\r\n\xff")
good("body that looks like a request", post(b"Content-Length: 26\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\n"))
good("field names in any case", b"POST / HTTP/1.1\r\nhOsT: a\r\ncOnTeNt-LeNgTh: 1\r\n\r\nx", body=b"x")
good("blanks around a value", get(fields=b"X-Test: \t a b\t \r\n"), echoes={"x-field": "a b"})
good("no blank before a value", get(fields=b"X-Test:a\r\n"), echoes={"x-field": "a"})
good("empty value", get(fields=b"X-Test:\r\n"), echoes={"x-field": "", "x-count": "1"})
good("colons in a value", get(fields=b"X-Test: a:b::\r\n"), echoes={"x-field": "a:b::"})
good("the first of equal names", get(fields=b"X-Test: a\r\nx-test: b\r\n"), echoes={"x-field": "a", "x-count": "2"})
good("bytes above ASCII in a value", get(fields=b"X-Test: \xc3\xa9\r\n"))
good("every token character in a name", get(fields=b"!#$%&'*+-.^_`|~09az: a\r\n"))
good("host with a port", get(host=b"Host: example.com:8080\r\n"))
good("host empty", get(host=b"Host:\r\n"))
good("host in brackets", get(host=b"Host: [::1]:80\r\n"))
good("keep-alive is the rule", get(fields=b"Connection: keep-alive\r\n"))
good("unknown connection options", get(fields=b"Connection: , foo , bar\r\n"))
good("upgrade is ignored", get(fields=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"))
add("connection close", get(fields=b"Connection: close\r\n"), [200], True)
add("connection close in a list", get(fields=b"Connection: a, CLOSE ,b\r\n"), [200], True)
add("connection close in a second field", get(fields=b"Connection: a\r\nConnection: close\r\n"), [200], True)
add("nothing is read behind close", get(fields=b"Connection: close\r\n") + get(b"/2"), [200], True)
good("a hundred fields", get(fields=b"A: b\r\n" * 99))
good("request line at its limit", get(b"/" + b"a" * (8192 - 14)))
good("head at its limit", get(fields=b"A: " + b"b" * (16384 - 32) + b"\r\n"))

good("two requests", get(b"/1") + get(b"/2"), 2, echoes={"x-path": "/2"})
good("ten requests", b"".join(get(b"/%d" % i) for i in range(10)), 10, echoes={"x-path": "/9"})
good("a body, then a request", post(b"Content-Length: 3\r\n", b"abc") + get(b"/2"), 2, echoes={"x-path": "/2"})
good("requests answered later", get(b"/later") + get(b"/2") + get(b"/later"), 3, echoes={"x-path": "/later"})
add("good, then bad", get() + b"BAD\r\n\r\n" + get(), [200, 400], True)
add("later, then bad", get(b"/later") + b"BAD\r\n\r\n" + get(), [200, 400], True)
add("refused by its head", post(b"Content-Length: 5\r\n", b"hello").replace(b" / ", b" /refuse ") + get(), [403], True)
add("refused by its head, no body", get(b"/refuse"), [403], False)

# ---- chunked ----
good("chunked", chunked(b"5\r\nhello\r\n0\r\n\r\n"), body=b"hello")
good("chunked empty", chunked(b"0\r\n\r\n"), body=b"")
good("chunked in pieces", chunked(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), body=b"abc")
good("chunk sizes in both cases", chunked(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"), body=b"0123456789" * 2)
good("chunk sizes with leading zeros", chunked(b"0005\r\nhello\r\n00\r\n\r\n"), body=b"hello")
good("chunk line at its limit", chunked(b"0" * 63 + b"1\r\nx\r\n0\r\n\r\n"), body=b"x")
good("chunk data with line ends", chunked(b"4\r\n\r\n\r\n\r\n0\r\n\r\n"), body=b"\r\n\r\n")
good("chunked in any case", post(b"transfer-ENCODING: Chunked\r\n", b"1\r\nx\r\n0\r\n\r\n"), body=b"x")
good("chunked, then a request", chunked(b"1\r\nx\r\n0\r\n\r\n") + get(b"/2"), 2, echoes={"x-path": "/2"})
good("chunked get", get(fields=b"Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n0\r\n\r\n", body=b"x")
bad("chunk extension", chunked(b"5;a=b\r\nhello\r\n0\r\n\r\n"))
bad("chunk extension without a name", chunked(b"5;\r\nhello\r\n0\r\n\r\n"))
bad("extension of the last chunk", chunked(b"5\r\nhello\r\n0;a\r\n\r\n"))
bad("trailer", chunked(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"))
bad("content length as a trailer", chunked(b"0\r\nContent-Length: 5\r\n\r\n"))
bad("chunk size with a blank behind", chunked(b"5 \r\nhello\r\n0\r\n\r\n"))
bad("chunk size with a blank before", chunked(b" 5\r\nhello\r\n0\r\n\r\n"))
bad("chunk size with a tab", chunked(b"5\t\r\nhello\r\n0\r\n\r\n"))
bad("chunk size with a plus", chunked(b"+5\r\nhello\r\n0\r\n\r\n"))
bad("chunk size with a minus", chunked(b"-5\r\nhello\r\n0\r\n\r\n"))
bad("chunk size with 0x", chunked(b"0x5\r\nhello\r\n0\r\n\r\n"))
bad("chunk size not hex", chunked(b"g\r\n"))
bad("chunk size with an underscore", chunked(b"1_0\r\n"))
bad("chunk size missing", chunked(b"\r\nhello\r\n0\r\n\r\n"))
bad("chunk size quoted", chunked(b"\"5\"\r\nhello\r\n0\r\n\r\n"))
bad("chunk line too long", chunked(b"0" * 64 + b"5\r\nhello\r\n0\r\n\r\n"))
bad("chunk size overflows 64 bits", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 413)
bad("chunk size overflows 32 bits", chunked(b"100000005\r\nhello\r\n0\r\n\r\n"), 413)
bad("chunk above the limit", chunked(b"100001\r\n"), 413)
bad("chunk size ends in a bare LF", chunked(b"5\nhello\r\n0\r\n\r\n"))
bad("chunk size ends in a bare CR", chunked(b"5\rhello\r\n0\r\n\r\n"))
bad("chunk data ends in a bare LF", chunked(b"5\r\nhello\n0\r\n\r\n"))
bad("chunk data ends in a bare CR", chunked(b"5\r\nhello\r0\r\n\r\n"))
bad("chunk data without its end", chunked(b"5\r\nhello0\r\n\r\n"))
bad("chunk data longer than said", chunked(b"5\r\nhello!\r\n0\r\n\r\n"))
bad("chunk data shorter than said", chunked(b"6\r\nhello\r\n0\r\n\r\n"))
bad("last chunk ends in bare LF", chunked(b"0\n\n"))
bad("blank line ends in bare LF", chunked(b"0\r\n\n"))
bad("NUL in a chunk size", chunked(b"5\x00\r\nhello\r\n0\r\n\r\n"))

# ---- lengths and codings that disagree ----
bad("length and chunked", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"))
bad("chunked and length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"))
bad("length and gzip", post(b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", b"hello"))
bad("two unequal lengths", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"))
bad("two equal lengths", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"))
bad("lengths in a list", post(b"Content-Length: 5, 5\r\n", b"hello"))
bad("length with a plus", post(b"Content-Length: +5\r\n", b"hello"))
bad("length with a minus", post(b"Content-Length: -5\r\n", b"hello"))
bad("length in hex", post(b"Content-Length: 0x5\r\n", b"hello"))
bad("length with a blank inside", post(b"Content-Length: 1 0\r\n", b"0123456789"))
bad("length empty", post(b"Content-Length:\r\n", b"hello"))
bad("length with a fraction", post(b"Content-Length: 5.0\r\n", b"hello"))
bad("length quoted", post(b"Content-Length: \"5\"\r\n", b"hello"))
bad("length with letters", post(b"Content-Length: 5a\r\n", b"hello"))
bad("length in other digits", post(b"Content-Length: \xd9\xa5\r\n", b"hello"))
bad("length with a comma", post(b"Content-Length: 5,\r\n", b"hello"))
bad("length above the limit", post(b"Content-Length: 1048577\r\n"), 413)
bad("length above 64 bits", post(b"Content-Length: 99999999999999999999\r\n"), 413)
bad("length 2^64 + 5", post(b"Content-Length: 18446744073709551621\r\n", b"hello"), 413)
bad("coding xchunked", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501)
bad("coding chunkedx", post(b"Transfer-Encoding: chunkedx\r\n", b"0\r\n\r\n"), 501)
bad("coding gzip", post(b"Transfer-Encoding: gzip\r\n", b"x"), 501)
bad("coding gzip, chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501)
bad("coding chunked, gzip", post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 501)
bad("coding chunked, chunked", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 501)
bad("coding chunked twice", post(b"Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n"), 501)
bad("coding identity", post(b"Transfer-Encoding: identity\r\n"), 501)
bad("coding empty", post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), 501)
bad("coding with a parameter", post(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"), 501)
bad("coding quoted", post(b"Transfer-Encoding: \"chunked\"\r\n", b"0\r\n\r\n"), 501)
bad("coding with a vertical tab", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"))
bad("coding with a trailing comma", post(b"Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"), 501)
bad("blank before the colon of a length", post(b"Content-Length : 5\r\n", b"hello"))
bad("tab before the colon of a coding", post(b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n"))

# ---- lines and characters ----
bad("bare LF behind the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n")
bad("bare LF behind a field", b"GET / HTTP/1.1\r\nHost: a\n\r\n")
bad("bare LF as the blank line", b"GET / HTTP/1.1\r\nHost: a\r\n\n")
bad("only bare LF", b"GET / HTTP/1.1\nHost: a\n\n")
bad("bare CR in a value", get(fields=b"X: a\rb\r\n"))
bad("bare CR in the request line", b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n")
bad("CR CR LF", get(fields=b"X: a\r\r\n"))
bad("blank line first", b"\r\n" + get())
bad("NUL in a value", get(fields=b"X: a\x00b\r\n"))
bad("NUL in a name", get(fields=b"X\x00: a\r\n"))
bad("NUL in the target", get(b"/a\x00b"))
bad("control character in a value", get(fields=b"X: \x01\r\n"))
bad("DEL in a value", get(fields=b"X: \x7f\r\n"))
bad("escape character in a value", get(fields=b"X: \x1b[0m\r\n"))
bad("folded line", get(fields=b"X: a\r\n b\r\n"))
bad("folded line with a tab", get(fields=b"X: a\r\n\tb\r\n"))
bad("first field begins with a blank", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n")
bad("blank before the colon", get(fields=b"X : a\r\n"))
bad("tab before the colon", get(fields=b"X\t: a\r\n"))
bad("empty name", get(fields=b": a\r\n"))
bad("no colon", get(fields=b"X\r\n"))
bad("blank in a name", get(fields=b"X Y: a\r\n"))
bad("brackets in a name", get(fields=b"X(y): a\r\n"))
bad("name not ASCII", get(fields=b"X\xc3\xa9: a\r\n"))
bad("name with a quote", get(fields=b"\"X\": a\r\n"))
bad("101 fields", get(fields=b"A: b\r\n" * 100), 431)
bad("head one byte too large", get(fields=b"A: " + b"b" * (16385 - 32) + b"\r\n"), 431)
bad("head much too large", get(fields=b"A: " + b"b" * 30000 + b"\r\n"), 431)
bad("request line one byte too long", get(b"/" + b"a" * (8193 - 14)), 414)
bad("request line much too long", get(b"/" + b"a" * 40000), 414)
bad("connection not a list of names", get(fields=b"Connection: a b\r\n"))

# ---- request line ----
bad("two blanks before the target", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n")
bad("two blanks before the version", b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n")
bad("blank behind the version", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n")
bad("blank before the method", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n")
bad("tabs for blanks", b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n")
bad("no version", b"GET /\r\n\r\n")
bad("no target", b"GET HTTP/1.1\r\n" + HOST + b"\r\n")
bad("empty target", b"GET  HTTP/1.1\r\n" + HOST + b"\r\n")
bad("method with a colon", get(method=b"GE:T"))
bad("version in lower case", get(version=b"http/1.1"))
bad("version with more digits", get(version=b"HTTP/1.10"))
bad("version with a leading zero", get(version=b"HTTP/01.1"))
bad("version without a minor", get(version=b"HTTP/1"))
bad("version with letters", get(version=b"HTTP/x.1"))
bad("version not HTTP", get(version=b"HTTQ/1.1"))
bad("version with a blank inside", get(version=b"HTTP/ 1.1"))
bad("version 1.0", get(version=b"HTTP/1.0"), 505)
bad("version 1.2", get(version=b"HTTP/1.2"), 505)
bad("version 0.9", get(version=b"HTTP/0.9"), 505)
bad("version 2.0", get(version=b"HTTP/2.0"), 505)
bad("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
bad("unknown method", get(method=b"FROB"), 501)
bad("method in lower case", get(method=b"get"), 501)
bad("connect", b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n", 501)
bad("trace", get(method=b"TRACE"), 501)
bad("beginning of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
bad("target in absolute form", get(b"http://a/"))
bad("target without a slash", get(b"a"))
bad("target asterisk for get", get(b"*"))
bad("target asterisk and more", get(b"*x", method=b"OPTIONS"))
bad("fragment in the target", get(b"/a#b"))
bad("backslash in the target", get(b"/a\\b"))
bad("quote in the target", get(b"/a\"b"))
bad("angle brackets in the target", get(b"/<a>"))
bad("braces in the query", get(b"/?{a}"))
bad("target not ASCII", get(b"/\xc3\xa9"))
bad("escape too short", get(b"/%4"))
bad("escape not hex", get(b"/%4g"))
bad("escape of NUL", get(b"/%00"))
bad("escape of CR LF", get(b"/a%0d%0ab"))
bad("escape malformed in the query", get(b"/?a=%"))

# ---- host ----
bad("no host", get(host=b""))
bad("two hosts", get(host=HOST + b"Host: b\r\n"))
bad("two equal hosts", get(host=HOST + HOST))
bad("host with a blank", get(host=b"Host: a b\r\n"))
bad("host with a path", get(host=b"Host: a/b\r\n"))
bad("host with a user", get(host=b"Host: u@a\r\n"))
bad("host with a wrong port", get(host=b"Host: a:8x\r\n"))
bad("host with an open bracket", get(host=b"Host: [::1\r\n"))
bad("host with text behind the bracket", get(host=b"Host: [::1]a\r\n"))
bad("host not ASCII", get(host=b"Host: \xc3\xa9\r\n"))

# ---- expectations ----
add("expect continue", post(b"Expect: 100-continue\r\nContent-Length: 2\r\n", b"ab"), [100, 200], False, body=b"ab")
add("expect continue, chunked", chunked(b"1\r\nx\r\n0\r\n\r\n", b"Expect: 100-Continue\r\n"), [100, 200], False, body=b"x")
good("expect continue without a body", get(fields=b"Expect: 100-continue\r\n"))
bad("expect continue above the limit", post(b"Expect: 100-continue\r\nContent-Length: 9999999\r\n"), 413)
bad("expect something else", post(b"Expect: 200-ok\r\nContent-Length: 2\r\n", b"ab"), 417)
bad("expect two things", post(b"Expect: 100-continue, x\r\nContent-Length: 2\r\n", b"ab"), 417)

# ---- not complete ----
add("nothing", b"", [], False)
add("half a request line", b"GET / HT", [], False)
add("half a head", b"GET / HTTP/1.1\r\nHost: a\r\n", [], False)
add("half a body", post(b"Content-Length: 5\r\n", b"hel"), [], False)
add("half a chunk", chunked(b"5\r\nhel"), [], False)
add("no last chunk", chunked(b"5\r\nhello\r\n"), [], False)
add("last chunk without the blank line", chunked(b"0\r\n"), [], False)
add("half a request behind a whole one", get() + b"GET / HTTP/1.1\r\nHo", [200], False)
