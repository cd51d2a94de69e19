"""What becomes of a roster: grants, epochs, refusals, seen through a verified ledger."""

import pytest
from cryptography.exceptions import InvalidTag

from encryption_api import encryption_pb2 as pb
from groupseal.entries import EpochClosed, GroupNamed, GroupReconciled
from groupseal.parts import GroupNamePart, PartKind
from groupseal.reasons import Reason
from tests.support.devices import Device, open_history_link
from tests.support.vendor import Vendor, some_id


def reconciled(vendor: Vendor, group: bytes) -> list[GroupReconciled]:
    bodies = [e.entry.body for e in vendor.entries_of(group)]
    return [body for body in bodies if isinstance(body, GroupReconciled)]


def test_members_with_keys_get_the_epochs_secret(vendor: Vendor) -> None:
    """Everyone on the roster with a bound key opens the same secret of the ledger's public key."""
    group, devices = some_id(), vendor.bound_devices(5)
    answer = vendor.change(group, [d.member for d in devices])
    assert answer.outcome == pb.OUTCOME_DONE
    vendor.read()
    assert answer.position == vendor.group(group).state.last_position
    assert vendor.granted(group) == {d.member for d in devices}
    assert len({vendor.open(device, group) for device in devices}) == 1


def test_an_envelope_opens_in_its_own_context_only(vendor: Vendor) -> None:
    """An envelope moved to another epoch or group does not open."""
    group, (device,) = some_id(), vendor.bound_devices(1)
    vendor.change(group, [device.member])
    vendor.read()
    epoch, envelope = vendor.envelopes[(group, device.member, device.key_id)]
    for moved in ((group, epoch + 1), (some_id(), epoch)):
        with pytest.raises(InvalidTag):
            device.open(envelope, *moved)


def test_an_empty_group_has_an_epoch(vendor: Vendor) -> None:
    """The first command opens epoch 1, with nobody to grant it to."""
    group = some_id()
    assert vendor.change(group).outcome == pb.OUTCOME_DONE
    state = vendor.read().group(group).state
    assert (state.epoch, state.is_open) == (1, True)


def test_adding_one_seals_once(vendor: Vendor) -> None:
    """A newcomer costs one envelope and keeps the epoch."""
    group, devices = some_id(), vendor.bound_devices(10)
    vendor.change(group, [d.member for d in devices[:9]])
    vendor.read()
    secret = vendor.open(devices[0], group)
    vendor.change(group, [devices[9].member])
    vendor.read()
    body = reconciled(vendor, group)[-1]
    assert (body.opens, body.epoch, body.grants_count) == (False, 1, 1)
    assert vendor.open(devices[9], group) == secret


def test_removing_one_rotates_once(vendor: Vendor) -> None:
    """A leaver costs one new epoch with an envelope for each who stays; the link reads back."""
    group, devices = some_id(), vendor.bound_devices(6)
    vendor.change(group, [d.member for d in devices])
    vendor.read()
    old = vendor.open(devices[0], group)
    answer = vendor.change(group, removed=[devices[0].member])
    assert answer.outcome == pb.OUTCOME_DONE
    vendor.read()
    body = reconciled(vendor, group)[-1]
    assert (body.opens, body.epoch, body.grants_count) == (True, 2, 5)
    assert body.left == (devices[0].member,)
    assert vendor.granted(group) == {d.member for d in devices[1:]}
    new = vendor.open(devices[1], group)
    assert new != old
    link = vendor.entries_of(group)[-1].parts[PartKind.HISTORY_LINK]
    assert open_history_link(link, new, vendor.organisation, group, 2) == old


def test_a_large_group_closes_before_it_opens(vendor: Vendor) -> None:
    """With more than 64 who stay, the old epoch is closed in an entry of its own."""
    group, devices = some_id(), vendor.bound_devices(70)
    vendor.change(group, [d.member for d in devices])
    vendor.read()
    answer = vendor.change(group, removed=[devices[0].member])
    assert answer.outcome in {pb.OUTCOME_DONE, pb.OUTCOME_DELAYED}
    vendor.read_until_granted(group, {d.member for d in devices[1:]})
    closed, opened = (e.entry.body for e in vendor.entries_of(group)[-2:])
    assert isinstance(closed, EpochClosed)
    assert closed.left == (devices[0].member,)
    assert isinstance(opened, GroupReconciled)
    assert (opened.opens, opened.epoch, opened.grants_count) == (True, 2, 69)


def test_removing_someone_without_a_grant_keeps_the_epoch(vendor: Vendor) -> None:
    """Who never held the secret takes nothing along."""
    group, (device,), keyless = some_id(), vendor.bound_devices(1), some_id()
    vendor.change(group, [device.member, keyless])
    vendor.read()
    vendor.change(group, removed=[keyless])
    body = reconciled(vendor.read(), group)[-1]
    assert (body.opens, body.epoch, body.left) == (False, 1, (keyless,))


def test_a_repeated_command_changes_nothing(vendor: Vendor) -> None:
    """The same command again, with its old base, is done and appends nothing."""
    group, devices = some_id(), vendor.bound_devices(3)
    command = vendor.command(
        group, [d.member for d in devices], name=pb.GroupName(display_name="Finance")
    )
    first = vendor.reconcile(command)
    size = vendor.read().range.size
    assert vendor.reconcile(command) == first
    assert vendor.read().range.size == size


