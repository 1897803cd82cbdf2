"""What a commit left in the write-ahead log, and what becomes of it when the server ends before it was synced."""

import asyncio
from typing import Any

import pytest
from proof.simulation.disk import Change
from proof.simulation.network import ClientConnection
from proof.simulation.world import ROOT_KEY, World


@pytest.mark.parametrize("power_loss", [False, True])
def test_a_commit_whose_sync_failed_does_not_come_back(power_loss: bool) -> None:
    """A top-up refused with 503 because the disk could not sync is not there after a crash either."""

    async def scenario(world: World) -> None:
        client, key_id = await a_key(world)
        world.disk.fail_next(Change.SYNC, "keystead.db-wal")
        refused = await client.call("keys.updateRemaining", top_up(key_id), ROOT_KEY)
        assert refused is not None
        assert refused.status == 503
        world.crash(power_loss=power_loss)
        await world.restart()
        assert await balance(world, key_id) == 5

    with World(1) as world:
        world.run(scenario(world))


def test_what_a_start_has_found_is_durable() -> None:
    """A commit that a killed process had no time to sync, once it has been told of, outlives a loss of power."""

    async def scenario(world: World) -> bool:
        client, key_id = await a_key(world)
        world.disk.longest_sync_us = 10_000_000
        change = asyncio.create_task(client.call("keys.updateRemaining", top_up(key_id), ROOT_KEY))
        await asyncio.sleep(0.02)
        world.crash()
        world.disk.longest_sync_us = 1
        assert await change is None
        await world.restart()
        found = await balance(world, key_id)
        world.crash(power_loss=True)
        await world.restart()
        assert await balance(world, key_id) == found
        return found == 105

    def was_found(seed: int) -> bool:
        with World(seed) as world:
            return world.run(scenario(world))

    # Not every kill is between the writes and the end of their sync.
    assert sum(was_found(seed) for seed in range(8)) > 0


async def a_key(world: World) -> tuple[ClientConnection, str]:
    """A server with a key of five credits."""
    await world.start()
    client = world.connect()
    api: Any = await client.call("apis.createApi", {"name": "test"}, ROOT_KEY)
    key: Any = await client.call("keys.createKey", {"apiId": api.json["apiId"], "remaining": 5}, ROOT_KEY)
    return client, key.json["keyId"]


def top_up(key_id: str) -> dict[str, Any]:
    return {"keyId": key_id, "op": "increment", "value": 100}


async def balance(world: World, key_id: str) -> int:
    path = f"/v1/keys.getKey?keyId={key_id}"
    shown: Any = await world.connect().request("GET", path, headers={"Authorization": f"Bearer {ROOT_KEY}"})
    remaining: int = shown.json["remaining"]
    return remaining
