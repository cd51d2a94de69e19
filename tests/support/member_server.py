"""A vendor that speaks the member API over real HTTP, from an organisation in memory.

It decides on every key that is submitted at once, as the encryption service does. What it serves
can be changed by plain assignment: `ledger`, `head`, `grants`, `items` and more are what it answers
with.
"""

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from encryption_service.oidc.verifier import EvidenceError, EvidenceVerifier
from groupseal.bindings import BindingRequest
from groupseal.identifiers import fingerprint
from groupseal.key_removal import KeyRemoval
from groupseal.reasons import Reason
from groupseal.suites import Suite
from groupseal.trust import TrustMode
from tests.support.org_maker import MadeGrant, OrgMaker

Answer = tuple[int, dict[str, Any]]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refusal(status: int, reason: str) -> Answer:
    return status, {"reason": reason, "detail": f"refused: {reason}"}


@dataclass
class StoredItem:
    id: str
    group: bytes
    data: bytes


@dataclass
class Offered:
    """A key that a device handed in, and what became of it."""

    request: BindingRequest
    proof: bytes
    # None while it waits.
    refused: str | None = None


@dataclass
class Vendor:
    """The vendor's state and its answers."""

    org: OrgMaker
    # Enrolment code -> member id; a used code is gone.
    codes: dict[str, bytes] = field(default_factory=dict)
    tokens: dict[str, bytes] = field(default_factory=dict)
    items: list[StoredItem] = field(default_factory=list)
    names: dict[bytes, str] = field(default_factory=dict)
    page: int = 3
    # False: a key waits, whatever vouches for it.
    binds: bool = True
    # What opens and checks evidence in mode `oidc`.
    verifier: EvidenceVerifier | None = None
    offered: dict[bytes, Offered] = field(default_factory=dict)
    # Bodies of POST /devices.
    submissions: list[dict[str, Any]] = field(default_factory=list)
    # What GET /devices shows of each key; None hides it.
    shows: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda shown: shown
    # Overrides for hostile variants; `answers` are whole answers by path.
    answers: dict[str, Answer] = field(default_factory=dict)
    ledger: list[bytes] | None = None
    head: str | None = None
    grant: Callable[[MadeGrant], MadeGrant] = lambda made: made
    grants: dict[tuple[bytes, bytes], MadeGrant] | None = None
    name_part: bytes | None = None
    links: dict[int, bytes] | None = None
    refuse_items_once: str | None = None
    requests: list[str] = field(default_factory=list)

    def code_for(self, member: bytes) -> str:
        code = f"CODE-{uuid4()}"
        self.codes[code] = member
        return code

    def answer(self, method: str, target: str, token: str | None, body: Any) -> Answer:
        url = urlsplit(target)
        self.requests.append(f"{method} {url.path}")
        if url.path in self.answers:
            return self.answers[url.path]
        words = url.path.strip("/").split("/")[2:]
        if words == ["sessions"]:
            return self._session(body["code"])
        member = self.tokens.get(token or "")
        if member is None:
            return refusal(401, "session_ended")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if words[0] == "devices" and len(words) == 3:
            return self._remove(bytes.fromhex(words[1]), member, body)
        if len(words) == 3:
            what = f"{method} {words[2]}"
            return self._about_group(what, UUID(words[1]).bytes, member, query, body)
        routes: dict[str, Callable[[], Answer]] = {
            "GET organisation": self._organisation,
            "POST devices": lambda: self._submit(member, body),
            "GET devices": lambda: self._devices(member),
            "GET ledger": lambda: self._ledger(int(query["from"])),
            "GET groups": lambda: self._groups(member),
        }
        return routes[f"{method} {words[0]}"]()

    def _about_group(
        self, what: str, group: bytes, member: bytes, query: dict[str, str], body: Any
    ) -> Answer:
        routes: dict[str, Callable[[], Answer]] = {
            "GET grant": lambda: self._grant(group, member, bytes.fromhex(query["key_id"])),
            "GET history": lambda: self._history(group),
            "GET items": lambda: self._items(group),
            "POST items": lambda: self._store(group, base64.b64decode(body["item"])),
        }
        return routes[what]()

    def _session(self, code: str) -> Answer:
        member = self.codes.pop(code, None)
        if member is None:
            return refusal(403, "code_invalid")
        token = f"gs_member_{uuid4()}"
        self.tokens[token] = member
        return 201, {
            "token": token,
            "tenant_id": str(UUID(int=1)),
            "member_id": str(UUID(bytes=member)),
            "user_name": "ada@example.com",
        }

    def _organisation(self) -> Answer:
        return 200, {
            "organisation_id": str(UUID(bytes=self.org.id)),
            "signing_public_key": b64(self.org.public_key),
            "fingerprint": fingerprint(self.org.public_key),
            "trust_mode": "pin",
            "vendor_trusted": True,
        }

    def _submit(self, member: bytes, body: Any) -> Answer:
        self.submissions.append(body)
        request = BindingRequest(
            self.org.id,
            member,
            Suite(body["suite"]),
            base64.b64decode(body["hpke_public_key"]),
            base64.b64decode(body["signing_public_key"]),
            body.get("replaces", False),
        )
        proof = base64.b64decode(body["possession_proof"])
        request.verify_possession(proof)
        if request.key_id not in self.org.keys:
            self.offered[request.key_id] = Offered(request, proof)
            if self.binds:
                self.decide(body, request, proof)
        return 202, self._device(request.key_id)

    def decide(self, body: Any, request: BindingRequest, proof: bytes) -> None:
        """As the service: a bound key's signature, or what the trust mode demands."""
        others = [key_id for key_id, key in self.org.keys.items() if key.member == request.member]
        if "endorsement" in body:
            endorser = base64.b64decode(body["endorsing_key_id"])
            endorsement = base64.b64decode(body["endorsement"])
            key = self.org.keys[endorser]
            assert key.member == request.member
            request.verify_endorsement(key.signing_public_key, endorsement)
            self.org.bind(request, proof, endorser, endorsement)
        elif reason := self._refusal(request, body):
            self.offered[request.key_id].refused = reason
            return
        else:
            self.org.bind(request, proof)
        for key_id in others if request.replaces else ():
            self.org.unbind(key_id, Reason.KEY_REPLACED)

    def _refusal(self, request: BindingRequest, body: Any) -> str | None:
        if self.org.trust.mode is not TrustMode.OIDC:
            return None
        if "sealed_evidence" not in body or self.verifier is None:
            return Reason.EVIDENCE_NEEDED
        try:
            self.verifier.verify(request, base64.b64decode(body["sealed_evidence"]))
        except EvidenceError as error:
            return error.reason
        return None

    def _device(self, key_id: bytes) -> dict[str, Any]:
        offered = self.offered[key_id]
        state = "refused" if offered.refused else "submitted"
        return {
            "key_id": key_id.hex(),
            "suite": 1,
            "hpke_public_key": b64(offered.request.hpke_public_key),
            "signing_public_key": b64(offered.request.signing_public_key),
            "possession_proof": b64(offered.proof),
            "replaces": offered.request.replaces,
            "state": "bound" if key_id in self.org.keys else state,
            "reason": offered.refused,
            "submitted_at": "2030-01-01T00:00:00Z",
            "removal": None,
            "removal_reason": None,
        }

    def _devices(self, member: bytes) -> Answer:
        found = [
            self.shows(self._device(key_id))
            for key_id, offered in self.offered.items()
            if offered.request.member == member
        ]
        return 200, {"devices": [each for each in found if each is not None]}

    def _remove(self, key_id: bytes, member: bytes, body: Any) -> Answer:
        signer = self.org.keys[base64.b64decode(body["signing_key_id"])]
        assert signer.member == member
        signature = base64.b64decode(body["signature"])
        KeyRemoval(self.org.id, member, key_id).verify(signer.signing_public_key, signature)
        self.org.unbind(key_id, Reason.KEY_REMOVED_BY_MEMBER)
        return 202, {"key_id": key_id.hex(), "state": "unbound", "removal": "done", "reason": None}

    def _ledger(self, start: int) -> Answer:
        entries = self.org.entries if self.ledger is None else self.ledger
        head = self.org.head(len(entries)) if self.head is None else self.head
        served = entries[start : start + self.page]
        return 200, {
            "from": start,
            "entries": [b64(data) for data in served],
            "size": len(entries),
            "head": head,
        }

    def _groups(self, member: bytes) -> Answer:
        found = [
            {
                "group_id": made.text_id,
                "display_name": self.names.get(made.id, "a group"),
                "state": "committed",
                "reason": None,
                "epoch": made.epoch,
            }
            for made in self.org.groups.values()
            if member in made.roster
        ]
        return 200, {"groups": found}

    def _grant(self, group: bytes, member: bytes, key_id: bytes) -> Answer:
        made = self.org.groups.get(group)
        grants = (made.grants if made else {}) if self.grants is None else self.grants
        found = grants.get((member, key_id))
        if made is None or found is None:
            return refusal(404, "not_granted")
        found = self.grant(found)
        part = made.name_part if self.name_part is None else self.name_part
        return 200, {
            "group_id": str(UUID(bytes=group)),
            "epoch": found.epoch,
            "position": found.position,
            "batch_index": found.index,
            "batch_size": found.count,
            "path": [b64(each) for each in found.path],
            "envelope": b64(found.envelope),
            "envelope_hash": "",
            "name_position": None if part is None else 0,
            "name_part": None if part is None else b64(part),
        }

    def _history(self, group: bytes) -> Answer:
        links = self.org.groups[group].links if self.links is None else self.links
        newest_first = sorted(links.items(), reverse=True)
        return 200, {"links": [{"epoch": n, "link": b64(link)} for n, link in newest_first]}

    def _items(self, group: bytes) -> Answer:
        found = [item for item in self.items if item.group == group]
        return 200, {
            "items": [
                {"item_id": item.id, "item": b64(item.data), "created_at": "2030-01-01T00:00:00Z"}
                for item in found
            ]
        }

    def _store(self, group: bytes, data: bytes) -> Answer:
        if self.refuse_items_once is not None:
            reason, self.refuse_items_once = self.refuse_items_once, None
            return refusal(409, reason)
        item = StoredItem(str(uuid4()), group, data)
        self.items.append(item)
        return 201, {"item_id": item.id}


class MemberServer:
    """Serves a vendor's answers on a free port of this machine."""

    def __init__(self, vendor: Vendor) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _respond(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                scheme, _, token = self.headers.get("Authorization", "").partition(" ")
                status, answer = vendor.answer(
                    self.command, self.path, token if scheme == "Bearer" else None, body
                )
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _respond  # noqa: N815 # the standard library's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # as above
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
