"""Apis and their settings: createApi, getApi, updateApi, listApis (other-v1 §1.1, §1.2, §0.6; DECISIONS)."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from keystead.core.ids import ALPHABET
from keystead.testing.server import NOW_MS

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}

ALL_SETTINGS: dict[str, Any] = {
    "ipWhitelist": ["192.0.2.0/24", "2001:db8::1"],
    "defaultPrefix": "acme",
    "defaultBytes": 24,
    "storeEncryptedKeys": True,
    "deleteProtection": True,
}
DEFAULTS = {"storeEncryptedKeys": False, "deleteProtection": False}
"""What listApis shows of an api that has no settings: the others are left out."""


class Settings(NamedTuple):
    """A setting given to an api, and what listApis shows then."""

    given: dict[str, Any]
    shown: dict[str, Any]


EACH_SETTING = [
    Settings({"ipWhitelist": ["10.0.0.1"]}, {"ipWhitelist": ["10.0.0.1"]}),
    Settings({"ipWhitelist": [" 10.0.0.0/8 ", "::1"]}, {"ipWhitelist": ["10.0.0.0/8", "::1"]}),
    Settings({"ipWhitelist": []}, {}),
    Settings({"defaultPrefix": "acme_"}, {"defaultPrefix": "acme_"}),
    Settings({"defaultPrefix": ""}, {"defaultPrefix": ""}),
    Settings({"defaultBytes": 255}, {"defaultBytes": 255}),
    Settings({"storeEncryptedKeys": True}, {"storeEncryptedKeys": True}),
    Settings({"storeEncryptedKeys": False}, {}),
    Settings({"deleteProtection": True}, {"deleteProtection": True}),
    Settings(ALL_SETTINGS, ALL_SETTINGS),
]
each_setting = pytest.mark.parametrize("settings", EACH_SETTING, ids=lambda settings: str(settings.given)[:60])


def listed(home: Any, api_id: str) -> dict[str, Any]:
    """The settings of an api as listApis shows them, without its ids and name."""
    cursor = ""
    while True:
        page = home.ask("apis.listApis", cursor=cursor)
        for api in page["apis"]:
            if api["id"] == api_id:
                return {name: value for name, value in api.items() if name not in ("id", "workspaceId", "name")}
        cursor = page["cursor"]


def last_entry(home: Any) -> Any:
    """The youngest audit entry."""
    return home.audit()[-1]


# --- createApi and getApi -------------------------------------------------------------------------------------------


@each_setting
def test_create_with_settings(home: Any, settings: Settings) -> None:
    """An api has the settings it was created with, and the defaults for the others."""
    made = home.ask("apis.createApi", name="with settings", **settings.given)
    assert set(made) == {"apiId", "name"}
    assert re.fullmatch(f"api_[{ALPHABET}]+", made["apiId"])
    assert listed(home, made["apiId"]) == DEFAULTS | settings.shown


def test_names_of_apis_are_not_unique(home: Any) -> None:
    """Each call makes a new api, also under a name that another has."""
    made = [home.ask("apis.createApi", name="the same") for _ in range(3)]
    assert len({api["apiId"] for api in made}) == 3
    assert {api["name"] for api in made} == {"the same"}


def test_get_shows_three_members(home: Any) -> None:
    """The answer of getApi has id, workspace and name and nothing else, whatever the settings are."""
    api_id = home.ask("apis.createApi", name="shown", **ALL_SETTINGS)["apiId"]
    assert home.ask("apis.getApi", apiId=api_id) == {"id": api_id, "workspaceId": home.id, "name": "shown"}


@pytest.mark.parametrize("operation", ["apis.getApi", "apis.updateApi", "keys.createKey"])
def test_apis_that_are_not_there(home: Any, foreign: Any, operation: str) -> None:
    """An unknown api, a deleted one and one of another workspace are 404 alike, and nothing is written."""
    deleted = home.api()
    home.delete_api(deleted)
    before = home.audit(), foreign.audit()
    for api_id in ("api_unknown", deleted, foreign.api_id, foreign.api_id.lower(), " "):
        answer = home.call(operation, {"apiId": api_id})
        assert answer.status_code == 404, answer.text
        assert answer.json()["error"]["message"] == f"api {api_id} not found"
    assert (home.audit(), foreign.audit()) == before


def test_audit_of_created_apis(home: Any) -> None:
    """Creating an api leaves one entry: who, when, from where, and the api."""
    answer = home.call("apis.createApi", {"name": "audited"}, **ELSEWHERE, **{"User-Agent": "tests/1"})
    entry = last_entry(home)
    assert (entry.event, entry.workspace_id, entry.time_ms) == ("api.create", home.id, NOW_MS)
    assert (entry.actor_type, entry.actor_id) == ("key", home.root.id)
    assert (entry.location, entry.user_agent) == ("203.0.113.9", "tests/1")
    (resource,) = entry.resources
    assert (resource.type, resource.id, resource.name) == ("api", answer.json()["apiId"], "audited")


# --- updateApi ------------------------------------------------------------------------------------------------------


@each_setting
def test_update_of_one_setting(home: Any, settings: Settings) -> None:
    """What is given is set, on an api that had nothing; all else stays as it was."""
    api_id = home.api()
    assert home.ask("apis.updateApi", apiId=api_id, **settings.given) == {}
    assert listed(home, api_id) == DEFAULTS | settings.shown
    home.ask("apis.updateApi", apiId=api_id, name="renamed")
    assert listed(home, api_id) == DEFAULTS | settings.shown


@pytest.mark.parametrize("name", ALL_SETTINGS)
def test_null_is_back_to_the_default(home: Any, name: str) -> None:
    """Null puts one setting back to its default and leaves the others."""
    api_id = home.api(**ALL_SETTINGS)
    home.ask("apis.updateApi", apiId=api_id, **{name: None})
    others = {other: value for other, value in ALL_SETTINGS.items() if other != name}
    default = {name: DEFAULTS[name]} if name in DEFAULTS else {}
    assert listed(home, api_id) == others | default


def test_update_of_the_name(home: Any) -> None:
    """A new name shows at once and changes nothing else."""
    api_id = home.api(**ALL_SETTINGS)
    home.ask("apis.updateApi", apiId=api_id, name="renamed")
    assert home.ask("apis.getApi", apiId=api_id)["name"] == "renamed"
    assert listed(home, api_id) == ALL_SETTINGS


def test_update_of_nothing(home: Any) -> None:
    """An update that gives nothing is accepted, changes nothing, and is in the audit log as such."""
    api_id = home.api(**ALL_SETTINGS)
    assert home.ask("apis.updateApi", apiId=api_id) == {}
    assert listed(home, api_id) == ALL_SETTINGS
    assert (last_entry(home).event, last_entry(home).resources[0].meta) == ("api.update", {})


def test_audit_of_updated_apis(home: Any) -> None:
    """An update leaves one entry with every given member as JSON text, by the name it has in the request."""
    api_id = home.api()
    home.ask("apis.updateApi", apiId=api_id, name="called", ipWhitelist=["::1"], defaultBytes=None)
    entry = last_entry(home)
    (resource,) = entry.resources
    assert (entry.event, entry.actor_id, resource.type, resource.id) == ("api.update", home.root.id, "api", api_id)
    assert resource.meta == {"name": '"called"', "ipWhitelist": '["::1"]', "defaultBytes": "null"}


# --- settings in force ----------------------------------------------------------------------------------------------


def test_prefix_is_in_force_for_the_next_key(home: Any) -> None:
    """The default prefix of the moment is that of the next key; a prefix of the key's own, even empty, beats it."""
    api_id = home.api()
    for prefix, beginning in (("acme", "acme_"), ("b_c", "b_c_"), ("", ""), (None, "")):
        home.ask("apis.updateApi", apiId=api_id, defaultPrefix=prefix)
        key = home.key(apiId=api_id)
        assert re.fullmatch(f"{beginning}[{ALPHABET}]{{24}}", key.secret)
        # The quirk of keys-v1 §5.2: only a prefix given in the request counts for `start`.
        assert home.show(key.id)["start"] == key.secret[:5]
        assert home.key(apiId=api_id, prefix="own").secret.startswith("own_")
        assert "_" not in home.key(apiId=api_id, prefix="").secret


