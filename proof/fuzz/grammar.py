"""Streams of hostile bytes, as parts: each a request, well-formed or mutated, or what never was one.

Everything is drawn from the `Random` that is given and from the constants below, so a stream is the same wherever it is
made. The server has to know `ROOT_KEY` and `GOOD_KEY`.
"""

import json
from collections.abc import Callable
from functools import cache
from random import Random

ROOT_KEY = "keystead_root_key_of_the_fuzzer"
GOOD_KEY = "fuzz_a_key_without_credits_and_limits"

SMUGGLED = "smuggled"
"""The name of what only requests create that no reader may execute: they are hidden in bodies and fields."""

_HARMLESS = "expected"
"""In place of `SMUGGLED` where a request is not hidden any more; of the same length, so that lengths stay right."""

_LIMIT = b"/v1/ratelimits.limit"
_VERIFY = b"/v1/keys.verifyKey"
_JSON = (b"Content-Type", b"application/json")
_HOST = (b"Host", b"fuzz.test")
_ROOT = (b"Authorization", b"Bearer " + ROOT_KEY.encode())

Field = tuple[bytes, bytes]


class Draft:
    """A request on its way to bytes; mutations change what they like."""

    def __init__(self, method: bytes, target: bytes, fields: list[Field], body: bytes) -> None:
        self.method = method
        self.target = target
        self.version = b"HTTP/1.1"
        self.fields = fields
        self.body = body
        self.framing: list[bytes] = [b"Content-Length: %d" % len(body)] if body or method == b"POST" else []
        self.line_end = b"\r\n"
        self.blank = b" "

    def encode(self) -> bytes:
        """The bytes."""
        lines = [self.blank.join((self.method, self.target, self.version))]
        lines += [b"%b: %b" % field for field in self.fields] + self.framing
        return self.line_end.join([*lines, b"", b""]) + self.body


# ---- well-formed requests


def _post(target: bytes, members: object, *fields: Field) -> Draft:
    return Draft(b"POST", target, [_HOST, _JSON, *fields], json.dumps(members).encode())


def verify(rng: Random) -> Draft:
    """A verification: of the key that is there, one that is not, or nonsense."""
    members: dict[str, object] = {"key": rng.choice([GOOD_KEY, GOOD_KEY, f"fuzz_{rng.randrange(50)}"])}
    if rng.random() < 0.2:
        members |= rng.choice([{"tags": ["a=b"]}, {"key": ""}, {"key": 5}, {"unknown": [1]}, {"apiId": "api_x"}])
    return _post(_VERIFY, members)


def limit(rng: Random) -> Draft:
    """A limit; its answer repeats the number, so it can be told from every other."""
    members = {"namespace": "fuzz", "identifier": f"client {rng.randrange(20)}", "duration": 60_000}
    return _post(_LIMIT, members | {"limit": rng.randrange(1000, 2**31)}, _ROOT)


def limit_without_root_key(rng: Random) -> Draft:
    """A limit that is answered 401 or 400."""
    return _post(_LIMIT, {"identifier": "x", "limit": rng.randrange(9), "duration": 60_000})


