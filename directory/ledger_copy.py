"""The verified copy of a tenant's ledger, and everything that is derived from it alone.

`apply_chunk` is the only way in which a grant comes into being here. It writes a chunk of entries
that `groupseal.ledger.LedgerVerifier` has verified, under a signed head, together with all that
follows from them: in one transaction, or not at all.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from directory import ledger_statements as sql
from directory.groups import bump
from directory.ledger_changes import ChunkChanges, GrantRow, Pair, identifier
from directory.tenancy import TenantScope
from directory.trust_projection import project_keys, set_trust
from groupseal.entries import KeyBound, KeyRefused
from groupseal.ledger import EMPTY_ROSTER_DIGEST, GroupState
from groupseal.merkle import CompactRange


class LedgerMovedOnError(Exception):
    """Somebody else has applied entries meanwhile: read again from where the copy ends now."""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """Where the copy ends: what is needed to verify what comes next."""

    past: CompactRange
    last_time_ms: int
    # Newest verified head, over exactly `past`; empty before the first.
    head: str

    @property
    def size(self) -> int:
        return self.past.size


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """Where a chunk leads to, and how far the service says that we had read before."""

    state: LedgerState
    acknowledged_size: int = 0


def ledger_state(scope: TenantScope) -> LedgerState:
    """Reads where the copy ends. Raises LookupError for an unknown tenant."""
    row = scope.one(sql.STATE)
    if row is None:
        raise LookupError(f"there is no tenant {scope.tenant_id}")
    past = CompactRange() if row.ledger_range is None else CompactRange.from_bytes(row.ledger_range)
    if past.size != row.ledger_size:
        raise RuntimeError("tenants.ledger_range does not belong to tenants.ledger_size")
    return LedgerState(past, row.ledger_time_ms, row.ledger_head)


def group_states(scope: TenantScope, groups: Collection[bytes]) -> dict[bytes, GroupState]:
    """What the copy says of these groups (16-byte ids); unknown ones are left out."""
    if not groups:
        return {}
    rows = scope.all(sql.GROUP_STATES, ids=[identifier(group) for group in groups])
    return {
        row.id.bytes: GroupState(
            row.last_position,
            row.epoch,
            row.epoch_open,
            row.public_key or b"",
            row.roster_digest or EMPTY_ROSTER_DIGEST,
        )
        for row in rows
    }


def apply_chunk(
    scope: TenantScope, before: LedgerState, changes: ChunkChanges, end: ChunkEnd
) -> None:
    """Writes a verified chunk that begins where `before` ends. The caller commits.

    An empty chunk only renews the head. Raises LedgerMovedOnError if the copy no longer ends there.
    """
    scope.connection.execute(sql.LOCK_LEDGER, {"key": _lock_key(scope.tenant_id)})
    if changes.entries:
        _lock_groups(scope, changes)
    restored_until = _move_on(scope, before, end)
    if not changes.entries:
        return
    _keep_entries(scope, changes)
    if changes.trust is not None:
        set_trust(scope, changes.trust)
    _project_groups(scope, changes)
    project_keys(scope, changes)
    _let_leave(scope, changes)
    _let_in(scope, changes)
    if restored_until is not None:
        _hold_after_restore(scope, changes, restored_until)
    _note_events(scope, changes)
    if changes.left:
        scope.execute(sql.DROP_FORGOTTEN, **_pairs(changes.left))
    if changes.rostered:
        _mark(scope, scope.values(sql.DIFFERING, ids=list(changes.groups)))


def _lock_key(tenant_id: UUID) -> int:
    """The advisory lock under which a tenant's copy grows."""
    digest = sha256(b"groupseal ledger copy" + tenant_id.bytes).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _lock_groups(scope: TenantScope, changes: ChunkChanges) -> None:
    """Locks every group that is written to, in order; makes a tombstone of an unknown one."""
    changed = [body for _, body in changes.keys.values() if not isinstance(body, KeyRefused)]
    known = set(
        scope.values(
            sql.LOCK_GROUPS,
            ids=list(changes.groups),
            members=[identifier(body.member) for body in changed],
        )
    )
    unknown = changes.groups.keys() - known
    if unknown:
        scope.execute(sql.BURY_UNKNOWN_GROUPS, ids=sorted(unknown))


def _move_on(scope: TenantScope, before: LedgerState, end: ChunkEnd) -> int | None:
    """Compare and set on the size; returns up to where entries are read again after a restore."""
    # The service remembers that we acknowledged more than we hold: this database was restored.
    restored = end.acknowledged_size if end.acknowledged_size > before.size else None
    row = scope.one(
        sql.MOVE_ON,
        before=before.size,
        size=end.state.size,
        range=end.state.past.to_bytes(),
        time_ms=end.state.last_time_ms,
        head=end.state.head,
        restored=restored,
    )
    if row is None:
        raise LedgerMovedOnError(f"the ledger copy no longer ends at {before.size}")
    until: int | None = row.restored_until
    return until if until is not None and until > before.size else None


def _keep_entries(scope: TenantScope, changes: ChunkChanges) -> None:
    positions, entries, roots, groups = _columns(changes.entries, 4)
    scope.execute(
        sql.KEEP_ENTRIES, positions=positions, entries=entries, roots=roots, groups=groups
    )
    if changes.parts:
        positions, kinds, bodies = _columns(changes.parts, 3)
        scope.execute(sql.KEEP_PARTS, positions=positions, kinds=kinds, bodies=bodies)


