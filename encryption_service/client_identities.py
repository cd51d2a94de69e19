"""Which client certificates are pinned: by SAN URI, SPIFFE-style, or by DNS name in the SAN.

Names are compared exactly and kind by kind (RFC 5280, section 4.2.1.6): a URI `dns:…` (RFC 4501)
is not a DNS name, a common name is no identity, and neither side knows wildcards.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from cryptography import x509

_DNS_PREFIX = "dns:"
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s,*]+\Z")


@dataclass(frozen=True, slots=True)
class ClientIdentities:
    """Names in certificates, kind by kind."""

    uris: frozenset[str] = frozenset()
    dns_names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """From `spiffe://…` and `dns:worker.example.com`.

        Raises ValueError with a sentence that names the entry.
        """
        uris, names = set[str](), set[str]()
        for entry in entries:
            if "*" in entry:
                raise ValueError(f"{entry!r} has a wildcard: name every identity exactly")
            if entry.startswith(_DNS_PREFIX):
                name = entry.removeprefix(_DNS_PREFIX)
                if not _DNS_NAME.match(name):
                    raise ValueError(
                        f"{entry!r} must be `dns:` and a DNS name in lower case, such as "
                        "dns:worker.example.com"
                    )
                names.add(name)
            elif _URI.match(entry):
                uris.add(entry)
            else:
                raise ValueError(
                    f"{entry!r} must be a URI, such as spiffe://groupseal/tenant/…, or `dns:` "
                    "and a DNS name"
                )
        return cls(frozenset(uris), frozenset(names))

    @classmethod
    def of_certificate(cls, pem: bytes) -> Self:
        """The subject alternative names of these two kinds; none of what cannot be read."""
        try:
            names = (
                x509.load_pem_x509_certificate(pem)
                .extensions.get_extension_for_class(x509.SubjectAlternativeName)
                .value
            )
            return cls(
                frozenset(names.get_values_for_type(x509.UniformResourceIdentifier)),
                frozenset(names.get_values_for_type(x509.DNSName)),
            )
        except (ValueError, x509.ExtensionNotFound):
            return cls()

    def shares_one_with(self, other: "ClientIdentities") -> bool:
        """Whether one name of one kind is in both."""
        return not (self.uris.isdisjoint(other.uris) and self.dns_names.isdisjoint(other.dns_names))

    def texts(self) -> list[str]:
        """As the setting writes them, in order."""
        return sorted([*self.uris, *(_DNS_PREFIX + name for name in self.dns_names)])
