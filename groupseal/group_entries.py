"""Bodies of ledger entries about a group: its name, its epochs, its grants."""

from dataclasses import dataclass
from typing import ClassVar, Self

from groupseal.encoding import Reader, Writer
from groupseal.entry_types import EntryType


@dataclass(frozen=True, slots=True)
class GroupNamed:
    """The group's name and its id at the identity provider.

    Part: salt, name and id. The entry holds only their hash, because everyone in the organisation
    may read entries, and a group's name concerns its members.
    """

    type: ClassVar = EntryType.GROUP_NAMED
    group: bytes
    base: int | None
    name_digest: bytes

    def write(self, to: Writer) -> None:
        to.identifier(self.group).optional_u64(self.base).hash(self.name_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(of.identifier(), of.optional_u64(), of.hash())


@dataclass(frozen=True, slots=True)
class EpochClosed:
    """Somebody left: from here on nothing may be written under this epoch."""

    type: ClassVar = EntryType.EPOCH_CLOSED
    group: bytes
    # Position of the group's entry before this one.
    base: int | None
    epoch: int
    joined: tuple[bytes, ...]
    left: tuple[bytes, ...]
    roster_digest: bytes

    def write(self, to: Writer) -> None:
        to.identifier(self.group).optional_u64(self.base).u32(self.epoch)
        to.identifiers(self.joined).identifiers(self.left).hash(self.roster_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(
            of.identifier(),
            of.optional_u64(),
            of.u32(),
            of.identifiers(),
            of.identifiers(),
            of.hash(),
        )


@dataclass(frozen=True, slots=True)
class GroupReconciled:
    """A change of a group's roster and a batch of grants of one epoch, possibly a new one.

    Parts: the grants, their envelopes, and where the entry opens an epoch its sealed secret and,
    after the first, the history link.
    """

    type: ClassVar = EntryType.GROUP_RECONCILED
    group: bytes
    base: int | None
    epoch: int
    # This entry opens the epoch.
    opens: bool
    group_public_key: bytes
    joined: tuple[bytes, ...]
    left: tuple[bytes, ...]
    roster_digest: bytes
    grants_root: bytes
    grants_count: int
    sealed_secret_digest: bytes | None = None
    history_link_digest: bytes | None = None

    def write(self, to: Writer) -> None:
        to.identifier(self.group).optional_u64(self.base).u32(self.epoch).flag(self.opens)
        to.var(self.group_public_key).identifiers(self.joined).identifiers(self.left)
        to.hash(self.roster_digest).hash(self.grants_root).u32(self.grants_count)
        to.optional_hash(self.sealed_secret_digest).optional_hash(self.history_link_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(
            of.identifier(),
            of.optional_u64(),
            of.u32(),
            of.flag(),
            of.var(),
            of.identifiers(),
            of.identifiers(),
            of.hash(),
            of.hash(),
            of.u32(),
            of.optional_hash(),
            of.optional_hash(),
        )
