"""A caller with the real client who repeats what gets no answer, under the same Idempotency-Key, until there is one.

The client by itself waits for a server that can not be reached. A connection that breaks while a call is under way it
reports to its caller, as the published one does.
"""

import threading
from collections.abc import Callable
from typing import Any

import httpx

from keystead.testing.connection import Connection
from proof.crash.books import Books
from proof.crash.pages import Keyring
from proof.crash.undecided import Count
from unkey_py import Unkey
from unkey_py.utils import BackoffStrategy, RetryConfig

_FOR_A_SECOND = RetryConfig("backoff", BackoffStrategy(20, 200, 1.5, 1000), True)


class PatientCaller:
    """Tops a key up and creates keys, each exactly once whatever happens to the server meanwhile.

    `begin` starts calling in a thread; `end`, when a server runs, waits for the last answer and enters what was
    answered into the ledger. A page of the ledger too, for the key that it tops up.
    """

    def __init__(self, books: Books, client: Connection, api_id: str, keyring: Keyring) -> None:
        self._books = books
        self._keyring = keyring
        self._key = books.create_key(client, api_id, remaining=1)
        self.balance = Count(1)
        self._thread: threading.Thread | None = None
        self._enough = threading.Event()
        self._is_given_up = False
        self._failure: BaseException | None = None
        self._topped_up: list[int] = []
        self._created: list[tuple[str, str, str]] = []
        self._calls = 0
        self.repeated = 0

    def deed(self, slot: int) -> None:
        """Nothing for the connections."""

    def begin(self, url: str, root_key: str) -> None:
        """Call again and again."""
        self._enough.clear()
        self._thread = threading.Thread(target=self._call, args=(url, root_key), name="patient-caller")
        self._thread.start()

    def end(self) -> None:
        """Wait for the call under way. Raises what the client raised."""
        if self._thread is None:
            return
        self._enough.set()
        self._thread.join()
        self._thread = None
        if self._failure is not None:
            raise self._failure
        for value in self._topped_up:
            self.balance.add(value)
            self._books.audit["key.update", self._key["keyId"]].add(1)
        for key_id, secret, name in self._created:
            self._keyring.adopt(key_id, secret, name)
        self._books.acknowledged["unkey_py"] += len(self._topped_up) + len(self._created)
        self._topped_up, self._created = [], []

    def give_up(self) -> None:
        """Stop calling, whether or not there is an answer."""
        self._is_given_up = True
        self._enough.set()
        if self._thread is not None:
            self._thread.join()

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """Each top-up has happened once."""
        found = client.get("keys.getKey", keyId=self._key["keyId"]).json["remaining"]
        self.balance.settle(found, "the balance of the patient caller", is_clean=is_clean)

    def _call(self, url: str, root_key: str) -> None:
        try:
            with Unkey(bearer_auth=root_key, server_url=url) as unkey:
                while not self._enough.wait(0.005):
                    self._calls += 1
                    self._create(unkey) if self._calls % 3 == 0 else self._top_up(unkey)
        except BaseException as failure:
            self._failure = failure

    def _top_up(self, unkey: Unkey) -> None:
        value = self._calls % 7
        request: Any = {"key_id": self._key["keyId"], "op": "increment", "value": value}
        self._insist(unkey.keys.update_remaining, request)
        self._topped_up.append(value)

    def _create(self, unkey: Unkey) -> None:
        name = f"patient {self._calls}"
        request: Any = {"api_id": self._keyring.api_id, "name": name, "prefix": self._books.prefix}
        made = self._insist(unkey.keys.create, request).object
        assert made is not None
        self._created.append((made.key_id, made.key, name))

    def _insist(self, operation: Callable[..., Any], request: Any) -> Any:
        headers = {"Idempotency-Key": f"{self._books.prefix}-patient-call-{self._calls}"}
        while True:
            try:
                return operation(request=request, retries=_FOR_A_SECOND, http_headers=headers)
            except httpx.TransportError:
                if self._is_given_up:
                    raise
                self.repeated += 1
