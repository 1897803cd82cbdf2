"""What is attached to what, where it is much."""

import time
from typing import Any

from keystead.core.entities import Permission
from keystead.service.links import Kind, Links, Wanted


def test_naming_much_costs_no_product() -> None:
    """Selecting many of many takes a look at each, not at each for each: the one writer does it."""
    present = [Permission(f"perm_{number}", f"p{number}", f"p{number}") for number in range(10_000)]
    wanted = [Wanted(None, f"q{number}") for number in range(50_000)] + [
        Wanted("perm_7", None),
        Wanted("perm_no", "p8"),
        Wanted(None, "p9"),
    ]
    detached: list[str] = []
    pairs: list[Any] = []
    links: Any = Links(
        kind=Kind("permission", lambda permission: permission.slug, dict, dict, dict),  # type: ignore[arg-type]
        present=present,
        connect=lambda ids: None,
        disconnect=detached.extend,
        event="permission_and_key",
        pair=lambda permission: (permission, permission),  # type: ignore[arg-type,return-value]
        may_connect="",
        may_disconnect="",
        caller=None,  # type: ignore[arg-type]
        trail=type("Trail", (), {"links": lambda self, event, linked: pairs.extend(linked)})(),
    )
    before = time.process_time()
    links.remove(wanted)
    assert time.process_time() - before < 5
    assert detached == ["perm_7", "perm_9"]
    assert len(pairs) == 2
