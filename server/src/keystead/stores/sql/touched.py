"""Which cached keys a unit of work makes stale."""


class Touched:
    """Hashes of keys whose cached form no longer holds, or `everything`.

    Changes that reach an unknown number of keys (of a role, an api, a workspace) are rare and touch everything; loading
    a key again is one statement.
    """

    __slots__ = ("everything", "hashes")

    def __init__(self) -> None:
        self.hashes: set[str] = set()
        self.everything = False
