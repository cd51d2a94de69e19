"""The reference client as a library: one member on one device."""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from groupseal.checkpoint import Head
from groupseal.trust import TrustSettings
from member_client import enrolment
from member_client.answers import Device, GroupListing, Removal
from member_client.api import MemberApi
from member_client.context import DeviceContext, trust_of
from member_client.devices import Devices, DeviceView, PendingDevice
from member_client.enrolment import LEDGER_PATIENCE_SECONDS, Enrolment
from member_client.errors import ClientError, UsageError
from member_client.group_secrets import EpochKeys
from member_client.groups import Groups, OpenedGroup, ReadItem, SharedTo
from member_client.home import Home, default_home
from member_client.key_file import NEXT_KEY_FILE, DeviceKeys, change_keys, load_or_make_keys
from member_client.ledger_file import Ledger
from member_client.membership import Expected, PinnedOrganisation, Session
from member_client.notices import Notice, is_weak
from member_client.published import fetch_published
from member_client.sign_in import SignInManner, open_browser
from member_client.submitting import load_request, submit
from member_client.verify import head_warnings
from member_client.watch import Watch

__all__ = ["MemberClient", "OpenedGroup", "ReadItem", "SharedTo", "Status", "system_clock_ms"]

IN_BROWSER = SignInManner(open_browser)


def system_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Status:
    """How this device stands, by the verified ledger alone."""

    member_id: str
    user_name: str
    organisation: PinnedOrganisation
    trust: TrustSettings
    head: Head
    # Of the head, by this computer's clock.
    head_age_ms: int
    devices: tuple[DeviceView, ...]
    notices: tuple[Notice, ...]
    warnings: tuple[str, ...]


