"""Checks the whole store: what the ledger says, verified from its first entry, is what is stored.

1. The log itself: every entry may follow the ones before it, roots and range are right.
2. Parts: each is the one its entry commits to; what must be kept is there.
3. The projection: groups, rosters, grants, bound and refused keys, and the work that is left.
4. With the root key: every epoch's secret yields its public key, every history link opens.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from encryption_service.errors import ServiceError
from encryption_service.group_secrets import SecretVault, derive_group_public_key, derive_key
from encryption_service.keyset import Keyset, unseal_keyset
from encryption_service.ledger_store import (
    ServiceRow,
    StoredEntry,
    ledger_size,
    read_entries,
    read_service,
)
from encryption_service.root_key import RootKeyProvider
from encryption_service.store import snapshot
from groupseal.entries import Entry, GroupReconciled, OrganisationCreated
from groupseal.envelopes import group_context
from groupseal.errors import ProtocolError
from groupseal.grants import verify_envelopes
from groupseal.identifiers import identifier_to_text
from groupseal.labels import Label
from groupseal.ledger import LedgerVerifier, VerifiedEntry
from groupseal.merkle import CompactRange
from groupseal.parts import PartKind, Parts
from groupseal.projection import GroupView, Projection
from groupseal.trust import VENDOR_TRUSTED

_NONCE_LENGTH = 12


@dataclass(slots=True)
class Report:
    """Counts of what was checked, and a sentence for each fault."""

    checked: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def count(self, what: str, number: int = 1) -> None:
        self.checked[what] = self.checked.get(what, 0) + number

    def expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)


def check_store(connection: sqlite3.Connection, provider: RootKeyProvider | None) -> Report:
    """Checks one snapshot of the store. Without a provider, secrets are not looked at."""
    report = Report()
    with snapshot(connection):
        service = read_service(connection)
        if service is None:
            report.faults.append("the store holds no organisation: start the service once")
            return report
        report.expect(
            service.halted_reason is None,
            f"the service has halted ({service.halted_reason}): {service.halted_detail}",
        )
        keyset = _open_keyset(service, provider, report)
        projection = Projection()
        if _check_ledger(connection, service, keyset, projection, report):
            _check_settings(connection, projection, report)
            _check_keys(connection, projection, report)
            _check_groups(connection, projection, report)
    return report


def _open_keyset(
    service: ServiceRow, provider: RootKeyProvider | None, report: Report
) -> Keyset | None:
    if provider is None:
        return None
    try:
        return unseal_keyset(service.sealed_keyset, service.organisation, provider)
    except (ServiceError, ProtocolError) as error:
        report.faults.append(f"the keyset does not open: {error}")
        return None


def _check_ledger(
    connection: sqlite3.Connection,
    service: ServiceRow,
    keyset: Keyset | None,
    projection: Projection,
    report: Report,
) -> bool:
    """Whether the log could be followed to its end."""
    size = ledger_size(connection)
    verifier = None
    secrets = None if keyset is None else _Secrets(keyset, report)
    for stored in read_entries(connection, 0, size, size):
        parts = _read_parts(connection, stored.position)
        envelopes = parts.get(PartKind.ENVELOPES)
        try:
            verifier = verifier or _verifier(service, stored, projection)
            verified = verifier.add(stored.data, parts)
            projection.apply(verified)
            if envelopes is not None:
                verify_envelopes(verified.grants, envelopes)
        except ProtocolError as error:
            report.faults.append(f"entry {stored.position}: {error}")
            return False
        _check_stored(stored, verified, service, envelopes is not None, report)
        if secrets is not None:
            secrets.check(verified)
        report.count("entries")
        report.count("parts", len(parts))
    stored_range = connection.execute("SELECT ledger_range FROM service").fetchone()[0]
    followed = verifier.range if verifier else CompactRange()
    report.expect(
        stored_range == followed.to_bytes(),
        "the stored Merkle range is not the one of the entries",
    )
    report.expect(
        service.acknowledged_size <= size,
        f"{service.acknowledged_size} entries were acknowledged, but there are only {size}",
    )
    return True


def _verifier(service: ServiceRow, first: StoredEntry, projection: Projection) -> LedgerVerifier:
    created = Entry.from_bytes(first.data).body
    key = created.signing_public_key if isinstance(created, OrganisationCreated) else b""
    return LedgerVerifier(service.organisation, key, CompactRange(), projection.group_state)


def _check_stored(
    stored: StoredEntry,
    verified: VerifiedEntry,
    service: ServiceRow,
    has_envelopes: bool,
    report: Report,
) -> None:
    position = stored.position
    report.expect(stored.root == verified.root, f"entry {position}: the stored root is wrong")
    report.expect(
        stored.time_ms == verified.entry.time_ms, f"entry {position}: the stored time is wrong"
    )
    if verified.grants and not has_envelopes:
        report.expect(
            position < service.acknowledged_size,
            f"entry {position}: its envelopes are gone before the vendor acknowledged them",
        )


def _read_parts(connection: sqlite3.Connection, position: int) -> Parts:
    rows = connection.execute("SELECT kind, body FROM parts WHERE position = ?", (position,))
    return {PartKind(kind): body for kind, body in rows}


class _Secrets:
    """Follows each group's secrets from epoch to epoch."""

    def __init__(self, keyset: Keyset, report: Report) -> None:
        self._organisation = keyset.organisation
        self._vault = SecretVault(keyset.organisation, keyset.key_encryption_keys)
        self._report = report
        self._sealed: dict[bytes, bytes] = {}

    def check(self, verified: VerifiedEntry) -> None:
        body, parts = verified.entry.body, verified.parts
        if not isinstance(body, GroupReconciled) or not body.opens:
            return
        where = f"group {identifier_to_text(body.group)}, epoch {body.epoch}"
        before = self._sealed.get(body.group)
        self._sealed[body.group] = parts[PartKind.SEALED_SECRET]
        try:
            secret = self._vault.unseal(parts[PartKind.SEALED_SECRET], body.group, body.epoch)
            public = derive_group_public_key(secret, self._organisation, body.group, body.epoch)
            self._report.expect(
                public == body.group_public_key, f"{where}: the secret yields another public key"
            )
            if before is not None:
                previous = self._vault.unseal(before, body.group, body.epoch - 1)
                context = (self._organisation, body.group, body.epoch)
                key = derive_key(Label.DERIVE_HISTORY_KEY, secret, *context)
                link = parts[PartKind.HISTORY_LINK]
                opened = AESGCM(key.reveal()).decrypt(
                    link[:_NONCE_LENGTH],
                    link[_NONCE_LENGTH:],
                    group_context(Label.HISTORY_LINK, *context),
                )
                self._report.expect(
                    opened == previous.reveal(), f"{where}: the history link holds another secret"
                )
        except (ServiceError, InvalidTag) as error:
            self._report.faults.append(f"{where}: a secret does not open ({type(error).__name__})")
        self._report.count("epochs")


