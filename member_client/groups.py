"""A member's groups: opening, sharing, reading, and under which name."""

from dataclasses import dataclass, field

from groupseal.checkpoint import Head
from groupseal.errors import (
    EpochClosedError,
    MalformedError,
    PartMismatchError,
    ProtocolError,
    WrongContextError,
)
from groupseal.identifiers import identifier_from_text, identifier_to_text
from groupseal.projection import GroupView
from groupseal.reasons import Reason
from groupseal.shared_items import SharedItem
from member_client.answers import GroupListing, ServedItem
from member_client.context import DeviceContext
from member_client.errors import RefusedError, UsageError, WaitingError
from member_client.group_secrets import EpochKeys
from member_client.history import walk_back
from member_client.ledger_file import Ledger
from member_client.notices import day, name_notice
from member_client.opening import open_grant
from member_client.sharing import check_item, open_item, seal_item
from member_client.verify import check_may_write, check_name, group_view, head_warnings
from member_client.watch import Watch

# What is served and what is in the ledger change independently: look again before complaining.
_ATTEMPTS = 3


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


class Groups:
    """What a device does with its groups. Raises what `MemberClient` says."""

    def __init__(self, context: DeviceContext, watch: Watch) -> None:
        self._context = context
        self._watch = watch

    def listed(self) -> list[GroupListing]:
        return self._context.api.groups()

    def find(self, group: str) -> str:
        """Id of a group, given as id or by its name; see `MemberClient.find_group`."""
        try:
            identifier_from_text(group)
        except MalformedError:
            pass
        else:
            return group
        found = [each.group_id for each in self.listed() if each.display_name == group]
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
        self._refuse_moved_name(group, found[0])
        return found[0]

    def _refuse_moved_name(self, name: str, group_id: str) -> None:
        others = self._watch.memory().other_groups_known_as(name, group_id)
        if others:
            raise UsageError(
                f"you know another group as {name} ({others[0]}), and this one ({group_id}) bears"
                " the name now: give the id of the one you mean. Once that is meant to be so:"
                " `groupseal member status --seen`"
            )

    def open(self, group_id: str) -> OpenedGroup:
        """Fetches, verifies and opens this device's envelope; see `MemberClient.open`."""
        group = parse_group_id(group_id)
        for attempt in range(_ATTEMPTS):
            served = self._context.api.grant(group_id, self._context.keys.key_id)
            ledger, head = self._context.synced()
            view = group_view(ledger.projection, group)
            last = attempt == _ATTEMPTS - 1
            if view.state.is_open and served.epoch < view.state.epoch and not last:
                continue  # it was rotated between the two answers
            keys = open_grant(self._context.me, ledger.projection, group, served)
            try:
                name = check_name(view, served.name_part)
            except PartMismatchError:
                if last:
                    raise
                continue  # it was renamed between the two answers
            return self._opened(group_id, keys, name, view, head)
        raise AssertionError("the last attempt returns or raises")

    def _opened(
        self, group_id: str, keys: EpochKeys, name: str | None, view: GroupView, head: Head
    ) -> OpenedGroup:
        current = view.state.is_open and view.state.epoch == keys.epoch
        warnings = head_warnings(head, self._context.now_ms())
        if not current:
            warnings.append(f"epoch {keys.epoch} is being replaced: it is for reading only")
        seen = self._watch.see_name(group_id, name, view.name_digest)
        renamed = name_notice(seen, self._context.ledger.named_ms.get(keys.group))
        if renamed is not None:
            warnings.append(renamed.text)
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

    def share(self, group_id: str, content: bytes) -> SharedTo:
        """Seals, signs and stores; see `MemberClient.share`."""
        group = parse_group_id(group_id)
        for attempt in range(_ATTEMPTS):
            ledger, head = self._context.synced()
            view = group_view(ledger.projection, group)
            warnings = check_may_write(view, head, self._context.now_ms())
            warnings += self._renamed_since(group_id, view, ledger.named_ms.get(group))
            if self._context.keys.key_id not in ledger.projection.keys:
                raise WaitingError(
                    Reason.QUEUED,
                    "this device's key is not bound yet: see `groupseal member devices`",
                )
            item = seal_item(self._context.me, group, view, content)
            try:
                item_id = self._context.api.share(group_id, item.to_bytes())
            except RefusedError as error:
                if error.reason != Reason.EPOCH_CLOSED:
                    raise
                if attempt == _ATTEMPTS - 1:
                    raise EpochClosedError(str(error)) from error
                continue  # the epoch may have been replaced meanwhile
            return SharedTo(item_id, item.epoch, tuple(warnings))
        raise AssertionError("the last attempt returns or raises")

    def _renamed_since(self, group_id: str, view: GroupView, named_ms: int | None) -> list[str]:
        seen = self._watch.memory().names.get(group_id)
        if seen is None:
            return []
        if seen.digest != view.name_digest:
            when = "" if named_ms is None else f" on {day(named_ms)}"
            text = f"the organisation renamed this group{when}, since you opened it"
            return [f"{text}: `groupseal member open` shows the new name"]
        renamed = name_notice(seen, named_ms)
        return [] if renamed is None else [renamed.text]

    def read(self, group_id: str) -> list[ReadItem]:
        """Every item, opened or refused one by one."""
        group = parse_group_id(group_id)
        served = self._context.api.items(group_id)
        newest = self.open(group_id).keys
        parsed = [_parse(each) for each in served]
        epochs = self._epochs_for(group_id, newest, [p for p in parsed if p is not None])
        return [
            self._read_item(group, each, item, epochs)
            for each, item in zip(served, parsed, strict=True)
        ]

    def history(self, group_id: str, oldest: int) -> dict[int, EpochKeys]:
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
        view = group_view(self._ledger.projection, newest.group)
        return walk_back(newest, oldest, self._context.api.history(group_id), view)

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
            check_item(item, self._ledger, self._context.organisation.organisation, group)
            if item.epoch not in epochs:
                raise WrongContextError(f"this device has no key of epoch {item.epoch} yet")
            content = open_item(item, epochs[item.epoch])
        except ProtocolError as error:
            return ReadItem(served.item_id, served.created_at, item.epoch, sender, None, error)
        return ReadItem(served.item_id, served.created_at, item.epoch, sender, content)

    @property
    def _ledger(self) -> Ledger:
        return self._context.ledger


def parse_group_id(text: str) -> bytes:
    """The 16 bytes of a group's id. Raises UsageError."""
    try:
        return identifier_from_text(text)
    except MalformedError as error:
        raise UsageError(f"{text} is no group id: see `groupseal member groups`") from error


def _parse(served: ServedItem) -> SharedItem | None:
    try:
        return SharedItem.from_bytes(served.item)
    except MalformedError:
        return None
