"""Every operation as the OpenAPI document describes it, tried with what schemathesis makes of that."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from keystead.contract.service import NoInput
from keystead.http.openapi import document
from keystead.http.operations import GET, OPERATIONS, Operation
from proof.fuzz.scene import CREATED, KEPT

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

_ITEM = {"roles": ["described"], "permissions": ["described.read"], "remaining": 5, "refill": CREATED["refill"]}
"""What is put into an item of an import: made-up names, or a refill of nothing, would end in 412 and 400."""

TRIALS = [
    (operation, mode)
    for operation in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    # What takes nothing can not be asked wrongly.
    if mode is GenerationMode.POSITIVE or operation.request is not NoInput
]
"""Every operation, with data that fits its description and with data that does not."""


class Described:
    """A server to try; `things` makes existing things, so that successes are among the answers."""

    def __init__(self, url: str, things: Callable[[], dict[str, Any]]) -> None:
        """`url` is the server's."""
        self._url = url
        self._things = things
        self._schema: Any = schemathesis.openapi.from_dict(document())

    def statuses(
        self,
        operation: Operation,
        mode: GenerationMode,
        authorization: str | None,
        *,
        examples: int,
        number: int | None = None,
    ) -> Counter[int]:
        """What so many requests were answered: the same ones each time, others for each `number`.

        Every second request is about things that exist. Raises what schemathesis finds wrong.
        """
        statuses: Counter[int] = Counter()
        headers = {} if authorization is None else {"Authorization": authorization}

        @settings(
            max_examples=examples,
            derandomize=number is None,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=self._schema[operation.path][operation.method].as_strategy(generation_mode=mode))
        def run(case: Any) -> None:
            if mode is GenerationMode.POSITIVE and operation.request is not NoInput and sum(statuses.values()) % 2:
                aim(operation, case.query if operation.method == GET else case.body, self._things())
            answer = case.call(base_url=self._url, headers=headers)
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        (run if number is None else seed(number)(run))()
        return statuses


def aim(operation: Operation, request: Any, existing: dict[str, Any]) -> None:
    """Make a generated request one about things that exist."""
    if isinstance(request, list):
        for item in request:
            item["apiId"] = existing["apiId"]
        items = request
    else:
        wanted = set(operation.request.__struct_encode_fields__) - KEPT.get(operation.name, set())
        request.update({member: value for member, value in existing.items() if member in wanted})
        items = request["keys"] if operation.name == "migrations.enqueueKeys" else []
    for number, item in enumerate(items):
        item.update(_ITEM, plaintext=f"{existing['key']} {number}")
