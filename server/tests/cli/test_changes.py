"""What the operator changes is in force for the next request, and the audit log names the operator."""

from typing import Any

import pytest

from keystead.core.secrets import hash_secret
from keystead.testing.server import NOW_MS, ROOT_KEY

from .conftest import DEFAULT, REASON, Place, Seed, Served


def test_a_disabled_key_is_refused_until_it_is_enabled(place: Place, seed: Seed) -> None:
    """`key disable` and `key enable` decide the very next verification; the audit log names the operator."""
    if place.server is not None:
        with place.serving() as served:
            assert served.verify(seed.secret).json["code"] == "VALID"  # from now on it is in memory
    assert place.done("key", "disable", seed.key_id) == {"keyId": seed.key_id, "enabled": False}
    with place.serving() as served:
        assert served.verify(seed.secret).json["code"] == "DISABLED"
        (entry,) = served.operators("key.update")
        assert (entry.resources[0].id, entry.location, entry.user_agent) == (seed.key_id, None, None)
    assert place.done("key", "enable", seed.key_id) == {"keyId": seed.key_id, "enabled": True}
    with place.serving() as served:
        assert served.verify(seed.secret).json["code"] == "VALID"


@pytest.mark.parametrize("words", [(), ("--permanent",)], ids=["softly", "for good"])
def test_a_deleted_key_is_unknown(place: Place, seed: Seed, words: tuple[str, ...]) -> None:
    """After `key delete` the next verification knows no such key."""
    assert place.done("key", "delete", seed.key_id, *words) == {"keyId": seed.key_id}
    with place.serving() as served:
        assert served.verify(seed.secret).json["code"] == "NOT_FOUND"
        assert len(served.operators("key.delete")) == 1
        kept = served.server.read(lambda tx: tx.keys.by_hash(hash_secret(seed.secret)))
        assert (kept is None) == bool(words)


def test_an_api_is_made_and_changed(place: Place, seed: Seed) -> None:
    """`api create` and `api update` set what they are told, and `--reset` puts a setting back."""
    options = ("--ip-whitelist", "10.0.0.0/8", "--ip-whitelist", "::1", "--default-prefix", "pay", "--default-bytes")
    made = place.done("api", "create", "billing", *options, "24", "--delete-protection", "--store-encrypted-keys")
    assert made == {"apiId": made["apiId"], "name": "billing"}
    assert _listed(place, made["apiId"]) == {
        "id": made["apiId"],
        "workspaceId": DEFAULT,
        "name": "billing",
        "ipWhitelist": ["10.0.0.0/8", "::1"],
        "defaultPrefix": "pay",
        "defaultBytes": 24,
        "storeEncryptedKeys": True,
        "deleteProtection": True,
    }
    changes = ("--name", "invoices", "--no-delete-protection", "--reset", "ip-whitelist", "--reset", "default-bytes")
    assert place.done("api", "update", made["apiId"], *changes) == {"apiId": made["apiId"]}
    changed = _listed(place, made["apiId"])
    assert (changed["name"], changed["deleteProtection"], changed["defaultPrefix"]) == ("invoices", False, "pay")
    assert "ipWhitelist" not in changed
    assert "defaultBytes" not in changed
    with place.serving() as served:
        assert [len(served.operators(event)) for event in ("api.create", "api.update")] == [1, 1]


def _listed(place: Place, api_id: str) -> Any:
    return next(api for api in place.done("api", "list")["apis"] if api["id"] == api_id)


def test_an_address_list_holds_for_the_next_verification(place: Place, seed: Seed) -> None:
    """A change of an api's settings reaches its keys at once."""
    place.done("api", "update", seed.api_id, "--ip-whitelist", "203.0.113.7")
    with place.serving() as served:
        assert served.verify(seed.secret).json["code"] == "FORBIDDEN"


