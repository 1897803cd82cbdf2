"""Statements on answers kept for repeated calls."""

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, insert, select, tuple_

from keystead.core.entities import KeptAnswer
from keystead.stores import tables

_DROPPED_AT_ONCE = 100
"""Each new answer forgets up to so many old ones, so no call pays for all of a day's."""


class SqlKeptAnswers:
    """`ports.KeptAnswers` on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, root_key_id: str, operation: str, idempotency_key_hash: str) -> KeptAnswer | None:
        """See `ports.KeptAnswers.get`."""
        row = self._connection.execute(
            select(tables.kept_answers).where(*_is(root_key_id, operation, idempotency_key_hash))
        ).one_or_none()
        return KeptAnswer(**row._mapping) if row else None

    def put(self, kept: KeptAnswer) -> None:
        """See `ports.KeptAnswers.put`."""
        self._connection.execute(
            delete(tables.kept_answers).where(*_is(kept.root_key_id, kept.operation, kept.idempotency_key_hash))
        )
        self._connection.execute(insert(tables.kept_answers), msgspec.structs.asdict(kept))

    def drop_older(self, than_ms: int) -> None:
        """See `ports.KeptAnswers.drop_older`."""
        answers = tables.kept_answers.c
        identity = (answers.root_key_id, answers.operation, answers.idempotency_key_hash)
        old = select(*identity).where(answers.created_at_ms <= than_ms).limit(_DROPPED_AT_ONCE)
        self._connection.execute(delete(tables.kept_answers).where(tuple_(*identity).in_(old)))


def _is(root_key_id: str, operation: str, idempotency_key_hash: str) -> tuple[ColumnElement[bool], ...]:
    answers = tables.kept_answers.c
    return (
        answers.root_key_id == root_key_id,
        answers.operation == operation,
        answers.idempotency_key_hash == idempotency_key_hash,
    )
