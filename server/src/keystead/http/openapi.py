"""The OpenAPI 3.1 document and its page, both made from the table of operations."""

from functools import cache
from typing import Any

import msgspec

from keystead import __version__
from keystead.core.errors import ErrorCode
from keystead.core.permissions import EVERYTHING
from keystead.http.operations import GET, OPERATIONS, VERIFY_KEY, Operation
from keystead.http.problems import STATUSES, ErrorEnvelope

_REF = "#/components/schemas/{name}"
_JSON = "application/json"

_PERMISSION_QUERY = {
    "title": "PermissionQuery",
    "description": "A permission, or what holds when all (`and`) or one (`or`) of its operands hold.",
    "anyOf": [
        {"type": "string"},
        *(
            {
                "type": "object",
                "properties": {
                    word: {"type": "array", "items": {"$ref": _REF.format(name="PermissionQuery")}, "minItems": 1}
                },
                "required": [word],
            }
            for word in ("and", "or")
        ),
    ],
}

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "Makes a repetition harmless: the first successful answer is kept for 24 hours and given again to a call with "
        "the same key and body; with another body the answer is 409."
    ),
    "schema": {"type": "string", "minLength": 16, "maxLength": 255, "pattern": "^[!-~]{16,255}$"},
}

_RETRY_AFTER = {
    "description": "Seconds until the address is answered again, when too many unknown keys came from it.",
    "schema": {"type": "integer", "minimum": 1},
}

_EVERYWHERE = (ErrorCode.BAD_REQUEST, ErrorCode.INTERNAL_SERVER_ERROR)
_WITH_ROOT_KEY = (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN, ErrorCode.TOO_MANY_REQUESTS)

_MEANINGS = {
    400: "The request is not acceptable; the message names the field.",
    401: "The root key is missing, unknown or no root key.",
    403: "The root key lacks a permission, is disabled, expired or out of credits, or the workspace is disabled.",
    404: "There is no such object in the workspace.",
    408: "The request did not arrive in time.",
    409: "It exists already.",
    412: "The object is not set up for this, or protected.",
    413: "The body is larger than the server reads.",
    414: "The path and query are longer than the server reads.",
    429: "The root key is ratelimited, or too many unknown keys came from the client's address.",
    431: "The headers are larger than the server reads.",
    500: "An unexpected failure.",
    503: "Storage takes no writes at the moment (reason UNAVAILABLE).",
}


@cache
def document() -> dict[str, Any]:
    """The document, as what `json.dumps` takes."""
    types = [ErrorEnvelope, *(t for op in OPERATIONS for t in (op.request, op.answer))]
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    # The query is checked where it is evaluated, not while decoding.
    components["Authorization"]["properties"]["permissions"] = {
        "anyOf": [{"$ref": _REF.format(name="PermissionQuery")}, {"type": "null"}]
    }
    components["PermissionQuery"] = _PERMISSION_QUERY
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Keystead",
            "version": __version__,
            "summary": "The self-hosted system for API keys.",
            "description": (
                "RPC style: one path per operation. Instants are milliseconds since the Unix epoch, durations "
                "milliseconds, lengths of texts UTF-16 code units. Unknown members of requests are ignored; absent "
                "members of answers have no value."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(tag for op in OPERATIONS for tag in op.tags)],
        "paths": {op.path: {op.method.lower(): _operation(op)} for op in OPERATIONS},
        "components": {
            "schemas": _portable(components),
            "securitySchemes": {"rootKey": {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def document_bytes() -> bytes:
    """The document as JSON text."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2)


@cache
def page_bytes() -> bytes:
    """The document as a page to read; it loads nothing from anywhere."""
    # Here, not at the top: serving verifications needs no templates.
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("keystead.http"), autoescape=True)
    spec = document()
    operations = [
        {"path": path, "method": method.upper(), **entry}
        for path, methods in spec["paths"].items()
        for method, entry in methods.items()
    ]
    page = environment.get_template("docs.html")
    return page.render(spec=spec, operations=operations, schemas=spec["components"]["schemas"]).encode()


def _operation(operation: Operation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "tags": list(operation.tags),
        "summary": operation.summary,
        "description": _description(operation),
        "responses": _responses(operation),
    }
    if operation.authenticated:
        entry["security"] = [{"rootKey": []}]
        entry["x-permissions"] = [
            {"anyOf": [EVERYTHING, *need.alternatives], **({"when": need.when} if need.when else {})}
            for need in operation.needs
        ]
    if operation.audit:
        entry["x-audit-events"] = list(operation.audit)
    if operation.extension:
        entry["x-extension"] = True
    if operation.method == GET:
        entry["parameters"] = _parameters(operation)
    else:
        if operation.keeps_answers:
            entry["parameters"] = [_IDEMPOTENCY_KEY]
        entry["requestBody"] = {"required": True, "content": {_JSON: {"schema": _schema(operation.request)}}}
    return entry


def _description(operation: Operation) -> str:
    sentences = []
    for need in operation.needs:
        alternatives = ", ".join(f"`{slug}`" for slug in (EVERYTHING, *need.alternatives))
        sentences.append(f"Needs one of {alternatives}{f' when {need.when}' if need.when else ''}.")
    if not operation.authenticated:
        sentences.append("Needs no root key.")
    if operation.extension:
        sentences.append("An extension of the v1 API.")
    return " ".join(sentences)


def _responses(operation: Operation) -> dict[str, Any]:
    codes = {*_EVERYWHERE, *operation.errors, *(_WITH_ROOT_KEY if operation.authenticated else ())}
    if operation.keeps_answers:
        codes.add(ErrorCode.CONFLICT)
    statuses = {STATUSES[code] for code in codes} | {431, 503} | ({414} if operation.method == GET else {408, 413})
    success: dict[str, Any] = {"description": "Success.", "content": {_JSON: {"schema": _schema(operation.answer)}}}
    if operation is VERIFY_KEY:
        success["headers"] = {
            "Unkey-Ratelimit-Triggered": {
                "description": "The name of the limit that rejected; only with RATE_LIMITED.",
                "schema": {"type": "string"},
            }
        }
    failures: dict[str, dict[str, Any]] = {
        str(status): {"description": _MEANINGS[status], "content": {_JSON: {"schema": _schema(ErrorEnvelope)}}}
        for status in sorted(statuses)
    }
    if "429" in failures:
        failures["429"]["headers"] = {"Retry-After": _RETRY_AFTER}
    return {
        str(operation.success): _with_request_id(success),
        **{status: _with_request_id(f) for status, f in failures.items()},
    }


def _with_request_id(response: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "string", "pattern": "^req_[a-zA-Z0-9]+$"}
    request_id = {"Unkey-Request-Id": {"description": "Fresh per request.", "schema": schema}}
    return {**response, "headers": {**request_id, **response.get("headers", {})}}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    (reference,), components = msgspec.json.schema_components([operation.request], ref_template=_REF)
    schema = components[reference["$ref"].rpartition("/")[2]]
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": member}
        for name, member in schema["properties"].items()
    ]


def _portable(schema: Any) -> Any:
    """The schema with patterns that end as ECMA 262 has it, which has no end but `$`."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\Z", "$") if name == "pattern" and isinstance(value, str) else _portable(value)
            for name, value in schema.items()
        }
    return [_portable(item) for item in schema] if isinstance(schema, list) else schema


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema
