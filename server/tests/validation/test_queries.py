"""Query strings: text that is read as loosely as the first server read it (keys-v1 §1.4, §3.1; other-v1 §0.5)."""

from typing import Any

import httpx
import pytest

from keystead.http.operations import GET, OPERATIONS, Operation

GETS = [operation for operation in OPERATIONS if operation.method == GET and operation.authenticated]
REPEATABLE = {("analytics.getVerifications", name) for name in ("keyId", "tag", "groupBy")}
PARAMETERS = [
    (operation.path, name)
    for operation in GETS
    for name in operation.request.__struct_encode_fields__
    if (operation.name, name) not in REPEATABLE
]
ACCEPTABLE = {
    "apiId": "a",
    "keyId": "k",
    "externalId": "e",
    "permissionId": "p",
    "roleId": "r",
    "namespaceId": "n",
    "identifier": "i",
    "start": "0",
}
"""What every operation without a body can make something of."""


@pytest.fixture(scope="module")
def key(caller: httpx.Client) -> dict[str, str]:
    """A recoverable key: `plaintext` shows whether `decrypt` was read as true."""
    api = caller.post("/v1/apis.createApi", json={"name": "recoverable", "storeEncryptedKeys": True}).json()
    key: dict[str, str] = caller.post("/v1/keys.createKey", json={"apiId": api["apiId"], "recoverable": True}).json()
    return key


@pytest.mark.parametrize(("path", "name"), PARAMETERS)
def test_repeated_parameter(stranger: httpx.Client, path: str, name: str) -> None:
    """A parameter that is given twice is refused by name, equal values included."""
    for query in (f"{name}=1&{name}=1", f"{name}=&other=2&{name}=1"):
        answer = stranger.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith(f"{name}: ")


@pytest.mark.parametrize(("name", "parameter"), sorted(REPEATABLE))
@pytest.mark.parametrize("count", [1, 2, 300])
def test_repeatable_parameter(stranger: httpx.Client, name: str, parameter: str, count: int) -> None:
    """A parameter that is a list may be given any number of times, among others; each value is checked."""
    query = "&".join(["apiId=a", *[f"{parameter}=key"] * count, "start=0"])
    assert stranger.get(f"/v1/{name}?{query}").status_code == 401
    refused = stranger.get(f"/v1/{name}?{query}&groupBy=none")
    position = count if parameter == "groupBy" else 0
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(f"groupBy.{position}: ")


@pytest.mark.parametrize("spelling", ["groupBy[]=none", "groupBy%5B0%5D=none", "groupby=none"])
def test_other_spellings_of_lists_are_ignored(stranger: httpx.Client, spelling: str) -> None:
    """A name with brackets is another name, which nobody knows (other-v1 §0.5)."""
    assert stranger.get(f"/v1/analytics.getVerifications?apiId=a&start=0&{spelling}").status_code == 401


REFUSED: dict[str, dict[str, str]] = {
    "keys.getKey": {},
    "keys.getVerifications": {"granularity": "hour"},
    "apis.getApi": {},
    "apis.listKeys": {},
    "apis.listApis": {"limit": "0"},
    "permissions.getPermission": {},
    "permissions.getRole": {},
    "identities.getIdentity": {},
    "identities.listIdentities": {"limit": "101"},
    "ratelimits.getOverride": {},
    "ratelimits.listOverrides": {},
    "ratelimits.listNamespaces": {"limit": "x"},
    "analytics.getVerifications": {},
}
"""A query that is not acceptable, for each operation that takes one."""


@pytest.mark.parametrize("operation", GETS, ids=lambda operation: operation.name)
def test_validation_before_authentication(stranger: httpx.Client, operation: Operation) -> None:
    """A query that is not acceptable is 400 for a stranger, an acceptable one 401."""
    assert stranger.get(operation.path, params=ACCEPTABLE).status_code == 401
    if operation.request.__struct_fields__:
        assert stranger.get(operation.path, params=REFUSED[operation.name]).status_code == 400


@pytest.mark.parametrize("query", ["x=1", "x=1&x=2", "APIID=1", "apiId[]=1", "&&&", "=", "x", "&".join(["x=1"] * 2000)])
def test_unknown_parameters_are_ignored(caller: httpx.Client, api_id: str, query: str) -> None:
    """Parameters that the operation does not know are ignored, however many there are and however often."""
    assert caller.get(f"/v1/apis.getApi?{query}&apiId={api_id}").json()["id"] == api_id
    assert caller.get(f"/v1/liveness?{query}").status_code == 200


