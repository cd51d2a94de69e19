"""An organisation that really signs: keyset, ledger, heads, envelopes, history links.

It stands in for the encryption service. Its derivations are its own, so that they check the
client's. Hostile variants are made by plain assignment: `seal` makes every envelope, `entries`
are the ledger's bytes.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from groupseal.bindings import BindingRequest
from groupseal.checkpoint import Head, format_note
from groupseal.entries import (
    Body,
    Entry,
    EpochClosed,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyUnbound,
    OrganisationCreated,
    TrustChanged,
    Unknown,
)
from groupseal.envelopes import envelope_info, group_context
from groupseal.grants import Grant, encode_grants, envelope_hash, grants_root, grants_tree
from groupseal.labels import Label
from groupseal.ledger import EMPTY_ROSTER_DIGEST, next_roster_digest
from groupseal.merkle import CompactRange, leaf_hash
from groupseal.parts import GroupNamePart, PartKind, Parts, part_digest
from groupseal.trust import VENDOR_TRUSTED, TrustSettings

START_MS = 1_800_000_000_000
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def derive(label: Label, secret: bytes, organisation: bytes, group: bytes, epoch: int) -> bytes:
    info = group_context(label, organisation, group, epoch)
    return HKDF(SHA256(), 32, salt=None, info=info).derive(secret)


def xwing_public_key(seed: bytes) -> bytes:
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).public_key()
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:]).public_key()
    return mlkem.public_bytes_raw() + x25519.public_bytes_raw()


def seal_to(public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    recipient = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public_key[:1184]),
        X25519PublicKey.from_public_bytes(public_key[1184:]),
    )
    return _SUITE.encrypt(plaintext, recipient, info=info)


@dataclass(frozen=True)
class Envelope:
    """Everything that one envelope is made from."""

    secret: bytes
    organisation: bytes
    group: bytes
    epoch: int
    member: bytes
    key_id: bytes
    public_key: bytes


def seal_envelope(what: Envelope) -> bytes:
    info = envelope_info(what.organisation, what.group, what.epoch, what.member, what.key_id)
    return seal_to(what.public_key, what.secret, info)


@dataclass(frozen=True)
class MadeGrant:
    """A grant with all that a member's client needs to believe it."""

    epoch: int
    position: int
    index: int
    count: int
    path: list[bytes]
    envelope: bytes


@dataclass
class MadeGroup:
    """What the organisation keeps of one group."""

    id: bytes
    secrets: dict[int, bytes] = field(default_factory=dict)
    links: dict[int, bytes] = field(default_factory=dict)
    roster: set[bytes] = field(default_factory=set)
    digest: bytes = EMPTY_ROSTER_DIGEST
    last: int | None = None
    epoch: int = 0
    public_key: bytes = b""
    is_open: bool = False
    name_part: bytes | None = None
    # Newest grant of each (member, key id), and all there ever were.
    grants: dict[tuple[bytes, bytes], MadeGrant] = field(default_factory=dict)
    all_grants: list[tuple[bytes, bytes, MadeGrant]] = field(default_factory=list)

    @property
    def text_id(self) -> str:
        return str(UUID(bytes=self.id))


