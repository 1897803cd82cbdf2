"""Queries over permissions, for `keys.verify`."""

from __future__ import annotations

from typing import TypeAlias, TypedDict

from unkey_py.types.basemodel import BaseModel


class AndTypedDict(TypedDict):
    """`And` as a dict."""

    and_: list[PermissionQueryTypedDict | None]


class And(BaseModel):
    """A query that holds when all of its members hold."""

    and_: list[PermissionQuery | None]


class OrTypedDict(TypedDict):
    """`Or` as a dict."""

    or_: list[PermissionQueryTypedDict | None]


class Or(BaseModel):
    """A query that holds when one of its members holds."""

    or_: list[PermissionQuery | None]


PermissionQueryTypedDict: TypeAlias = AndTypedDict | OrTypedDict | str
PermissionQuery: TypeAlias = And | Or | str

And.model_rebuild()
Or.model_rebuild()
