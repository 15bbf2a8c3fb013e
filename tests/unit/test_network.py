"""Which addresses count as one stranger."""

import pytest

from icey.network import network_of


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_network(host, network):
    """An IPv4 address, mapped or not, and a /64 of IPv6 are one."""
    assert network_of(host) == network
