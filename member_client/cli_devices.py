"""`groupseal member devices`, `endorse`, `remove-device` and `status`."""

from typing import Any

import click

from groupseal.identifiers import same_fingerprint
from groupseal.projection import BoundKey
from member_client.cli_output import WAITING, command, plain, print_json, remedy, warn
from member_client.client import MemberClient, Status
from member_client.devices import DeviceView, PendingDevice
from member_client.errors import UsageError
from member_client.memory import trust_fields
from member_client.notices import SHORT, by_what, day, membership_sentence, trust_sentence

_HOUR_MS = 60 * 60 * 1000


@command("devices", "Next: `endorse KEY` for one of yours, `remove-device KEY` for another's.")
@click.option("--seen", is_flag=True, help="You know all that are listed: warn of them no more.")
def devices(client: MemberClient, as_json: bool, seen: bool) -> int:
    """List your device keys: what the signed ledger binds, and what the vendor says.

    Exits with 1 while this device's key is not bound.
    """
    found = client.device_views()
    if seen:
        client.acknowledge_keys(each.key_id for each in found if each.bound is not None)
    if as_json:
        print_json({"devices": [_device_json(each) for each in found]})
    else:
        for each in found:
            _show_device(each)
    return 0 if any(each.this_device and each.is_bound for each in found) else WAITING


def _device_json(view: DeviceView) -> dict[str, Any]:
    offered, bound = view.offered, view.bound
    return {
        "key_id": view.key_id.hex(),
        "fingerprint": view.fingerprint,
        "this_device": view.this_device,
        "new": view.unseen,
        "ledger": None if bound is None else _bound_json(bound, removed=view.removed),
        # The vendor's word.
        "state": offered.state if offered else None,
        "reason": offered.reason if offered else None,
        "submitted_at": offered.submitted_at if offered else None,
        "removal": offered.removal if offered else None,
    }


def _bound_json(bound: BoundKey, *, removed: bool) -> dict[str, Any]:
    endorser = bound.endorsing_key_id
    return {
        "bound": not removed,
        "position": bound.position,
        "time_ms": bound.time_ms,
        "trust_mode": bound.trust_mode.name.lower(),
        "vendor_trusted": bound.trust_mode.is_vendor_trusted,
        "endorsed_by": None if endorser is None else endorser.hex(),
    }


def _show_device(view: DeviceView) -> None:
    marks = "  (this device)" if view.this_device else ""
    marks += "  NEW" if view.unseen else ""
    click.echo(f"{view.key_id.hex()[:SHORT]}  {_state(view)}{marks}")
    click.echo(f"    fingerprint {view.fingerprint}")
    offered = view.offered
    if offered is None:
        click.echo("    the vendor does not show this key, but the ledger binds it")
    elif not view.is_bound and (what := remedy(offered.reason)):
        click.echo(f"    {what}")
    if offered is not None and offered.removal and not view.removed:
        click.echo(plain(f"    removal asked for: {offered.removal}"))


def _state(view: DeviceView) -> str:
    bound, offered = view.bound, view.offered
    if bound is not None:
        what = "removed; it was bound" if view.removed else "bound"
        return f"{what} on {day(bound.time_ms)}, entry {bound.position}, {by_what(bound)}"
    if offered is None:
        return "unknown"
    why = f" ({offered.reason})" if offered.reason else ""
    doubt = ", but the ledger does not say so" if offered.state == "bound" else ""
    return plain(f"{offered.state}{why}{doubt}")


@command("endorse", "Next: on the other device, `groupseal member devices`.")
@click.argument("key")
@click.option("--fingerprint", help="What the other device shows, instead of being asked.")
@click.option("--yes", is_flag=True, help="You have compared the fingerprint.")
@click.option("--replaces", is_flag=True, help="It may replace all your devices, this one too.")
def endorse(
    client: MemberClient,
    as_json: bool,
    *,
    key: str,
    fingerprint: str | None,
    yes: bool,
    replaces: bool,
) -> int:
    """Vouch, with this device, for another one of yours that waits.

    KEY: the first digits of its key. Its fingerprint is on the other device: `groupseal member
    status` there. Compare it, or the vendor could have you vouch for a key of its own.
    """
    pending = client.pending_device(key)
    _require_meant(pending, replaces=replaces)
    if not yes:
        _require_same(pending, fingerprint)
    device = client.endorse(pending)
    if as_json:
        print_json(
            {
                "key_id": device.key_id.hex(),
                "fingerprint": pending.fingerprint,
                "state": device.state,
                "reason": device.reason,
            }
        )
    else:
        click.echo(f"Vouched for {device.key_id.hex()[:SHORT]} ({pending.fingerprint}).")
    return 0


