"""The OpenAPI document and its page: complete, self-contained, and true of the running server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from proof.fuzz.described import TRIALS, Described
from proof.fuzz.scene import maker_of_things
from schemathesis import GenerationMode

from keystead.core.errors import ErrorCode, Reason
from keystead.http.openapi import document
from keystead.http.operations import GET, OPERATIONS, Operation
from keystead.testing.server import ServerInProcess

BY_NAME = {operation.name: operation for operation in OPERATIONS}
NAMES = list(BY_NAME)

FURTHER_STATUSES = {
    "keys.getKey": {404},
    "keys.whoami": {404},
    "keys.deleteKey": {404},
    "keys.createKey": {404, 409, 412},
    "keys.verifyKey": {403, 429},
    "keys.updateKey": {404},
    "keys.updateRemaining": {404},
    "keys.getVerifications": {404},
    "keys.addPermissions": {404},
    "keys.removePermissions": {404},
    "keys.setPermissions": {404},
    "keys.addRoles": {404},
    "keys.removeRoles": {404},
    "keys.setRoles": {404},
    "apis.createApi": set(),
    "apis.getApi": {404},
    "apis.listKeys": {404, 412},
    "apis.deleteKeys": {404, 412},
    "apis.deleteApi": {404, 412},
    "apis.updateApi": {404},
    "apis.listApis": set(),
    "permissions.createPermission": {409},
    "permissions.getPermission": {404},
    "permissions.listPermissions": set(),
    "permissions.deletePermission": {404},
    "permissions.createRole": {409},
    "permissions.getRole": {404},
    "permissions.listRoles": set(),
    "permissions.deleteRole": {404},
    "permissions.setRolePermissions": {404},
    "identities.createIdentity": {409},
    "identities.getIdentity": {404},
    "identities.listIdentities": set(),
    "identities.updateIdentity": {404, 409},
    "identities.deleteIdentity": {404},
    "ratelimits.limit": {404},
    "ratelimits.setOverride": {404},
    "ratelimits.getOverride": {404},
    "ratelimits.listOverrides": {404},
    "ratelimits.deleteOverride": {404},
    "ratelimits.listNamespaces": set(),
    "migrations.createKeys": {404, 409, 412},
    "migrations.enqueueKeys": {404},
    "analytics.getVerifications": {404, 412},
    "liveness": set(),
}
"""Operation → what it can answer beyond what every operation can (keys-v1 §3, other-v1 §1 to §7)."""

WITHOUT_IDEMPOTENCY_KEY = {"keys.verifyKey", "keys.whoami", "ratelimits.limit"}
"""Operations with a body whose `Idempotency-Key` does not count (D15): no other body can be in conflict with it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """One server for the module."""
    with ServerInProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: ServerInProcess) -> Iterator[httpx.Client]:
    """A client with the root key."""
    headers = {"Authorization": f"Bearer {server.root_key}"}
    with httpx.Client(base_url=server.url, timeout=30, headers=headers) as client:
        yield client


@pytest.fixture(scope="module")
def served(http: httpx.Client) -> Any:
    """The document as the server hands it out."""
    return http.get("/openapi.json").json()


def entry(served: Any, operation: Operation) -> Any:
    """What the document says of an operation."""
    return served["paths"][operation.path][operation.method.lower()]


# --- The document ---------------------------------------------------------------------------------------------------


def test_document_is_valid(served: Any) -> None:
    """The document is valid OpenAPI."""
    validate(served)


def test_document_is_served_without_a_key(server: ServerInProcess) -> None:
    """Document and page are for everyone, carry a request id, and answer HEAD."""
    for path, content_type in (("/openapi.json", "application/json"), ("/docs", "text/html")):
        answer = httpx.get(server.url + path)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        assert re.fullmatch("req_[a-zA-Z0-9]+", answer.headers["Unkey-Request-Id"])
        assert httpx.head(server.url + path).headers["Content-Length"] == str(len(answer.content))


def test_operations(served: Any) -> None:
    """The document has every operation, and no other."""
    listed = {
        (method.upper(), path, entry["operationId"])
        for path, methods in served["paths"].items()
        for method, entry in methods.items()
    }
    assert listed == {(operation.method, operation.path, operation.name) for operation in OPERATIONS}


