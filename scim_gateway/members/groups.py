"""/groups: a member's groups, grants with their proofs, and history links."""

from flask import Blueprint, Response, request

from directory.member_view import (
    Grant,
    grant_of,
    grants_part,
    group_of,
    groups_of,
    history_of,
    is_granted,
    name_part,
)
from groupseal.grants import grants_tree
from groupseal.merkle import MerkleTree
from groupseal.reasons import Reason
from scim_gateway.members.errors import MemberError, refused
from scim_gateway.members.proof_cache import Batch, ProofCache
from scim_gateway.members.scope import (
    MemberRequest,
    answer,
    encoded,
    identifier,
    key_id_from,
    member_request,
)


class GroupRoutes:
    """The routes, with the trees that proofs come from."""

    def __init__(self) -> None:
        self._proofs = ProofCache()

    def register(self, blueprint: Blueprint) -> None:
        """Adds the routes."""
        blueprint.add_url_rule("/groups", "groups", find)
        blueprint.add_url_rule("/groups/<group_id>/grant", "grant", self.grant)
        blueprint.add_url_rule("/groups/<group_id>/history", "history", history)

    def grant(self, group_id: str) -> Response:
        """The newest envelope of one device, and the path that proves its grant."""
        call = member_request()
        group = identifier(group_id)
        found = grant_of(call.scope, call.member_id, group, _key_id())
        if found is None:
            raise _not_granted(call, group_id)
        batch = self._batch(call, found)
        name = name_part(call.scope, group)
        return answer(
            {
                "group_id": str(group),
                "epoch": found.epoch,
                "position": found.position,
                "batch_index": found.batch_index,
                "batch_size": batch.size,
                "path": [encoded(one) for one in batch.tree.inclusion_proof(found.batch_index)],
                "envelope": encoded(found.envelope),
                "envelope_hash": encoded(found.envelope_hash),
                "name_position": name.position if name else None,
                "name_part": encoded(name.body) if name else None,
            }
        )

    def _batch(self, call: MemberRequest, grant: Grant) -> Batch:
        """The batch of a grant. Raises MemberError (409) if a newer epoch is on its way."""
        held = self._proofs.get(call.scope.tenant_id, grant.position)
        if held is None:
            part = grants_part(call.scope, grant.position)
            if part is None:
                raise refused(409, Reason.ROTATING)
            tree: MerkleTree = grants_tree(part)
            held = self._proofs.put(call.scope.tenant_id, grant.position, Batch.of(tree, part))
        return held


def find() -> Response:
    """The groups that the member is desired in; names are the vendor's word."""
    call = member_request()
    return answer(
        {
            "groups": [
                {
                    "group_id": str(group.id),
                    "display_name": group.display_name,
                    "state": group.state,
                    "reason": group.reason,
                    "epoch": group.epoch,
                }
                for group in groups_of(call.scope, call.member_id)
            ]
        }
    )


def history(group_id: str) -> Response:
    """The links from each epoch's secret to the one before, newest first."""
    call = member_request()
    group = identifier(group_id)
    if not is_granted(call.scope, call.member_id, group):
        raise _not_granted(call, group_id)
    links = history_of(call.scope, group)
    return answer({"links": [{"epoch": epoch, "link": encoded(link)} for epoch, link in links]})


def _key_id() -> bytes:
    return key_id_from(request.args.get("key_id", ""), "key_id")


def _not_granted(call: MemberRequest, group_id: str) -> MemberError:
    """404 for whom the group does not concern, 409 with the reason for whom it does."""
    group = group_of(call.scope, call.member_id, identifier(group_id))
    if group is None or group.reason is None:
        return MemberError(404, "not_granted", "there is no grant for this device in this group")
    try:
        detail = Reason(group.reason).remedy
    except ValueError:
        detail = "the group's key is not there for this member yet"
    return MemberError(409, group.reason, detail)