def _project_groups(scope: TenantScope, changes: ChunkChanges) -> None:
    if not changes.groups:
        return
    states = list(changes.groups.values())
    scope.execute(
        sql.PROJECT_GROUPS,
        ids=list(changes.groups),
        positions=[state.last_position for state in states],
        epochs=[state.epoch for state in states],
        opens=[state.is_open for state in states],
        public_keys=[state.public_key or None for state in states],
        digests=[state.roster_digest for state in states],
    )
    if changes.epochs:
        groups, epochs, public_keys, positions = _columns(changes.epochs, 4)
        scope.execute(
            sql.KEEP_EPOCHS,
            groups=groups,
            epochs=epochs,
            public_keys=public_keys,
            positions=positions,
        )


def _let_leave(scope: TenantScope, changes: ChunkChanges) -> None:
    """Whoever left at some point of the chunk loses roster, grants and envelopes first."""
    if changes.left:
        pairs = _pairs(changes.left)
        scope.execute(sql.LEAVE, **pairs)
        scope.execute(sql.DROP_GRANTS, **pairs)
        scope.execute(sql.DROP_MISSING, **pairs)


def _let_in(scope: TenantScope, changes: ChunkChanges) -> None:
    """Who is on the roster at the end, and every grant: this is the commit of memberships."""
    joined = [pair for pair, on_it in changes.rostered.items() if on_it]
    if joined:
        _make_unknown_memberships(scope, joined)
    given, missing = _by_envelope(changes.grants)
    if given:
        _keep_grants(scope, given)
    if missing:
        _keep_missing(scope, missing)
    if given and not missing:
        scope.execute(sql.DROP_FOUND, ids=list(changes.groups))
    newest = {pair: max(rows, key=lambda row: row.epoch).key_id for pair, rows in _of(given)}
    pairs = list(dict.fromkeys([*joined, *newest]))
    if pairs:
        joining = set(joined)
        scope.execute(
            sql.COMMIT_MEMBERSHIPS,
            **_pairs(pairs),
            joined=[pair in joining for pair in pairs],
            key_ids=[newest.get(pair) for pair in pairs],
        )
    bound = [(k.member, k.key_id) for _, k in changes.keys.values() if isinstance(k, KeyBound)]
    if bound:
        waiting = scope.values(
            sql.WAITING_FOR_KEYS,
            members=[identifier(member) for member, _ in bound],
            key_ids=[key_id for _, key_id in bound],
        )
        _mark(scope, waiting)


def _make_unknown_memberships(scope: TenantScope, joined: list[Pair]) -> None:
    """The service may have let in whom this database does not know: after a restore of it."""
    unknown = scope.all(sql.UNKNOWN_MEMBERSHIPS, **_pairs(joined))
    if unknown:
        pairs = _pairs([(row.group_id, row.user_id) for row in unknown])
        scope.execute(sql.BURY_UNKNOWN_USERS, ids=sorted({row.user_id for row in unknown}))
        scope.execute(sql.MAKE_MEMBERSHIPS, **pairs)


Given = list[tuple[Pair, GrantRow]]


def _by_envelope(grants: dict[Pair, dict[bytes, GrantRow]]) -> tuple[Given, Given]:
    given: Given = []
    missing: Given = []
    for pair, rows in grants.items():
        for row in rows.values():
            (missing if row.envelope is None else given).append((pair, row))
    return given, missing


def _of(given: Given) -> Iterable[tuple[Pair, list[GrantRow]]]:
    rows: dict[Pair, list[GrantRow]] = {}
    for pair, row in given:
        rows.setdefault(pair, []).append(row)
    return rows.items()


def _keep_grants(scope: TenantScope, given: Given) -> None:
    scope.execute(
        sql.KEEP_GRANTS,
        **_pairs([pair for pair, _ in given]),
        key_ids=[row.key_id for _, row in given],
        epochs=[row.epoch for _, row in given],
        envelopes=[row.envelope for _, row in given],
        hashes=[row.envelope_hash for _, row in given],
        positions=[row.position for _, row in given],
        indexes=[row.batch_index for _, row in given],
    )


def _keep_missing(scope: TenantScope, missing: Given) -> None:
    scope.execute(
        sql.KEEP_MISSING,
        **_pairs([pair for pair, _ in missing]),
        key_ids=[row.key_id for _, row in missing],
        epochs=[row.epoch for _, row in missing],
    )
    _mark(scope, {pair[0] for pair, _ in missing})


def _mark(scope: TenantScope, groups: Collection[UUID]) -> None:
    """Marks (locked) groups as dirty."""
    if groups:
        bump(scope, sorted(groups))


def _hold_after_restore(scope: TenantScope, changes: ChunkChanges, until: int) -> None:
    """Okta does not push a removal twice: who left since the backup stays out until confirmed."""
    left = [
        pair
        for pair, position in changes.left.items()
        if position < until and not changes.rostered[pair]
    ]
    if left:
        scope.execute(sql.HOLD, **_pairs(left))
    rejoined = [
        pair
        for pair, position in changes.joined.items()
        if position < until and changes.rostered[pair]
    ]
    if rejoined:
        scope.execute(sql.RELEASE, **_pairs(rejoined))


def _note_events(scope: TenantScope, changes: ChunkChanges) -> None:
    events = changes.events
    if events:
        scope.execute(
            sql.NOTE_EVENTS,
            kinds=[event.kind for event in events],
            groups=[event.group_id for event in events],
            users=[event.user_id for event in events],
            reasons=[event.reason for event in events],
            details=[
                None if event.epoch is None else json.dumps({"epoch": event.epoch})
                for event in events
            ],
        )


def _pairs(pairs: Iterable[Pair]) -> dict[str, object]:
    groups, users = _columns(list(pairs), 2)
    return {"groups": groups, "users": users}


def _columns(rows: Sequence[tuple[object, ...]], count: int) -> list[list[object]]:
    """Rows as columns, which travel as arrays."""
    if not rows:
        return [[] for _ in range(count)]
    return [list(column) for column in zip(*rows, strict=True)]