def test_bytes_are_in_force_for_the_next_key(home: Any) -> None:
    """The default byte count of the moment decides the length of the next key; one of the key's own beats it."""
    api_id = home.api()
    for count, characters in ((24, 35), (255, 350), (None, 24)):
        home.ask("apis.updateApi", apiId=api_id, defaultBytes=count)
        assert len(home.key(apiId=api_id).secret) == characters
        assert len(home.key(apiId=api_id, byteLength=32).secret) == 46


def test_encrypted_keys_are_in_force_for_the_next_key(home: Any) -> None:
    """Recoverable keys can be made while the api stores encrypted keys; those made stay recoverable."""
    api_id = home.api()
    body = {"apiId": api_id, "recoverable": True}
    assert home.call("keys.createKey", body).status_code == 412
    home.ask("apis.updateApi", apiId=api_id, storeEncryptedKeys=True)
    key = home.key(**body)
    home.ask("apis.updateApi", apiId=api_id, storeEncryptedKeys=None)
    assert home.call("keys.createKey", body).status_code == 412
    assert home.ask("keys.getKey", keyId=key.id, decrypt="true")["plaintext"] == key.secret


@pytest.mark.parametrize(
    ("whitelist", "address", "is_admitted"),
    [
        (["203.0.113.9"], "203.0.113.9", True),
        (["203.0.113.8"], "203.0.113.9", False),
        (["198.51.100.7", "203.0.113.0/24"], "203.0.113.9", True),
        (["203.0.113.0/29"], "203.0.113.9", False),
        (["2001:db8::/32"], "2001:db8:1::9", True),
        (["2001:db8::/32"], "2001:db9::9", False),
        (["0.0.0.0/0"], "203.0.113.9", True),
        (["::/0"], "2001:db8::9", True),
    ],
)
def test_addresses_are_in_force_for_the_next_verification(
    home: Any, whitelist: list[str], address: str, is_admitted: bool
) -> None:
    """A whitelist holds from the next verification of any key of the api, known to the server or not, until it goes."""
    api_id = home.api()
    known, unseen = home.key(apiId=api_id), home.key(apiId=api_id)

    def code(key: Any) -> str:
        answer = home.call("keys.verifyKey", {"key": key.secret}, **{"X-Forwarded-For": address})
        outcome: str = home.answer(answer)["code"]
        return outcome

    assert code(known) == "VALID"
    home.ask("apis.updateApi", apiId=api_id, ipWhitelist=whitelist)
    assert [code(known), code(unseen)] == (["VALID"] * 2 if is_admitted else ["FORBIDDEN"] * 2)
    home.ask("apis.updateApi", apiId=api_id, ipWhitelist=None)
    assert [code(known), code(unseen)] == ["VALID"] * 2


