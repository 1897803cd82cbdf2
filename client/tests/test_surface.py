"""The published interface, name by name: `sdk_surface.json` is walked, and every difference is named here."""

import ast
import collections.abc
import dataclasses
import enum
import importlib
import inspect
import json
import re
import typing
from pathlib import Path

import httpx
import pydantic
import pytest
from pydantic_core import PydanticUndefined

import unkey_py
from unkey_py import models, sdkconfiguration, types
from unkey_py.httpclient import AsyncHttpClient, HttpClient
from unkey_py.types import UNSET, Nullable, OptionalNullable
from unkey_py.utils import Logger, RetryConfig

SURFACE = json.loads(Path(__file__).with_name("sdk_surface.json").read_text())

# What we leave out or do otherwise on purpose, and why. Each entry must be used, so the list cannot grow stale.
DIFFERENCES = {
    "package.constants.SERVERS": "a root key is never sent to somebody else's domain by default (D14)",
    "models.GetVerificationsRequest.end.default": "the published one is the moment it was generated (sdk.md 16)",
    "models.ListIdentitiesResponse.order": "`http_meta` comes first, as in every other result",
    "models.ListIdentitiesResponse.next.type": "after `list_async` it gives an awaitable (sdk.md 17)",
    "models.ListIdentitiesResponse.next.excluded": "a function cannot be dumped (sdk.md 12, 17)",
    "groups.keys.get_verifications.request.default": "an equal empty dict: a model would make imports slow",
    "groups.identities.update.request.default": "an equal empty dict: a model would make imports slow",
    "sdk_configuration.get_hooks": "hooks served whoever generated the SDK (sdk.md 15: treat as not public)",
    "utils.generated": "machinery of the generated client, used by nothing here and documented nowhere",
    "modules.accidents": "UNSET_SENTINEL in model modules and TYPE_CHECKING: imports, reachable by accident",
    "modules.parts": "submodules of `utils` and `types` other than the documented ones go with that machinery",
    "httpclient.types": "spelled with httpx's own aliases",
}
USED = set()


def differs(name: str) -> bool:
    USED.add(name)
    return name in DIFFERENCES


NAMES = {
    "Union": typing.Union,
    "Optional": typing.Optional,
    "List": list,
    "Dict": dict,
    "Tuple": tuple,
    "Any": typing.Any,
    "Callable": collections.abc.Callable,
    "Mapping": collections.abc.Mapping,
    "Nullable": Nullable,
    "OptionalNullable": OptionalNullable,
    "RetryConfig": RetryConfig,
    "Logger": Logger,
    "HttpClient": HttpClient,
    "AsyncHttpClient": AsyncHttpClient,
    "httpx": httpx,
    **{name: getattr(models, name) for name in models.__all__},
}


def evaluated(notation: str) -> object:
    return eval(notation, dict(NAMES))


def default_of(entry: dict) -> object:
    match entry.get("default_kind"):
        case "sentinel":
            return UNSET
        case "enum_member":
            kind, _, member = entry["default"].partition(".")
            return getattr(models, kind)[member]
    return entry["default"]


def parameters_of(callable_) -> dict:
    hints = typing.get_type_hints(callable_)
    signature = inspect.signature(callable_).parameters.values()
    return {p.name: (p.kind.name.lower(), p.default, hints.get(p.name)) for p in signature if p.name != "self"}


def expected_parameters(entries: list, path: str) -> dict:
    found = {}
    for entry in entries:
        default = inspect.Parameter.empty if entry["required"] else None
        if not entry["required"]:
            default = {} if differs(f"{path}.{entry['name']}.default") else default_of(entry)
        found[entry["name"]] = (entry["kind"], default, evaluated(entry["type"]))
    return found


