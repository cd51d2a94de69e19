"""What a customer publishes for its members: `/.well-known/groupseal.json` on its own domain.

The member names the domain, so the vendor has no part in it. The document:

    {"organisation_fingerprint": "7ZK3M-…", "issuer": "https://…", "client_id": "…",
     "evidence_key_digest": "<SHA-256 of the evidence key, 64 hexadecimal digits>",
     "redirect_port": 8787}

The first field is required; of the others those that are there have to agree with the ledger, but
for `redirect_port`: the port that is registered for this client at the identity provider, where
that one wants redirect addresses with their port. Other fields are not looked at.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groupseal.entries import OrganisationCreated
from groupseal.trust import TrustSettings
from member_client.documents import fetch_following
from member_client.errors import PinError, UsageError

PATH = "/.well-known/groupseal.json"
# A host name (RFC 1123) in lower case, with a port perhaps.
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?", re.ASCII)
_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class PublishedOrganisation:
    """The organisation as its own domain describes it. None: not said."""

    domain: str
    fingerprint: str
    issuer: str | None = None
    client_id: str | None = None
    # SHA-256 of the evidence key.
    evidence_key_digest: bytes | None = None
    redirect_port: int | None = None


def fetch_published(domain: str) -> PublishedOrganisation:
    """Reads a domain's document. Raises UsageError for no domain, UnreachableError, PinError."""
    name = domain.strip().lower()
    if _DOMAIN.fullmatch(name) is None or len(name) > 253:
        raise UsageError(f"{domain} is not a domain: give one such as example.com")
    document = fetch_following(f"https://{name}{PATH}")
    if document.status != 200:
        raise PinError(
            f"https://{name}{PATH} is not there (HTTP {document.status}): ask your administrator"
            " for the right domain, or for the fingerprint"
        )
    return parse_published(name, document.fields)


def parse_published(domain: str, fields: Mapping[str, Any]) -> PublishedOrganisation:
    """Raises PinError, naming the field."""
    fingerprint = _text(domain, fields, "organisation_fingerprint")
    if fingerprint is None:
        raise _improper(domain, "organisation_fingerprint")
    digest = _text(domain, fields, "evidence_key_digest")
    if digest is not None and re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise _improper(domain, "evidence_key_digest")
    port = fields.get("redirect_port")
    if port is not None and (type(port) is not int or not 0 < port < 65536):
        raise _improper(domain, "redirect_port")
    return PublishedOrganisation(
        domain,
        fingerprint,
        _text(domain, fields, "issuer"),
        _text(domain, fields, "client_id"),
        None if digest is None else bytes.fromhex(digest),
        port,
    )


def check_published(
    published: PublishedOrganisation, created: OrganisationCreated, trust: TrustSettings
) -> None:
    """The ledger says the same. Its organisation was compared by the fingerprint already.

    Raises PinError.
    """
    evidence_key = hashlib.sha256(created.evidence_public_key).digest()
    pairs = (
        ("issuer", published.issuer, trust.issuer),
        ("client_id", published.client_id, trust.client_id),
        ("evidence_key_digest", published.evidence_key_digest, evidence_key),
    )
    for name, expected, actual in pairs:
        if expected is not None and expected != actual:
            raise PinError(
                f"{published.domain} and the organisation's ledger differ in {name}: do not go on"
                " and tell your administrator"
            )


def _text(domain: str, fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise _improper(domain, name)
    return value


def _improper(domain: str, name: str) -> PinError:
    return PinError(
        f"https://{domain}{PATH} has no proper {name}: ask your administrator for the right"
        " domain, or for the fingerprint"
    )
