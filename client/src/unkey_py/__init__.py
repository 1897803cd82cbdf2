"""Client of the v1 API for API keys, a drop-in for the published SDK 0.10; start with `Unkey`.

Every name is imported when first used, so importing the package costs next to nothing. The tables below are all
there is at run time; type checkers read `__init__.pyi`. Tests hold the two together.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unkey_py._version import __gen_version__, __openapi_doc_version__, __user_agent__, __version__
from unkey_py._version import __title__ as __title__

VERSION: str = __version__
OPENAPI_DOC_VERSION = __openapi_doc_version__
SPEAKEASY_GENERATOR_VERSION = __gen_version__
USER_AGENT = __user_agent__

_SUBMODULES = [
    "analytics",
    "apis",
    "basesdk",
    "httpclient",
    "identities",
    "keys",
    "liveness",
    "migrations",
    "models",
    "permissions",
    "ratelimit",
    "ratelimits",
    "sdk",
    "sdkconfiguration",
    "types",
    "utils",
]
_HOMES = {
    "Analytics": "analytics",
    "Apis": "apis",
    "AsyncHttpClient": "httpclient",
    "BaseSDK": "basesdk",
    "HttpClient": "httpclient",
    "Identities": "identities",
    "Keys": "keys",
    "Liveness": "liveness",
    "Logger": "utils",
    "Migrations": "migrations",
    "OptionalNullable": "types",
    "Permissions": "permissions",
    "Ratelimit": "ratelimit",
    "Ratelimits": "ratelimits",
    "RetryConfig": "utils",
    "SDKConfiguration": "sdkconfiguration",
    "SERVERS": "sdkconfiguration",
    "Unkey": "sdk",
    "UNSET": "types",
}
_CONSTANTS = ["OPENAPI_DOC_VERSION", "SPEAKEASY_GENERATOR_VERSION", "USER_AGENT", "VERSION"]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name == "__all__":
        return sorted([*_CONSTANTS, *_HOMES, *_SUBMODULES, *import_module(f"{__name__}.models").__all__])
    home = import_module(f"{__name__}.{_HOMES.get(name, 'models')}")
    try:
        value = getattr(home, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
