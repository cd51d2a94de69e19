"""Enrolling a device. Every step is stored before the next, so that a retry goes on from there."""

import hashlib
from dataclasses import dataclass

from groupseal.identifiers import identifier_to_text
from member_client.answers import Device
from member_client.api import MemberApi, Token, server_address
from member_client.errors import UsageError
from member_client.home import Home
from member_client.key_file import Identity, load_or_make_keys
from member_client.membership import PinnedOrganisation, Session, load_session, pin


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What came of it. The device's state is the vendor's word until the ledger binds the key."""

    member_id: str
    user_name: str
    device: Device
    organisation: PinnedOrganisation


def enrol(home: Home, server: str, code: str, fingerprint: str | None) -> Enrolment:
    """1. Exchanges the code for a session. 2. Pins the organisation, whose fingerprint must be
    the given one. 3. Makes this device's keys. 4. Submits them with a proof of possession.

    Repeating it with the same code does no harm. Raises a ClientError or a ProtocolError.
    """
    address = server_address(server)
    with home.locked():
        session = _session(home, address, code)
        with MemberApi(session.server, session.token) as api:
            organisation = pin(home, api.organisation(), fingerprint)
            keys = load_or_make_keys(home)
            me = Identity(organisation.organisation, session.member, keys)
            request = me.binding_request()
            device = api.submit_device(request, keys.sign(request.message()))
    return Enrolment(identifier_to_text(session.member), session.user_name, device, organisation)


def _session(home: Home, server: str, code: str) -> Session:
    digest = hashlib.sha256(code.encode()).hexdigest()
    before = load_session(home)
    if before is not None and (before.server, before.code_digest) == (server, digest):
        return before
    with MemberApi(server) as api:
        answer = api.start_session(code)
    session = Session(
        server,
        Token(answer.text("token")),
        answer.text("tenant_id"),
        answer.identifier("member_id"),
        answer.text("user_name"),
        digest,
    )
    if before is not None and (before.member, before.tenant_id) != (
        session.member,
        session.tenant_id,
    ):
        raise UsageError(
            f"{home.folder} belongs to another member: enrol with a folder of its own (--home)"
        )
    session.store(home)
    return session
