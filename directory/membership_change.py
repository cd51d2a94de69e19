"""Pure: what a request says about a group's members, in order, boiled down to one change."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Verb(Enum):
    """What one operation does with the members that it names."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class MemberOperation:
    """One operation: the values it names (ids or externalIds), each with a display name or none.

    REPLACE means exactly these; with none named, everybody leaves.
    """

    verb: Verb
    members: Mapping[str, str | None]


@dataclass(slots=True)
class MembershipChange(Generic[Key]):
    """The outcome of operations one after another.

    With `replaces`, the members are exactly `added`; otherwise those before, without `removed` and
    with `added`.
    """

    replaces: bool = False
    added: dict[Key, str | None] = field(default_factory=dict)
    removed: set[Key] = field(default_factory=set)


def boil_down(
    operations: Iterable[MemberOperation], keys: Mapping[str, Key]
) -> MembershipChange[Key]:
    """Applies operations in order; later ones win.

    `keys` translates each value to what it stands for, so that two values that name the same
    member are one. Values without a key are left out.
    """
    change: MembershipChange[Key] = MembershipChange()
    for operation in operations:
        named = {keys[v]: display for v, display in operation.members.items() if v in keys}
        match operation.verb:
            case Verb.ADD:
                change.added.update(named)
                change.removed.difference_update(named)
            case Verb.REMOVE:
                for key in named:
                    change.added.pop(key, None)
                if not change.replaces:
                    change.removed.update(named)
            case Verb.REPLACE:
                change.replaces = True
                change.added = dict(named)
                change.removed.clear()
    return change
