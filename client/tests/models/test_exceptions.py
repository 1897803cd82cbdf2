"""The exceptions as objects (sdk.md section 10)."""

import copy
import pickle

import httpx
import pytest

from unkey_py import models


@pytest.fixture
def data(refusal):
    return models.ErrNotFoundData.model_validate(refusal("NOT_FOUND", reason="dropped"))


def test_by_name_and_by_position(data):
    """Given by name the data is not among the arguments, given by position it is."""
    assert models.ErrNotFound(data=data).args == ()
    assert models.ErrNotFound(data).args == (data,)
    assert models.ErrNotFound(data=data).data is data


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_exceptions_travel(data, again):
    """A typed exception and an SDKError survive copying and pickling with all they carry."""
    error = models.ErrNotFound(data=data)
    error.reason = "WHY"
    twin = again(error)
    assert (type(twin), twin.data, twin.reason, twin.args) == (models.ErrNotFound, data, "WHY", ())
    assert (twin.request_id, twin.status_code, str(twin)) == ("req_2", 404, str(error))
    assert again(models.SDKError("m", 418, "b")) == models.SDKError("m", 418, "b")


def test_sdk_error():
    """SDKError compares by value, shows its body if it has one and knows the request's id."""
    assert models.SDKError("m") == models.SDKError("m", -1, "", None)
    assert str(models.SDKError("m", 500)) == "m: Status 500"
    assert str(models.SDKError("m", 500, "b")) == "m: Status 500\nb"
    assert models.SDKError("m", 500).args == ("m", 500)
    assert models.SDKError("m").request_id is None
    response = httpx.Response(500, headers={"Unkey-Request-Id": "req_3"})
    assert models.SDKError("m", 500, "", response).request_id == "req_3"
    with pytest.raises(TypeError):
        hash(models.SDKError("m"))
