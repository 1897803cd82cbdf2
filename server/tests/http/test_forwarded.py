"""Whom a forwarded header is believed to name."""

from ipaddress import ip_network

import pytest

from keystead.http.forwarded import ForwardedFrom

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "values", "client"),
    [
        pytest.param("192.0.2.1", [b"9.9.9.9"], "192.0.2.1", id="a stranger is not believed"),
        pytest.param(None, [b"9.9.9.9"], None, id="an unknown peer is not believed"),
        pytest.param("10.0.0.1", [b"9.9.9.9"], "9.9.9.9", id="a proxy is"),
        pytest.param("fd00::1", [b"9.9.9.9"], "9.9.9.9", id="an IPv6 proxy is"),
        pytest.param("10.0.0.1", [b"6.6.6.6, 9.9.9.9"], "9.9.9.9", id="right-most"),
        pytest.param("10.0.0.1", [b"6.6.6.6", b"9.9.9.9"], "9.9.9.9", id="right-most of repeated fields"),
        pytest.param("10.0.0.1", [b"6.6.6.6, 9.9.9.9, 10.1.1.1 ,fd00::2"], "9.9.9.9", id="proxies skipped"),
        pytest.param("10.0.0.1", [b"9.9.9.9,, ,"], "9.9.9.9", id="empty elements ignored"),
        pytest.param("10.0.0.1", [b"::ffff:9.9.9.9"], "9.9.9.9", id="wrapped IPv4"),
        pytest.param("10.0.0.1", [b"::ffff:10.0.0.9"], "10.0.0.1", id="wrapped proxy"),
        pytest.param("10.0.0.1", [b"9.9.9.9:4711"], "9.9.9.9", id="with a port"),
        pytest.param("10.0.0.1", [b"[2001:db8::5]:4711"], "2001:db8::5", id="IPv6 with a port"),
        pytest.param("10.0.0.1", [b"2001:DB8::5"], "2001:db8::5", id="IPv6"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="no header: the proxy asks"),
        pytest.param("10.0.0.1", [b"10.0.0.2"], "10.0.0.1", id="proxies only: the proxy asks"),
        pytest.param("10.0.0.1", [b"unknown"], None, id="no address: unknown"),
        pytest.param("10.0.0.1", [b"9.9.9.9, \xff"], None, id="no text: unknown"),
        pytest.param("10.0.0.1", [b"junk, 9.9.9.9"], "9.9.9.9", id="junk left of the client"),
    ],
)
def test_client(peer: str | None, values: list[bytes], client: str | None) -> None:
    """The client is the right-most address that no trusted proxy owns, and nobody where that is no address."""
    assert ForwardedFrom(b"x-forwarded-for", PROXIES).client(peer, values) == client