def test_a_roles_permissions_are_set(place: Place, seed: Seed) -> None:
    """`role set-permissions` makes the set exactly the given one; its keys have it on the next verification."""
    words = ("role", "set-permissions", seed.role_id)
    refused = place.run(*words, "--permission", "documents.read")
    assert (refused.exit_code, refused.stderr) == (1, "error: permission documents.read not found\n")
    answer = place.done(*words, "--permission", "documents.read", "--permission", "documents.write", "--create")
    assert {item["name"] for item in answer["permissions"]} == {"documents.read", "documents.write"}
    (role,) = place.done("role", "list")["roles"]
    assert role["permissions"] == ["documents.write", "documents.read"]
    with place.serving() as served:
        assert "documents.read" in served.verify(seed.secret).json["permissions"]
        assert len(served.operators("authorization.connect_role_and_permission")) == 2
        assert len(served.operators("permission.create")) == 1
    assert place.done(*words, "--clear") == {"permissions": []}
    with place.serving() as served:
        assert "documents.read" not in served.verify(seed.secret).json["permissions"]


def test_a_revoked_root_key_is_dead(place: Place, seed: Seed) -> None:
    """After `root-key revoke` the next request with it is 401, and it is listed no more."""
    if place.server is not None:
        with place.serving() as served:
            assert _list_apis(served, seed.root_key) == 200  # from now on it is in memory
    assert place.done("root-key", "revoke", seed.root_key_id) == {"keyId": seed.root_key_id}
    assert seed.root_key_id not in [key["id"] for key in place.done("root-key", "list")["rootKeys"]]
    with place.serving() as served:
        assert _list_apis(served, seed.root_key) == 401
        (entry,) = served.operators("key.delete")
        assert entry.resources[0].id == seed.root_key_id


def _list_apis(served: Served, root_key: str) -> int:
    served.connection.send("apis.listApis", None, query={}, root_key=root_key)
    return served.connection.receive().status


def test_a_disabled_workspace_answers_403(place: Place, seed: Seed) -> None:
    """`workspace disable` refuses every operation and verification at once; `workspace enable` ends that."""
    if place.server is not None:
        with place.serving() as served:
            assert served.verify(seed.secret).status == 200
    assert place.done("workspace", "disable", DEFAULT) == {"id": DEFAULT, "enabled": False}
    with place.serving() as served:
        limit = {"namespace": "emails", "identifier": "a", "limit": 1, "duration": 60_000}
        assert served.verify(seed.secret).status == 403
        assert served.connection.post("ratelimits.limit", limit).status == 403
        assert _list_apis(served, ROOT_KEY) == 403
        assert len(served.operators("workspace.update")) == 1
    shown = {w["id"]: w["enabled"] for w in place.done("workspace", "list")["workspaces"]}
    assert shown == {DEFAULT: False, seed.other_workspace_id: True}
    assert place.done("workspace", "enable", DEFAULT) == {"id": DEFAULT, "enabled": True}
    with place.serving() as served:
        assert served.verify(seed.secret).status == 200


def test_failed_imports_are_listed_and_retried(place: Place, seed: Seed) -> None:
    """`migration failed` gives the reason, `migration retry` has one or all of them tried again."""
    first, second = place.done("migration", "failed")["imports"]
    assert first == {
        "id": 1,
        "migrationId": "mig_1",
        "workspaceId": DEFAULT,
        "apiId": seed.api_id,
        "keyId": "key_imported_1",
        "name": "import 1",
        "queuedAt": NOW_MS,
        "attempts": 10,
        "reason": REASON,
    }
    assert place.done("migration", "failed", "--cursor", "1")["imports"] == [second]
    assert place.done("migration", "failed", "--limit", "1") == {"imports": [first], "cursor": 1}
    assert place.done("migration", "retry", "2") == {"retried": 1}
    assert place.done("migration", "failed") == {"imports": [first]}
    assert place.done("migration", "retry", "--all") == {"retried": 1}
    assert place.done("migration", "failed") == {"imports": []}


def test_a_retried_import_is_verified(place: Place, seed: Seed) -> None:
    """Once its cause is gone, a retried import becomes a key."""
    place.done("migration", "retry", "1")
    with place.serving() as served:
        # The server's clock stands before the operator's; what was put back in the queue is due by then.
        served.server.clock.set(10**13)
        served.server.call(served.server.application.storage.migration_queue.run_due)
        assert served.verify("imported 1").json["code"] == "VALID"
