"""Whose request it is when a proxy stands in between."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address


@dataclass(frozen=True, slots=True)
class ForwardedFrom:
    """The header that names the client, and the proxies that are believed when they send it.

    `header` is the field's name in any case, for example b"x-forwarded-for"; its value is a list of addresses.
    """

    header: bytes
    proxies: tuple[IPv4Network | IPv6Network, ...]

    def client(self, peer: str | None, values: Iterable[bytes]) -> str | None:
        """The client of a request that came from `peer` with these values of the header, in the order received.

        The right-most address that is not a trusted proxy: what stands left of it was written by strangers. Without
        such an address the proxy itself is asking, so the peer. None when that place holds no address: the peer
        would be wrong, since an allow-list may well contain the proxy; no address matches no allow-list.
        """
        if not self._is_proxy(_parse(peer or "")):
            return peer
        for entry in reversed(b",".join(values).decode("latin-1").split(",")):
            text = entry.strip()
            if not text:
                continue  # empty list elements are to be ignored (RFC 9110 5.6.1)
            address = _parse(_without_port(text))
            if address is None:
                return None
            if not self._is_proxy(address):
                return str(address)
        return peer

    def _is_proxy(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self.proxies)


def plain_address(text: str) -> str:
    """`text` without a zone; an IPv4 address that IPv6 wraps is shown as IPv4."""
    if ":" not in text:
        return text
    address = _parse(text)
    return text if address is None else str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
