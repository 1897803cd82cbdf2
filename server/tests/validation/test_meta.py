"""Free-form members: kept as they were sent, an object always, and of bounded size (keys-v1 §1.4, other-v1 §3.1)."""

from typing import Any

import httpx
import pytest

JSON = {"Content-Type": "application/json"}
MAX_BYTES = 65_535
MAX_UNITS = 64_000

SPELLINGS = [
    '{"one":1.0,"thousand":1e3,"huge":1E400,"exact":12345678901234567890.12345678901234567890}',
    '{"integer":123456789012345678901234567890123456789012345678901234567890}',
    '{"b":1,"a":2,"B":3,"":4}',
    '{ "spaced" : [ 1 , 2 ] }',
    '{"escaped":"\\u00e9\\/\\ud83d\\udd11\\u0000","raw":"é🔑"}',
    '{"null":null,"true":true,"empty":{},"list":[]}',
    '{"twice":1,"twice":2}',
    "{}",
]
"""What a client may send; reading and writing it again would change most of these."""


def create_key(caller: httpx.Client, api_id: str, meta: str, more: str = "") -> httpx.Response:
    """The answer to createKey with that text as `meta`."""
    body = f'{{"apiId":"{api_id}",{more}"meta":{meta}}}'
    return caller.post("/v1/keys.createKey", content=body.encode(), headers=JSON)


def create_identity(caller: httpx.Client, external_id: str, meta: str) -> httpx.Response:
    """The answer to createIdentity with that text as `meta`."""
    body = f'{{"externalId":"{external_id}","meta":{meta}}}'
    return caller.post("/v1/identities.createIdentity", content=body.encode(), headers=JSON)


@pytest.mark.parametrize("meta", SPELLINGS)
@pytest.mark.parametrize(
    "more", ["", '"remaining":5.0,', '"refill":{"interval":"daily","amount":1e3},"remaining":1e1,']
)
def test_meta_of_a_key_is_kept_verbatim(caller: httpx.Client, api_id: str, meta: str, more: str) -> None:
    """Every answer has the text as it was sent, also beside numbers that had to be read as integers."""
    made = create_key(caller, api_id, meta, more).json()
    shown = caller.get("/v1/keys.getKey", params={"keyId": made["keyId"]}).text
    verified = caller.post("/v1/keys.verifyKey", json={"key": made["key"]}).text
    assert f'"meta":{meta}' in shown
    assert f'"meta":{meta}' in verified
    if meta != "{}":
        assert f'"meta":{meta}' in caller.post("/v1/keys.whoami", json={"key": made["key"]}).text


@pytest.mark.parametrize("meta", SPELLINGS)
def test_meta_replaced_by_update_key_is_kept_verbatim(caller: httpx.Client, api_id: str, meta: str) -> None:
    """UpdateKey replaces the text as a whole, and null removes it."""
    key_id = create_key(caller, api_id, '{"old":1}').json()["keyId"]
    for text, shown in ((meta, f'"meta":{meta}'), ("null", None)):
        body = f'{{"keyId":"{key_id}","expires":1.8e12,"meta":{text}}}'
        assert caller.post("/v1/keys.updateKey", content=body.encode(), headers=JSON).status_code == 200
        answer = caller.get("/v1/keys.getKey", params={"keyId": key_id})
        assert shown in answer.text if shown else "meta" not in answer.json()


@pytest.mark.parametrize(("number", "meta"), list(enumerate(SPELLINGS)))
def test_meta_of_an_identity_is_kept_verbatim(caller: httpx.Client, number: int, meta: str) -> None:
    """The answer of getIdentity has the text as it was sent."""
    assert create_identity(caller, f"verbatim_{number}", meta).status_code == 200
    assert (
        f'"meta":{meta}' in caller.get("/v1/identities.getIdentity", params={"externalId": f"verbatim_{number}"}).text
    )


