"""Address lists."""

import pytest

from keystead.core.addresses import AddressList

LIST = AddressList(["10.0.0.0/8", "192.168.1.7", " 2001:db8::/32 ", "fe80::1", "172.16.5.9/12"])


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("192.168.1.7", True),
        ("192.168.1.8", False),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("2001:db8:0:0::5", True),
        ("2001:DB8::5", True),
        ("2001:db9::5", False),
        ("fe80::1", True),
        ("fe80::2", False),
        ("::ffff:10.1.2.3", True),
        ("not an address", False),
        ("", False),
        (None, False),
    ],
)
def test_who_is_admitted(address: str | None, admitted: bool):
    """Addresses are compared as addresses, in every spelling; an unknown or unreadable one is never on the list."""
    assert LIST.admits(address) is admitted
    assert LIST.admits(address) is admitted  # from memory


def test_memory_is_bounded():
    """A million different clients do not make a list grow."""
    addresses = AddressList(["10.0.0.0/8"])
    for number in range(5000):
        addresses.admits(f"10.0.{number // 256}.{number % 256}")
    assert len(addresses._seen) <= addresses._SEEN_LIMIT
