"""/devices: a member's device keys."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from flask import Blueprint, Response, request

from directory.devices import (
    Device,
    Endorsement,
    Vouching,
    bound_signing_key,
    device_of,
    devices_of,
    request_removal,
    submit_key,
)
from groupseal.bindings import BindingRequest
from groupseal.encoding import HASH_LENGTH
from groupseal.errors import SignatureError
from groupseal.evidence import MAX_SEALED_EVIDENCE
from groupseal.key_removal import KeyRemoval
from groupseal.reasons import Reason
from groupseal.suites import SIGNATURE_LENGTH, suite_from
from scim_gateway.json_body import json_object
from scim_gateway.members.errors import MemberError, refused
from scim_gateway.members.scope import answer, decoded, encoded, key_id_from, member_request


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/devices", "devices_create", create, methods=["POST"])
    blueprint.add_url_rule("/devices", "devices_list", find, methods=["GET"])
    blueprint.add_url_rule("/devices/<key_id>/removal", "devices_remove", remove, methods=["POST"])


def create() -> Response:
    """Submits a key, with proof that the asker holds it; idempotent by key id.

    With new evidence or another endorsement, a refused or waiting key is offered again.
    """
    call = member_request()
    body = json_object(request)
    suite = body.get("suite")
    if not isinstance(suite, int) or isinstance(suite, bool):
        raise MemberError(400, Reason.MALFORMED, "suite must be the number of a suite")
    binding = BindingRequest(
        call.organisation().id.bytes,
        call.member_id.bytes,
        suite_from(suite),
        decoded(body, "hpke_public_key"),
        decoded(body, "signing_public_key"),
        _replaces(body),
    )
    proof = decoded(body, "possession_proof")
    try:
        binding.verify_possession(proof)
    except SignatureError:
        raise refused(400, Reason.POSSESSION_UNPROVEN) from None
    vouching = Vouching(_endorsement(body), _evidence(body))
    device = submit_key(call.scope, binding, proof, vouching)
    call.commit()
    call.wake()
    return answer({k: v for k, v in _shown(device).items() if k in _SUBMITTED}, 202)


def find() -> Response:
    """The member's keys and what became of them, with what another device signs to endorse one."""
    call = member_request()
    return answer({"devices": [_shown(one) for one in devices_of(call.scope, call.member_id)]})


def remove(key_id: str) -> Response:
    """Passes on the member's signed request to remove a bound key; idempotent.

    The service decides, and the ledger says so: the state of the key is then `unbound`.
    """
    call = member_request()
    removed = key_id_from(key_id, "the key id in the address")
    body = json_object(request)
    by = Endorsement(
        _sized(body, "signing_key_id", HASH_LENGTH), _sized(body, "signature", SIGNATURE_LENGTH)
    )
    organisation = call.organisation().id.bytes
    device = device_of(call.scope, call.member_id, removed)
    if device is None:
        raise MemberError(404, "not_found", "the member has no device with this key id")
    if device.state == "unbound":
        return answer(_removal(device), 202)
    if device.state != "bound":
        raise MemberError(
            409, device.reason or Reason.QUEUED, f"this key is {device.state}, not bound"
        )
    signing_key = bound_signing_key(call.scope, call.member_id, by.key_id)
    if signing_key is None:
        raise MemberError(
            403, Reason.SENDER_UNKNOWN, "signing_key_id names no bound key of the member"
        )
    KeyRemoval(organisation, call.member_id.bytes, removed).verify(signing_key, by.signature)
    request_removal(call.scope, call.member_id, removed, by)
    stored = device_of(call.scope, call.member_id, removed)
    call.commit()
    call.wake()
    return answer(_removal(stored or device), 202)


_SUBMITTED = frozenset({"key_id", "state", "reason"})


def _shown(device: Device) -> dict[str, Any]:
    return {
        "key_id": encoded(device.key_id),
        "suite": device.suite,
        "hpke_public_key": encoded(device.hpke_public_key),
        "signing_public_key": encoded(device.signing_public_key),
        # Public as well, and what another device hands in again with its endorsement.
        "possession_proof": encoded(device.possession_proof),
        "replaces": device.replaces,
        "state": device.state,
        "reason": device.reason,
        "submitted_at": device.submitted_at.astimezone(UTC).isoformat(),
        "removal": device.removal,
        "removal_reason": device.removal_reason,
    }


def _removal(device: Device) -> dict[str, Any]:
    return {
        "key_id": encoded(device.key_id),
        "state": device.state,
        "removal": device.removal,
        "reason": device.removal_reason,
    }


def _replaces(body: Mapping[str, Any]) -> bool:
    value = body.get("replaces", False)
    if not isinstance(value, bool):
        raise MemberError(400, Reason.MALFORMED, "replaces must be true or false")
    return value


def _endorsement(body: Mapping[str, Any]) -> Endorsement | None:
    """A bound key's signature, where there is one; the service verifies it."""
    if body.get("endorsement") is None:
        return None
    return Endorsement(
        _sized(body, "endorsing_key_id", HASH_LENGTH), _sized(body, "endorsement", SIGNATURE_LENGTH)
    )


def _evidence(body: Mapping[str, Any]) -> bytes | None:
    """Sealed evidence, where there is some: nobody here can read it."""
    if body.get("sealed_evidence") is None:
        return None
    evidence = decoded(body, "sealed_evidence")
    if not 0 < len(evidence) <= MAX_SEALED_EVIDENCE:
        raise MemberError(
            413 if evidence else 400,
            Reason.MALFORMED,
            f"sealed_evidence must have 1 to {MAX_SEALED_EVIDENCE} bytes",
        )
    return evidence


def _sized(body: Mapping[str, Any], name: str, length: int) -> bytes:
    value = decoded(body, name)
    if len(value) != length:
        raise MemberError(400, Reason.MALFORMED, f"{name} must have {length} bytes")
    return value