def filled(size: int, character: str = "x", *, width: int = 1) -> str:
    """An object that is `size` large when each `character` counts `width`, one `x` more or less apart."""
    room = size - len('{"a":""}')
    return '{"a":"' + character * (room // width) + "x" * (room % width) + '"}'


KEY_SIZES = [
    ("ASCII", lambda size: filled(size)),
    ("UTF-8", lambda size: filled(size, "é", width=2)),
    ("astral", lambda size: filled(size, "🔑", width=4)),
    ("escapes", lambda size: filled(size, "\\u00e9", width=2)),
    ("needed escapes", lambda size: filled(size, "\\u0001", width=6)),
    ("white space", lambda size: filled(size).replace(":", ": ").replace("{", "{" + "\n " * 40_000)),
]


@pytest.mark.parametrize(("kind", "of_size"), KEY_SIZES)
@pytest.mark.parametrize("operation", ["keys.createKey", "keys.updateKey"])
def test_size_of_meta_of_a_key(caller: httpx.Client, api_id: str, operation: str, kind: str, of_size: Any) -> None:
    """65 535 bytes of compact JSON are accepted and come back, one more is refused; spelling does not count."""
    names = {"keys.createKey": f'"apiId":"{api_id}"', "keys.updateKey": '"keyId":"none"'}
    for size, statuses in ((MAX_BYTES, (200, 404)), (MAX_BYTES + 1, (400,))):
        body = f'{{{names[operation]},"meta":{of_size(size)}}}'.encode()
        answer = caller.post(f"/v1/{operation}", content=body, headers=JSON)
        assert answer.status_code in statuses, (kind, size, answer.text[:300])
        if answer.status_code == 400:
            assert answer.json()["error"]["message"] == "meta: must be at most 65535 bytes of JSON"
        if answer.status_code == 200:
            shown = caller.get("/v1/keys.getKey", params={"keyId": answer.json()["keyId"]}).json()
            assert len(shown["meta"]["a"].encode()) <= size


IDENTITY_SIZES = [
    ("ASCII", lambda size: filled(size)),
    ("UTF-8", lambda size: filled(size, "é")),
    ("astral", lambda size: filled(size, "🔑", width=2)),
    ("escapes", lambda size: filled(size, "\\u00e9")),
    ("escaped pairs", lambda size: filled(size, "\\ud83d\\udd11", width=2)),
    ("needed escapes", lambda size: filled(size, "\\u0001", width=6)),
    ("short escapes", lambda size: filled(size, "\\n", width=2)),
    ("white space", lambda size: filled(size).replace(":", ": ").replace("{", "{" + "\n " * 40_000)),
]


@pytest.mark.parametrize(("kind", "of_size"), IDENTITY_SIZES)
def test_size_of_meta_of_an_identity(caller: httpx.Client, kind: str, of_size: Any) -> None:
    """64 000 UTF-16 units of compact JSON are accepted and come back, one more is refused; spelling does not count."""
    assert create_identity(caller, f"at {kind}", of_size(MAX_UNITS)).status_code == 200
    shown = caller.get("/v1/identities.getIdentity", params={"externalId": f"at {kind}"}).json()
    assert len(shown["meta"]["a"]) > 0
    refused = create_identity(caller, f"over {kind}", of_size(MAX_UNITS + 1))
    assert refused.status_code == 400, kind
    assert refused.json()["error"]["message"] == "meta: must be at most 64000 characters of JSON"


@pytest.mark.parametrize("member", ['"n":1e400', '"n":' + "9" * 5000, '"n":1.50'])
def test_large_meta_keeps_its_numbers(caller: httpx.Client, member: str) -> None:
    """Also a text that is stored compactly, being large only by its white space, keeps every number as it is spelt."""
    external_id = f"padded {len(member)}"
    assert create_identity(caller, external_id, "{" + " " * MAX_BYTES + member + "}").status_code == 200
    shown = caller.get("/v1/identities.getIdentity", params={"externalId": external_id}).text
    assert f'"meta":{{{member}}}' in shown


@pytest.mark.parametrize("megabytes", [1, 7])
def test_far_too_large_meta(caller: httpx.Client, api_id: str, megabytes: int) -> None:
    """A text of megabytes is refused like any other that is too large, whatever it is made of."""
    for piece in ("x", "\\u0001", "\\na"):
        answer = create_key(caller, api_id, filled(megabytes * 2**20, piece, width=len(piece)))
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "meta: must be at most 65535 bytes of JSON"


@pytest.mark.parametrize("padding", [0, 70_000], ids=["small", "large"])
def test_depth_of_meta(caller: httpx.Client, api_id: str, padding: int) -> None:
    """However deep a text is nested, it is kept or refused: no depth lies between what one step reads and another."""
    statuses = set()
    for depth in (1, 100, 900, *range(960, 1000), 10_000):
        meta = "{" + " " * padding + '"a":' + '{"a":' * depth + "1.0" + "}" * depth + "}"
        for made in (create_key(caller, api_id, meta), create_identity(caller, f"deep {padding} {depth}", meta)):
            statuses.add(made.status_code)
    assert statuses == {200, 400}