@pytest.mark.parametrize("name", SURFACE["models"])
def test_models(name):
    """A model has the published fields in order, with types, wire names, defaults and marks."""
    expected, model = SURFACE["models"][name], getattr(models, name)
    assert issubclass(model, types.BaseModel)
    if not differs(f"models.{name}.order"):
        assert list(model.model_fields) == expected["field_order"]
    assert set(model.model_fields) == set(expected["field_order"])
    assert hasattr(model, "__deprecated__") == expected.get("deprecated_class", False)
    for field, facts in expected["fields"].items():
        ours, path = model.model_fields[field], f"models.{name}.{field}"
        assert (ours.alias or field) == facts["wire_name"], field
        assert ours.is_required() == facts["required"], field
        assert bool(ours.deprecated) == facts.get("deprecated", False), field
        if not differs(f"{path}.type"):
            assert ours.annotation == evaluated(facts["type"]), field
        if not differs(f"{path}.excluded"):
            assert bool(ours.exclude) == facts.get("excluded_from_dump", False), field
        if not differs(f"{path}.default"):
            assert ours.default == (PydanticUndefined if facts["required"] else default_of(facts)), field


@pytest.mark.parametrize("name", SURFACE["typed_dicts"])
def test_typed_dicts(name):
    """A typed dict has the published keys and types, and lives beside its model."""
    typed_dict = getattr(models, name)
    assert typing.is_typeddict(typed_dict)
    expected = {key: evaluated(facts["type"]) for key, facts in SURFACE["typed_dicts"][name]["fields"].items()}
    assert typing.get_type_hints(typed_dict) == expected
    assert typed_dict.__module__ == getattr(models, name.removesuffix("TypedDict")).__module__
    assert hasattr(typed_dict, "__deprecated__") == SURFACE["typed_dicts"][name].get("deprecated_class", False)


@pytest.mark.parametrize("name", SURFACE["enums"])
def test_enums(name):
    """An enum is a string enum with the published members in order."""
    expected, ours = SURFACE["enums"][name], getattr(models, name)
    assert [base.__name__ for base in ours.__bases__] == expected["bases"]
    assert ours.__base__ is enum.Enum or ours.__bases__[1] is enum.Enum
    assert [[member.name, member.value] for member in ours] == expected["members"]
    assert hasattr(ours, "__deprecated__") == expected.get("deprecated_class", False)


@pytest.mark.parametrize("name", SURFACE["type_aliases"])
def test_type_aliases(name):
    """A type alias stands for what it is published to stand for."""
    assert getattr(models, name) == evaluated(SURFACE["type_aliases"][name]["expands_to"])


@pytest.mark.parametrize("name", SURFACE["errors"])
def test_errors(name):
    """An exception derives from Exception alone, is made as published and holds its arguments."""
    expected, error = SURFACE["errors"][name], getattr(models, name)
    assert [base.__name__ for base in error.__bases__] == expected["bases"]
    assert error.__module__ == expected["module"]
    ours = parameters_of(error.__init__)
    assert ours == expected_parameters(expected["constructor"], f"errors.{name}")
    assert set(expected["attributes"]) <= set(typing.get_type_hints(error))
    made = error("what")
    assert made.args == ("what",)
    assert getattr(made, expected["constructor"][0]["name"]) == "what"


OPERATIONS = [(group, name) for group, facts in SURFACE["groups"].items() for name in facts["operations"]]


@pytest.mark.parametrize(("group", "name"), OPERATIONS)
def test_operations(group, name):
    """An operation has the published signature in both flavours, and is declared as it goes over the wire."""
    facts = SURFACE["groups"][group]
    operation = facts["operations"][name]
    owner = getattr(importlib.import_module(facts["module"]), facts["class"])
    method, twin = getattr(owner, name), getattr(owner, operation["async_method"])
    assert inspect.signature(method) == inspect.signature(twin)
    assert inspect.iscoroutinefunction(twin)
    assert not inspect.iscoroutinefunction(method)
    assert parameters_of(method) == expected_parameters(operation["parameters"], f"groups.{group}.{name}")
    assert typing.get_type_hints(method)["return"] == evaluated(operation["returns"])

    declared = getattr(importlib.import_module(facts["module"]), f"_{name.upper()}")
    success = operation["success"]
    sent = operation.get("query_model") or operation.get("request_body", {}).get("model")
    assert (declared.operation_id, declared.method, declared.path) == (
        operation["operation_id"],
        operation["http_method"],
        operation["path"],
    )
    assert declared.request == (sent and re.sub(r"\w+\[|\]", "", sent))
    assert declared.is_list == (sent or "").startswith("List[")
    assert (declared.result, declared.attribute) == (success["wrapper"], success["attribute"])
    assert declared.success_status == success["status"]
    assert declared.is_paged == success.get("has_next", False)
    assert bool(declared.refusals) == (operation["error_mapping"] != "common")


