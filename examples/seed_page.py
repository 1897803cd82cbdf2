"""The examples of `keys-sdk.md`, the client's documentation of the key operations, as they stand there."""

import re
from pathlib import Path

PAGE = Path(__file__).parent / "keys-sdk.md"

_SECTION = re.compile(r"^## (\w+)$", re.MULTILINE)
_CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def examples() -> dict[str, str]:
    """Operation → its example, in the order of the page."""
    parts = _SECTION.split(PAGE.read_text())
    found = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        code = _CODE.search(text)
        if code:
            found[name] = code[1]
    return found


def with_ids(code: str, ids: dict[str, str]) -> str:
    """The example with the placeholders that `ids` names (`"key_123"`, `"<id>"`, …) replaced, and nothing else."""
    for placeholder, real in ids.items():
        code = code.replace(f'"{placeholder}"', f'"{real}"')
    return code
