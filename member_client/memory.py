"""What this device has seen, to notice what changed: keys, trust settings and group names.

Everything in it came from the verified ledger. What a member has acknowledged is kept apart from
what was seen last, so that a warning stays until somebody has read it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from member_client.errors import HomeError
from member_client.home import Home

MEMORY_FILE = "seen.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class SeenName:
    """A group's name: as the member knows it, and as it was when the group was last opened."""

    known: str | None
    last: str | None
    # Part digest of the name when it was last opened.
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What was acknowledged, and what was seen."""

    # Keys bound before this position were there when the device first looked.
    first_look: int
    keys: frozenset[bytes]
    trust: TrustSettings
    names: dict[str, SeenName] = field(default_factory=dict)

    def with_keys(self, *key_ids: bytes) -> "Memory":
        return replace(self, keys=self.keys.union(key_ids))

    def with_trust(self, trust: TrustSettings) -> "Memory":
        return replace(self, trust=trust)

    def with_name(self, group_id: str, name: str | None, digest: bytes | None) -> "Memory":
        before = self.names.get(group_id)
        known = name if before is None else before.known
        return replace(self, names={**self.names, group_id: SeenName(known, name, digest)})

    def with_names_acknowledged(self) -> "Memory":
        names = {group: replace(seen, known=seen.last) for group, seen in self.names.items()}
        return replace(self, names=names)

    def other_groups_known_as(self, name: str, group_id: str) -> list[str]:
        """Ids of groups that the member knows under this name, but for the one given."""
        return [g for g, seen in self.names.items() if seen.known == name and g != group_id]


def load_memory(home: Home) -> Memory | None:
    """None before the first look. Raises HomeError where the file is damaged."""
    fields = home.read_json(MEMORY_FILE)
    if fields is None:
        return None
    try:
        if fields["version"] != _VERSION:
            raise HomeError(f"{home.path(MEMORY_FILE)} is of another version: upgrade this client")
        return Memory(
            int(fields["first_look"]),
            frozenset(bytes.fromhex(text) for text in fields["keys"]),
            _trust_from(fields["trust"]),
            {group: _name_from(each) for group, each in fields["names"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HomeError(
            f"{home.path(MEMORY_FILE)} is damaged: delete it, then read what"
            " `groupseal member status` says as if for the first time"
        ) from error


def change_memory(home: Home, first: Memory, change: Callable[[Memory], Memory]) -> Memory:
    """Changes what is stored, beginning with `first` where nothing is."""
    with home.locked():
        before = load_memory(home)
        after = change(before or first)
        if after != before:
            home.write_json(MEMORY_FILE, _fields(after))
    return after


def _fields(memory: Memory) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "first_look": memory.first_look,
        "keys": sorted(key_id.hex() for key_id in memory.keys),
        "trust": trust_fields(memory.trust),
        "names": {
            group: {
                "known": seen.known,
                "last": seen.last,
                "digest": None if seen.digest is None else seen.digest.hex(),
            }
            for group, seen in memory.names.items()
        },
    }


def trust_fields(trust: TrustSettings) -> dict[str, str]:
    """Trust settings as JSON: modes by their names in lower case."""
    return {
        "mode": trust.mode.name.lower(),
        "issuer": trust.issuer,
        "client_id": trust.client_id,
        "subject_claim": trust.subject_claim,
        "membership_check": trust.membership_check.name.lower(),
        "membership_source": trust.membership_source,
    }


def _trust_from(fields: dict[str, str]) -> TrustSettings:
    return TrustSettings(
        TrustMode[fields["mode"].upper()],
        str(fields["issuer"]),
        str(fields["client_id"]),
        str(fields["subject_claim"]),
        MembershipCheck[fields["membership_check"].upper()],
        str(fields["membership_source"]),
    )


def _name_from(fields: dict[str, str | None]) -> SeenName:
    digest = fields["digest"]
    return SeenName(
        fields["known"], fields["last"], None if digest is None else bytes.fromhex(digest)
    )