def _check_keys(connection: sqlite3.Connection, projection: Projection, report: Report) -> None:
    stored = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT key_id, member, suite, hpke_public_key, signing_public_key, position, "
            "trust_mode, endorsing_key_id FROM member_keys"
        )
    }
    said = {
        key.key_id: (
            key.member,
            int(key.suite),
            key.hpke_public_key,
            key.signing_public_key,
            key.position,
            int(key.trust_mode),
            key.endorsing_key_id,
        )
        for key in projection.keys.values()
    }
    _compare(stored, said, "the bound key", report)
    refused = {row[0] for row in connection.execute("SELECT key_id FROM refused_keys")}
    report.expect(
        refused == set(projection.refused), "the refused keys are not those that the ledger names"
    )
    former = {row[0] for row in connection.execute("SELECT key_id FROM former_keys")}
    report.expect(
        former == set(projection.former_keys),
        "the keys that were unbound are not those that the ledger names",
    )
    report.count("keys", len(stored))


def _check_settings(connection: sqlite3.Connection, projection: Projection, report: Report) -> None:
    row = connection.execute("SELECT trust_digest, policy_digest FROM service").fetchone()
    report.expect(
        (row[0] or VENDOR_TRUSTED.digest()) == projection.trust.digest(),
        "the trust settings are not those that the ledger names",
    )
    report.expect(
        row[1] == projection.policy_digest, "the policy is not the one that the ledger names"
    )


def _check_groups(connection: sqlite3.Connection, projection: Projection, report: Report) -> None:
    known: set[bytes] = set()
    for row in connection.execute(
        "SELECT group_id, number, last_position, epoch, is_open, public_key, roster_digest, "
        "roster_size, sealed_secret, needs_work FROM groups"
    ):
        group_id, number = row[0], row[1]
        known.add(group_id)
        where = f"group {identifier_to_text(group_id)}"
        view = projection.groups.get(group_id)
        if view is None:
            report.faults.append(f"{where} is not in the ledger")
            continue
        state = view.state
        expected = (
            *(state.last_position, state.epoch, int(state.is_open)),
            *(state.public_key, state.roster_digest, len(view.roster)),
        )
        report.expect(tuple(row[2:8]) == expected, f"{where}: its row is not what the ledger says")
        for fault in _group_faults(connection, number, view, projection, needs_work=bool(row[9])):
            report.faults.append(f"{where}: {fault}")
        report.count("groups")
    for group_id in projection.groups.keys() - known:
        report.faults.append(f"group {identifier_to_text(group_id)} of the ledger is not stored")


def _group_faults(
    connection: sqlite3.Connection,
    number: int,
    view: GroupView,
    projection: Projection,
    *,
    needs_work: bool,
) -> Iterator[str]:
    roster = {
        row[0]
        for row in connection.execute("SELECT member FROM roster WHERE number = ?", (number,))
    }
    if roster != view.roster:
        yield "its roster is not the ledger's"
    epoch = view.state.epoch
    granted = set(
        connection.execute(
            "SELECT member, key_id FROM grants WHERE number = ? AND epoch = ?", (number, epoch)
        )
    )
    if granted != {name for name, (_, of) in view.grants.items() if of == epoch}:
        yield "its grants are not the ledger's"
    pending = set(
        connection.execute("SELECT member, key_id FROM pending_grants WHERE number = ?", (number,))
    )
    held = {
        (member, key_id): bool(due)
        for member, key_id, due in connection.execute(
            "SELECT member, key_id, due FROM holds WHERE number = ?", (number,)
        )
    }
    due = {(k.member, k.key_id) for k in projection.keys.values() if k.member in roster} - granted
    if view.state.is_open and due - pending - held.keys():
        yield f"{len(due - pending - held.keys())} grants are neither made, nor due, nor held"
    if held.keys() - due:
        yield f"{len(held.keys() - due)} grants are held that are not due"
    if (pending or any(held.values()) or not view.state.is_open) and not needs_work:
        yield "it has work left that nobody will take up"


def _compare(
    stored: Mapping[bytes, tuple[object, ...]],
    said: Mapping[bytes, tuple[object, ...]],
    what: str,
    report: Report,
) -> None:
    for name in stored.keys() | said.keys():
        report.expect(
            stored.get(name) == said.get(name), f"{what} {name.hex()} is not what the ledger says"
        )