NUMBERS = [
    ("7", 7),
    ("+7", 7),
    ("%2B7", 7),
    ("%207%20", 7),
    ("++7", 7),  # a plus is a blank
    ("007", 7),
    ("7.0", 7),
    ("7.", 7),
    ("70e-1", 7),
    ("0.7e1", 7),
    (".7E%2B1", 7),
    ("0x7", 7),
    ("0X0a", 10),
    ("0b111", 7),
    ("0o7", 7),
    ("1e1", 10),
    ("1e2", 100),
    ("100", 100),
]


@pytest.fixture(scope="module")
def many(caller: httpx.Client) -> None:
    """More apis than the longest page."""
    for number in range(101):
        caller.post("/v1/apis.createApi", json={"name": f"many {number}"})


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_spellings_of_numbers(caller: httpx.Client, text: str, number: int) -> None:
    """Blanks around, exponents, fractions of zero and the prefixes 0x, 0o and 0b are understood."""
    assert len(caller.get(f"/v1/apis.listApis?limit={text}").json()["apis"]) == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "%20", "0", "-0", "-1", "101", "1e3", "abc", "1.5", "1,5", "1_0", "1e", "e1", "1 0", "7%00"),
        *("0x", "0xg", "-0x7", "0x7.0", "%D9%A7", "%EF%BC%97", "%C2%B2", "NaN", "inf", "Infinity", "1e400"),
        *("9" * 5000, "0x" + "f" * 999, "true", "null", "[7]", "%227%22"),
    ],
)
def test_what_is_no_number(caller: httpx.Client, text: str) -> None:
    """Everything else is refused by name; an empty text is 0, which is no length of a page."""
    answer = caller.get(f"/v1/apis.listApis?limit={text}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith("limit: ")


@pytest.mark.parametrize("instant", ["", "0", "%20", "1767225600000", "1.7672256e12", "-1", "0x19B7706AC00"])
def test_instants_in_queries(caller: httpx.Client, key: dict[str, str], instant: str) -> None:
    """Instants are numbers like any other; empty counts as 0, which is the default."""
    query = f"keyId={key['keyId']}&start={instant}&end={instant}"
    assert caller.get(f"/v1/keys.getVerifications?{query}").json() == {"verifications": []}


@pytest.mark.parametrize(
    ("text", "decrypted"),
    [(word, False) for word in ("", "false", "0", "no", "off", "FALSE", "No", "oFF")]
    + [(word, True) for word in ("true", "1", "yes", "on", "TRUE", "x", "2", "null", "%20", "00", "f", "n")],
)
def test_words_of_booleans(caller: httpx.Client, key: dict[str, str], text: str, decrypted: bool) -> None:
    """`false`, `0`, `no`, `off` and nothing, in any case, are false; every other text is true."""
    shown = caller.get(f"/v1/keys.getKey?keyId={key['keyId']}&decrypt={text}").json()
    assert shown.get("plaintext") == (key["key"] if decrypted else None)


@pytest.mark.parametrize(
    ("query", "external_id"),
    [
        ("a%20b%2Bc", "a b+c"),
        ("a+b%2bc", "a b+c"),
        ("%61%20b%2Bc", "a b+c"),
        ("%C3%A9%F0%9F%94%91", "é🔑"),
        ("a%26b%3Dc%23%3F", "a&b=c#?"),
        ("a=b=c", "a=b=c"),
        ("a%2525", "a%25"),
        ("50%25", "50%"),
        ("100%zz", "100%zz"),
        ("a;b", "a;b"),
        ("a%00b", "a\0b"),
    ],
)
def test_percent_encoding(caller: httpx.Client, query: str, external_id: str) -> None:
    """`%XX` is a byte of UTF-8, `+` a blank, and what is neither stands for itself."""
    made: Any = caller.post("/v1/identities.createIdentity", json={"externalId": external_id})
    assert made.status_code in (200, 409)
    shown = caller.get(f"/v1/identities.getIdentity?externalId={query}").json()
    assert shown["externalId"] == external_id
