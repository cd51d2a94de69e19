"""Enrolling a device. Every step is stored before the next, so that a retry goes on from there."""

import hashlib
from dataclasses import dataclass

from groupseal.identifiers import key_fingerprint
from groupseal.trust import TrustSettings
from member_client.answers import Device
from member_client.api import MemberApi, Token, server_address
from member_client.context import DeviceContext, created_of, trust_of
from member_client.errors import UsageError
from member_client.home import Home
from member_client.key_file import load_or_make_keys
from member_client.membership import Expected, PinnedOrganisation, Session, load_session, pin
from member_client.published import check_published
from member_client.sign_in import SignInManner
from member_client.submitting import load_request, submit

# Seconds to wait for a vendor that has only begun to read the ledger.
LEDGER_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What came of it. The device's state is the vendor's word until the ledger binds the key."""

    member_id: str
    user_name: str
    device: Device
    organisation: PinnedOrganisation
    # As the organisation's ledger says.
    trust: TrustSettings

    @property
    def key_fingerprint(self) -> str:
        """For people who compare: an approver, or the member at another device."""
        return key_fingerprint(self.device.key_id)


def enrol(
    context: DeviceContext,
    server: str,
    code: str,
    expected: Expected,
    manner: SignInManner,
    *,
    replaces: bool = False,
    ledger_patience_seconds: float = LEDGER_PATIENCE_SECONDS,
) -> Enrolment:
    """1. Exchanges the code for a session. 2. Pins the organisation, which must be the expected
    one. 3. Makes this device's keys. 4. Reads and verifies the ledger: it says how keys are
    trusted. 5. Signs in where it says so. 6. Hands the keys in.

    Repeating it with the same code does no harm. Raises a ClientError or a ProtocolError.
    """
    address = server_address(server)
    with context.home.locked():
        session = _session(context.home, address, code)
        with MemberApi(session.server, session.token) as api:
            pin(context.home, api.organisation(), expected)
        load_or_make_keys(context.home)
    context.forget()
    projection = context.await_ledger(ledger_patience_seconds).projection
    trust = trust_of(projection)
    if expected.published is not None:
        check_published(expected.published, created_of(projection), trust)
    before = load_request(context.home)
    # A retry of an enrolment does not take back that the device replaces the others.
    replaces = replaces or (before is not None and before.replaces)
    device = submit(context, projection, manner, replaces=replaces)
    return Enrolment(
        context.member_id, context.session.user_name, device, context.organisation, trust
    )


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
