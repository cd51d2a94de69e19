"""The reference client as a library: one member on one device."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from groupseal.checkpoint import Head
from groupseal.errors import (
    EpochClosedError,
    MalformedError,
    PartMismatchError,
    ProtocolError,
    WrongContextError,
)
from groupseal.identifiers import identifier_from_text, identifier_to_text
from groupseal.reasons import Reason
from groupseal.shared_items import SharedItem
from member_client import enrolment
from member_client.answers import Device, GroupListing, ServedItem
from member_client.api import MemberApi
from member_client.enrolment import Enrolment
from member_client.errors import (
    NotEnrolledError,
    NotGrantedError,
    RefusedError,
    UsageError,
    WaitingError,
)
from member_client.group_secrets import EpochKeys
from member_client.history import walk_back
from member_client.home import Home, default_home
from member_client.key_file import DeviceKeys, Identity, load_keys
from member_client.ledger_file import Ledger, LedgerFile
from member_client.membership import PinnedOrganisation, Session, load_organisation, load_session
from member_client.opening import open_grant
from member_client.sharing import check_item, open_item, seal_item
from member_client.verify import check_may_write, check_name, group_view, head_warnings

# What is served and what is in the ledger change independently: look again before complaining.
_ATTEMPTS = 3


def system_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class OpenedGroup:
    """A group whose key was opened and verified against the signed ledger."""

    group_id: str
    epoch: int
    group_public_key: bytes
    # As the organisation signed it; None where it named the group not at all.
    name: str | None
    # This epoch is the newest and open: what is written now may be written under it.
    current: bool
    head_time_ms: int
    warnings: tuple[str, ...]
    keys: EpochKeys = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharedTo:
    """An item that was sealed, signed and stored."""

    item_id: str
    epoch: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadItem:
    """An item of a group: its content, or why it is refused. Never both."""

    item_id: str
    created_at: str
    epoch: int | None
    sender_id: str | None
    content: bytes | None = field(repr=False)
    refused: ProtocolError | None = None


class MemberClient:
    """Everything a member does. Every method but `enrol` raises NotEnrolledError before it.

    They all raise a ProtocolError for bytes that do not verify and a ClientError otherwise.
    """

    def __init__(
        self, home: Path | str | None = None, *, now_ms: Callable[[], int] = system_clock_ms
    ) -> None:
        self._home = Home(Path(home) if home is not None else default_home())
        self._now_ms = now_ms

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
        api = self.__dict__.pop("_api", None)
        if api is not None:
            api.close()

    def enrol(self, server: str, code: str, *, fingerprint: str | None = None) -> Enrolment:
        """Makes this folder a device of the member whom the code was made for.

        `fingerprint` is the organisation's, from the customer; without it the vendor is believed.
        """
        enrolled = enrolment.enrol(self._home, server, code, fingerprint)
        self.close()
        for cached in ("_session", "_keys", "_ledger_file"):
            self.__dict__.pop(cached, None)
        return enrolled

    @property
    def organisation(self) -> PinnedOrganisation:
        return load_organisation(self._home)

    @property
    def member_id(self) -> str:
        return identifier_to_text(self._session.member)

    @property
    def key_id(self) -> bytes:
        return self._keys.key_id

    @property
    def ledger(self) -> Ledger:
        """The verified copy as it is on this device."""
        return self._ledger_file.ledger

    def sync(self) -> Head:
        """Reads on in the ledger and verifies it, up to a signed head."""
        return self._synced()[1]

    def devices(self) -> list[Device]:
        """This member's device keys, by the vendor's word."""
        return self._api.devices()

    def groups(self) -> list[GroupListing]:
        """The groups this member shall be in, by the vendor's word."""
        return self._api.groups()

    def find_group(self, group: str) -> str:
        """Id of a group, given as id or by its name.

        A name must be the one the organisation signed, or the vendor could show the wrong group
        under a known name. Raises UsageError where none or several have it.
        """
        try:
            identifier_from_text(group)
        except MalformedError:
            pass
        else:
            return group
        found = [each.group_id for each in self.groups() if each.display_name == group]
        if len(found) != 1:
            count = "none" if not found else str(len(found))
            raise UsageError(
                f"{count} of your groups has the name {group}: see `groupseal member groups` and"
                " give the id"
            )
        if self.open(found[0]).name != group:
            raise WrongContextError(
                f"the vendor shows a group as {group} that the organisation has not named so:"
                " give the id, and tell your administrator"
            )
        return found[0]

    def open(self, group_id: str) -> OpenedGroup:
        """Fetches this device's envelope of a group, verifies and opens it.

        Raises NotGrantedError while there is none.
        """
        group = _group_id(group_id)
        for attempt in range(_ATTEMPTS):
            served = self._api.grant(group_id, self._keys.key_id)
            ledger, head = self._synced()
            view = group_view(ledger.projection, group)
            last = attempt == _ATTEMPTS - 1
            if view.state.is_open and served.epoch < view.state.epoch and not last:
                continue  # it was rotated between the two answers
            keys = open_grant(self._me, ledger.projection, group, served)
            try:
                name = check_name(view, served.name_part)
            except PartMismatchError:
                if last:
                    raise
                continue  # it was renamed between the two answers
            current = view.state.is_open and view.state.epoch == keys.epoch
            warnings = head_warnings(head, self._now_ms())
            if not current:
                warnings.append(f"epoch {keys.epoch} is being replaced: it is for reading only")
            return OpenedGroup(
                group_id,
                keys.epoch,
                keys.public_key,
                name,
                current,
                head.time_ms,
                tuple(warnings),
                keys,
            )
        raise AssertionError("the last attempt returns or raises")

    def share(self, group_id: str, content: bytes) -> SharedTo:
        """Seals content to a group's newest epoch, signs and stores it.

        Raises EpochClosedError, StaleHeadError or, while this device's key is not bound,
        WaitingError.
        """
        group = _group_id(group_id)
        for attempt in range(_ATTEMPTS):
            ledger, head = self._synced()
            view = group_view(ledger.projection, group)
            warnings = check_may_write(view, head, self._now_ms())
            if self._keys.key_id not in ledger.projection.keys:
                raise WaitingError(
                    Reason.QUEUED,
                    "this device's key is not bound yet: see `groupseal member devices`",
                )
            item = seal_item(self._me, group, view, content)
            try:
                item_id = self._api.share(group_id, item.to_bytes())
            except RefusedError as error:
                if error.reason != Reason.EPOCH_CLOSED:
                    raise
                if attempt == _ATTEMPTS - 1:
                    raise EpochClosedError(str(error)) from error
                continue  # the epoch may have been replaced meanwhile
            return SharedTo(item_id, item.epoch, tuple(warnings))
        raise AssertionError("the last attempt returns or raises")

    def read(self, group_id: str) -> list[ReadItem]:
        """Every item of a group, opened or refused one by one."""
        group = _group_id(group_id)
        served = self._api.items(group_id)
        newest = self.open(group_id).keys
        parsed = [_parse(each) for each in served]
        epochs = self._epochs_for(group_id, newest, [p for p in parsed if p is not None])
        return [
            self._read_item(group, each, item, epochs)
            for each, item in zip(served, parsed, strict=True)
        ]

    def history(self, group_id: str, oldest: int = 1) -> dict[int, EpochKeys]:
        """Keys of every epoch from the newest opened one back to `oldest`."""
        newest = self.open(group_id).keys
        return self._walk_back(group_id, newest, oldest)

    def _epochs_for(
        self, group_id: str, newest: EpochKeys, items: list[SharedItem]
    ) -> dict[int, EpochKeys]:
        oldest = min((item.epoch for item in items if item.epoch > 0), default=newest.epoch)
        if oldest >= newest.epoch:
            return {newest.epoch: newest}
        return self._walk_back(group_id, newest, oldest)

    def _walk_back(self, group_id: str, newest: EpochKeys, oldest: int) -> dict[int, EpochKeys]:
        view = group_view(self.ledger.projection, newest.group)
        return walk_back(newest, oldest, self._api.history(group_id), view)

    def _read_item(
        self,
        group: bytes,
        served: ServedItem,
        item: SharedItem | None,
        epochs: dict[int, EpochKeys],
    ) -> ReadItem:
        if item is None:
            malformed = MalformedError("the item is not in the protocol's form")
            return ReadItem(served.item_id, served.created_at, None, None, None, malformed)
        sender = identifier_to_text(item.sender)
        try:
            check_item(item, self.ledger, self.organisation.organisation, group)
            if item.epoch not in epochs:
                raise WrongContextError(f"this device has no key of epoch {item.epoch} yet")
            content = open_item(item, epochs[item.epoch])
        except ProtocolError as error:
            return ReadItem(served.item_id, served.created_at, item.epoch, sender, None, error)
        return ReadItem(served.item_id, served.created_at, item.epoch, sender, content)

    def _synced(self) -> tuple[Ledger, Head]:
        ledger = self._ledger_file.sync(self._api)
        if ledger.head is None:
            raise NotGrantedError(Reason.NOT_CONNECTED, "there is no ledger yet: try again")
        return ledger, ledger.head

    @cached_property
    def _session(self) -> Session:
        session = load_session(self._home)
        if session is None:
            raise NotEnrolledError(
                f"{self._home.folder} is not enrolled: `groupseal member enrol` first"
            )
        return session

    @property
    def _me(self) -> Identity:
        return Identity(self.organisation.organisation, self._session.member, self._keys)

    @cached_property
    def _keys(self) -> DeviceKeys:
        return load_keys(self._home)

    @cached_property
    def _api(self) -> MemberApi:
        return MemberApi(self._session.server, self._session.token)

    @cached_property
    def _ledger_file(self) -> LedgerFile:
        pinned = self.organisation
        return LedgerFile(self._home, pinned.organisation, pinned.signing_public_key)


def _group_id(text: str) -> bytes:
    try:
        return identifier_from_text(text)
    except MalformedError as error:
        raise UsageError(f"{text} is no group id: see `groupseal member groups`") from error


def _parse(served: ServedItem) -> SharedItem | None:
    try:
        return SharedItem.from_bytes(served.item)
    except MalformedError:
        return None
