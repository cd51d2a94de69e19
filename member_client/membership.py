"""Who this folder belongs to: the session at the vendor and the organisation that is pinned."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from groupseal.errors import MalformedError
from groupseal.identifiers import (
    fingerprint,
    identifier_from_text,
    identifier_to_text,
    same_fingerprint,
)
from groupseal.suites import SIGNING_KEY_LENGTH
from member_client.answers import OrganisationAnswer
from member_client.api import Token
from member_client.errors import HomeError, NotEnrolledError, PinError
from member_client.home import Home
from member_client.published import PublishedOrganisation

SESSION_FILE = "session.json"
ORGANISATION_FILE = "organisation.json"


@dataclass(frozen=True, slots=True)
class Session:
    """A member's session at one vendor."""

    server: str
    token: Token
    tenant_id: str
    member: bytes
    user_name: str
    # SHA-256 of the code it was made with, so that the same code is not spent twice.
    code_digest: str

    def store(self, home: Home) -> None:
        fields = {
            "server": self.server,
            "token": self.token.reveal().decode(),
            "tenant_id": self.tenant_id,
            "member_id": identifier_to_text(self.member),
            "user_name": self.user_name,
            "code_digest": self.code_digest,
        }
        home.write_json(SESSION_FILE, fields)


def load_session(home: Home) -> Session | None:
    """Raises HomeError where the file is damaged."""
    fields = home.read_json(SESSION_FILE)
    if fields is None:
        return None
    names = ("server", "token", "tenant_id", "member_id", "user_name", "code_digest")
    values = [_text(home, SESSION_FILE, fields, name) for name in names]
    try:
        member = identifier_from_text(values[3])
    except MalformedError as error:
        raise _damaged(home, SESSION_FILE) from error
    return Session(values[0], Token(values[1]), values[2], member, values[4], values[5])


@dataclass(frozen=True, slots=True)
class PinnedOrganisation:
    """The organisation whose signatures this client accepts, for ever."""

    organisation: bytes
    signing_public_key: bytes
    # The member compared the fingerprint; otherwise the key is the vendor's word.
    confirmed: bool
    # The domain on which the customer publishes the fingerprint, where it was read there.
    domain: str | None = None
    # Port of the redirect address that is registered at the identity provider; None: any.
    redirect_port: int | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.signing_public_key)


def load_organisation(home: Home) -> PinnedOrganisation:
    """Raises NotEnrolledError where none is pinned yet, HomeError where the file is damaged."""
    fields = home.read_json(ORGANISATION_FILE)
    if fields is None:
        raise NotEnrolledError(f"{home.folder} is not enrolled: `groupseal member enrol` first")
    try:
        organisation = identifier_from_text(
            _text(home, ORGANISATION_FILE, fields, "organisation_id")
        )
        key = base64.b64decode(
            _text(home, ORGANISATION_FILE, fields, "signing_public_key"), validate=True
        )
    except (MalformedError, binascii.Error, ValueError) as error:
        raise _damaged(home, ORGANISATION_FILE) from error
    if len(key) != SIGNING_KEY_LENGTH:
        raise _damaged(home, ORGANISATION_FILE)
    domain, port = fields.get("domain"), fields.get("redirect_port")
    return PinnedOrganisation(
        organisation,
        key,
        fields.get("confirmed") is True,
        domain if isinstance(domain, str) else None,
        port if type(port) is int else None,
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """What the member knows of the organisation past the vendor: both have to be right."""

    # Typed in by the member, from the customer.
    fingerprint: str | None = None
    published: PublishedOrganisation | None = None

    @property
    def is_known(self) -> bool:
        return self.fingerprint is not None or self.published is not None

    def check(self, actual: str) -> None:
        """Raises PinError unless the organisation has the fingerprint."""
        if self.fingerprint is not None and not same_fingerprint(self.fingerprint, actual):
            raise PinError(
                f"the vendor names an organisation with the fingerprint {actual}, which is not the"
                " one you gave: check what you typed; if it is right, do not go on and tell your"
                " administrator"
            )
        if self.published and not same_fingerprint(self.published.fingerprint, actual):
            raise PinError(
                f"the vendor names an organisation with the fingerprint {actual}, which is not the"
                f" one that {self.published.domain} publishes: do not go on and tell your"
                " administrator"
            )


def pin(home: Home, answer: OrganisationAnswer, expected: Expected) -> PinnedOrganisation:
    """Pins the organisation that the vendor names, if it is the expected one.

    1. Its key has the fingerprint that the customer gave, where one was given. 2. It is the one
    that is pinned already, where one is. Raises PinError.
    """
    actual = fingerprint(answer.signing_public_key)
    expected.check(actual)
    try:
        before = load_organisation(home)
    except NotEnrolledError:
        before = None
    confirmed, published = expected.is_known, expected.published
    if before is not None:
        if (before.organisation, before.signing_public_key) != (
            answer.organisation,
            answer.signing_public_key,
        ):
            raise PinError(
                f"the vendor names another organisation ({actual}) than the one pinned here"
                f" ({before.fingerprint}): do not go on and tell your administrator"
            )
        confirmed = confirmed or before.confirmed
    pinned = PinnedOrganisation(
        answer.organisation,
        answer.signing_public_key,
        confirmed,
        published.domain if published else (before.domain if before else None),
        published.redirect_port if published else (before.redirect_port if before else None),
    )
    fields = {
        "organisation_id": identifier_to_text(pinned.organisation),
        "signing_public_key": base64.b64encode(pinned.signing_public_key).decode(),
        "confirmed": pinned.confirmed,
        "domain": pinned.domain,
        "redirect_port": pinned.redirect_port,
    }
    home.write_json(ORGANISATION_FILE, fields)
    return pinned


def _text(home: Home, file: str, fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _damaged(home, file)
    return value


def _damaged(home: Home, file: str) -> HomeError:
    return HomeError(f"{home.path(file)} is damaged: restore it or enrol in a new folder")