def test_what_changes_and_what_spends():
    """Exactly the POST operations that create or change something carry an Idempotency-Key (D15)."""
    neither, spending = {"keys.whoami"}, {"keys.verify", "ratelimits.limit"}
    for group, name in OPERATIONS:
        facts = SURFACE["groups"][group]
        declared = getattr(importlib.import_module(facts["module"]), f"_{name.upper()}")
        full_name = f"{group}.{name}"
        assert declared.spends == (full_name in spending), full_name
        changes = declared.method == "POST" and full_name not in neither | spending
        assert declared.changes == changes, full_name


def test_client():
    """The client is made as published and has the published groups, each of its class."""
    facts = SURFACE["client"]
    assert parameters_of(unkey_py.Unkey.__init__) == expected_parameters(facts["constructor"], "client")
    assert [base.__name__ for base in unkey_py.Unkey.__bases__] == facts["bases"]
    unkey = unkey_py.Unkey()
    attributes = {name: type(getattr(unkey, name)).__name__ for name in facts["attributes"]}
    assert attributes == facts["attributes"]
    for group in SURFACE["groups"]:
        assert getattr(unkey, group).sdk_configuration is unkey.sdk_configuration


def test_sdk_configuration():
    """The shared settings have the published fields in order, and their methods."""
    facts = SURFACE["sdk_configuration"]
    ours = [f for f in dataclasses.fields(sdkconfiguration.SDKConfiguration) if not f.name.startswith("_")]
    assert [field.name for field in ours] == [entry["name"] for entry in facts["fields"]]
    made = sdkconfiguration.SDKConfiguration(None, False, None, False, None)
    hints = typing.get_type_hints(sdkconfiguration.SDKConfiguration)
    for entry in facts["fields"]:
        assert hints[entry["name"]] == evaluated(entry["type"])
        if "default" in entry:
            assert getattr(made, entry["name"]) == entry["default"]
    assert made.retry_config is UNSET
    for method in facts["methods"]:
        assert hasattr(made, method) or differs(f"sdk_configuration.{method}")


@pytest.mark.parametrize("name", SURFACE["httpclient"]["protocols"])
def test_http_clients(name):
    """The protocols of custom HTTP clients have the published methods, parameters and defaults."""
    protocol = getattr(unkey_py.httpclient, name)
    for method, facts in SURFACE["httpclient"]["protocols"][name]["methods"].items():
        if method == "__init__":
            continue
        ours = inspect.signature(getattr(protocol, method)).parameters
        expected = {"self": inspect.Parameter.empty}
        for entry in facts["parameters"]:
            is_sentinel = entry.get("default_kind") == "httpx_sentinel"
            default = httpx.USE_CLIENT_DEFAULT if is_sentinel else entry.get("default")
            expected[entry["name"]] = inspect.Parameter.empty if entry["required"] else default
            assert ours[entry["name"]].kind.name.lower() == entry["kind"]
        assert {p.name: p.default for p in ours.values()} == expected
        assert inspect.iscoroutinefunction(getattr(protocol, method)) == facts.get("async", False)
        assert differs("httpclient.types")
    for attribute in SURFACE["httpclient"]["protocols"][name]["attributes"]:
        assert attribute in protocol.__annotations__
    assert list(inspect.signature(unkey_py.httpclient.close_clients).parameters) == [
        entry["name"] for entry in SURFACE["httpclient"]["functions"]["close_clients"]["parameters"]
    ]


def test_constants():
    """The constants say what the published release says, except where requests go."""
    homes = [unkey_py, sdkconfiguration, unkey_py._version]
    for name, value in SURFACE["package"]["constants"].items():
        ours = next(getattr(home, name) for home in homes if hasattr(home, name))
        assert (ours == value) != differs(f"package.constants.{name}"), name


