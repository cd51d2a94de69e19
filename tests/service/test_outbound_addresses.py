"""Which addresses the service may connect to, by the registries of special addresses."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encryption_service.outbound_addresses import (
    Address,
    loopback_only,
    private_allowed,
    public_only,
)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - nothing is bound here
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fe80::1%2",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "2001::1",
        "64:ff9b:1::1",
        "5f00::1",
    ],
)
def test_is_not_asked(text: str) -> None:
    assert not public_only(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_is_asked(text: str) -> None:
    assert public_only(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "168.63.129.16",
        "fd00:ec2::254",
        "fe80::1",
        "0.0.0.0",  # noqa: S104 - nothing is bound here
        "::",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_is_not_asked_even_where_private_networks_may_be(text: str) -> None:
    """Metadata services hand out the machine's own credentials."""
    assert not private_allowed(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
@settings(deadline=None)
def test_a_mapped_address_is_judged_as_what_it_stands_for(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    for rule in (public_only, private_allowed, loopback_only):
        assert rule(mapped) == rule(address)


@given(st.ip_addresses())
@settings(deadline=None)
def test_what_is_public_is_allowed_where_private_is(address: Address) -> None:
    assert private_allowed(address) or not public_only(address)
