"""The soak: a short one is green, and each of its checks notices what it is there for."""

import asyncio
from array import array
from collections import Counter
from pathlib import Path

import pytest
from proof import traffic
from proof.soak import Bounds, Samples, Soak, growth, leaks, miscounts, percentiles, stalls
from proof.traffic import Client, Shared, Tally, Unexpected


def steady(**changed: list[float]) -> Samples:
    """What a server that keeps its size uses over twelve reports."""
    return Samples(
        **{"own_mib": [70.0] * 12, "files": [40] * 12, "spool_mib": [3.0] * 12, "write_ahead_log_mib": [4.0] * 12}
        | changed
    )


def test_a_short_soak_is_green(tmp_path: Path) -> None:
    """A few seconds of every kind of request on a real server: no unexpected answer, and every count is right."""
    soak = Soak(seconds=5, clients=8, seed=7, bounds=Bounds(longest_s=10))
    soak.run(tmp_path)
    assert soak.violations == []
    assert soak.summary().endswith("no violation")
    assert set(soak.tally.outcomes) >= {"VALID", "RATE_LIMITED", "DISABLED"}
    assert min(soak.tally.spent.values()) > 0
    assert len(soak.tally.verify_s) > 100
    assert len(soak.tally.other_s) > 20


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (steady(own_mib=[70.0 + 4 * n for n in range(12)]), "memory grew from 92.0 to 108.0 MiB"),
        (steady(files=[40] * 4 + [40 + 2 * n for n in range(8)]), "open files grew from 43 to 51"),
        (steady(spool_mib=[3.0] * 11 + [90.0]), "the spool grew to 90.0 MiB"),
        (steady(write_ahead_log_mib=[4.0] * 11 + [90.0]), "the write-ahead logs grew to 90.0 MiB"),
    ],
)
def test_what_grows_is_noticed(samples: Samples, says: str) -> None:
    """A leak of memory or files, a spool nobody empties and a log nobody shortens are each reported."""
    (found,) = leaks(samples, Bounds())
    assert says in found


def test_what_keeps_its_size_is_not_reported() -> None:
    """Neither a steady server is a leak nor one that grows in its warm-up alone."""
    assert leaks(steady(), Bounds()) == []
    assert leaks(steady(own_mib=[20.0 * n for n in range(4)] + [70.0, 71.0] * 4), Bounds()) == []


def test_growth_leaves_the_warm_up_out() -> None:
    """Compared are the middle third and the last; a single value is compared with itself."""
    assert growth([1, 100, 2, 2, 3, 3]) == (2, 3)
    assert growth([5]) == (5, 5)


def test_a_tampered_count_is_noticed() -> None:
    """One event too many, one too few and one of an unheard-of kind are each named."""
    counted = Counter({"VALID": 11, "DISABLED": 3, "anything else": 1})
    assert miscounts(counted, Counter({"VALID": 10, "DISABLED": 4})) == [
        "3 verifications DISABLED were counted, the clients saw 4",
        "11 verifications VALID were counted, the clients saw 10",
        "1 verifications anything else were counted, the clients saw 0",
    ]
    assert miscounts(Counter({"VALID": 10, "DISABLED": 0}), Counter({"VALID": 10})) == []


def test_a_stall_is_noticed() -> None:
    """A slow answer and a silence of all are reported with their lengths."""
    tally = Tally(longest_s=2.5, longest_of="keys.verifyKey", silence_s=3.0)
    assert stalls(tally, Bounds()) == ["keys.verifyKey took 2.50 s", "nobody had an answer for 3.00 s"]
    assert stalls(Tally(longest_s=1.0, silence_s=0.2), Bounds()) == []


def test_percentiles_are_of_all_answers() -> None:
    """Of a thousand latencies the right ones are named, in ms."""
    latencies = array("d", [number / 1000 for number in range(1000)])
    assert percentiles(latencies) == "p50 500.00 p90 900.00 p99 990.00 p99.9 999.00 max 999.0 ms"
    assert percentiles(array("d")) == "none"


def test_a_wrong_expectation_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that expects another answer than the right one ends the run with both in the message, and the seed."""

    async def tampered(client: Client) -> None:
        await client.verify(client._shared.plain[0], "DISABLED")

    monkeypatch.setattr(traffic, "_MIX", ((tampered, 1),))
    soak = Soak(seconds=5, clients=2, seed=3)
    soak.run(tmp_path)
    assert "instead of DISABLED" in soak.violations[0]
    assert "--seed 3" in soak.summary()


def test_a_wrong_balance_and_a_lost_key_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spend that only the client counted, and a key that only it knows of, are found at the end."""
    opened: list[tuple[list[Client], Shared, Tally]] = []
    original = traffic.disagreements

    async def tampered(clients: list[Client], shared: Shared, tally: Tally) -> list[str]:
        tally.spent[shared.spent[0].key_id] += 1
        clients[0].made.append(clients[0].credits[0])
        opened.append((clients, shared, tally))
        return await original(clients, shared, tally)

    monkeypatch.setattr("proof.soak.disagreements", tampered)
    soak = Soak(seconds=1, clients=2, seed=3, bounds=Bounds(longest_s=10))
    soak.run(tmp_path)
    assert len(soak.violations) == 2
    assert "credits, the clients count" in soak.violations[0]
    assert "keys, the clients count" in soak.violations[1]


def test_a_connection_that_is_closed_is_no_answer() -> None:
    """A server that hangs up in the middle of a request is reported instead of waited for."""

    async def run() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-len")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            wire = await traffic.connect(f"http://127.0.0.1:{port}", "key")
            with pytest.raises(Unexpected, match="closed a connection"):
                await wire.verify(b"{}")

    asyncio.run(run())