class OrgMaker:
    """Makes one organisation's ledger, entry by entry, every one of them valid."""

    def __init__(self, now_ms: int = START_MS, *, trust: TrustSettings | None = None) -> None:
        """With `trust`, there is a key for evidence, and the second entry says how it decides."""
        self.id = uuid4().bytes
        self.signing_key = Ed25519PrivateKey.generate()
        self.public_key = self.signing_key.public_key().public_bytes_raw()
        self.now_ms = now_ms
        self.entries: list[bytes] = []
        self.parts: list[Parts] = []
        self.keys: dict[bytes, BindingRequest] = {}
        self.groups: dict[bytes, MadeGroup] = {}
        # (group, member) that is on the roster and granted nothing.
        self.barred: set[tuple[bytes, bytes]] = set()
        self.seal: Callable[[Envelope], bytes] = seal_envelope
        self.evidence_seed = os.urandom(32)
        self.trust = trust or VENDOR_TRUSTED
        keyset = b"sealed keyset"
        self.append(
            OrganisationCreated(
                self.public_key,
                xwing_public_key(self.evidence_seed) if trust else b"",
                self.trust.mode,
                trust.digest() if trust else bytes(32),
                part_digest(PartKind.SEALED_KEYSET, keyset),
            ),
            {PartKind.SEALED_KEYSET: keyset},
        )
        if trust is not None:
            self.decide_by(trust)

    def decide_by(self, trust: TrustSettings) -> int:
        """From here on the organisation decides by these settings."""
        self.trust = trust
        return self.append(TrustChanged(trust))

    def append(
        self, body: Body | Unknown, parts: Parts | None = None, critical: bool = True
    ) -> int:
        """Position of the new entry."""
        self.now_ms += 1
        position = len(self.entries)
        entry = Entry(self.id, position, self.now_ms, body, critical)
        self.entries.append(entry.to_bytes())
        self.parts.append(parts or {})
        return position

    def head(self, size: int | None = None, time_ms: int | None = None) -> str:
        """A signed head over the first `size` entries as they are now."""
        size = len(self.entries) if size is None else size
        time_ms = self.now_ms if time_ms is None else time_ms
        return self.sign(Head(self.id, size, self.root(size), time_ms))

    def root(self, size: int | None = None) -> bytes:
        past = CompactRange()
        for data in self.entries[:size]:
            past = past.append(leaf_hash(data))
        return past.root

    def sign(self, head: Head) -> str:
        return format_note(head, self.public_key, self.signing_key.sign(head.text.encode()))

    def bind(
        self,
        request: BindingRequest,
        proof: bytes,
        endorsing_key_id: bytes | None = None,
        endorsement: bytes | None = None,
    ) -> int:
        self.keys[request.key_id] = request
        return self.append(
            KeyBound(
                request.member,
                request.key_id,
                request.suite,
                request.hpke_public_key,
                request.signing_public_key,
                proof,
                self.trust.mode,
                request.replaces,
                endorsing_key_id=endorsing_key_id,
                endorsement=endorsement,
            )
        )

    def unbind(self, key_id: bytes, reason: str = "removed") -> int:
        request = self.keys.pop(key_id)
        return self.append(KeyUnbound(request.member, key_id, reason))

    def group(self, name: str | None = None) -> MadeGroup:
        made = MadeGroup(uuid4().bytes)
        self.groups[made.id] = made
        if name is not None:
            self.rename(made, name)
        return made

    def rename(self, group: MadeGroup, name: str) -> None:
        part = GroupNamePart(os.urandom(32), name, "").to_bytes()
        digest = part_digest(PartKind.GROUP_NAME, part)
        group.last = self.append(
            GroupNamed(group.id, group.last, digest), {PartKind.GROUP_NAME: part}
        )
        group.name_part = part

    def open_epoch(
        self, group: MadeGroup, joined: Iterable[bytes] = (), left: Iterable[bytes] = ()
    ) -> None:
        """Opens the next epoch and grants it to every bound key of the roster."""
        before = group.secrets.get(group.epoch)
        group.epoch += 1
        secret = group.secrets[group.epoch] = os.urandom(32)
        context = (self.id, group.id, group.epoch)
        group.public_key = xwing_public_key(derive(Label.DERIVE_GROUP_KEY, secret, *context))
        parts: Parts = {PartKind.SEALED_SECRET: b"sealed secret"}
        if before is not None:
            nonce, key = os.urandom(12), derive(Label.DERIVE_HISTORY_KEY, secret, *context)
            aad = group_context(Label.HISTORY_LINK, *context)
            link = nonce + AESGCM(key).encrypt(nonce, before, aad)
            parts[PartKind.HISTORY_LINK] = group.links[group.epoch] = link
        group.is_open = True
        self._reconcile(group, joined, left, opens=True, parts=parts)

    def add(self, group: MadeGroup, joined: Iterable[bytes]) -> None:
        """Grants the open epoch to newcomers too."""
        self._reconcile(group, joined, (), opens=False, parts={})

    def grant(self, group: MadeGroup, members: Iterable[bytes]) -> None:
        """Grants the open epoch to members who are on the roster already."""
        self._reconcile(group, (), (), opens=False, parts={}, granted=set(members))

    def close_epoch(self, group: MadeGroup, left: Iterable[bytes]) -> None:
        joined, gone = self._change_roster(group, (), left)
        group.is_open = False
        group.last = self.append(
            EpochClosed(group.id, group.last, group.epoch, joined, gone, group.digest)
        )

    def _change_roster(
        self, group: MadeGroup, joined: Iterable[bytes], left: Iterable[bytes]
    ) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        came, gone = tuple(sorted(joined)), tuple(sorted(left))
        group.roster = (group.roster | set(came)) - set(gone)
        if came or gone:
            group.digest = next_roster_digest(group.digest, came, gone)
        return came, gone

    def _reconcile(
        self,
        group: MadeGroup,
        joined: Iterable[bytes],
        left: Iterable[bytes],
        *,
        opens: bool,
        parts: Parts,
        granted: Collection[bytes] = (),
    ) -> None:
        came, gone = self._change_roster(group, joined, left)
        wanted = group.roster if opens else {*came, *granted}
        batch = sorted(
            (request.member, key_id)
            for key_id, request in self.keys.items()
            if request.member in wanted and (group.id, request.member) not in self.barred
        )
        envelopes = [self.seal(self._envelope(group, *each)) for each in batch]
        grants = [
            Grant(*each, envelope_hash(sealed))
            for each, sealed in zip(batch, envelopes, strict=True)
        ]
        encoded = encode_grants(grants)
        digests = {kind: part_digest(kind, body) for kind, body in parts.items()}
        body = GroupReconciled(
            group.id,
            group.last,
            group.epoch,
            opens,
            group.public_key,
            came,
            gone,
            group.digest,
            grants_root(encoded),
            len(grants),
            digests.get(PartKind.SEALED_SECRET),
            digests.get(PartKind.HISTORY_LINK),
        )
        group.last = position = self.append(body, {**parts, PartKind.GRANTS: encoded})
        tree = grants_tree(encoded)
        for index, (each, sealed) in enumerate(zip(batch, envelopes, strict=True)):
            path = tree.inclusion_proof(index)
            made = MadeGrant(group.epoch, position, index, len(grants), path, sealed)
            group.grants[each] = made
            group.all_grants.append((*each, made))

    def _envelope(self, group: MadeGroup, member: bytes, key_id: bytes) -> Envelope:
        secret, public_key = group.secrets[group.epoch], self.keys[key_id].hpke_public_key
        return Envelope(secret, self.id, group.id, group.epoch, member, key_id, public_key)
