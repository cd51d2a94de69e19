"""Compares what is stored beside the log with what the log says."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, TextClause

from directory.fsck_findings import Findings
from directory.fsck_ledger import Said
from directory.ledger_changes import identifier
from directory.tenancy import TenantScope, tenant_sql
from groupseal.projection import BoundKey, GroupView

_ROWS_AT_A_TIME = 2000

_GROUPS = tenant_sql("""
    SELECT id, last_position, epoch, epoch_open, public_key, roster_digest,
        desired_version, reconciled_version
    FROM groups WHERE tenant_id = :tenant_id
""")

_EPOCHS = tenant_sql("""
    SELECT group_id, epoch, public_key, position FROM epochs WHERE tenant_id = :tenant_id
""")

_MEMBERSHIPS = tenant_sql("""
    SELECT m.group_id, m.user_id, m.desired, m.wanted, m.rostered, m.held_reason, m.grant_key_id,
        u.active
    FROM memberships m JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id
    WHERE m.tenant_id = :tenant_id
""")

# The database hashes the envelopes: none of them comes here.
_GRANTS = tenant_sql("""
    SELECT group_id, member_id, key_id, epoch, position, batch_index, envelope_hash,
        sha256(envelope) AS actual_hash
    FROM grants WHERE tenant_id = :tenant_id
""")

_MISSING = tenant_sql("""
    SELECT group_id, member_id, key_id FROM missing_envelopes WHERE tenant_id = :tenant_id
""")

_KEYS = tenant_sql("""
    SELECT key_id, member_id, suite, hpke_public_key, signing_public_key, state
    FROM member_keys WHERE tenant_id = :tenant_id
""")

_DIFFERING = tenant_sql("""
    SELECT DISTINCT g.id
    FROM memberships m JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
    WHERE m.tenant_id = :tenant_id AND m.wanted <> m.rostered
        AND NOT (m.wanted AND m.reason IS NOT NULL)
        AND g.desired_version <= g.reconciled_version
