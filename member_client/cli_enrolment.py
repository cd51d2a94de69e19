"""`groupseal member enrol`, `renew` and `replace`: this device's key, and what vouches for it."""

from collections.abc import Callable
from typing import Any

import click

from groupseal.identifiers import key_fingerprint
from groupseal.trust import TrustMode, TrustSettings
from member_client.answers import Device
from member_client.cli_output import REFUSED, command, plain, print_json, remedy
from member_client.client import MemberClient
from member_client.context import trust_of
from member_client.enrolment import Enrolment
from member_client.memory import trust_fields
from member_client.sign_in import SignInManner, open_browser

_PORT_VARIABLE = "GROUPSEAL_MEMBER_REDIRECT_PORT"
_NEXT = "Next: `groupseal member devices` shows when the key is bound."


def _sign_in_options(run: Callable[..., Any]) -> Callable[..., Any]:
    port = click.option(
        "--redirect-port",
        type=click.IntRange(0, 65535),
        default=0,
        envvar=_PORT_VARIABLE,
        metavar="PORT",
        help="Port of the registered redirect address http://127.0.0.1:PORT/callback, for identity"
        f" providers that want one [{_PORT_VARIABLE}; default: what your domain says, or a free"
        " one].",
    )
    browser = click.option(
        "--no-browser", is_flag=True, help="Print the sign-in's address instead of opening it."
    )
    return browser(port(run))


def _manner(no_browser: bool, redirect_port: int) -> SignInManner:
    return SignInManner(_print_address if no_browser else _open_address, redirect_port)


def _print_address(address: str) -> None:
    click.echo("Sign in at your organisation's identity provider, on this computer:", err=True)
    click.echo(plain(address), err=True)


def _open_address(address: str) -> None:
    click.echo("Sign in at your organisation's identity provider, in the browser.", err=True)
    open_browser(address)


@command("enrol", "Next: `groupseal member groups`, and `open` once a group is committed.")
@click.option("--server", required=True, metavar="URL", help="The vendor's address.")
@click.option("--code", required=True, help="The one-time enrolment code.")
@click.option("--fingerprint", help="The organisation's fingerprint, from your own administrator.")
@click.option(
    "--domain", help="Your organisation's own domain, where it publishes its fingerprint."
)
@click.option(
    "--replace", "replaces", is_flag=True, help="Every other device of yours is lost: remove them."
)
@_sign_in_options
def enrol(
    client: MemberClient,
    as_json: bool,
    *,
    server: str,
    code: str,
    fingerprint: str | None,
    domain: str | None,
    replaces: bool,
    no_browser: bool,
    redirect_port: int,
) -> int:
    """Make this computer a device of yours. Repeating it does no harm.

    Where your organisation's signed ledger names an identity provider, you sign in there: it then
    vouches for this device's key, and the vendor need not be believed.
    """
    done = client.enrol(
        server,
        code,
        fingerprint=fingerprint,
        domain=domain,
        replaces=replaces,
        manner=_manner(no_browser, redirect_port),
    )
    if as_json:
        print_json(_enrolment_json(done))
    else:
        _show_enrolment(done)
    return _outcome(done.device)


def _enrolment_json(done: Enrolment) -> dict[str, Any]:
    device, organisation = done.device, done.organisation
    return {
        "member_id": done.member_id,
        "user_name": done.user_name,
        "key_id": device.key_id.hex(),
        "key_fingerprint": done.key_fingerprint,
        "state": device.state,
        "reason": device.reason,
        "fingerprint": organisation.fingerprint,
        "fingerprint_confirmed": organisation.confirmed,
        "domain": organisation.domain,
        "trust": trust_fields(done.trust),
        "vendor_trusted": done.trust.mode.is_vendor_trusted,
    }


def _show_enrolment(done: Enrolment) -> None:
    device, organisation = done.device, done.organisation
    click.echo(f"Enrolled as {plain(done.user_name)}. Device {device.key_id.hex()[:16]}.")
    click.echo(f"Organisation {organisation.fingerprint}")
    if organisation.confirmed:
        by = f"published by {organisation.domain}" if organisation.domain else "the one you gave"
        click.echo(f"  confirmed: it is the fingerprint {by}.")
    else:
        click.echo(
            "  NOT confirmed: this key was taken from the vendor's word. Compare it with what your"
            " administrator says and enrol again with --fingerprint or --domain."
        )
    _show_key(device, done.trust)


def _show_key(device: Device, trust: TrustSettings) -> None:
    click.echo(f"Key {plain(device.state)}. Fingerprint {key_fingerprint(device.key_id)}")
    match trust.mode:
        case TrustMode.OIDC:
            click.echo(f"  {plain(trust.issuer)} vouches for it.")
        case TrustMode.APPROVE:
            click.echo("  Read this fingerprint out to the person who approves your devices.")
        case TrustMode.PIN:
            click.echo(
                "  vendor-trusted: your organisation takes the first key that the vendor shows."
            )
    click.echo("Next: `groupseal member groups`.")


def _outcome(device: Device) -> int:
    if device.state == "refused":
        reason = remedy(device.reason) or f"The key was refused: {device.reason}."
        click.echo(plain(reason), err=True)
        return REFUSED
    return 0


@command("renew", _NEXT)
@_sign_in_options
def renew(client: MemberClient, as_json: bool, no_browser: bool, redirect_port: int) -> int:
    """Sign in again for this device's key, where its evidence was refused or has expired.

    The key stays the same, and one that is bound is left alone; but where a key is bound by the
    vendor's word and your organisation wants more by now, this device gets a new one. The old one
    is gone once you remove it: `groupseal member remove-device`.
    """
    return _handed_in(client, as_json, client.renew(_manner(no_browser, redirect_port)))


@command("replace", _NEXT)
@_sign_in_options
def replace(client: MemberClient, as_json: bool, no_browser: bool, redirect_port: int) -> int:
    """Ask that this device replaces all others of yours: they were lost.

    You sign in anew, with all that your identity provider asks for. Once it is done, the other
    keys open nothing that is written later. On a device whose key is bound already, remove the
    lost one instead: `groupseal member remove-device`.
    """
    return _handed_in(client, as_json, client.replace(_manner(no_browser, redirect_port)))


def _handed_in(client: MemberClient, as_json: bool, device: Device) -> int:
    trust = trust_of(client.ledger.projection)
    if as_json:
        print_json(
            {
                "key_id": device.key_id.hex(),
                "key_fingerprint": key_fingerprint(device.key_id),
                "state": device.state,
                "reason": device.reason,
                "trust": trust_fields(trust),
            }
        )
    else:
        _show_key(device, trust)
    return _outcome(device)
