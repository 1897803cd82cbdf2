"""A user's program as a strict type checker must see it; run by test_typing.py, never executed."""

from typing import assert_type

import httpx

import unkey_py
from unkey_py import Unkey, models
from unkey_py.httpclient import AsyncHttpClient, HttpClient
from unkey_py.types import UNSET
from unkey_py.utils import BackoffStrategy, RetryConfig

blocking: HttpClient = httpx.Client()
awaitable: AsyncHttpClient = httpx.AsyncClient()
retries = RetryConfig("backoff", BackoffStrategy(1, 2, 1.5, 4), True)
unkey = Unkey("root", client=blocking, async_client=awaitable, retry_config=retries, timeout_ms=1000)


def use() -> None:
    """Requests may be dicts or models; answers, exceptions and enums have their types."""
    result = unkey.keys.verify(request={"key": "k"}, retries=None, server_url="http://s", timeout_ms=1)
    assert_type(result, models.VerifyKeyResponse)
    assert result.v1_keys_verify_key_response is not None
    assert_type(result.v1_keys_verify_key_response.code, unkey_py.Code)
    update = models.UpdateKeyRequestBody(key_id="k", name=None, remaining=UNSET)
    unkey.keys.update(request=update)
    unkey.keys.update(request={"key_id": "k", "refill": {"interval": unkey_py.UpdateKeyInterval.DAILY, "amount": 1}})
    try:
        assert_type(unkey.keys.get(key_id="k", decrypt=True).key, models.Key | None)
    except models.ErrNotFound as error:
        assert_type(error.data.error.request_id, str)
        assert_type(error.status_code, int)
    except unkey_py.SDKError as error:
        assert_type(error.raw_response, httpx.Response | None)


async def use_async() -> None:
    """The twins have the same types."""
    async with unkey as entered:
        assert_type(await entered.keys.create_async(request={"api_id": "a"}), models.CreateKeyResponse)
        assert_type(await entered.identities.list_async(), models.ListIdentitiesResponse | None)


def misuse() -> None:
    """What a checker must refuse; a comment that suppresses nothing is an error too."""
    unkey.keys.create(request={"name": "no api"})  # type: ignore[arg-type]
    unkey.keys.create({"api_id": "a"})  # type: ignore[call-arg]
    unkey.keys.get()  # type: ignore[call-arg]
    unkey.keys.nothing()  # type: ignore[attr-defined]
    models.CreateKeyRequestBody(api_id=3)  # type: ignore[arg-type]
    models.Nothing  # type: ignore[attr-defined]  # noqa: B018
