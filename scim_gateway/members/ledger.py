"""/organisation and /ledger: what a client verifies everything else against."""

from flask import Blueprint, Response, request

from directory.member_view import ledger_page
from groupseal.identifiers import fingerprint
from groupseal.reasons import Reason
from scim_gateway.members.errors import MemberError
from scim_gateway.members.scope import answer, encoded, member_request

_MOST = 1_000
_FARTHEST = 2**62


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/organisation", "organisation", organisation)
    blueprint.add_url_rule("/ledger", "ledger", ledger)


def organisation() -> Response:
    """The organisation, by the vendor's word: a client compares the fingerprint."""
    found = member_request().organisation()
    return answer(
        {
            "organisation_id": str(found.id),
            "signing_public_key": encoded(found.signing_public_key),
            "fingerprint": fingerprint(found.signing_public_key),
            # As the ledger last said it; null before it was read. A client that must not believe
            # the vendor reads it there.
            "trust_mode": found.trust_mode,
            "issuer": found.issuer,
            "client_id": found.client_id,
            "subject_claim": found.subject_claim,
            "membership_check": found.membership_check,
            # In mode pin the vendor's word decides whose key a key is.
            "vendor_trusted": found.trust_mode in {None, "pin"},
        }
    )


def ledger() -> Response:
    """Entries from a position on; `head` covers `size` entries, so a client reads on until then."""
    call = member_request()
    call.organisation()
    first, limit = _number("from", 0), _number("limit", _MOST)
    page = ledger_page(call.scope, first, min(limit, _MOST))
    return answer(
        {
            "from": first,
            "entries": [encoded(entry) for entry in page.entries],
            "size": page.size,
            "head": page.head,
        }
    )


def _number(name: str, default: int) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > _FARTHEST:
        raise MemberError(400, Reason.MALFORMED, f"{name} must be a non-negative integer")
    return int(text)
