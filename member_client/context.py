"""What every operation of an enrolled device starts from: session, keys, pinned ledger."""

import threading
import time
from collections.abc import Callable
from functools import cached_property

from groupseal.checkpoint import Head
from groupseal.entries import OrganisationCreated
from groupseal.errors import LedgerRuleError
from groupseal.identifiers import identifier_to_text
from groupseal.projection import Projection
from groupseal.reasons import Reason
from groupseal.trust import VENDOR_TRUSTED, TrustMode, TrustSettings
from member_client.api import MemberApi
from member_client.errors import NotEnrolledError, NotGrantedError, WaitingError
from member_client.home import Home
from member_client.key_file import DeviceKeys, Identity, load_keys
from member_client.ledger_file import Ledger, LedgerFile
from member_client.membership import PinnedOrganisation, Session, load_organisation, load_session

_LEDGER_POLL_SECONDS = 0.5


class DeviceContext:
    """One member's device, opened. Everything raises NotEnrolledError before enrolment."""

    def __init__(self, home: Home, now_ms: Callable[[], int]) -> None:
        self.home = home
        self.now_ms = now_ms

    def close(self) -> None:
        api = self.__dict__.pop("api", None)
        if api is not None:
            api.close()

    def forget(self) -> None:
        """The folder has changed: everything is read again."""
        self.close()
        for cached in ("session", "keys", "ledger_file"):
            self.__dict__.pop(cached, None)

    @property
    def organisation(self) -> PinnedOrganisation:
        return load_organisation(self.home)

    @property
    def is_enrolled(self) -> bool:
        try:
            _ = self.organisation, self.session, self.keys
        except NotEnrolledError:
            return False
        return True

    @cached_property
    def session(self) -> Session:
        session = load_session(self.home)
        if session is None:
            raise NotEnrolledError(
                f"{self.home.folder} is not enrolled: `groupseal member enrol` first"
            )
        return session

    @property
    def member_id(self) -> str:
        return identifier_to_text(self.session.member)

    @cached_property
    def keys(self) -> DeviceKeys:
        return load_keys(self.home)

    def with_keys(self, keys: DeviceKeys) -> "DeviceContext":
        """The same device with other keys than those of its file."""
        other = DeviceContext(self.home, self.now_ms)
        other.keys = keys
        return other

    @property
    def me(self) -> Identity:
        return Identity(self.organisation.organisation, self.session.member, self.keys)

    @cached_property
    def api(self) -> MemberApi:
        return MemberApi(self.session.server, self.session.token)

    @cached_property
    def ledger_file(self) -> LedgerFile:
        pinned = self.organisation
        return LedgerFile(self.home, pinned.organisation, pinned.signing_public_key)

    @property
    def ledger(self) -> Ledger:
        """The verified copy as it is on this device."""
        return self.ledger_file.ledger

    def synced(self) -> tuple[Ledger, Head]:
        """The ledger, read on and verified up to a signed head."""
        ledger = self.ledger_file.sync(self.api)
        if ledger.head is None:
            raise NotGrantedError(Reason.NOT_CONNECTED, "there is no ledger yet: try again")
        return ledger, ledger.head

    def await_ledger(self, patience_seconds: float) -> Ledger:
        """As `synced`, but waits for a ledger that the vendor has only begun to read."""
        until = time.monotonic() + patience_seconds
        while True:
            try:
                ledger = self.synced()[0]
                trust_of(ledger.projection)
            except WaitingError:
                if time.monotonic() >= until:
                    raise
                threading.Event().wait(_LEDGER_POLL_SECONDS)
            else:
                return ledger


def trust_of(projection: Projection) -> TrustSettings:
    """How the organisation decides, by its ledger. Raises WaitingError where that is not read yet.

    The first entry names the mode, the next one the settings: a ledger that ends in between would
    otherwise pass for one of a vendor-trusted organisation.
    """
    trust, created = projection.trust, created_of(projection)
    if trust is VENDOR_TRUSTED and created.trust_mode is not TrustMode.PIN:
        raise WaitingError(
            Reason.NOT_CONNECTED,
            "the vendor has not read all of your organisation's ledger yet: try again",
        )
    return trust


def created_of(projection: Projection) -> OrganisationCreated:
    """The first entry of the ledger."""
    if projection.created is None:
        raise LedgerRuleError("the ledger does not begin with the organisation's creation")
    return projection.created
