"""Keeps an eye on the ledger for the member: what changed since it was acknowledged."""

from collections.abc import Callable, Iterable

from groupseal.projection import BoundKey
from groupseal.trust import TrustSettings
from member_client.context import DeviceContext, trust_of
from member_client.memory import Memory, SeenName, change_memory, load_memory
from member_client.notices import (
    Notice,
    key_notices,
    name_notice,
    trust_notices,
    unseen_keys,
    weak_key_notices,
)


class Watch:
    """What this device remembers, beside the ledger as it is on this device.

    Nothing here asks the vendor. Raises NotEnrolledError, HomeError, or WaitingError while there
    is no ledger on this device.
    """

    def __init__(self, context: DeviceContext) -> None:
        self._context = context

    def memory(self) -> Memory:
        """What is remembered; begins to remember with the ledger of now."""
        return load_memory(self._context.home) or self._change(lambda memory: memory)

    def notices(self) -> list[Notice]:
        """What the member has to hear of whatever it does: new keys and changed trust."""
        projection = self._context.ledger.projection
        memory, trust = self.memory(), trust_of(projection)
        own = projection.keys.get(self._context.keys.key_id)
        found = trust_notices(trust, memory.trust) + weak_key_notices(own, trust)
        return found + key_notices(projection, self.unseen_keys())

    def name_notices(self) -> list[Notice]:
        """Of every group that was opened under a new name."""
        named = self._context.ledger.named_ms
        found = []
        for group_id, seen in self.memory().names.items():
            notice = name_notice(seen, named.get(bytes.fromhex(group_id.replace("-", ""))))
            if notice is not None:
                found.append(Notice(notice.code, f"{group_id}: {notice.text}"))
        return found

    def unseen_keys(self) -> list[BoundKey]:
        context = self._context
        projection, member = context.ledger.projection, context.session.member
        return unseen_keys(projection, member, context.keys.key_id, self.memory())

    def see_name(self, group_id: str, name: str | None, digest: bytes | None) -> SeenName:
        """Remembers under which name a group was opened."""
        before = self.memory().names.get(group_id)
        if before is not None and (before.last, before.digest) == (name, digest):
            return before
        return self._change(lambda memory: memory.with_name(group_id, name, digest)).names[group_id]

    def acknowledge_keys(self, key_ids: Iterable[bytes]) -> None:
        known = tuple(key_ids)
        self._change(lambda memory: memory.with_keys(*known))

    def acknowledge_trust(self, trust: TrustSettings) -> None:
        self._change(lambda memory: memory.with_trust(trust))

    def acknowledge_names(self) -> None:
        self._change(Memory.with_names_acknowledged)

    def _change(self, change: Callable[[Memory], Memory]) -> Memory:
        ledger = self._context.ledger
        first = Memory(
            0 if ledger.head is None else ledger.head.size,
            frozenset(),
            trust_of(ledger.projection),
        )
        return change_memory(self._context.home, first, change)
