"""/groups/{id}/items: what members share to a group."""

from datetime import UTC

from flask import Blueprint, Response, request

from directory.devices import bound_signing_key
from directory.member_view import group_of, is_granted
from directory.shared_items import items_of, keep_item
from groupseal.bindings import verify_signature
from groupseal.reasons import Reason
from groupseal.shared_items import SharedItem
from scim_gateway.json_body import json_object
from scim_gateway.members.errors import MemberError, refused
from scim_gateway.members.scope import (
    MemberRequest,
    answer,
    decoded,
    encoded,
    identifier,
    member_request,
)

_MOST_BYTES = 1024 * 1024


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/groups/<group_id>/items", "items_create", create, methods=["POST"])
    blueprint.add_url_rule("/groups/<group_id>/items", "items_list", find, methods=["GET"])


def create(group_id: str) -> Response:
    """Keeps an item of the member's, sealed to the group's newest open epoch."""
    call = member_request()
    group = identifier(group_id)
    data = decoded(json_object(request), "item")
    if len(data) > _MOST_BYTES:
        raise MemberError(413, Reason.MALFORMED, f"an item has at most {_MOST_BYTES} bytes")
    item = SharedItem.from_bytes(data)
    if item.group != group.bytes or item.organisation != call.organisation().id.bytes:
        raise refused(400, Reason.WRONG_CONTEXT)
    _check_sender(call, item)
    member = group_of(call.scope, call.member_id, group)
    if member is None:
        raise MemberError(404, "not_granted", "the member is not in this group")
    item_id = keep_item(call.scope, item)
    if item_id is None:
        raise refused(409, Reason.EPOCH_CLOSED)
    call.commit()
    return answer({"item_id": str(item_id)}, 201)


def find(group_id: str) -> Response:
    """The group's items, for those only whose grant may be served."""
    call = member_request()
    group = identifier(group_id)
    if not is_granted(call.scope, call.member_id, group):
        raise MemberError(404, "not_granted", "there is no grant for this member in this group")
    return answer(
        {
            "items": [
                {
                    "item_id": str(item.id),
                    "item": encoded(item.body),
                    "created_at": item.created_at.astimezone(UTC).isoformat(),
                }
                for item in items_of(call.scope, call.member_id, group)
            ]
        }
    )


def _check_sender(call: MemberRequest, item: SharedItem) -> None:
    """The sender is the caller, and one of his bound devices signed."""
    key = None
    if item.sender == call.member_id.bytes:
        key = bound_signing_key(call.scope, call.member_id, item.sender_key_id)
    if key is None:
        raise refused(403, Reason.SENDER_UNKNOWN)
    verify_signature(key, item.signature, item.message())
