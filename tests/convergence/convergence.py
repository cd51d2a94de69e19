"""What must hold: at any time, and when nothing is left to do."""

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from directory.fsck import check
from directory.unit_of_work import UnitOfWork
from encryption_service.fsck import check_store
from groupseal.errors import WrongContextError
from member_client.opening import open_envelope
from tests.convergence.ledger_replay import Replay, replay
from tests.convergence.members import Member
from tests.support.world import World

if TYPE_CHECKING:
    from tests.convergence.machine import Desired


def check_served(world: World, model: "Desired") -> None:
    """Whoever is not desired or not active is served nothing, from the push on."""
    rows = world.rows("SELECT group_id, member_id FROM grants WHERE tenant_id = :tenant")
    for group, user in {(row.group_id, row.member_id) for row in rows}:
        if user in model.wanted(group):
            continue
        member = model.members[user]
        for keys in member.devices:
            assert member.served(group, keys) is None, f"{user} is served group {group}"


def check_converged(world: World, model: "Desired") -> None:
    """Committed = desired ∩ active ∩ enrolled, and nobody else can open anything newer."""
    said = replay(world)
    _check_copy(world, said)
    for group in model.groups:
        _check_committed(world, model, said, group)
    grants = world.rows("SELECT DISTINCT group_id FROM grants WHERE tenant_id = :tenant")
    assert {row.group_id for row in grants} <= set(model.groups), "a deleted group has grants"
    for member in model.members.values():
        for group in model.groups:
            if member.id not in model.committed(group):
                _check_shut_out(world, said, member, group)
    for (one, user), since in model.barred.items():
        granted = said.last_grant.get((one.bytes, user.bytes), -1)
        assert granted < since, f"{user} was out of {one} at {since} and was granted at {granted}"
    _check_stores(world)


def _check_copy(world: World, said: Replay) -> None:
    rows = world.rows(
        "SELECT entry FROM ledger_entries WHERE tenant_id = :tenant ORDER BY position"
    )
    assert [bytes(row.entry) for row in rows] == said.entries, "the vendor's copy is another ledger"
    assert len(said.opened) == len(set(said.opened)), "an epoch was opened twice"
    copied = world.rows("SELECT group_id, epoch, public_key FROM epochs WHERE tenant_id = :tenant")
    assert {(row.group_id.bytes, row.epoch): bytes(row.public_key) for row in copied} == {
        (group, epoch): key
        for group, view in said.projection.groups.items()
        for epoch, key in view.epochs.items()
    }


def _check_committed(world: World, model: "Desired", said: Replay, group: UUID) -> None:
    expected = model.committed(group)
    rows = world.rows(
        "SELECT m.user_id FROM memberships m"
        " JOIN grants r ON r.tenant_id = m.tenant_id AND r.group_id = m.group_id"
        " AND r.member_id = m.user_id AND r.key_id = m.grant_key_id"
        " JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id"
        " WHERE m.tenant_id = :tenant AND m.group_id = :group AND m.wanted AND g.epoch_open"
        " AND r.epoch = g.epoch",
        group=group,
    )
    assert {row.user_id for row in rows} == expected, f"committed in {group}"
    view = said.projection.groups[group.bytes]
    assert view.state.is_open
    named = world.service.rows(
        f"SELECT display_name FROM groups WHERE group_id = x'{group.hex}'"  # noqa: S608 # an id
    )
    assert named == [(model.groups[group].name,)], f"the name of {group}"
    assert {UUID(bytes=one) for one in view.roster} == model.wanted(group)
    for user in expected:
        member = model.members[user]
        for number, keys in enumerate(member.devices):
            epoch = member.opens(group, keys, said.projection)
            assert epoch == view.state.epoch, f"device {number} of {user} opens epoch {epoch}"
    stored = world.rows(
        "SELECT member_id, key_id, epoch FROM grants"
        " WHERE tenant_id = :tenant AND group_id = :group",
        group=group,
    )
    assert {(row.member_id, bytes(row.key_id), row.epoch) for row in stored} == {
        (user, keys.key_id, view.state.epoch)
        for user in expected
        for keys in model.members[user].devices
    }, f"the grants of {group}"


def _check_shut_out(world: World, said: Replay, member: Member, group: UUID) -> None:
    """Neither the member's keys nor the secrets that it kept open the present epoch."""
    view = said.projection.groups[group.bytes]
    newest = (group.bytes, view.state.epoch)
    assert member.id.bytes not in said.granted[newest], f"{member.id} was granted {newest}"
    assert newest not in member.secrets
    assert view.state.public_key not in member.derives(*newest)
    envelopes = world.rows(
        "SELECT envelope FROM grants WHERE tenant_id = :tenant AND group_id = :group LIMIT 2",
        group=group,
    )
    for keys in member.devices:
        assert member.served(group, keys) is None
        for row in envelopes:
            with pytest.raises(WrongContextError):
                open_envelope(member.identity(keys), *newest, bytes(row.envelope))


def _check_stores(world: World) -> None:
    """Both fsck commands find nothing."""
    with UnitOfWork(world.engine) as work:
        findings = check(work.connection, world.tenant_id)
    assert not findings, findings
    with world.service.store() as connection:
        report = check_store(connection, world.service.provider)
    assert not report.faults, report.faults