class MemberClient:
    """Everything a member does. Every method but `enrol` raises NotEnrolledError before it.

    They all raise a ProtocolError for bytes that do not verify and a ClientError otherwise.
    """

    def __init__(
        self, home: Path | str | None = None, *, now_ms: Callable[[], int] = system_clock_ms
    ) -> None:
        folder = Home(Path(home) if home is not None else default_home())
        self._context = DeviceContext(folder, now_ms)
        self._watch = Watch(self._context)
        self._groups = Groups(self._context, self._watch)
        self._devices = Devices(self._context, self._watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._context.close()

    # Enrolment

    def enrol(
        self,
        server: str,
        code: str,
        *,
        fingerprint: str | None = None,
        domain: str | None = None,
        replaces: bool = False,
        manner: SignInManner = IN_BROWSER,
        ledger_patience_seconds: float = LEDGER_PATIENCE_SECONDS,
    ) -> Enrolment:
        """Makes this folder a device of the member whom the code was made for.

        `fingerprint` is the organisation's, from the customer; `domain` is one on which the
        customer publishes it. Without either the vendor is believed. With `replaces` every other
        key of the member shall go. Where the ledger says so, the member signs in as `manner` says.
        """
        published = None if domain is None else fetch_published(domain)
        expected = Expected(fingerprint, published)
        done = enrolment.enrol(
            self._context,
            server,
            code,
            expected,
            manner,
            replaces=replaces,
            ledger_patience_seconds=ledger_patience_seconds,
        )
        self._watch.memory()
        return done

    def renew(self, manner: SignInManner = IN_BROWSER) -> Device:
        """Hands this device's key in again, with new evidence where the organisation wants some.

        Where the key is bound by the vendor's word and that is not enough any more, the device
        gets new keys: a key is bound once. Raises RefusedError where the key was removed.
        """
        ledger = self._context.await_ledger(LEDGER_PATIENCE_SECONDS)
        own = ledger.projection.keys.get(self.key_id)
        if is_weak(own, trust_of(ledger.projection)):
            return self._with_new_keys(ledger, manner)
        before = load_request(self._context.home)
        replaces = before is not None and before.replaces
        return submit(self._context, ledger.projection, manner, replaces=replaces, anew=True)

    def _with_new_keys(self, ledger: Ledger, manner: SignInManner) -> Device:
        old, home = self.key_id, self._context.home
        with home.locked():
            new = load_or_make_keys(home, NEXT_KEY_FILE)
        device = self._submit_other(new, ledger, manner)
        with home.locked():
            change_keys(home)
        self._context.forget()
        # It is the member's own, and stays until it is removed.
        self._watch.acknowledge_keys([old])
        return device

    def _submit_other(self, keys: DeviceKeys, ledger: Ledger, manner: SignInManner) -> Device:
        with closing(self._context.with_keys(keys)) as other:
            return submit(other, ledger.projection, manner, anew=True)

    def replace(self, manner: SignInManner = IN_BROWSER) -> Device:
        """Asks that this device's key replaces every other one of the member (a lost device).

        Raises UsageError where this device's key is bound already.
        """
        ledger = self._context.await_ledger(LEDGER_PATIENCE_SECONDS)
        if self.key_id in ledger.projection.keys:
            raise UsageError(
                "this device's key is bound already: remove the lost one with `groupseal member"
                " remove-device`"
            )
        return submit(self._context, ledger.projection, manner, replaces=True, anew=True)

    # What is known

    @property
    def organisation(self) -> PinnedOrganisation:
        return self._context.organisation

    @property
    def member_id(self) -> str:
        return self._context.member_id

    @property
    def key_id(self) -> bytes:
        return self._context.keys.key_id

    @property
    def ledger(self) -> Ledger:
        """The verified copy as it is on this device."""
        return self._context.ledger

    def sync(self) -> Head:
        """Reads on in the ledger and verifies it, up to a signed head."""
        return self._context.synced()[1]

    def status(self) -> Status:
        """Reads on in the ledger, and says how this device stands by it."""
        context = self._context
        devices = tuple(self._devices.views())
        ledger, head = context.synced()
        now_ms = context.now_ms()
        return Status(
            self.member_id,
            context.session.user_name,
            self.organisation,
            trust_of(ledger.projection),
            head,
            max(0, now_ms - head.time_ms),
            devices,
            (*self._watch.notices(), *self._watch.name_notices()),
            tuple(head_warnings(head, now_ms)),
        )

    def notices(self) -> list[Notice]:
        """What the member has to hear of, by the ledger as it is on this device; never raises.

        Told again and again until it is acknowledged.
        """
        try:
            if not self._context.is_enrolled or self._context.ledger.head is None:
                return []
            return self._watch.notices()
        except ClientError:
            # The operation itself says what is wrong with the folder.
            return []

    def acknowledge_keys(self, key_ids: Iterable[bytes]) -> None:
        """The member knows these keys: they are told of no more."""
        self._watch.acknowledge_keys(key_ids)

    def acknowledge_changes(self, trust: TrustSettings) -> None:
        """The member knows that the organisation decides so, and the names of its groups."""
        self._watch.acknowledge_trust(trust)
        self._watch.acknowledge_names()

    # Devices

    def devices(self) -> list[Device]:
        """This member's device keys, by the vendor's word."""
        return self._context.api.devices()

    def device_views(self) -> list[DeviceView]:
        """This member's device keys: what the verified ledger binds, and what the vendor says."""
        return self._devices.views()

    def pending_device(self, key: str) -> PendingDevice:
        """A key that waits, by its first digits, checked. Compare its fingerprint with the one
        that the other device shows before `endorse`.

        Raises UsageError where there is no such key.
        """
        return self._devices.pending(key)

    def endorse(self, pending: PendingDevice) -> Device:
        """Vouches for another device of this member with this device's key.

        If the other one asked to replace every key of the member, this one's goes too. Raises
        WaitingError while this device's own key is not bound.
        """
        return self._devices.endorse(pending)

    def find_bound(self, key: str) -> bytes:
        """Key id of one of the member's bound keys, by its first digits. Raises UsageError."""
        return self._devices.find_bound(key)

    def remove_device(self, key_id: bytes) -> Removal:
        """Asks, signed by this device, that a key of the member is removed.

        Every group that was granted to it rotates. Raises WaitingError while this device's own key
        is not bound.
        """
        return self._devices.remove(key_id)

    # Groups

    def groups(self) -> list[GroupListing]:
        """The groups this member shall be in, by the vendor's word."""
        return self._groups.listed()

    def find_group(self, group: str) -> str:
        """Id of a group, given as id or by its name.

        A name must be the one the organisation signed, or the vendor could show the wrong group
        under a known name; and no other group may be known to the member by it. Raises UsageError
        where none or several have it.
        """
        return self._groups.find(group)

    def open(self, group_id: str) -> OpenedGroup:
        """Fetches this device's envelope of a group, verifies and opens it.

        Raises NotGrantedError while there is none.
        """
        return self._groups.open(group_id)

    def share(self, group_id: str, content: bytes) -> SharedTo:
        """Seals content to a group's newest epoch, signs and stores it.

        Raises EpochClosedError, StaleHeadError or, while this device's key is not bound,
        WaitingError.
        """
        return self._groups.share(group_id, content)

    def read(self, group_id: str) -> list[ReadItem]:
        """Every item of a group, opened or refused one by one."""
        return self._groups.read(group_id)

    def history(self, group_id: str, oldest: int = 1) -> dict[int, EpochKeys]:
        """Keys of every epoch from the newest opened one back to `oldest`."""
        return self._groups.history(group_id, oldest)

    @property
    def _api(self) -> MemberApi:
        return self._context.api

    @property
    def _session(self) -> Session:
        return self._context.session