def test_every_table_of_this_module_is_complete() -> None:
    """A new operation needs its row here."""
    assert set(FURTHER_STATUSES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_statuses(served: Any, name: str) -> None:
    """An operation names every status it can answer: its own, those of every operation, those of HTTP itself."""
    operation = BY_NAME[name]
    statuses = {400, 431, 500, 503} | FURTHER_STATUSES[name]
    statuses |= {202} if name == "migrations.enqueueKeys" else {200}
    statuses |= {409} if operation.method != GET and name not in WITHOUT_IDEMPOTENCY_KEY else set()
    statuses |= {401, 403, 429} if operation.authenticated else set()
    statuses |= {414} if operation.method == GET else {408, 413}
    assert set(entry(served, operation)["responses"]) == {str(status) for status in statuses}


def test_retry_after(served: Any) -> None:
    """A 429 may say when it is over, and no other answer does."""
    for operation in OPERATIONS:
        for status, response in entry(served, operation)["responses"].items():
            assert ("Retry-After" in response["headers"]) is (status == "429")


@pytest.mark.parametrize("name", NAMES)
def test_permissions(served: Any, name: str) -> None:
    """An operation names every permission string that lets a root key do it, and says when none is needed."""
    operation, described = BY_NAME[name], entry(served, BY_NAME[name])
    assert ("security" in described) is operation.authenticated
    listed = {slug for need in described.get("x-permissions", ()) for slug in need["anyOf"]}
    needed = {slug for need in operation.needs for slug in need.alternatives}
    assert listed == needed | ({"*"} if operation.authenticated else set())
    for slug in listed:
        assert f"`{slug}`" in described["description"]


def test_codes_and_reasons(served: Any) -> None:
    """Every code and reason of an error is in the document."""
    schemas = served["components"]["schemas"]
    assert set(schemas["ErrorCode"]["enum"]) == {code.value for code in ErrorCode}
    assert set(schemas["Reason"]["enum"]) == {reason.value for reason in Reason}


def test_patterns_are_portable(served: Any) -> None:
    """No pattern uses what only Python's expressions have: generated clients are written in any language."""
    patterns = re.findall(r'"pattern": ?"([^"]*)"', httpx.Response(200, json=served).text)
    assert patterns
    assert not [pattern for pattern in patterns if re.search(r"\\[AZz]|\(\?[P#]|\(\?[imsx]", pattern)]


def test_command_prints_the_document(served: Any) -> None:
    """`keystead openapi` prints what a server serves."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    printed = subprocess.run([sys.executable, "-m", "keystead", "openapi"], capture_output=True, env=environment)
    assert printed.returncode == 0, printed.stderr
    assert httpx.Response(200, content=printed.stdout).json() == served == document()


# --- The page -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page loads and links to, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what refers to something."""
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "srcset", "action", "data", "poster", "formaction", "background"):
                self.targets.append(value or "")

    def handle_data(self, data: str) -> None:
        """Collect the text, style sheets included."""
        self.text += f" {data} "


@pytest.fixture(scope="module")
def page(http: httpx.Client) -> Page:
    """The page, taken apart."""
    return Page(http.get("/docs").text)


def test_page_is_self_contained(page: Page) -> None:
    """The page loads nothing from anywhere and links to itself and the document only; every link has its target."""
    links = {target for target in page.targets if target.startswith("#")}
    assert set(page.targets) - links == {"/openapi.json"}
    assert {link.removeprefix("#") for link in links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"url\(|@import|<script", page.text)


def test_page_is_complete(page: Page, served: Any) -> None:
    """The page shows every operation, path, permission, status and type."""
    words = set(page.text.split())
    for operation in OPERATIONS:
        assert operation.path in words
        assert operation.summary in page.text
        assert operation.name in page.ids
        for need in operation.needs:
            assert all(slug in page.text for slug in need.alternatives)
    assert {f"type-{name}" for name in served["components"]["schemas"]} <= set(page.ids)
    assert {
        str(status) for status in (200, 202, 400, 401, 403, 404, 408, 409, 412, 413, 414, 429, 431, 500, 503)
    } <= words


# --- Whether it is true ---------------------------------------------------------------------------------------------

EXAMPLES = 8


@pytest.fixture(scope="module")
def described(server: ServerInProcess, http: httpx.Client) -> Described:
    """What tries the server's operations as the document describes them."""
    return Described(server.url, maker_of_things(http))


@pytest.mark.parametrize(
    ("operation", "mode"), [pytest.param(op, mode, id=f"{op.name}-{mode.value}") for op, mode in TRIALS]
)
def test_answers_are_as_described(
    server: ServerInProcess, described: Described, operation: Operation, mode: GenerationMode
) -> None:
    """Whatever is sent, the answer has a documented status and conforms to its schema, and is never a 5xx.

    Every second request is about things that exist, so that successes are among the answers.
    """
    authorization = f"Bearer {server.root_key}"
    statuses = described.statuses(operation, mode, authorization, examples=EXAMPLES)
    for number in range(4):  # what happens to be drawn may hold no success
        if not statuses[operation.success] and mode is GenerationMode.POSITIVE:
            statuses += described.statuses(operation, mode, authorization, examples=EXAMPLES, number=number)
    assert statuses[operation.success] or mode is GenerationMode.NEGATIVE, statuses
    assert statuses[400] or mode is GenerationMode.POSITIVE, statuses
