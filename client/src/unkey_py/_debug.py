"""Debug records of the exchange, in which no token, key or plaintext is ever readable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unkey_py.utils.logger import Logger, NoOpLogger, get_body_content

if TYPE_CHECKING:
    import httpx

_HIDDEN = "***"
_SECRET_MEMBERS = {"key", "plaintext"}
# Beside the credentials: whoever knows an Idempotency-Key can decrypt the answer kept under it (D15).
_SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie", "set-cookie", "idempotency-key"}


class Journal:
    """Two records per attempt; costs nothing when the logger is silent.

    A secret seen in one body is hidden wherever it turns up later, such as in the message of a refusal.
    """

    def __init__(self, logger: Logger) -> None:
        self._logger = None if isinstance(logger, NoOpLogger) else logger
        self._secrets: set[str] = set()

    def request(self, request: httpx.Request) -> None:
        """Record what is about to be sent."""
        if self._logger is not None:
            body = self._masked(get_body_content(request))
            self._logger.debug(
                "Request:\nMethod: %s\nURL: %s\nHeaders: %s\nBody: %s",
                request.method,
                _mask_url(request.url),
                _mask_headers(request.headers),
                body,
            )

    def response(self, response: httpx.Response) -> None:
        """Record what came back."""
        if self._logger is not None:
            body = self._masked(response.text)
            self._logger.debug(
                "Response:\nStatus Code: %s\nURL: %s\nHeaders: %s\nBody: %s",
                response.status_code,
                _mask_url(response.url),
                _mask_headers(response.headers),
                body,
            )

    def failure(self) -> None:
        """Record that nothing came back, with the exception being handled."""
        if self._logger is not None:
            self._logger.debug("Request Exception", exc_info=True)

    def _masked(self, body: str) -> str:
        text = mask_body(body, self._secrets)
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def mask_body(body: str, secrets: set[str] | None = None) -> str:
    """The body with the values of `key` and `plaintext` hidden, and added to `secrets`.

    Of a body that is not JSON only the length is told: nothing says where in it a secret may stand.
    """
    if not body:
        return body
    try:
        document = json.loads(body)
    except ValueError:
        return f"<{len(body)} characters that are not JSON>"
    return json.dumps(_mask(document, set() if secrets is None else secrets))


def _mask(value: Any, secrets: set[str]) -> Any:
    if isinstance(value, list):
        return [_mask(member, secrets) for member in value]
    if not isinstance(value, dict):
        return value
    masked = {}
    for name, member in value.items():
        if name in _SECRET_MEMBERS and isinstance(member, str):
            secrets.update({member} if member else ())
            masked[name] = _HIDDEN
        else:
            masked[name] = _mask(member, secrets)
    return masked


def _mask_url(url: httpx.URL) -> str:
    return str(url.copy_with(userinfo=_HIDDEN.encode()) if url.userinfo else url)


def _mask_headers(headers: httpx.Headers) -> dict[str, str]:
    return {name: _HIDDEN if name.lower() in _SECRET_HEADERS else value for name, value in headers.items()}
