"""The two JSON documents of an approval: what an approver is asked, and what the approver signed.

They travel between the service's administrator and the approvers by whatever means these have;
neither is secret. A reader takes exactly the fields that a document has, each in its one form.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from groupseal.approvals import ApprovalStatement
from groupseal.encoding import HASH_LENGTH
from groupseal.errors import MalformedError
from groupseal.identifiers import identifier_from_text, identifier_to_text, key_fingerprint
from groupseal.suites import SIGNATURE_LENGTH, SIGNING_KEY_LENGTH

MAX_DOCUMENT_BYTES = 16 * 1024
_REQUEST = "groupseal-approval-request"
_APPROVAL = "groupseal-approval"
_VERSION = 1
# Up to the year 9999, so that every reader can show it as a date.
_LAST_MS = 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """Which key of which member shall be let in, and where; names are for the approver's eyes.

    `group` None: the key itself shall be bound to the member (trust mode `approve`).
    """

    organisation: bytes
    organisation_fingerprint: str
    group: bytes | None
    group_name: str
    member: bytes
    # By the vendor's word.
    user_name: str
    external_id: str
    key_id: bytes

    def to_json(self) -> str:
        return _to_json(
            {
                "type": _REQUEST,
                "version": _VERSION,
                "organisation": identifier_to_text(self.organisation),
                "organisation_fingerprint": self.organisation_fingerprint,
                "group": None if self.group is None else identifier_to_text(self.group),
                "group_name": self.group_name,
                "member": identifier_to_text(self.member),
                "user_name": self.user_name,
                "external_id": self.external_id,
                "key_id": self.key_id.hex(),
                "key_fingerprint": key_fingerprint(self.key_id),
            }
        )

    @staticmethod
    def from_json(data: bytes) -> "ApprovalRequest":
        """Raises MalformedError, also where the fingerprint is not that of the key."""
        fields = _Fields(data, _REQUEST)
        request = ApprovalRequest(
            organisation=fields.identifier("organisation"),
            organisation_fingerprint=fields.text("organisation_fingerprint"),
            group=fields.optional_identifier("group"),
            group_name=fields.text("group_name"),
            member=fields.identifier("member"),
            user_name=fields.text("user_name"),
            external_id=fields.text("external_id"),
            key_id=fields.key_id("key_id"),
        )
        if fields.text("key_fingerprint") != key_fingerprint(request.key_id):
            raise MalformedError("key_fingerprint is not that of key_id: ask for a new request")
        fields.end()
        return request


@dataclass(frozen=True, slots=True)
class SignedApproval:
    """An approver's statement and signature; whoever uses it verifies it."""

    statement: ApprovalStatement
    approver_key: bytes
    signature: bytes

    def to_json(self) -> str:
        statement = self.statement
        group = statement.group
        return _to_json(
            {
                "type": _APPROVAL,
                "version": _VERSION,
                "organisation": identifier_to_text(statement.organisation),
                "group": None if group is None else identifier_to_text(group),
                "member": identifier_to_text(statement.member),
                "key_id": statement.key_id.hex(),
                "expires_ms": statement.expires_ms,
                "approver_key": base64.b64encode(self.approver_key).decode(),
                "signature": base64.b64encode(self.signature).decode(),
            }
        )

    @staticmethod
    def from_json(data: bytes) -> "SignedApproval":
        """Raises MalformedError."""
        fields = _Fields(data, _APPROVAL)
        approval = SignedApproval(
            ApprovalStatement(
                organisation=fields.identifier("organisation"),
                group=fields.optional_identifier("group"),
                member=fields.identifier("member"),
                key_id=fields.key_id("key_id"),
                expires_ms=fields.time_ms("expires_ms"),
            ),
            approver_key=fields.base64("approver_key", SIGNING_KEY_LENGTH),
            signature=fields.base64("signature", SIGNATURE_LENGTH),
        )
        fields.end()
        return approval


def _to_json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=2) + "\n"


def _no_field_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedError("a field is there twice")
    return fields


class _Fields:
    """Takes a document apart field by field; MalformedError names the field."""

    def __init__(self, data: bytes, kind: str) -> None:
        if len(data) > MAX_DOCUMENT_BYTES:
            raise MalformedError(f"it has more than {MAX_DOCUMENT_BYTES // 1024} KiB")
        try:
            found = json.loads(data, object_pairs_hook=_no_field_twice)
        except (ValueError, RecursionError):
            raise MalformedError("it is not JSON") from None
        if not isinstance(found, dict) or found.get("type") != kind:
            raise MalformedError(f"it is not a document of the type {kind}")
        self._left: dict[str, Any] = found
        del self._left["type"]
        if self._take("version", int) != _VERSION:
            raise MalformedError(f"version must be {_VERSION}: use the same release on both sides")

    def _take(self, name: str, kind: type) -> Any:
        if name not in self._left:
            raise MalformedError(f"the field {name} is missing")
        value = self._left.pop(name)
        if type(value) is not kind:
            raise MalformedError(f"{name} has another type than it must have")
        return value

    def text(self, name: str) -> str:
        return str(self._take(name, str))

    def identifier(self, name: str) -> bytes:
        try:
            return identifier_from_text(self.text(name))
        except MalformedError as error:
            raise MalformedError(f"{name}: {error}") from error

    def optional_identifier(self, name: str) -> bytes | None:
        if name in self._left and self._left[name] is None:
            del self._left[name]
            return None
        return self.identifier(name)

    def key_id(self, name: str) -> bytes:
        text = self.text(name)
        if len(text) != 2 * HASH_LENGTH or not set(text) <= set("0123456789abcdef"):
            raise MalformedError(f"{name} must be {2 * HASH_LENGTH} hexadecimal digits, lower case")
        return bytes.fromhex(text)

    def base64(self, name: str, length: int) -> bytes:
        text = self.text(name)
        try:
            value = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            value = b""
        if len(value) != length or base64.b64encode(value).decode() != text:
            raise MalformedError(f"{name} must be {length} bytes in base64")
        return value

    def time_ms(self, name: str) -> int:
        value = int(self._take(name, int))
        if not 0 <= value <= _LAST_MS:
            raise MalformedError(f"{name} must be milliseconds since 1970")
        return value

    def end(self) -> None:
        if self._left:
            raise MalformedError(f"there is no such field: {min(self._left)}")