def test_another_base_is_refused(vendor: Vendor) -> None:
    """A command on an outdated base does nothing and is told the position."""
    group, devices = some_id(), vendor.bound_devices(2)
    done = vendor.change(group, [devices[0].member])
    answer = vendor.change(group, [devices[1].member])  # this copy has not read on
    assert answer.outcome == pb.OUTCOME_BASE_MISMATCH
    assert answer.position == done.position
    unknown = vendor.change(some_id(), [devices[1].member], base=3)
    assert unknown.outcome == pb.OUTCOME_BASE_MISMATCH
    assert not unknown.HasField("position")


def test_binding_a_key_grants_by_itself(vendor: Vendor) -> None:
    """A member of two groups enrols: both are granted without a command."""
    groups, device = (some_id(), some_id()), Device(vendor.organisation)
    for group in groups:
        vendor.change(group, [device.member])
    vendor.bind(device.binding())
    for group in groups:
        vendor.read_until_granted(group, {device.member})
        vendor.open(device, group)


def test_names_are_salted_and_recorded_once(vendor: Vendor) -> None:
    """A name is an entry when it changes; the entry shows only a hash."""
    group = some_id()
    name = pb.GroupName(display_name="Finance", identity_provider_group_id="00g1")
    for _ in range(2):
        vendor.change(group, name=name)
        vendor.read()
    vendor.change(group, name=pb.GroupName(display_name="Treasury"))
    named = [e for e in vendor.read().entries_of(group) if isinstance(e.entry.body, GroupNamed)]
    parts = [GroupNamePart.from_bytes(e.parts[PartKind.GROUP_NAME]) for e in named]
    assert [part.display_name for part in parts] == ["Finance", "Treasury"]
    assert parts[0].salt != parts[1].salt
    assert b"Finance" not in named[0].data


def test_a_lost_envelope_is_sealed_again_once(vendor: Vendor) -> None:
    """Asking three times in one state seals once."""
    group, devices = some_id(), vendor.bound_devices(3)
    vendor.change(group, [d.member for d in devices])
    vendor.read()
    before = vendor.envelopes[(group, devices[1].member, devices[1].key_id)]
    needed = [pb.GrantReference(member_id=devices[1].member, key_id=devices[1].key_id)]
    commands = [vendor.command(group, needed_envelopes=needed) for _ in range(3)]
    outcomes = [answer.outcome for answer in vendor.reconcile(*commands)]
    assert outcomes == [pb.OUTCOME_DONE, pb.OUTCOME_BASE_MISMATCH, pb.OUTCOME_BASE_MISMATCH]
    body = reconciled(vendor.read(), group)[-1]
    assert (body.opens, body.grants_count, body.joined, body.left) == (False, 1, (), ())
    assert vendor.envelopes[(group, devices[1].member, devices[1].key_id)] != before
    vendor.open(devices[1], group)


def test_an_envelope_for_nobody_is_not_sealed(vendor: Vendor) -> None:
    """Asking for a grant that does not exist appends nothing."""
    group, (device,), (stranger,) = some_id(), vendor.bound_devices(1), vendor.bound_devices(1)
    vendor.change(group, [device.member])
    size = vendor.read().range.size
    needed = [pb.GrantReference(member_id=stranger.member, key_id=stranger.key_id)]
    assert vendor.change(group, needed_envelopes=needed).outcome == pb.OUTCOME_DONE
    assert vendor.read().range.size == size


def test_a_command_may_come_in_pieces(vendor: Vendor) -> None:
    """`more` joins messages to one command with one answer."""
    group, devices = some_id(), vendor.bound_devices(4)
    members = [d.member for d in devices]
    pieces = [
        vendor.command(group, members[:2], more=True),
        vendor.command(group, members[2:]),
    ]
    (answer,) = vendor.reconcile(*pieces)
    assert answer.outcome == pb.OUTCOME_DONE
    assert vendor.read().granted(group) == set(members)


def test_malformed_commands_are_refused_one_by_one(vendor: Vendor) -> None:
    """A wrong id, a repeated one, or one both added and removed: refused, the next one is done."""
    member, good = some_id(), some_id()
    answers = vendor.reconcile(
        vendor.command(b"short"),
        vendor.command(some_id(), [b"short"]),
        vendor.command(some_id(), [member, member]),
        vendor.command(some_id(), [member], [member]),
        vendor.command(good, [member]),
    )
    assert [a.outcome for a in answers] == [pb.OUTCOME_REFUSED] * 4 + [pb.OUTCOME_DONE]
    assert {a.reason for a in answers[:4]} == {Reason.MALFORMED}


def test_many_groups_in_one_stream(vendor: Vendor) -> None:
    """Commands are answered in order; several for one group build on each other."""
    devices = vendor.bound_devices(3)
    members = [d.member for d in devices]
    groups = [some_id() for _ in range(50)]
    answers = vendor.reconcile(*(vendor.command(group, members) for group in groups))
    assert [a.group_id for a in answers] == groups
    assert {a.outcome for a in answers} == {pb.OUTCOME_DONE}
    vendor.read()
    assert all(vendor.granted(group) == set(members) for group in groups)
