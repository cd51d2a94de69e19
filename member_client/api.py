"""The member API over HTTP: typed requests, typed answers, errors that say what to do."""

import base64
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from groupseal.bindings import BindingRequest
from groupseal.errors import MalformedError
from member_client.addresses import is_loopback
from member_client.answers import (
    Device,
    Fields,
    GroupListing,
    LedgerPage,
    OfferedKey,
    OrganisationAnswer,
    Removal,
    ServedGrant,
    ServedItem,
)
from member_client.errors import NotGrantedError, RefusedError, UnreachableError, UsageError
from member_client.secret import Secret

PREFIX = "/member/v1"
PAGE = 1000
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class Token(Secret):
    """Bearer token of a member's session."""

    def __init__(self, value: str) -> None:
        super().__init__(value.encode(), len(value.encode()))


def server_address(text: str) -> str:
    """Base address of a vendor, without the API's path. Raises UsageError."""
    parts = urlsplit(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise UsageError(f"{text} is not an address: give one such as https://vendor.example.com")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise UsageError(f"{text} would send your token unprotected: use https")
    return text.rstrip("/").removesuffix(PREFIX)


@dataclass(frozen=True, slots=True)
class KeySignature:
    """A signature by one of the member's bound keys."""

    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Vouching:
    """What shall convince the encryption service that a key is the member's."""

    # For the organisation's evidence key alone.
    sealed_evidence: bytes | None = field(default=None, repr=False)
    endorsement: KeySignature | None = None


class MemberApi:
    """One vendor's member API. Every method raises UnreachableError, RefusedError or, for an
    answer that is not in the API's form, MalformedError."""

    def __init__(self, server: str, token: Token | None = None) -> None:
        self.server = server_address(server)
        # On this machine a proxy that the environment names would only be in the way.
        remote = not is_loopback(urlsplit(self.server).hostname)
        self._http = httpx.Client(base_url=self.server + PREFIX, timeout=_TIMEOUT, trust_env=remote)
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def start_session(self, code: str) -> Fields:
        """Exchanges a one-time enrolment code for a token."""
        return self._call("POST", "/sessions", json={"code": code})

    def organisation(self) -> OrganisationAnswer:
        return OrganisationAnswer.parse(self._call("GET", "/organisation"))

    def submit_device(
        self, request: BindingRequest, possession_proof: bytes, vouching: Vouching
    ) -> Device:
        body: dict[str, Any] = {
            "suite": int(request.suite),
            "hpke_public_key": _text(request.hpke_public_key),
            "signing_public_key": _text(request.signing_public_key),
            "possession_proof": _text(possession_proof),
            "replaces": request.replaces,
        }
        if vouching.sealed_evidence is not None:
            body["sealed_evidence"] = _text(vouching.sealed_evidence)
        if vouching.endorsement is not None:
            body["endorsing_key_id"] = _text(vouching.endorsement.key_id)
            body["endorsement"] = _text(vouching.endorsement.signature)
        return Device.parse(self._call("POST", "/devices", json=body))

    def offered_keys(self) -> list[OfferedKey]:
        answer = self._call("GET", "/devices")
        return [OfferedKey.parse(each) for each in answer.objects("devices")]

    def remove_device(self, key_id: bytes, by: KeySignature) -> Removal:
        body = {"signing_key_id": _text(by.key_id), "signature": _text(by.signature)}
        return Removal.parse(self._call("POST", f"/devices/{key_id.hex()}/removal", json=body))

    def devices(self) -> list[Device]:
        return [Device.parse(each) for each in self._call("GET", "/devices").objects("devices")]

    def ledger(self, start: int) -> LedgerPage:
        params = {"from": start, "limit": PAGE}
        return LedgerPage.parse(self._call("GET", "/ledger", params=params))

    def groups(self) -> list[GroupListing]:
        answer = self._call("GET", "/groups")
        return [GroupListing.parse(each) for each in answer.objects("groups")]

    def grant(self, group_id: str, key_id: bytes) -> ServedGrant:
        """Raises NotGrantedError too."""
        path = f"/groups/{group_id}/grant"
        return ServedGrant.parse(self._of_group("GET", path, params={"key_id": key_id.hex()}))

    def history(self, group_id: str) -> dict[int, bytes]:
        """Epoch -> its link to the one before. Raises NotGrantedError too."""
        answer = self._of_group("GET", f"/groups/{group_id}/history")
        return {each.number("epoch"): each.data("link") for each in answer.objects("links")}

    def share(self, group_id: str, item: bytes) -> str:
        """Id of the new item. Raises NotGrantedError too."""
        path = f"/groups/{group_id}/items"
        try:
            return self._call("POST", path, json={"item": _text(item)}).text("item_id")
        except RefusedError as error:
            if error.status == httpx.codes.NOT_FOUND:
                raise NotGrantedError(error.reason, str(error)) from error
            raise

    def items(self, group_id: str) -> list[ServedItem]:
        """Raises NotGrantedError too."""
        answer = self._of_group("GET", f"/groups/{group_id}/items")
        return [ServedItem.parse(each) for each in answer.objects("items")]

    def _of_group(self, method: str, path: str, **request: Any) -> Fields:
        try:
            return self._call(method, path, **request)
        except RefusedError as error:
            if error.status in {404, 409}:
                raise NotGrantedError(error.reason, str(error)) from error
            raise

    def _call(self, method: str, path: str, **request: Any) -> Fields:
        headers = {} if self._token is None else _bearer(self._token)
        try:
            answer = self._http.request(method, path, headers=headers, **request)
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"{self.server} does not answer ({type(error).__name__}): check the address and"
                " the network, then try again"
            ) from error
        if answer.status_code >= 500:
            raise UnreachableError(
                f"{self.server} has a fault (HTTP {answer.status_code}): try again later"
            )
        try:
            fields = Fields(answer.json())
        except (ValueError, MalformedError) as error:
            raise UnreachableError(
                f"{self.server} is no member API (HTTP {answer.status_code} without JSON):"
                " check the address"
            ) from error
        if not answer.is_success:
            raise _refusal(answer.status_code, fields, signed_in=self._token is not None)
        return fields


def _refusal(status: int, fields: Fields, *, signed_in: bool) -> RefusedError:
    reason = fields.optional_text("reason") or "refused"
    detail = fields.optional_text("detail") or f"the server refused with HTTP {status}"
    if status == httpx.codes.UNAUTHORIZED and signed_in:
        detail += ": ask for a new enrolment code and `groupseal member enrol` in the same folder"
    return RefusedError(reason, detail, status)


def _bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.reveal().decode()}"}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
