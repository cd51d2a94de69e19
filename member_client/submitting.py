"""Handing in this device's key, with what shall convince the encryption service.

Issuer, client id and the key that evidence is sealed to come from the verified ledger: whatever
the vendor names besides is never looked at. What was signed in for is stored before it is handed
in, so that a retry does not ask the person again.
"""

import base64
import binascii
import os
from dataclasses import dataclass, field, replace

from groupseal.bindings import BindingRequest
from groupseal.evidence import (
    EVIDENCE_SALT_LENGTH,
    MAX_SEALED_EVIDENCE,
    Evidence,
    evidence_info,
    evidence_nonce,
)
from groupseal.projection import Projection
from groupseal.reasons import Reason
from groupseal.trust import TrustMode, TrustSettings
from member_client import hpke
from member_client.answers import Device
from member_client.api import Vouching
from member_client.context import DeviceContext, created_of, trust_of
from member_client.errors import HomeError, RefusedError, SignInError
from member_client.home import Home
from member_client.sign_in import SignInManner, SignInRequest, sign_in

REQUEST_FILE = "request.json"
# Providers' tokens are good for some minutes at least; an older one is not worth a try.
_REUSE_MS = 4 * 60 * 1000
_CORE_CLAIMS = {"", "sub", "uid"}


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """The last request to bind this device's key."""

    replaces: bool
    made_ms: int
    # Sealed: only the encryption service can read it.
    evidence: bytes | None = field(default=None, repr=False)
    handed_in: bool = False

    def is_usable(self, now_ms: int) -> bool:
        """Whether there is evidence that was not handed in, and is young enough to be."""
        young = 0 <= now_ms - self.made_ms < _REUSE_MS
        return self.evidence is not None and not self.handed_in and young

    def store(self, home: Home) -> None:
        evidence = None if self.evidence is None else base64.b64encode(self.evidence).decode()
        home.write_json(
            REQUEST_FILE,
            {
                "replaces": self.replaces,
                "made_ms": self.made_ms,
                "evidence": evidence,
                "handed_in": self.handed_in,
            },
        )


def load_request(home: Home) -> StoredRequest | None:
    """Raises HomeError where the file is damaged."""
    fields = home.read_json(REQUEST_FILE)
    if fields is None:
        return None
    try:
        text = fields["evidence"]
        return StoredRequest(
            fields["replaces"] is True,
            int(fields["made_ms"]),
            None if text is None else base64.b64decode(text, validate=True),
            fields["handed_in"] is True,
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise HomeError(
            f"{home.path(REQUEST_FILE)} is damaged: delete it and run the command again"
        ) from error


def submit(
    context: DeviceContext,
    projection: Projection,
    manner: SignInManner,
    *,
    replaces: bool = False,
    anew: bool = False,
) -> Device:
    """1. A key that the ledger binds is not handed in again. 2. In mode `oidc` the member signs
    in, unless evidence is on its way already or `anew` is set. 3. The key is handed in.

    Raises RefusedError for a key that was removed, SignInError, and what the member API raises.
    """
    key_id = context.keys.key_id
    if key_id in projection.keys:
        return Device(key_id, "bound", None)
    if key_id in projection.former_keys:
        raise RefusedError(
            Reason.KEY_WAS_REMOVED,
            "this device's key was removed and is never bound again: enrol in a new folder"
            " (--home)",
            409,
        )
    request = replace(context.me.binding_request(), replaces=replaces)
    before = load_request(context.home)
    if before is not None and before.replaces != replaces:
        before = None
    if not anew and before is not None and before.handed_in:
        waiting = _waiting(context)
        if waiting is not None:
            return waiting
    stored = _with_evidence(context, projection, manner, request, None if anew else before)
    proof = context.keys.sign(request.message())
    device = context.api.submit_device(request, proof, Vouching(stored.evidence))
    replace(stored, handed_in=True).store(context.home)
    return device


def _waiting(context: DeviceContext) -> Device | None:
    """This device's key, where it waits and nothing is wrong with it."""
    own = context.keys.key_id
    return next(
        (
            each
            for each in context.api.devices()
            if each.key_id == own and each.state == "submitted"
        ),
        None,
    )


def _with_evidence(
    context: DeviceContext,
    projection: Projection,
    manner: SignInManner,
    request: BindingRequest,
    before: StoredRequest | None,
) -> StoredRequest:
    trust, now_ms = trust_of(projection), context.now_ms()
    if trust.mode is not TrustMode.OIDC:
        return StoredRequest(request.replaces, now_ms)
    if before is not None and before.is_usable(now_ms):
        return before
    evidence_key = created_of(projection).evidence_public_key
    sealed = _sign_in(context, trust, evidence_key, manner, request)
    stored = StoredRequest(request.replaces, context.now_ms(), sealed)
    stored.store(context.home)
    return stored


def _sign_in(
    context: DeviceContext,
    trust: TrustSettings,
    evidence_key: bytes,
    manner: SignInManner,
    request: BindingRequest,
) -> bytes:
    """Evidence for these keys, sealed for the encryption service."""
    organisation, salt = context.organisation, os.urandom(EVIDENCE_SALT_LENGTH)
    nonce = evidence_nonce(
        organisation.signing_public_key, trust.issuer, trust.client_id, request, salt
    )
    scope = "openid" if trust.subject_claim in _CORE_CLAIMS else "openid profile"
    wanted = SignInRequest(trust.issuer, trust.client_id, nonce, scope, fresh=request.replaces)
    port = manner.port or organisation.redirect_port or 0
    token = sign_in(wanted, replace(manner, port=port))
    evidence = Evidence(salt, token.reveal().decode())
    info = evidence_info(request.organisation, request.member, request.key_id)
    sealed = hpke.seal(evidence.to_bytes(), evidence_key, info)
    if len(sealed) > MAX_SEALED_EVIDENCE:
        raise SignInError(
            "the ID token is too large to be evidence: ask your administrator to release fewer"
            " claims to this client"
        )
    return sealed
