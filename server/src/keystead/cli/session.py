"""Having commands done: by the running server, or here when there is none."""

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from keystead.cli.options import read_settings

if TYPE_CHECKING:
    from keystead.config import Settings
    from keystead.control import Perform

_TRIES = 5


class Session:
    """Several commands on one database; a context manager.

    Each is asked of the running server. Without one the database is opened here, and stays open and locked until the
    end: the pages of a listing come from one opening.
    """

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._closing = ExitStack()
        self._here: Perform | None = None

    def perform(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What a command answers. Raises KeysteadError or StartupError."""
        from keystead.control import DatabaseInUse, call_control

        if self._here is not None:
            return self._here(command, arguments)
        for _ in range(_TRIES):
            answer = call_control(self._settings.database_path, command, arguments)
            if answer is not None:
                return answer
            try:
                self._here = self._open()
            except DatabaseInUse as error:
                # A server or another command took the database between the look and the attempt: ask it instead.
                in_use = error
            else:
                return self._here(command, arguments)
        raise in_use

    def _open(self) -> "Perform":
        # Here, not at the top: beside a running server the storage is never loaded.
        from keystead.assembly import offline

        return self._closing.enter_context(offline(self._settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()


def open_session(database: str | None, config: str | None) -> Session:
    """A session on the database that these flags and all other sources name. Raises StartupError."""
    return Session(read_settings(database_url=database, config=config))


def perform(database: str | None, config: str | None, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a single command answers. Raises KeysteadError or StartupError."""
    with open_session(database, config) as session:
        return session.perform(command, arguments)
