"""The OpenAPI document and its page: complete, self-contained, and true of the running server."""

import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from keystead.contract.service import NoInput
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
    "keys.verifyKey": {403},
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

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 8


@pytest.fixture(scope="module")
def described() -> Any:
    """The document as schemathesis reads it."""
    return schemathesis.openapi.from_dict(document())


CREATED = {
    "externalId": "described",
    "meta": {"plan": "pro"},
    "roles": ["described"],
    "permissions": ["described.read"],
    "expires": 4_000_000_000_000,
    "remaining": 2**31 - 1,
    "refill": {"interval": "monthly", "amount": 100},
    "ratelimit": {"limit": 2**31 - 1, "duration": 60_000},
    "recoverable": True,
    "environment": "live",
    "name": "described",
}
KEPT = {"keys.createKey": {"roles", "permissions", "externalId"}, "identities.createIdentity": {"externalId"}}
"""Operation → members that name no existing thing in it, and stay as generated."""

ITEM = {"roles": ["described"], "permissions": ["described.read"], "remaining": 5, "refill": CREATED["refill"]}
"""What is put into an item of an import: made-up names, or a refill of nothing, would end in 412 and 400."""


@pytest.fixture(scope="module")
def existing(http: httpx.Client) -> Callable[[], dict[str, Any]]:
    """Makes one of everything and says its names: made-up ids alone would end in 404, and some were deleted before."""
    numbers = itertools.count(1)

    def make() -> dict[str, Any]:
        def ask(operation: str, **members: Any) -> dict[str, Any]:
            answer = http.post(f"/v1/{operation}", json=members)
            assert answer.status_code == 200, answer.text
            made: dict[str, Any] = answer.json()
            return made

        name = f"described.{next(numbers)}"
        api = ask("apis.createApi", name=name, storeEncryptedKeys=True)
        key = ask("keys.createKey", apiId=api["apiId"], **CREATED)
        limit = {"identifier": name, "limit": 1, "duration": 60_000}
        ask("ratelimits.limit", namespace=name, **limit)
        ask("ratelimits.setOverride", namespaceName=name, **limit)
        return {
            "apiId": api["apiId"],
            **ask("permissions.createPermission", name=name),
            **ask("permissions.createRole", name=name),
            **ask("identities.createIdentity", externalId=name),
            "externalId": "described",
            "permissions": [{"slug": "described.read"}, {}],
            "roles": [{"name": "described"}],
            "namespaceId": "",
            "namespaceName": name,
            "identifier": name,
            **key,
        }

    return make


def aim(name: str, request: Any, existing: dict[str, Any]) -> None:
    """Make a generated request one about things that exist."""
    if isinstance(request, list):
        for item in request:
            item["apiId"] = existing["apiId"]
        items = request
    else:
        wanted = set(BY_NAME[name].request.__struct_encode_fields__) - KEPT.get(name, set())
        request.update({member: value for member, value in existing.items() if member in wanted})
        items = request["keys"] if name == "migrations.enqueueKeys" else []
    for number, item in enumerate(items):
        item.update(ITEM, plaintext=f"{existing['key']} {number}")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, id=f"{name}-{mode.value}")
        for name in NAMES
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        # What takes nothing can not be asked wrongly.
        if mode is GenerationMode.POSITIVE or BY_NAME[name].request is not NoInput
    ],
)
def test_answers_are_as_described(
    server: ServerInProcess, described: Any, existing: Callable[[], dict[str, Any]], name: str, mode: GenerationMode
) -> None:
    """Whatever is sent, the answer has a documented status and conforms to its schema, and is never a 5xx.

    Every second request is about things that exist, so that successes are among the answers.
    """
    operation = BY_NAME[name]
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[operation.path][operation.method].as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        if mode is GenerationMode.POSITIVE and operation.request is not NoInput and sum(statuses.values()) % 2:
            aim(name, case.query if operation.method == GET else case.body, existing())
        answer = case.call(base_url=server.url, headers={"Authorization": f"Bearer {server.root_key}"})
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    run()
    assert statuses[operation.success] or mode is GenerationMode.NEGATIVE, statuses
    assert statuses[400] or mode is GenerationMode.POSITIVE, statuses
