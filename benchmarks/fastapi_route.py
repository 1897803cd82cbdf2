"""The same verification as a FastAPI route, for scale: `python -m benchmarks.fastapi_route <folder> <port>`.

The route is what one writes first: models for request and answer, the decision by the very same code. Limits given
with the request are left out, and the verification log is not flushed.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from keystead.assembly import open_application, open_storage
from keystead.config import Settings
from keystead.core import answers
from keystead.core.verify import VerificationRequest
from keystead.http.services import Services


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class VerifyKey(_Wire):
    """The request."""

    key: str = Field(min_length=1)
    api_id: str | None = None
    tags: list[str] | None = None
    authorization: dict[str, Any] | None = None


class Identity(_Wire):
    """Whose key it is."""

    id: str
    external_id: str
    meta: dict[str, Any]


class Verification(_Wire):
    """The answer."""

    valid: bool
    code: str
    request_id: str
    key_id: str | None = None
    name: str | None = None
    owner_id: str | None = None
    meta: dict[str, Any] | None = None
    enabled: bool | None = None
    permissions: list[str] | None = None
    roles: list[str] | None = None
    identity: Identity | None = None


def create_app(services: Services) -> FastAPI:
    """One route."""
    app = FastAPI()

    @app.post("/v1/keys.verifyKey", response_model_exclude_none=True)
    async def verify_key(request: VerifyKey) -> Verification:
        now_ms = services.clock.now_ms()
        request_id = services.request_ids.next()
        wanted = VerificationRequest(key=request.key)
        verdict = await services.verification.verify(wanted, now_ms, request_id, None)
        return Verification(**msgspec.json.decode(answers.encode(verdict, request_id)))

    return app


async def _serve(folder: Path, port: int) -> None:
    settings = Settings(database_url=str(folder / "keystead.db"))
    async with open_storage(settings) as storage, open_application(storage) as application:
        config = uvicorn.Config(create_app(application.services), port=port, log_config=None, access_log=False)
        await uvicorn.Server(config).serve()


def main() -> None:
    """Serve until told to stop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