def whoami(rng: Random) -> Draft:
    """An operation behind the router; half of them with an offer to upgrade."""
    draft = _post(b"/v1/keys.whoami", {"key": GOOD_KEY}, _ROOT)
    if rng.random() < 0.5:
        draft.fields += [(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AA")]
    return draft


def get_api(rng: Random) -> Draft:
    """A query whose answer repeats its parameter."""
    return Draft(b"GET", b"/v1/apis.getApi?apiId=api_%d" % rng.randrange(10**6), [_HOST, _ROOT], b"")


def liveness(rng: Random) -> Draft:
    """A request without anything."""
    return Draft(rng.choice([b"GET", b"GET", b"HEAD"]), b"/v1/liveness", [_HOST], b"")


def unknown_route(rng: Random) -> Draft:
    """A path or method that is nobody's."""
    method = rng.choice([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"HEAD"])
    return Draft(method, rng.choice([b"/", b"/v1/keys.verifyKey", b"/v1/nothing", b"/v1/%e2%82%ac%00"]), [_HOST], b"")


GOOD: list[Callable[[Random], Draft]] = [
    verify,
    verify,
    verify,
    limit,
    limit,
    limit_without_root_key,
    whoami,
    get_api,
    liveness,
    unknown_route,
]


def good(rng: Random) -> bytes:
    """A well-formed request, plain or in one of the dresses that HTTP allows."""
    draft = rng.choice(GOOD)(rng)
    dress = rng.randrange(10)
    if dress == 0 and draft.body:
        draft.framing, draft.body = [b"Transfer-Encoding: chunked"], chunked(rng, draft.body)
    elif dress == 1:
        draft.version = b"HTTP/1.0"
        draft.fields.append((b"Connection", b"keep-alive"))
    elif dress == 2 and draft.body:
        draft.fields.append((b"Expect", b"100-continue"))
    elif dress == 3:
        draft.fields = [(name.swapcase(), b" \t" + value + b" \t") for name, value in draft.fields]
    elif dress == 4:
        return b"\r\n" * rng.randrange(1, 4) + draft.encode()
    elif dress == 5:
        rng.shuffle(draft.fields)
    return draft.encode()


def chunked(rng: Random, body: bytes) -> bytes:
    """`body` in valid chunks."""
    pieces = []
    while body:
        size = rng.randrange(1, len(body) + 1)
        extension = rng.choice([b"", b"", b"", b";a", b";a=b", b';a="b c"'])
        pieces.append(rng.choice([b"%x", b"%X", b"00%x"]) % size + extension + b"\r\n" + body[:size] + b"\r\n")
        body = body[size:]
    trailers = rng.choice([b"", b"", b"X-Trailer: yes\r\n", b"Authorization: Bearer evil\r\n"])
    return b"".join(pieces) + b"0\r\n" + trailers + b"\r\n"


# ---- hidden requests


def hidden(rng: Random) -> bytes:
    """A complete request that must never be executed: it leaves a trace by which it would be found."""
    if rng.random() < 0.5:
        return _post(b"/v1/apis.createApi", {"name": SMUGGLED}, _ROOT).encode()
    members = {"namespace": SMUGGLED, "identifier": "x", "limit": 5, "duration": 60_000}
    return _post(_LIMIT, members, _ROOT).encode()


def without_trace(stream: bytes) -> bytes:
    """`stream` with harmless requests in place of the hidden ones, of the same lengths."""
    return stream.replace(SMUGGLED.encode(), _HARMLESS.encode())


def leaves_trace(body: bytes) -> bool:
    """Whether `body` is that of a hidden request, not one with a hidden request inside."""
    return body.startswith(b"{") and SMUGGLED.encode() in body


LENGTH_NAMES = [
    b"Content-Length",
    b"content-length",
    b"Content-Length ",
    b" Content-Length",
    b"Content-Length\t",
    b"Content_Length",
    b"\xa0Content-Length",
    b"Content-Length\0",
    b"X: y\rContent-Length",
    b"X: y\nContent-Length",
]
LENGTHS = [
    b"%d",
    b"+%d",
    b"-%d",
    b"0%d",
    b"000000000000000000000000%d",
    b"%d ",
    b"\t%d\t",
    b"%d_0",
    b"%d,%d",
    b"%d, %d",
    b"%d,0",
    b"0x%x",
    b"%x",
    b"%d.0",
    b"%de0",
    b"%d;",
    b'"%d"',
    b"%d\x0b",
    b"%d\0",
    b"\x0c%d",
    b"%d abc",
    b"1%d",
    b"%d\r\n ",
    b"%d\r\n\t0",
    b"\r\n %d",
    b"\xd9\xa3%d",
]
FIXED_LENGTHS = [
    b"",
    b" ",
    b"0",
    b"1",
    b"5",
    b"-1",
    b"-0",
    b"+0",
    b"00",
    b"0,0",
    b"18446744073709551615",
    b"18446744073709551616",
    b"18446744073709551621",
    b"9223372036854775808",
    b"4294967296",
    b"99999999999999999999999999999999999",
    b"8388608",
    b"8388609",
    b"9" * 5000,
    b"NaN",
    b"chunked",
]
CODING_NAMES = [
    b"Transfer-Encoding",
    b"transfer-encoding",
    b"TrAnSfEr-EnCoDiNg",
    b"Transfer-Encoding ",
    b"Transfer-Encoding\t",
    b" Transfer-Encoding",
    b"Transfer_Encoding",
    b"Transfer-Encoding\0",
    b"\0Transfer-Encoding",
    b"X: y\nTransfer-Encoding",
    b"X: y\rTransfer-Encoding",
    b"X: y\r\n\r\nTransfer-Encoding",
    b"TE",
]
CODINGS = [
    b"chunked",
    b"Chunked",
    b"CHUNKED",
    b"chunked, identity",
    b"identity, chunked",
    b"identity",
    b"xchunked",
    b"chunkedx",
    b"x chunked",
    b"\x0bchunked",
    b"chunked\x0b",
    b"chunked\0",
    b"\tchunked\t",
    b'"chunked"',
    b"'chunked'",
    b"chunked;q=1",
    b"chunked;",
    b"chunked,",
    b",chunked",
    b", ,chunked",
    b"gzip, chunked",
    b"chunked, gzip",
    b"chunked, chunked",
    b"gzip",
    b"",
    b"cow",
    b"\r\n chunked",
    b"chunked\r\n ",
    b"chunked\r\n\t, identity",
    b"identity\r\nTransfer-Encoding: chunked",
    b"chunked\r\nTransfer-Encoding: identity",
    b"chunked\r\nTransfer-Encoding: chunked",
    b"chunked\nX: y",
    b"chunked\rX: y",
    b"\xc3\xa7hunked",
    b"chunke\xc4\x8f",
]
CHUNK_SIZES = [
    b"%x",
    b"%x",
    b"%X",
    b"0%x",
    b"00000000000000000000%x",
    b"+%x",
    b"-%x",
    b"0x%x",
    b" %x",
    b"%x ",
    b"%x\t",
    b"%x;",
    b"%x;a=b",
    b'%x;a="b',
    b'%x;a="\r\n"',
    b"%x;a=\0",
    b"%x;\n",
    b"%x;a\rb",
    b"%x ;a",
    b"%x,",
    b"%xg",
    b"%x_",
    b"%x.0",
    b"1%x",
    b"1000000000000000%x",
    b"10000000000000000%x",
    b"FFFFFFFFFFFFFFFF%x",
    b"%x\xa0",
]
FIXED_CHUNK_SIZES = [b"", b"g", b"-1", b"7fffffffffffffff", b"ffffffffffffffff", b"10000000000000000", b"f" * 300]
LINE_ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b" \r\n", b""]
LAST_CHUNKS = [
    b"0\r\n\r\n",
    b"0\r\n\r\n",
    b"00\r\n\r\n",
    b"0\n\n",
    b"0\r\n\n",
    b"0\n\r\n",
    b"0\r\r",
    b"0\r\n",
    b"0",
    b"",
    b"0;a=b\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"0\r\nX: y\r\n z\r\n\r\n",
    b"0\r\nX : y\r\n\r\n",
    b"0\r\nX\r\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"0\r\nTransfer-Encoding: identity\r\n\r\n",
    b"0\r\nConnection: close\r\n\r\n",
    b"0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"0\r\nHost: evil\r\nExpect: 100-continue\r\n\r\n",
    b"-0\r\n\r\n",
    b"+0\r\n\r\n",
    b"0x0\r\n\r\n",
]


def smuggling(rng: Random) -> bytes:
    """A request whose end is disputed, with another one hidden in its body."""
    draft = rng.choice([verify, limit, whoami])(rng)
    inside = hidden(rng)
    shape = rng.randrange(6)
    if shape == 0:  # a length that is odd, absent or wrong
        draft.body = rng.choice([inside, draft.body + inside, b"0\r\n\r\n" + inside])
        draft.framing = [b"%b: %b" % (_name(rng, LENGTH_NAMES), odd_length(rng, draft.body, inside))]
    elif shape == 1:  # two lengths
        draft.body += inside
        lengths = [b"%d" % rng.choice([0, len(draft.body), len(draft.body) - len(inside)]) for _ in range(2)]
        draft.framing = [b"%b: %b" % (_name(rng, LENGTH_NAMES), length) for length in lengths]
    elif shape == 2:  # length and coding
        draft.body = chunked(rng, draft.body) + inside
        lengths = [rng.choice([b"0", b"%d" % len(draft.body), odd_length(rng, draft.body, inside)])]
        draft.framing = [b"%b: %b" % (_name(rng, LENGTH_NAMES), length) for length in lengths]
        draft.framing.append(b"%b: %b" % (_name(rng, CODING_NAMES), rng.choice(CODINGS)))
        rng.shuffle(draft.framing)
    elif shape == 3:  # an odd coding
        draft.body = chunked(rng, rng.choice([draft.body, inside])) + rng.choice([b"", inside])
        draft.framing = [b"%b: %b" % (_name(rng, CODING_NAMES), rng.choice(CODINGS))]
    elif shape == 4:  # odd chunks
        draft.framing = [b"Transfer-Encoding: chunked"]
        draft.body = odd_chunks(rng, rng.choice([draft.body, inside])) + rng.choice([b"", inside])
    else:  # hidden in a field, where another reader sees the end of the head
        end = rng.choice([b"\n\n", b"\r\r", b"\n\r\n", b"\r\n \r\n", b"\0\r\n", b"\r\n\t\r\n", b"\x0b\r\n"])
        draft.fields.append((b"X", b"y" + end + inside))
    if rng.random() < 0.1:
        draft.version = b"HTTP/1.0"
    return draft.encode()


def _name(rng: Random, names: list[bytes]) -> bytes:
    """Mostly the right one: an odd name is refused before what it names is looked at."""
    return names[0] if rng.random() < 0.7 else rng.choice(names)


def odd_length(rng: Random, body: bytes, inside: bytes) -> bytes:
    """A value of Content-Length about which readers may differ; or simply another one."""
    if rng.random() < 0.3:
        return rng.choice(FIXED_LENGTHS)
    size = rng.choice([len(body), len(body) - len(inside), len(body) + 1, max(len(body) - 1, 0), 10**6])
    form = rng.choice(LENGTHS)
    return form % ((size,) * form.count(b"%"))


def odd_chunks(rng: Random, body: bytes) -> bytes:
    """`body` in chunks that are wrong in one place, or in several."""
    middle = len(body) // 2
    pieces = []
    for data in (body[:middle], body[middle:]):
        size = rng.choice(CHUNK_SIZES) % len(data) if rng.random() < 0.8 else rng.choice(FIXED_CHUNK_SIZES)
        pieces += [size, rng.choice(LINE_ENDS), data, rng.choice(LINE_ENDS)]
    return b"".join(pieces) + rng.choice(LAST_CHUNKS)


# ---- mutations of everything else

METHODS = [
    *(b"get", b"Post", b"POST ", b" POST", b"POS", b"POSTX", b"PO\tST", b"PO\0ST", b"\xc3\x84", b"", b"CONNECT"),
    *(b"PRI", b"M-SEARCH", b"QUERY", b"PURGE", b"SOURCE", b"DESCRIBE", b"FOO", b'"', b"G{T", b"X" * 5000),
]
TARGETS = [
    b"*",
    b"",
    b"/",
    b"//",
    b"///v1/keys.verifyKey",
    b"v1/keys.verifyKey",
    b"http://fuzz.test/v1/keys.verifyKey",
    b"HTTP://fuzz.test/v1/liveness",
    b"http://other.test:99/v1/ratelimits.limit?x",
    b"http://fuzz.test",
    b"http://",
    b"http:/",
    b"http:",
    b"ftp://x/y",
    b"https://user:pw@x/v1/liveness",
    b"/v1/keys.verifyKey?",
    b"/v1/keys.verifyKey?a=b&a=b",
    b"/v1/keys.verifyKey#x",
    b"/v1/keys.verifyKey/",
    b"/v1/keys.verifyKey;x",
    b"/v1/%6beys.verifyKey",
    b"/v1/../v1/liveness",
    b"/v1/./liveness",
    b"/v1//liveness",
    b"/v1\\liveness",
    b"/v1/liveness%00",
    b"/v1/liveness%0d%0aX:%20y",
    b"/%",
    b"/%zz",
    b"/%ff%fe",
    b"/v1/apis.getApi?apiId=%00&apiId=%ff",
    b"/v1/apis.getApi?apiId=" + b"%0d%0a" * 20,
    b"/v1/apis.getApi?" + b"&" * 3000,
    b"/v1/apis.getApi?apiId=\xc3\xa4",
    b"/v1/apis.listKeys?apiId=x&limit=" + b"9" * 4500,
    b"/v1/apis.listKeys?apiId=x&limit=1e400",
    b"/v1/apis.listKeys?apiId=x&limit=0x" + b"f" * 2000,
    b"/a b",
    b"/a\tb",
    b"/a\0b",
    b"/a\x7fb",
    b"/\xff",
    b'/<>"{}|^`',
    b"/" + b"a" * 8190,
    b"/" + b"a" * 8191,
    b"/" + b"a" * 8192,
    b"/" + b"a" * 40_000,
    b"/?" + b"a" * 20_000,
    b"fuzz.test:80",
    b"[::1]",
    b"/docs",
    b"/openapi.json",
]
VERSIONS = [
    *(b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/1", b"HTTP/1.", b"HTTP/1.2", b"HTTP/1.10", b"HTTP/01.1"),
    *(b"http/1.1", b"Http/1.1", b"HTTP/1.1 ", b"HTTP/1.1\t", b" HTTP/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1.1x"),
    *(b"", b"X", b"HTTPS/1.1", b"HTTP/9.9", b"HTTP/-1.1", b"HTTP/1,1", b"RTSP/1.0", b"ICE/1.0", b"HTTP/1.1\0"),
    *(b"HTTP/1.1 HTTP/1.1", b"HTTP/1.1" + b" " * 3000),
]
BLANKS = [b"  ", b"\t", b" \t", b"", b"\x0b", b"\x0c", b"\xa0", b"\0", b"\r", b" " * 9000]
NAMES = [
    *(
        b"",
        b" ",
        b"A ",
        b"A\t",
        b" A",
        b"\tA",
        b"A B",
        b"A\0",
        b"\0",
        b"A\x7f",
        b"\xc3\xa4",
        b"A(",
        b"A/",
        b"A@",
        b'"A"',
    ),
    *(b"A[", b"A\\", b"A{", b"A=", b"A,", b"A;", b"!#$%&'*+-.^_`|~", b"A" * 5000, b"A" * 40_000, b"A\r", b"A\n", b":"),
]
VALUES = [
    *(
        b"",
        b" ",
        b"\t",
        b"\0",
        b"a\0b",
        b"a\rb",
        b"a\nb",
        b"a\r\nb",
        b"a\r\n b",
        b"a\r\n\tb",
        b"\x01",
        b"\x08",
        b"\x0b",
    ),
    *(
        b"\x1b[31m",
        b"\x7f",
        b"\x80",
        b"\xff\xfe",
        b"\xc3\xa4",
        b"\xed\xa0\x80",
        b"a" * 5000,
        b"a" * 40_000,
        b" " * 9000,
    ),
    *(b"a\r", b"\rb", b"\n", b"\r\n", b"\r\n\r\n", b"%0d%0a", b"\\r\\n", b"${7*7}", b"<script>", b"a, b", b'"', b"\\"),
]
FIELDS = [
    (b"Host", b"fuzz.test"),
    (b"Host", b"other.test"),
    (b"Host", b"a b"),
    (b"Host", b""),
    (b"Host", b"a/b"),
    (b"Host", b"a@b"),
    (b"Host", b":::"),
    (b"Host", b"[::1]:80"),
    (b"Host", b"\xff"),
    (b"Content-Type", b"application/json"),
    (b"Content-Type", b"text/plain"),
    (b"Content-Type", b"application/json; charset=utf-16"),
    (b"Content-Type", b"application/x+json;" + b";" * 500),
    (b"Content-Type", b"APPLICATION/JSON"),
    (b"Content-Type", b"multipart/form-data; boundary=x"),
    (b"Content-Type", b"\xff"),
    (b"Authorization", b"Bearer "),
    (b"Authorization", b"bearer " + ROOT_KEY.encode()),
    (b"Authorization", b"Basic eDp5"),
    (b"Authorization", b"Bearer \xff\xfe"),
    (b"Authorization", b"Bearer " + b"a" * 9000),
    (b"User-Agent", b"\xf0\x9f\x98\x80" * 300),
    (b"User-Agent", b""),
    (b"Connection", b"close"),
    (b"Connection", b"Close"),
    (b"Connection", b"keep-alive"),
    (b"Connection", b"keep-alive, close"),
    (b"Connection", b"close, content-length, host"),
    (b"Connection", b"closed"),
    (b"Connection", b"close;x"),
    (b"Connection", b","),
    (b"Connection", b"upgrade"),
    (b"Proxy-Connection", b"close"),
    (b"Keep-Alive", b"timeout=0"),
    (b"Upgrade", b"websocket"),
    (b"Upgrade", b"h2c, websocket, \xff"),
    (b"Upgrade", b""),
    (b"Expect", b"100-continue"),
    (b"Expect", b"100-Continue "),
    (b"Expect", b"100-continue, 100-continue"),
    (b"Expect", b"tea"),
    (b"Expect", b""),
    (b"Content-Encoding", b"gzip"),
    (b"Accept-Encoding", b"gzip;q=NaN"),
    (b"Range", b"bytes=0-0,-1," * 100),
    (b"If-None-Match", b"*"),
    (b"X-Forwarded-For", b"127.0.0.1, ' OR 1=1"),
    (b"X-HTTP-Method-Override", b"DELETE"),
    (b"Idempotency-Key", b"short"),
    (b"Idempotency-Key", b"\xff" * 20),
    (b"Idempotency-Key", b"a key for repeated calls"),
    (b"Idempotency-Key", b"x" * 255),
    (b"Cookie", b"a=b;" * 1000),
    (b"Trailer", b"Content-Length"),
    (b"HTTP2-Settings", b"AAMAAABkAAQAAP__"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]


def _mutate_line(rng: Random, draft: Draft) -> None:
    match rng.randrange(5):
        case 0:
            draft.method = rng.choice(METHODS)
        case 1:
            draft.target = rng.choice(TARGETS)
        case 2:
            draft.version = rng.choice(VERSIONS)
        case 3:
            draft.blank = rng.choice(BLANKS)
        case _:
            draft.target, draft.version = rng.choice(TARGETS), rng.choice([b"HTTP/1.0", b"HTTP/1.1"])


def _mutate_fields(rng: Random, draft: Draft) -> None:
    match rng.randrange(8):
        case 0:
            draft.fields.append((rng.choice(NAMES), rng.choice([b"x", rng.choice(VALUES)])))
        case 1:
            draft.fields.append((b"X-Odd", rng.choice(VALUES)))
        case 2:
            draft.fields.insert(rng.randrange(len(draft.fields) + 1), rng.choice(FIELDS))
        case 3:
            draft.fields += [rng.choice(FIELDS) for _ in range(rng.randrange(2, 6))]
        case 4:
            draft.fields.remove(rng.choice(draft.fields))
        case 5:
            draft.fields.append(rng.choice(draft.fields))
        case 6:
            count = rng.choice([90, 97, 98, 99, 100, 101, 1000, 5000])
            draft.fields += [(b"A%d" % number, b"b") for number in range(count)]
        case _:
            at = rng.randrange(len(draft.fields))
            name, value = draft.fields[at]
            draft.fields[at] = rng.choice([(name, rng.choice(VALUES)), (name, value + rng.choice(VALUES))])


def _mutate_framing(rng: Random, draft: Draft) -> None:
    match rng.randrange(4):
        case 0:
            draft.framing = []
        case 1:
            draft.framing.append(b"%b: %b" % (rng.choice(LENGTH_NAMES), odd_length(rng, draft.body, b"")))
        case 2:
            draft.framing = [b"%b: %b" % (rng.choice(LENGTH_NAMES), odd_length(rng, draft.body, b""))]
        case _:
            draft.framing.append(b"%b: %b" % (rng.choice(CODING_NAMES), rng.choice(CODINGS)))


def _mutate_line_end(rng: Random, draft: Draft) -> None:
    draft.line_end = rng.choice([b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b"\0\r\n", b"\x85", b"\x0b\r\n"])


def _mutate_body(rng: Random, draft: Draft) -> None:
    draft.body = odd_body(rng, draft.body)
    draft.framing = [b"Content-Length: %d" % len(draft.body)]
    if rng.random() < 0.2:
        draft.framing, draft.body = [b"Transfer-Encoding: chunked"], chunked(rng, draft.body)


@cache
def _odd_values() -> list[bytes]:
    values = [
        *(b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity", b"1.5", b"15.0", b"1e3", b"-0", b"-0.0", b"01"),
        *(b"1" * 400, b"1" * 5000, b"0." + b"0" * 4000 + b"1", b"9223372036854775808", b"1e-400", b"true", b"null"),
        *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"', b'"\\u0000"', b'"a\nb"'),
        *(b'"\xf4\x90\x80\x80"', b'"\\x"', b'"' + b"x" * 70_000 + b'"', b"[]", b"{}", b'"', b"\0", b"[" * 100_000),
    ]
    for depth in (10, 100, 1000, 10_000, 100_000):
        values += [b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth]
    for many in (10, 1000, 20_000):
        values.append(b"[" + b"1," * many + b"1]")
        values.append(b"{" + b",".join(b'"m%d":%d' % (n, n) for n in range(many)) + b"}")
    return values


def odd_body(rng: Random, body: bytes) -> bytes:
    """JSON at and beyond the edges of what a reader expects, or not even that."""
    value = rng.choice(_odd_values())
    match rng.randrange(10):
        case 0:
            return value
        case 1 | 2:
            member = rng.choice([b"key", b"limit", b"duration", b"identifier", b"namespace", b"meta", b"tags", b"x"])
            return body[:-1] + b', "%b": %b}' % (member, value)
        case 3:
            return body[:-1] + b", " + body[1:]
        case 4:
            return rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b" " * 5000, b"\r\n", b"//x\n"]) + body
        case 5:
            return body + rng.choice([b"\0", b" " * 5000, b"x", body, b",", b"}", b"\x1a", b"\xff"])
        case 6:
            return body[: rng.randrange(len(body) + 1)]
        case 7:
            text = body.decode("latin-1")
            return rng.choice([text.encode("utf-16"), text.encode("utf-32"), b"\x1f\x8b\x08\0" + body])
        case 8:
            at = rng.randrange(len(body) + 1)
            return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
        case _:
            return rng.choice([b"", b" ", b"[]", b"null", b'"x"', b"5", b"{", b"}", b"[{}]", b"x" * 100_000])


MUTATIONS = [
    _mutate_line,
    _mutate_fields,
    _mutate_fields,
    _mutate_framing,
    _mutate_line_end,
    _mutate_body,
    _mutate_body,
]


def mutated(rng: Random) -> bytes:
    """A well-formed request, mutated once or a few times."""
    draft = rng.choice(GOOD)(rng)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if draft.fields:
            rng.choice(MUTATIONS)(rng, draft)
    return draft.encode()


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0" * 50,
    b"\xff" * 50,
    b"GET /\r\n",
    b"GET\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"EHLO fuzz.test\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"\r\n" * 200,
    b"\n" * 50,
    b"\r" * 50,
    b" ",
    b"G",
    b"{}",
    b"A" * 100_000,
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 8000,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000,
]


def garbage(rng: Random) -> bytes:
    """What is no request, or was one before bytes were lost, doubled, flipped or put in."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(GARBAGE)
    if kind == 1:
        return rng.randbytes(rng.randrange(1, 300))
    data = bytearray(rng.choice([good, smuggling])(rng))
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.choice([1, 1, 2, 20])]
            case 2:
                data[at:at] = rng.choice([b"\r", b"\n", b"\0", b" ", b":", b"\r\n", b"\t", rng.randbytes(3)])
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 60)]
        if not data:
            return b"\0"
    return bytes(data)


def cut_short(rng: Random) -> bytes:
    """A request that ends too early."""
    request = rng.choice([good, mutated])(rng)
    return request[: rng.randrange(1, len(request) + 1)]


HOSTILE: list[Callable[[Random], bytes]] = [smuggling, smuggling, mutated, mutated, mutated, garbage, cut_short]


def stream(rng: Random) -> list[bytes]:
    """The parts of a stream: good requests, something hostile among them, and sometimes a hidden request behind."""
    before = [good(rng) for _ in range(rng.choice([0, 0, 1, 1, 2, 4]))]
    if rng.random() < 0.02:
        before *= rng.choice([10, 40])
    after = [good(rng) for _ in range(rng.choice([0, 1, 1, 2]))]
    middle = [rng.choice(HOSTILE)(rng)] if rng.random() < 0.95 else []
    return [*before, *middle, *after]


def short_stream(rng: Random) -> list[bytes]:
    """As `stream`, but one that may be cut into single bytes."""
    while len(b"".join(parts := stream(rng))) > 3000:
        pass
    return parts