""")

Triple = tuple[bytes, bytes, bytes]


def compare(scope: TenantScope, said: Said, found: Findings) -> None:
    """Adds a finding for every row that differs, is missing, or is too many."""
    _compare_groups(scope, said, found)
    _compare_epochs(scope, said, found)
    _compare_keys(scope, said, found)
    _compare_rosters(scope, said, found)
    _compare_grants(scope, said, found)
    for group in scope.values(_DIFFERING):
        found.add(
            "difference_not_due",
            f"group {group}",
            "members differ from the ledger, but the group is not marked as dirty",
        )


def _rows(scope: TenantScope, statement: TextClause) -> Iterator[Row[Any]]:
    """Rows as they come, without holding all of them."""
    result = scope.connection.execute(
        statement,
        {"tenant_id": scope.tenant_id},
        execution_options={"yield_per": _ROWS_AT_A_TIME},
    )
    yield from result


def _compare_groups(scope: TenantScope, said: Said, found: Findings) -> None:
    seen: set[bytes] = set()
    for row in _rows(scope, _GROUPS):
        where = f"group {row.id}"
        seen.add(row.id.bytes)
        found.expect(
            row.reconciled_version <= row.desired_version,
            "versions_differ",
            where,
            "it is reconciled at a version that was never desired",
        )
        view = said.projection.groups.get(row.id.bytes)
        if view is None:
            found.expect(
                row.last_position is None and row.epoch == 0 and not row.epoch_open,
                "group_differs",
                where,
                "the ledger says nothing of it",
            )
            continue
        state = view.state
        stored = (row.last_position, row.epoch, row.epoch_open, row.public_key or b"")
        expected = (state.last_position, state.epoch, state.is_open, state.public_key)
        found.expect(
            stored == expected and row.roster_digest == state.roster_digest,
            "group_differs",
            where,
            "position, epoch, public key or roster digest are not the ledger's",
        )
    for group in said.projection.groups.keys() - seen:
        found.add("group_missing", f"group {identifier(group)}", "the ledger knows it, no row does")


def _compare_epochs(scope: TenantScope, said: Said, found: Findings) -> None:
    stored = {
        (row.group_id.bytes, row.epoch): (row.public_key, row.position)
        for row in _rows(scope, _EPOCHS)
    }
    for group, epoch in stored.keys() | said.epochs.keys():
        found.expect(
            stored.get((group, epoch)) == said.epochs.get((group, epoch)),
            "epoch_differs",
            f"group {identifier(group)}, epoch {epoch}",
            "its public key or entry is not the ledger's",
        )


def _compare_keys(scope: TenantScope, said: Said, found: Findings) -> None:
    bound = dict(said.projection.keys)
    for row in _rows(scope, _KEYS):
        where = f"member {row.member_id}, key {row.key_id.hex()[:16]}"
        key = bound.pop(row.key_id, None)
        if row.state != "bound" or key is None:
            found.expect(
                row.state != "bound" and key is None,
                "key_differs",
                where,
                f"the ledger does not say that it is {row.state}",
            )
            continue
        found.expect(_same_key(row, key), "key_differs", where, "it is not the one that is bound")
    for key in bound.values():
        where = f"member {identifier(key.member)}, key {key.key_id.hex()[:16]}"
        found.add("key_missing", where, "the ledger binds it, no row does")


def _same_key(row: Row[Any], key: BoundKey) -> bool:
    return (
        row.member_id.bytes,
        row.suite,
        row.hpke_public_key,
        row.signing_public_key,
    ) == (key.member, key.suite, key.hpke_public_key, key.signing_public_key)


def _compare_rosters(scope: TenantScope, said: Said, found: Findings) -> None:
    rostered: dict[bytes, int] = {}
    for row in _rows(scope, _MEMBERSHIPS):
        where = f"group {row.group_id}, member {row.user_id}"
        view = said.projection.groups.get(row.group_id.bytes)
        on_roster = view is not None and row.user_id.bytes in view.roster
        found.expect(
            row.rostered == on_roster, "roster_differs", where, "the ledger's roster is another"
        )
        if row.rostered and on_roster:
            rostered[row.group_id.bytes] = rostered.get(row.group_id.bytes, 0) + 1
        found.expect(
            row.grant_key_id is None or on_roster,
            "grant_without_roster",
            where,
            "it has a grant, but is not on the roster",
        )
        found.expect(
            row.wanted == (row.desired and row.active and row.held_reason is None),
            "wanted_differs",
            where,
            "wanted does not follow from desired, active and held",
        )
    for group, view in said.projection.groups.items():
        absent = len(view.roster) - rostered.get(group, 0)
        found.expect(
            absent == 0,
            "roster_missing",
            f"group {identifier(group)}",
            f"{absent} members of the ledger's roster have no row that says so",
        )


def _compare_grants(scope: TenantScope, said: Said, found: Findings) -> None:
    missing = {
        (row.group_id.bytes, row.member_id.bytes, row.key_id) for row in _rows(scope, _MISSING)
    }
    seen: set[Triple] = set()
    for row in _rows(scope, _GRANTS):
        triple: Triple = (row.group_id.bytes, row.member_id.bytes, row.key_id)
        seen.add(triple)
        where = _where(triple)
        found.expect(
            row.actual_hash == row.envelope_hash,
            "envelope_damaged",
            where,
            "the envelope is not the one that its grant names",
        )
        # While the newest envelope is missing, the one before it is kept.
        if triple not in missing:
            stored = (row.envelope_hash, row.epoch, row.position, row.batch_index)
            found.expect(
                stored == _granted(said, triple),
                "grant_differs",
                where,
                "it is not the newest grant of the ledger",
            )
    for group, view in said.projection.groups.items():
        for triple in _newest(said, group, view):
            found.expect(
                triple in seen or triple in missing,
                "grant_missing",
                _where(triple),
                "the ledger grants, but no envelope is stored and none is asked for",
            )


def _newest(said: Said, group: bytes, view: GroupView) -> Iterator[Triple]:
    for member, key_id in view.grants:
        if key_id in said.projection.keys:
            yield group, member, key_id


def _granted(said: Said, triple: Triple) -> tuple[bytes, int, int, int] | None:
    """Hash, epoch and place of the newest grant; None if the ledger has taken it back."""
    group, member, key_id = triple
    view = said.projection.groups.get(group)
    if view is None or key_id not in said.projection.keys:
        return None
    grant = view.grants.get((member, key_id))
    return None if grant is None else (*grant, *said.places[triple])


def _where(triple: Triple) -> str:
    group, member, key_id = triple
    return f"group {identifier(group)}, member {identifier(member)}, key {key_id.hex()[:16]}"
