"""Prepares what an example talks about, runs it as written, and says what became of it."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import httpx

from examples.seed_page import examples, with_ids


class Stage:
    """An api of its own for every example, with the roles and permissions that the page takes for granted."""

    def __init__(self, root_key: str, post: "Poster") -> None:
        self._root_key = root_key
        self._post = post
        self._api_id = post("apis.createApi", {"name": "examples"})["apiId"]

    def ids(self) -> dict[str, str]:
        """Placeholder → real id or key string, with a fresh key."""
        key = self._post("keys.createKey", {"apiId": self._api_id, "prefix": "sk"})
        self._ensure("permission", "dns.record.create")
        self._ensure("role", "dns.record.create")
        return {
            "UNKEY_ROOT_KEY": self._root_key,
            "key_1234": key["keyId"],
            "key_123": key["keyId"],
            "<id>": key["keyId"],
            "sk_1234": key["key"],
            "sk_123": key["key"],
            "api_1234": self._api_id,
            "api_123": self._api_id,
            "role_123": self._ensure("role", "example.role"),
            "perm_123": self._ensure("permission", "example.permission"),
        }

    def adapt(self, operation: str, code: str) -> str:
        """The example with real ids. In `update`, the page puts a permission's id where a role's belongs (Q38)."""
        if operation == "update":
            before, opening, rest = code.partition('"roles": [\n            {')
            roles, next_opening, after = rest.partition('"permissions": [')
            code = before + opening + roles.replace('"perm_123"', '"role_123"') + next_opening + after
        return with_ids(code, self.ids())

    def _ensure(self, kind: str, name: str) -> str:
        """The id of a permission or role of that name, made if need be."""
        key = self._post("keys.createKey", {"apiId": self._api_id})
        plural = f"{kind}s"
        operation = f"keys.add{plural.capitalize()}"
        answer = self._post(operation, {"keyId": key["keyId"], plural: [{"name": name, "create": True}]})
        return str(answer[0]["id"])


class Poster:
    """Calls operations that the examples' client is not asked for, such as making the api."""

    def __init__(self, url: str, root_key: str) -> None:
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {root_key}"})

    def __call__(self, operation: str, body: object) -> Any:
        """The answer of one operation."""
        response = self._client.post(f"/v1/{operation}", json=body)
        response.raise_for_status()
        return response.json()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def run_all(url: str, root_key: str) -> Iterator[tuple[str, str]]:
    """Run every example; (operation, what it printed) one after the other. Raises what an example raises.

    The client finds the server through the environment's KEYSTEAD_URL, which the caller sets: the page names no URL.
    """
    post = Poster(url, root_key)
    try:
        stage = Stage(root_key, post)
        for operation, code in examples().items():
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(stage.adapt(operation, code), f"<{operation}>", "exec"), {"__name__": "example"})
            yield operation, printed.getvalue().strip()
    finally:
        post.close()
