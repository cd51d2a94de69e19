"""/devices: a member's device keys."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from flask import Blueprint, Response, request

from directory.devices import Device, Endorsement, devices_of, submit_key
from groupseal.bindings import BindingRequest
from groupseal.errors import SignatureError
from groupseal.reasons import Reason
from groupseal.suites import suite_from
from scim_gateway.json_body import json_object
from scim_gateway.members.errors import MemberError, refused
from scim_gateway.members.scope import answer, decoded, encoded, member_request


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/devices", "devices_create", create, methods=["POST"])
    blueprint.add_url_rule("/devices", "devices_list", find, methods=["GET"])


def create() -> Response:
    """Submits a key, with proof that the asker holds it; idempotent by key id."""
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
    )
    proof = decoded(body, "possession_proof")
    try:
        binding.verify_possession(proof)
    except SignatureError:
        raise refused(400, Reason.POSSESSION_UNPROVEN) from None
    device = submit_key(call.scope, binding, proof, _endorsement(body))
    call.commit()
    call.wake()
    return answer({k: v for k, v in _shown(device).items() if k in _SUBMITTED}, 202)


def find() -> Response:
    """The member's keys and what became of them."""
    call = member_request()
    return answer({"devices": [_shown(one) for one in devices_of(call.scope, call.member_id)]})


_SUBMITTED = frozenset({"key_id", "state", "reason"})


def _shown(device: Device) -> dict[str, Any]:
    return {
        "key_id": encoded(device.key_id),
        "suite": device.suite,
        "state": device.state,
        "reason": device.reason,
        "submitted_at": device.submitted_at.astimezone(UTC).isoformat(),
    }


def _endorsement(body: Mapping[str, Any]) -> Endorsement | None:
    """A bound key's signature, where there is one; the service verifies it."""
    if body.get("endorsement") is None:
        return None
    return Endorsement(decoded(body, "endorsing_key_id"), decoded(body, "endorsement"))
