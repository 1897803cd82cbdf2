"""Dependencies point inward, and client and server know nothing of each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVER = ROOT / "server" / "src" / "keystead"
CLIENT = ROOT / "client" / "src" / "unkey_py"

ALLOWED = {
    # part: the parts of keystead it may import, besides itself
    "core": set(),
    "clock": set(),
    "contract": {"core"},
    "ports": {"core"},
    "encryption": {"core"},
    "control": {"core"},
    "config": {"core"},
    "logs": {"core"},
    "service": {"core", "contract", "ports", "encryption"},
    "connect": set(),
    "threads": set(),
    "stores": {"core", "ports", "connect", "threads"},
    "limiters": {"core", "threads"},
    "sinks": {"core", "clock", "stores", "connect", "threads"},
    "http": {"core", "contract", "service", "clock"},
    "commands": {"core", "contract", "service", "clock", "control", "http"},
    "cli": {"core", "config", "logs", "control", "assembly", "http"},
}
"""Parts that are not listed (`assembly`, `testing`, `__main__`) put everything together and may import anything."""

EXCEPTIONS = {
    # The runner of migrations is shared by both databases.
    ("sinks", "keystead.stores.migrate"),
}

CORE_LIBRARIES = {"msgspec", "keystead"}


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            base = node.module or ""
            names |= {f"{base}.{alias.name}" for alias in node.names} if base == "keystead" else {base}
    return names


def part_of(path: Path) -> str:
    return path.relative_to(SERVER).parts[0].removesuffix(".py")


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_dependencies_point_inward(part: str):
    """A part of the server imports only the parts it is allowed to know."""
    files = [path for path in modules(SERVER) if part_of(path) == part]
    assert files
    for path in files:
        for name in imported(path):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if package != "keystead" or not rest or other in (part, "__version__"):
                continue
            if other == "stores" and part == "sinks":
                assert (part, name) in EXCEPTIONS, f"{path} imports {name}"
            assert other in ALLOWED[part], f"{path} imports {name}"


def test_only_assembly_names_concrete_adapters():
    """Stores, limiters and sinks are chosen in one place."""
    for path in modules(SERVER):
        if part_of(path) in ("stores", "limiters", "sinks", "assembly", "testing"):
            continue
        adapters = {name for name in imported(path) if name.startswith(("keystead.stores", "keystead.limiters"))}
        assert not adapters, f"{path} imports {adapters}"


def test_the_core_is_pure():
    """The core uses the standard library and msgspec only, and no clock, randomness, file or network of it."""
    forbidden = {"time", "random", "secrets", "os", "socket", "asyncio", "threading", "pathlib", "logging"}
    standard = {"ast"} | set(__import__("sys").stdlib_module_names)
    for path in modules(SERVER / "core"):
        for name in imported(path):
            package = name.partition(".")[0]
            assert package in standard | CORE_LIBRARIES, f"{path} imports {name}"
            assert package not in forbidden, f"{path} imports {name}"


def test_client_and_server_are_apart():
    """Neither distribution imports the other; both answer to the contract."""
    for path in modules(CLIENT):
        assert not any(name.partition(".")[0] == "keystead" for name in imported(path)), path
    for path in modules(SERVER):
        assert not any(name.partition(".")[0] == "unkey_py" for name in imported(path)), path