def test_modules():
    """Every published name is found in the module it is published in."""
    parts = re.compile(r"unkey_py\.(utils\.(?!retries|logger)\w+)$")
    for name, facts in SURFACE["modules"].items():
        if parts.match(name):
            assert differs("modules.parts")
            continue
        module = importlib.import_module(name)
        for defined in facts["defined"]:
            if hasattr(module, defined):
                continue
            if defined in {"UNSET_SENTINEL", "TYPE_CHECKING"} and differs("modules.accidents"):
                continue
            assert name in {"unkey_py.utils.retries"}, (name, defined)
            assert defined.startswith("retry"), defined
            assert differs("utils.generated")


def test_models_are_complete():
    """`models` names exactly the published models, enums, typed dicts, aliases and exceptions."""
    kinds = ("models", "enums", "typed_dicts", "type_aliases", "errors")
    assert models.__all__ == sorted(name for kind in kinds for name in SURFACE[kind])
    for kind in ("models", "enums", "type_aliases", "errors"):
        for name, facts in SURFACE[kind].items():
            assert hasattr(importlib.import_module(facts["module"]), name)


def test_top_level():
    """The package has the documented names, its submodules, and every name of `models`."""
    facts = SURFACE["top_level"]
    for name in [*facts["deliberate"], *facts["submodules"], *models.__all__]:
        assert hasattr(unkey_py, name), name
    star = {}
    exec("from unkey_py import *", star)
    assert set(star) >= {*facts["deliberate"], *models.__all__}
    assert not hasattr(unkey_py, "NoSuchName")
    assert not hasattr(models, "NoSuchName")
    assert set(facts["deliberate"]) <= set(dir(unkey_py))


def test_utils():
    """The documented helpers have the published signatures."""
    for name, facts in SURFACE["utils"]["documented"].items():
        ours = getattr(unkey_py.utils, name)
        for method, signature in facts["methods"].items():
            if name == "Logger" and method == "__init__":
                continue
            parameters = list(inspect.signature(getattr(ours, method)).parameters.values())[1:]
            expected = [(entry["name"], entry["kind"]) for entry in signature["parameters"]]
            assert [(p.name, p.kind.name.lower()) for p in parameters] == expected
    assert all(hasattr(types, name) for name in SURFACE["types"]["__all__"])
    assert set(types.__all__) == set(SURFACE["types"]["__all__"])
    assert set(unkey_py.utils.__all__) < set(SURFACE["utils"]["__all__"])
    assert differs("utils.generated")


def test_stubs():
    """What type checkers read names what is there at run time, and nothing more."""
    stub = ast.parse(Path(models.__file__).with_suffix(".pyi").read_text())
    assert {node.module.rpartition(".")[2] for node in stub.body} == set(models._MODULES)
    stub = ast.parse(Path(unkey_py.__file__).with_suffix(".pyi").read_text())
    named = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    named |= {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    named = {name for name in named if name and not name.startswith("__")}
    assert named == {*unkey_py._HOMES, *unkey_py._SUBMODULES, *unkey_py._CONSTANTS}


def test_model_settings():
    """Models are configured as published."""
    facts, config = SURFACE["model_config"], types.BaseModel.model_config
    assert issubclass(types.BaseModel, pydantic.BaseModel)
    assert config["populate_by_name"] is facts["accept_python_name_and_wire_name"]
    assert config["arbitrary_types_allowed"] is facts["arbitrary_types_allowed"]
    assert list(config["protected_namespaces"]) == facts["protected_namespaces"]
    assert config.get("validate_assignment", False) is facts["validate_assignment"]
    assert config.get("extra", "ignore").startswith("ignore")


def test_every_difference_is_one():
    """No difference is listed that nothing makes use of."""
    for name in SURFACE["models"]:
        test_models(name)
    for group, name in OPERATIONS:
        test_operations(group, name)
    for name in SURFACE["httpclient"]["protocols"]:
        test_http_clients(name)
    for test in (test_sdk_configuration, test_constants, test_modules, test_utils):
        test()
    assert set(DIFFERENCES) <= USED
