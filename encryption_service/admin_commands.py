"""What each command on the socket does: a request in, one use case, an answer out. Pure dispatch.

A request names its command and the arguments; an answer has an `error` or what was found. Whatever
changes something is logged: it is a decision of the organisation's own people.
"""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from encryption_service import admin_views as views
from encryption_service.admin_arguments import ArgumentError, Arguments, find_key
from encryption_service.administration import Administration
from encryption_service.administration_views import BoundKeyInfo, WaitingKey
from encryption_service.errors import ServiceError
from groupseal.approval_documents import ApprovalRequest, SignedApproval
from groupseal.errors import MalformedError
from groupseal.identifiers import identifier_to_text

_log = structlog.get_logger(__name__)
_Answer = dict[str, Any]


class AdminCommands:
    """The commands over one running service."""

    def __init__(
        self,
        administration: Administration,
        *,
        fingerprint: str,
        live_status: Callable[[], _Answer] = dict,
    ) -> None:
        self._administration = administration
        self._fingerprint = fingerprint
        self._live_status = live_status
        self._commands: Mapping[str, Callable[[Arguments], _Answer]] = {
            "keys.list": self._list_keys,
            "keys.approve": self._approve_key,
            "keys.refuse": self._refuse_key,
            "keys.unbind": self._unbind_key,
            "keys.request": self._request_for_key,
            "approvals.list": self._list_approvals,
            "approvals.request": self._request_for_group,
            "approvals.add": self._add_approval,
            "policy.show": self._show_policy,
            "freeze.set": self._freeze,
            "freeze.status": self._freeze_status,
            "groups.list": self._list_groups,
            "groups.map": self._map_group,
            "holds.list": self._list_holds,
            "status": self._status,
        }

    def answer(self, request: dict[str, Any]) -> _Answer:
        """Does one command; every refusal is an `error` with a sentence."""
        name = request.get("command")
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            return {"error": "the service has no such command: use the same release on both sides"}
        try:
            return command(Arguments(request))
        except MalformedError as error:
            return {"error": f"the document is not usable: {error}"}
        except ServiceError as error:
            return {"error": str(error)}

    # Keys

    def _list_keys(self, arguments: Arguments) -> _Answer:
        only_waiting = arguments.flag("waiting")
        arguments.end()
        names = self._administration.policy.approvers
        waiting = self._administration.waiting_keys()
        bound = [] if only_waiting else self._administration.bound_keys()
        return {
            "waiting": [views.waiting_key(each, names) for each in waiting],
            "bound": [views.bound_key(each) for each in bound],
        }

    def _waiting_key(self, arguments: Arguments) -> WaitingKey:
        member, text = arguments.identifier("member"), arguments.text("key")
        arguments.end()
        of_member = [key for key in self._administration.waiting_keys() if key.member == member]
        return find_key(text, of_member, lambda key: key.key_id, "that waits for this member")

    def _approve_key(self, arguments: Arguments) -> _Answer:
        key = self._waiting_key(arguments)
        position = self._administration.approve_key(key.member, key.key_id)
        return _done("key_approved", key, position)

    def _refuse_key(self, arguments: Arguments) -> _Answer:
        key = self._waiting_key(arguments)
        position = self._administration.refuse_key(key.member, key.key_id)
        return _done("key_refused", key, position)

    def _unbind_key(self, arguments: Arguments) -> _Answer:
        text = arguments.text("key")
        arguments.end()
        bound = self._administration.bound_keys()
        key = find_key(text, bound, lambda key: key.key_id, "that is bound")
        return _done("key_unbound", key, self._administration.unbind_key(key.key_id))

    def _request_for_key(self, arguments: Arguments) -> _Answer:
        key = self._waiting_key(arguments)
        return self._request(key, group=None, group_name="")

    # Approvals

    def _list_approvals(self, arguments: Arguments) -> _Answer:
        arguments.end()
        names = self._administration.policy.approvers
        waiting = self._administration.waiting_approvals()
        return {"waiting": [views.waiting_approval(each, names) for each in waiting]}

    def _request_for_group(self, arguments: Arguments) -> _Answer:
        """Of a bound key, whether it waits at the door already or not."""
        group, member = arguments.identifier("group"), arguments.identifier("member")
        text = arguments.text("key")
        arguments.end()
        found = [each for each in self._administration.groups() if each.group_id == group]
        if not found:
            raise ArgumentError("GROUP: there is no such group: see `groups list`")
        keys = self._administration.bound_keys(member)
        key = find_key(text, keys, lambda key: key.key_id, "that is bound to this member")
        return self._request(key, group=group, group_name=found[0].name)

    def _request(
        self, key: WaitingKey | BoundKeyInfo, group: bytes | None, group_name: str
    ) -> _Answer:
        request = ApprovalRequest(
            organisation=self._administration.organisation,
            organisation_fingerprint=self._fingerprint,
            group=group,
            group_name=group_name,
            member=key.member,
            user_name=key.user_name,
            external_id=key.external_id,
            key_id=key.key_id,
        )
        return {"document": request.to_json()}

    def _add_approval(self, arguments: Arguments) -> _Answer:
        signed = SignedApproval.from_json(arguments.document("document"))
        arguments.end()
        said = self._administration.add_approval(
            signed.statement, signed.approver_key, signed.signature
        )
        name = self._administration.policy.approvers.get(signed.approver_key, "")
        _log.info("approval_added", approver=name, key_id=signed.statement.key_id.hex())
        return {"approver": name, "result": said}

    # Policy and freeze

    def _show_policy(self, arguments: Arguments) -> _Answer:
        arguments.end()
        policy = self._administration.policy
        return {
            "digest": policy.digest.hex(),
            "fault": self._administration.policy_fault,
            "frozen_by_command": self._administration.frozen,
            "document": policy.document,
        }

    def _freeze(self, arguments: Arguments) -> _Answer:
        on = arguments.flag("on")
        arguments.end()
        self._administration.freeze(on)
        _log.info("freeze_set", on=on)
        return self._freeze_answer()

    def _freeze_status(self, arguments: Arguments) -> _Answer:
        arguments.end()
        return self._freeze_answer()

    def _freeze_answer(self) -> _Answer:
        return {
            "by_command": self._administration.frozen,
            "by_policy": self._administration.policy.freeze,
        }

    # Groups and what is held back

    def _list_groups(self, arguments: Arguments) -> _Answer:
        arguments.end()
        return {"groups": [views.group(each) for each in self._administration.groups()]}

    def _map_group(self, arguments: Arguments) -> _Answer:
        group, source = arguments.identifier("group"), arguments.text("source_group_id")
        arguments.end()
        self._administration.map_group(group, source)
        _log.info("group_mapped", group=identifier_to_text(group), source_group_id=source)
        return {"group": identifier_to_text(group), "source_group_id": source}

    def _list_holds(self, arguments: Arguments) -> _Answer:
        arguments.end()
        return {"holds": [views.hold(each) for each in self._administration.holds()]}

    def _status(self, arguments: Arguments) -> _Answer:
        arguments.end()
        return self._live_status()


def _done(what: str, key: WaitingKey | BoundKeyInfo, position: int) -> _Answer:
    member = identifier_to_text(key.member)
    _log.info(what, member=member, key_id=key.key_id.hex(), position=position)
    return {
        "member": member,
        "key_id": key.key_id.hex(),
        "fingerprint": key.fingerprint,
        "position": position,
    }
