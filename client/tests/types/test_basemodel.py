"""What all models share (sdk.md sections 7 and 12)."""

import copy
import datetime
import enum
import json
import math
import pickle
import warnings
from decimal import Decimal

import pytest
from pydantic_core import PydanticSerializationError

from unkey_py import Code, models
from unkey_py.types import UNSET
from unkey_py.types.basemodel import Unset, to_wire


def test_unset():
    """UNSET is one falsy object, equal to itself, without a hash, and survives copying and pickling."""
    assert not UNSET
    assert repr(UNSET) == "Unset()"
    assert UNSET == UNSET != None  # noqa: E711
    for again in (copy.copy(UNSET), copy.deepcopy(UNSET), pickle.loads(pickle.dumps(UNSET))):
        assert again is UNSET
    assert isinstance(UNSET, Unset)
    with pytest.raises(TypeError):
        hash(UNSET)


def test_null_and_absence_differ():
    """A nullable member is sent as null once set to None, in whatever way, and not at all while unset."""
    update = models.UpdateKeyRequestBody(key_id="k", name=None, remaining=UNSET)
    assert to_wire(update) == {"keyId": "k", "name": None}
    update.meta = None
    update.name = UNSET
    assert to_wire(update) == {"keyId": "k", "meta": None}


def test_unset_is_not_a_value_for_other_members():
    """UNSET is refused where null and absence mean the same."""
    with pytest.raises(ValueError, match="validation error"):
        models.CreateKeyRequestBody(api_id="a", name=UNSET)


def test_an_empty_dict_is_not_unset():
    """An empty dict for a nullable member is validated as that member, not silently dropped."""
    with pytest.raises(ValueError, match="limit"):
        models.UpdateKeyRequestBody(key_id="k", ratelimit={})


def test_ordinary_members():
    """None leaves an ordinary member out, also one with a default."""
    assert to_wire(models.DeleteKeyRequestBody(key_id="k", permanent=None)) == {"keyId": "k"}
    assert to_wire(models.DeleteKeyRequestBody(key_id="k")) == {"keyId": "k", "permanent": False}


class Colour(enum.Enum):
    RED = "red"


def test_free_form_members():
    """Inside free-form members nulls are kept, and common types have a JSON form."""
    moment = datetime.datetime(2024, 1, 2, 3, 4, 5)
    meta = {
        "none": None, "time": moment, "decimal": Decimal("1.50"), "set": {1}, "bytes": b"b",
        "enum": Colour.RED, "nan": math.nan, "model": models.Hash(value="v", variant="sha256_base64"),
    }  # fmt: skip
    wire = to_wire(models.CreateIdentityRequestBody(external_id="e", meta=meta))
    assert json.loads(json.dumps(wire["meta"])) == {
        "none": None, "time": "2024-01-02T03:04:05", "decimal": "1.50", "set": [1], "bytes": "b",
        "enum": "red", "nan": None, "model": {"value": "v", "variant": "sha256_base64"},
    }  # fmt: skip


def test_foreign_objects():
    """An object without a JSON form is refused before anything is sent."""
    with pytest.raises(PydanticSerializationError):
        to_wire(models.CreateIdentityRequestBody(external_id="e", meta={"x": object()}))


def test_coercion():
    """Numbers and booleans are coerced as pydantic does; text is not made from numbers, nor numbers from dates."""
    ratelimit = models.CreateKeyRatelimit(limit="3", duration=1.0, async_="no")
    assert (ratelimit.limit, ratelimit.duration, ratelimit.async_) == (3, 1, False)
    for wrong in ({"name": 3}, {"expires": datetime.datetime.now()}, {"refill": {"interval": "hourly"}}):
        with pytest.raises(ValueError, match="validation error"):
            models.CreateKeyRequestBody(api_id="a", **wrong)


def test_assignment_is_not_checked():
    """A value assigned to a field is sent as it is."""
    body = models.WhoamiRequestBody(key="k")
    body.key = 3
    assert to_wire(body) == {"key": 3}


@pytest.mark.parametrize("by_alias", [False, True])
def test_dumps_of_nullable_models(by_alias):
    """A dump has the names it was asked for, keeps every value that was given and leaves out what was not."""
    update = models.UpdateKeyRequestBody(key_id="k", owner_id=None, refill={"interval": "daily", "amount": 1})
    refill = {"interval": "daily", "amount": 1}
    names = ("keyId", "ownerId") if by_alias else ("key_id", "owner_id")
    assert update.model_dump(by_alias=by_alias, mode="json", exclude_none=False) == {
        names[0]: "k",
        names[1]: None,
        "refill": refill | ({"refillDay": None} if by_alias else {"refill_day": None}),
    }
    dumped = models.Refill(interval="daily", amount=2).model_dump(by_alias=by_alias)
    assert dumped["refillDay" if by_alias else "refill_day"] == 1
    authorization = models.Authorization()
    assert authorization.model_dump(by_alias=by_alias) == {}
    assert authorization.model_dump_json() == "{}"


def test_results_are_dumped_without_the_exchange():
    """A result's dump has the answer and nothing of the exchange."""
    result = models.DeleteKeyResponse(http_meta=models.HTTPMetadata(), object={})
    assert result.model_dump() == {"object": {}}
    page = models.ListIdentitiesResponse(next=lambda: None, object={"identities": [], "total": 0})
    assert json.loads(page.model_dump_json()) == {"object": {"identities": [], "total": 0, "cursor": None}}


def test_reading_a_deprecated_field_warns():
    """Reading a deprecated field warns; giving, sending, printing and comparing it does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        body = models.CreateKeyRequestBody(api_id="a", owner_id="o")
        assert to_wire(body)["ownerId"] == "o"
        assert "owner_id='o'" in str(body)
        assert body == models.CreateKeyRequestBody.model_validate({"apiId": "a", "ownerId": "o"})
        assert models.CreateKeyType.FAST == "fast"
        models.CreateKeyRatelimit(limit=1, type="fast")
    with pytest.warns(DeprecationWarning, match="use external_id"):
        assert body.owner_id == "o"
    with pytest.warns(DeprecationWarning, match="has no effect"):
        models.CreateKeyType("fast")
    with pytest.warns(DeprecationWarning, match="use ratelimits"):
        models.V1KeysVerifyKeyRequest.model_validate({"key": "k", "ratelimit": {"cost": 2}})


def test_unknown_values_of_answers():
    """A value of an answer's enum that this release does not know is kept, and survives copying and pickling."""
    answer = {"valid": False, "code": "BRAND_NEW", "requestId": "r"}
    verified = models.V1KeysVerifyKeyResponse.model_validate(answer)
    assert verified.code == "BRAND_NEW"
    assert verified.code.value == verified.code.name == "BRAND_NEW"
    assert isinstance(verified.code, Code)
    assert list(Code.__members__)[-1] == "EXPIRED"
    assert verified.model_copy(deep=True) == verified == pickle.loads(pickle.dumps(verified))
    assert verified.model_dump(mode="json")["code"] == "BRAND_NEW"
    with pytest.raises(ValueError, match="validation error"):
        models.V1KeysVerifyKeyResponse.model_validate(answer | {"code": 3})


def test_schemas():
    """Every model that is sent or received has a JSON schema."""
    for name in models.__all__:
        model = getattr(models, name)
        if not hasattr(model, "model_json_schema") or name == "HTTPMetadata" or "http_meta" in model.model_fields:
            continue
        assert model.model_json_schema().keys() & {"type", "$ref"}, name