# --- listApis -------------------------------------------------------------------------------------------------------

COUNT = 250


@pytest.fixture(scope="module")
def crowded(server: Any, http: Any, home: Any, foreign: Any) -> Any:
    """A workspace with 250 apis, among apis of others and one that was deleted."""
    workspace_id = server.call(lambda: server.application.storage.operator.create_workspace("crowded", NOW_MS))
    crowded = type(home)(server, http, workspace_id)  # comes with an api of its own
    for number in range(2, COUNT + 1):
        crowded.api()
        if number % 100 == 0:
            foreign.api()
            home.api()
    crowded.delete_api(crowded.api())
    return crowded


def pages(workspace: Any, **query: Any) -> Iterator[dict[str, Any]]:
    """Every page to the end, which is one without a cursor."""
    cursor: dict[str, str] = {}
    while True:
        page = workspace.ask("apis.listApis", **query, **cursor)
        yield page
        if "cursor" not in page:
            return
        cursor = {"cursor": page["cursor"]}


@pytest.mark.parametrize(("query", "limit"), [({}, 100), ({"limit": 100}, 100), ({"limit": 7}, 7), ({"limit": 1}, 1)])
def test_paging_to_the_end(crowded: Any, query: dict[str, int], limit: int) -> None:
    """Pages bring every live api of the workspace once, by id; every page that is not empty has a cursor."""
    got = list(pages(crowded, **query))
    full, rest = divmod(COUNT, limit)
    assert [len(page["apis"]) for page in got] == [limit] * full + ([rest] if rest else []) + [0]
    assert all(page["total"] == COUNT for page in got)
    assert all(page["cursor"] == page["apis"][-1]["id"] for page in got[:-1])
    ids = [api["id"] for page in got for api in page["apis"]]
    assert ids == sorted(set(ids))
    assert len(ids) == COUNT
    assert {api["workspaceId"] for page in got for api in page["apis"]} == {crowded.id}


@pytest.mark.parametrize(
    ("cursor_of", "count"),
    [(lambda ids: "", 100), (lambda ids: "!", 100), (lambda ids: "~", 0), (lambda ids: ids[-1], 0)],
    ids=["empty", "before all", "after all", "last"],
)
def test_cursors(crowded: Any, cursor_of: Callable[[list[str]], str], count: int) -> None:
    """A cursor is compared, not looked up: any text will do, and what lies after it comes."""
    ids = [api["id"] for page in pages(crowded) for api in page["apis"]]
    page = crowded.ask("apis.listApis", cursor=cursor_of(ids))
    assert len(page["apis"]) == count
    assert page["total"] == COUNT


def test_cursor_of_an_api_that_is_gone(server: Any, http: Any, home: Any) -> None:
    """Paging goes on behind an api that was deleted meanwhile, and a new one is counted at once."""
    workspace_id = server.call(lambda: server.application.storage.operator.create_workspace("gone", NOW_MS))
    workspace = type(home)(server, http, workspace_id)
    for _ in range(3):
        workspace.api()
    ids = [api["id"] for api in workspace.ask("apis.listApis")["apis"]]
    workspace.delete_api(ids[1])
    page = workspace.ask("apis.listApis", cursor=ids[1], limit=100)
    assert ([api["id"] for api in page["apis"]], page["total"]) == (ids[2:], 3)
    workspace.api()
    assert workspace.ask("apis.listApis", cursor="~")["total"] == 4
