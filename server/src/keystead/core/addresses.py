"""Address lists of an api: single addresses and CIDR ranges, IPv4 and IPv6 (DECISIONS, keys-v1 §4.2)."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def parse_network(text: str) -> Network:
    """The range an entry names; a single address is a range of one. Host bits may be set, as in `10.0.0.7/8`.

    Raises ValueError for anything that is neither.
    """
    return ip_network(text.strip(), strict=False)


class AddressList:
    """The addresses an api's keys may be used from."""

    __slots__ = ("_networks", "_seen")

    _SEEN_LIMIT = 1024

    def __init__(self, entries: Sequence[str]) -> None:
        """`entries` are addresses and ranges that `parse_network` accepts."""
        self._networks = [parse_network(entry) for entry in entries]
        self._seen: dict[str, bool] = {}

    def admits(self, address: str | None) -> bool:
        """Whether `address` is on the list; an unknown or unreadable address never is."""
        if address is None:
            return False
        known = self._seen.get(address)
        if known is None:
            if len(self._seen) >= self._SEEN_LIMIT:
                self._seen.clear()
            known = self._seen[address] = self._contains(address)
        return known

    def _contains(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        # A dual-stack socket shows an IPv4 peer as ::ffff:a.b.c.d; the operator wrote a.b.c.d.
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
