"""What the fuzzer reports."""


class Violation(Exception):
    """A promise the server broke; the text says which, and shows what it did."""


def shown(data: bytes, most: int = 3000) -> str:
    """`data` as Python writes it, the middle left out where it is long."""
    if len(data) <= most:
        return repr(data)
    return f"{data[: most // 2]!r} … ({len(data)} bytes) … {data[-most // 2 :]!r}"
