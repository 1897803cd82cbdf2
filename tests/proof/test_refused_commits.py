"""A commit that was refused stays refused, whatever its log still holds."""

import pytest
from proof.simulation.disk import Change
from proof.simulation.world import ROOT_KEY, World


@pytest.mark.parametrize("power_loss", [False, True])
def test_a_commit_whose_sync_failed_does_not_come_back(power_loss: bool) -> None:
    """A top-up refused with 503 because the disk could not sync is not there after a crash either."""
    with World(1) as world:
        world.run(_top_up_in_vain(world, power_loss))


async def _top_up_in_vain(world: World, power_loss: bool) -> None:
    await world.start()
    client = world.connect()
    api = await client.call("apis.createApi", {"name": "test"}, ROOT_KEY)
    key = await client.call("keys.createKey", {"apiId": api.json["apiId"], "remaining": 5}, ROOT_KEY)
    key_id = key.json["keyId"]
    world.disk.fail_next(Change.SYNC, "keystead.db-wal")
    top_up = {"keyId": key_id, "op": "increment", "value": 100}
    refused = await client.call("keys.updateRemaining", top_up, ROOT_KEY)
    assert refused.status == 503
    world.crash(power_loss=power_loss)
    await world.restart()
    client = world.connect()
    path = f"/v1/keys.getKey?keyId={key_id}"
    shown = await client.request("GET", path, headers={"Authorization": f"Bearer {ROOT_KEY}"})
    assert shown.json["remaining"] == 5
