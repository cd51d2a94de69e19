"""Which addresses the service connects to when it asks the outside something.

A URL comes from settings or from a document that the identity provider serves. Were any address
allowed, whoever controls either could make the service ask a neighbour inside the cluster or the
cloud's metadata service, which hands out credentials.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressRule = Callable[[Address], bool]
# Host name or literal and port to addresses, the one to try first in front. Raises OSError.
Resolver = Callable[[str, int], Sequence[Address]]

# Global unicast as far as it is given out (RFC 4291, IANA), which spares a list of exceptions.
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
# Missing in the tables of some versions of the library: protocol assignments, 6to4 relays,
# documentation (RFC 9637).
_SPECIAL = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "2001::/23"))
)
# RFC 6052: an IPv4 address behind a translator. RFC 3056 (6to4) has `sixtofour` in the library.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Metadata services whose address is not link-local: Azure's, and AWS over IPv6.
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "fd00:ec2::254")))


def public_only(address: Address) -> bool:
    """Globally reachable by the IANA special-purpose registries, embedded IPv4 included."""
    return all(_is_public(one) for one in _with_embedded(address))


def private_allowed(address: Address) -> bool:
    """Private networks and loopback too; never what no identity provider can be at."""
    return not any(
        one.is_link_local or one.is_multicast or one.is_unspecified or one in _METADATA
        for one in _with_embedded(address)
    )


def loopback_only(address: Address) -> bool:
    return all(one.is_loopback for one in _with_embedded(address))


def system_resolver(host: str, port: int) -> list[Address]:
    """The system's answer, in its order (RFC 6724). It keeps to the resolver's own time limits."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in found]


def _is_public(address: Address) -> bool:
    if address.version == 6 and address not in _GIVEN_OUT:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and address not in _METADATA
        and not any(address in network for network in _SPECIAL)
    )


def _with_embedded(address: Address) -> list[Address]:
    """What a connection to it reaches: a mapped or translated address is the IPv4 one inside it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    if address.sixtofour is not None:
        return [address, address.sixtofour]
    return [address]