def _require_meant(pending: PendingDevice, *, replaces: bool) -> None:
    if pending.request.replaces and not replaces:
        raise UsageError(
            "that device asks to replace all your devices, this one too: if you want that, say"
            " --replaces"
        )


def _require_same(pending: PendingDevice, typed: str | None) -> None:
    if typed is None:
        typed = click.prompt("Fingerprint of the key, as the other device shows it", err=True)
    if not same_fingerprint(str(typed), pending.fingerprint):
        raise UsageError(
            "this is not the fingerprint of the key that the vendor shows"
            f" ({pending.fingerprint}): if you typed it right, do not go on and tell your"
            " administrator"
        )


@command("remove-device", "Next: `groupseal member devices` shows when the ledger says so.")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_device(client: MemberClient, as_json: bool, key: str, yes: bool) -> int:
    """Remove one of your device keys, for ever: a device that is lost, or not yours.

    KEY: the first digits of its key. Every group that it could open gets a new key.
    """
    key_id = client.find_bound(key)
    if not yes:
        which = " of THIS device" if key_id == client.key_id else ""
        click.confirm(f"Remove the key {key_id.hex()[:SHORT]}{which}?", abort=True, err=True)
    removal = client.remove_device(key_id)
    if as_json:
        print_json({"key_id": key_id.hex(), "removal": removal.removal, "reason": removal.reason})
    else:
        click.echo(f"Asked to remove {key_id.hex()[:SHORT]}.")
    return 0


@command("status", "Next: `groupseal member devices` for your keys, `groups` for your groups.")
@click.option("--seen", is_flag=True, help="You know of what changed: warn of it no more.")
def status(client: MemberClient, as_json: bool, seen: bool) -> int:
    """Show how your organisation decides whom to trust, and what that does not stop.

    --seen acknowledges how it decides and the groups' names; new keys: `devices --seen`.
    """
    found = client.status()
    if as_json:
        print_json(_status_json(found))
    else:
        _show_status(found)
    if seen:
        client.acknowledge_changes(found.trust)
    return 0


def _status_json(found: Status) -> dict[str, Any]:
    organisation = found.organisation
    return {
        "member_id": found.member_id,
        "user_name": found.user_name,
        "fingerprint": organisation.fingerprint,
        "fingerprint_confirmed": organisation.confirmed,
        "domain": organisation.domain,
        "trust": trust_fields(found.trust),
        "vendor_trusted": found.trust.mode.is_vendor_trusted,
        "trust_sentence": trust_sentence(found.trust),
        "membership_sentence": membership_sentence(found.trust),
        "head": {
            "size": found.head.size,
            "time_ms": found.head.time_ms,
            "age_ms": found.head_age_ms,
        },
        "devices": [_device_json(each) for each in found.devices],
        "notices": [{"code": each.code, "text": each.text} for each in found.notices],
        "warnings": list(found.warnings),
    }


def _show_status(found: Status) -> None:
    organisation = found.organisation
    click.echo(f"{plain(found.user_name)}, member {found.member_id}")
    click.echo(f"Organisation {organisation.fingerprint}")
    if organisation.confirmed:
        by = f"by {organisation.domain}" if organisation.domain else "by you"
        click.echo(f"  fingerprint confirmed {by}")
    else:
        click.echo("  fingerprint NOT confirmed: taken from the vendor's word")
    click.echo(f"Keys: {plain(trust_sentence(found.trust))}")
    click.echo(f"Groups: {plain(membership_sentence(found.trust))}")
    age = found.head_age_ms / _HOUR_MS
    click.echo(f"Ledger: {found.head.size} entries, head {age:.1f} hours old")
    click.echo("Devices:")
    for each in found.devices:
        _show_device(each)
    warn(found.warnings)
    # The others are told of after every command.
    warn(each.text for each in found.notices if each.code == "renamed")
