"""The two drivers of a call's flow, one blocking and one not; all I/O of the package happens here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from unkey_py._flow import Chance, Steps, Wait, call
from unkey_py._operation import Operation, Options
from unkey_py.sdkconfiguration import SDKConfiguration

if TYPE_CHECKING:
    from unkey_py.types import OptionalNullable
    from unkey_py.utils import RetryConfig

R = TypeVar("R")


async def _let_pass(seconds: float) -> None:
    # httpx brings anyio, which knows every event loop httpx knows.
    import anyio

    await anyio.sleep(seconds)


class BaseSDK:
    """A group of operations, over the settings and connections of one client."""

    # What a call takes from outside; tests put their own here.
    _chance: Chance = Chance()
    _sleep: Callable[[float], None] = staticmethod(time.sleep)
    _sleep_async: Callable[[float], Awaitable[None]] = staticmethod(_let_pass)

    def __init__(self, sdk_config: SDKConfiguration) -> None:
        self.sdk_configuration = sdk_config

    def _call(
        self,
        operation: Operation[R],
        request: Any,
        retries: OptionalNullable[RetryConfig],
        server_url: str | None,
        timeout_ms: int | None,
        http_headers: Mapping[str, str] | None,
    ) -> R:
        options = Options(retries, timeout_ms, http_headers)
        config = self.sdk_configuration
        server = config.server(server_url)
        client = config.pools().pool(server) if config.client is None else config.client
        steps = call(operation, request, server, options, config, client.build_request, self._chance)
        return _drive(steps, client.send, self._sleep)

    async def _call_async(
        self,
        operation: Operation[R],
        request: Any,
        retries: OptionalNullable[RetryConfig],
        server_url: str | None,
        timeout_ms: int | None,
        http_headers: Mapping[str, str] | None,
    ) -> R:
        options = Options(retries, timeout_ms, http_headers)
        config = self.sdk_configuration
        server = config.server(server_url)
        client = config.pools().async_pool(server) if config.async_client is None else config.async_client
        steps = call(operation, request, server, options, config, client.build_request, self._chance)
        return await _drive_async(steps, client.send, self._sleep_async)


def _drive(steps: Steps[R], send: Callable[..., Any], sleep: Callable[[float], None]) -> R:
    try:
        step = next(steps)
        while True:
            if isinstance(step, Wait):
                sleep(step.seconds)
                step = next(steps)
                continue
            try:
                response = send(step.request, stream=False)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(response)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def _drive_async(
    steps: Steps[R], send: Callable[..., Awaitable[Any]], sleep: Callable[[float], Awaitable[None]]
) -> R:
    try:
        step = next(steps)
        while True:
            if isinstance(step, Wait):
                await sleep(step.seconds)
                step = next(steps)
                continue
            try:
                response = await send(step.request, stream=False)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(response)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
