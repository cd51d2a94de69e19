"""What a push does to a group, in one transaction: names, members, and the mark that it is dirty.

Locks are taken in the order users, group, memberships. A whole list is compared in the database
first, without locks, so that only the users who differ are locked and only their rows written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from directory.errors import ContendedError
from directory.group_restore import keep_roster
from directory.groups import (
    Group,
    bury_group,
    create_group,
    lock_group,
    read_group,
    rename_group,
    touch,
)
from directory.membership_change import MemberOperation, MembershipChange, Verb, boil_down
from directory.memberships import (
    Difference,
    add_members,
    canonical_uuid,
    difference,
    drop_unresolved,
    drop_unresolved_except,
    keep_unresolved,
    lock_users,
    remove_all_members,
    remove_members,
)
from directory.tenancy import TenantScope


@dataclass(frozen=True, slots=True)
class Push:
    """What a request says of a group.

    Names that are None stay as they are; an empty external_id takes it away.
    """

    display_name: str | None = None
    external_id: str | None = None
    operations: Sequence[MemberOperation] = ()


@dataclass(frozen=True, slots=True)
class Pushed:
    """The group's version after a push, and whether anything was changed."""

    group_id: UUID
    version: int
    changed: bool


def create(scope: TenantScope, push: Push) -> Group:
    """Creates a group with its first members. Raises TakenError or TooManyUnresolvedError."""
    values = {value for operation in push.operations for value in operation.members}
    found = lock_users(scope, values)
    group = create_group(scope, push.display_name or "", push.external_id or None)
    _apply_deltas(scope, group.id, push.operations, found)
    return group


def change(scope: TenantScope, group_id: UUID, push: Push, *, version: int | None = None) -> Pushed:
    """Changes names and members of a group. Costs O(change) and nothing if nothing differs.

    Raises NotFoundError, VersionMismatchError, TakenError, TooManyUnresolvedError, or
    ContendedError: then roll back and call again.
    """
    if any(operation.verb is Verb.REPLACE for operation in push.operations):
        group, moved = _change_to_list(scope, group_id, push.operations, version)
    else:
        values = {value for operation in push.operations for value in operation.members}
        found = lock_users(scope, values)
        group = lock_group(scope, group_id, version=version)
        moved = _apply_deltas(scope, group_id, push.operations, found)
    renamed = rename_group(
        scope,
        group,
        group.display_name if push.display_name is None else push.display_name,
        group.external_id if push.external_id is None else push.external_id or None,
    )
    changed = renamed or moved > 0
    if changed:
        touch(scope, [group_id])
    return Pushed(group_id, group.version + changed, changed)


def delete(scope: TenantScope, group_id: UUID, *, version: int | None = None) -> None:
    """Ends every membership and leaves a tombstone, which `group_restore` can bring back.

    Raises NotFoundError or VersionMismatchError.
    """
    lock_group(scope, group_id, version=version)
    keep_roster(scope, group_id)
    remove_all_members(scope, group_id)
    drop_unresolved_except(scope, group_id, ())
    touch(scope, [group_id])
    bury_group(scope, group_id)


def _apply_deltas(
    scope: TenantScope,
    group_id: UUID,
    operations: Sequence[MemberOperation],
    found: dict[str, UUID],
) -> int:
    """Adds and removes in a locked group; returns how many memberships changed."""
    values = {value for operation in operations for value in operation.members}
    keys: dict[str, UUID | str] = {value: found.get(value, value) for value in values}
    change: MembershipChange[UUID | str] = boil_down(operations, keys)
    moved = remove_members(scope, group_id, (k for k in change.removed if isinstance(k, UUID)))
    moved += add_members(
        scope, group_id, {k: shown for k, shown in change.added.items() if isinstance(k, UUID)}
    )
    drop_unresolved(scope, group_id, (k for k in change.removed if isinstance(k, str)))
    keep_unresolved(scope, group_id, (k for k in change.added if isinstance(k, str)))
    return moved


def _change_to_list(
    scope: TenantScope,
    group_id: UUID,
    operations: Sequence[MemberOperation],
    version: int | None,
) -> tuple[Group, int]:
    """Makes the members exactly the list that the operations lead to."""
    # A UUID has one spelling here, so that two of them are one member.
    values = {value for operation in operations for value in operation.members}
    uuids = {value: canonical for value in values if (canonical := canonical_uuid(value))}
    others = values - uuids.keys()
    listed = boil_down(operations, uuids | {value: value for value in others}).added
    ids = [value for value in listed if value not in others]
    others &= listed.keys()

    before = read_group(scope, group_id)
    found_difference = difference(scope, group_id, ids)
    candidates = {str(id_) for id_ in found_difference.missing} | others
    found = lock_users(scope, candidates)
    group = lock_group(scope, group_id, version=version)
    if group.version != before.version:
        # Somebody changed the members in between: compare again, now that nobody can.
        found_difference = difference(scope, group_id, ids)
        named = {str(id_) for id_ in found_difference.missing} | others
        if not named <= candidates:
            raise ContendedError("the group is being changed by others; send the request again")
        candidates = named
    unresolved = [value for value in candidates if value not in found]
    arriving = {found[value]: listed[value] for value in candidates if value in found}
    moved = _exchange(scope, group_id, found_difference, arriving, everybody=not listed)
    drop_unresolved_except(scope, group_id, unresolved)
    keep_unresolved(scope, group_id, unresolved)
    return group, moved


def _exchange(
    scope: TenantScope,
    group_id: UUID,
    difference: Difference,
    arriving: dict[UUID, str | None],
    *,
    everybody: bool,
) -> int:
    if everybody:
        return remove_all_members(scope, group_id)
    # A member named by externalId is missing from the list of ids, and yet stays.
    leaving = difference.surplus - arriving.keys()
    return remove_members(scope, group_id, leaving) + add_members(scope, group_id, arriving)
