"""What a unit of work makes stale of what is cached."""


class Touched:
    """Hashes of keys whose cached form no longer holds, or `everything` about keys; namespaces by workspace and name.

    Changes that reach an unknown number of keys (of a role, an api, a workspace) are rare and touch everything; loading
    a key again is one statement.
    """

    __slots__ = ("everything", "hashes", "namespaces")

    def __init__(self) -> None:
        self.hashes: set[str] = set()
        self.everything = False
        self.namespaces: set[tuple[str, str]] = set()
