"""Make the protocol's test vectors in tests/vectors/, or check that they are what they were.

Everything comes from fixed seeds, but for three ciphertexts: HPKE encapsulates at random, so these
were recorded once and are taken over from the files (`--record` makes new ones). Each case says
what must happen with it: `accept`, or the reason for which it must be refused.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from groupseal.checkpoint import Head, format_note
from groupseal.encoding import Writer
from groupseal.entries import (
    Entry,
    EntryType,
    Unknown,
)
from groupseal.envelopes import envelope_info, group_context, item_info
from groupseal.identifiers import fingerprint, key_fingerprint
from groupseal.labels import Label
from groupseal.ledger import EMPTY_ROSTER_DIGEST, next_roster_digest
from groupseal.merkle import leaf_hash
from groupseal.shared_items import SharedItem
from groupseal.suites import Suite
from member_client import hpke
from member_client.hpke import XWingSeed
from tools import evidence_vectors, ledger_vectors, trust_vectors
from tools.vector_case import Vectors, case
from tools.vector_inputs import (
    DEVICE,
    EPOCHS,
    GROUP,
    MEMBER,
    MEMBERS,
    ORGANISATION,
    OTHER_GROUP,
    PROOF,
    PUBLIC_KEY,
    SECRETS,
    SIGNER,
    TIME_MS,
    entry_bodies,
    fixed,
)

FOLDER = Path(__file__).parent.parent / "tests" / "vectors"
PLAINTEXT = b"what the members share"
# First test vector of draft-connolly-cfrg-xwing-kem (appendix C).
XWING_SEED = "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"


def encodings() -> Vectors:
    """Fields by the notation of the specification, each with its bytes."""
    good = {
        "u8": (255, Writer().u8(255)),
        "u16": (258, Writer().u16(258)),
        "u32": (2**32 - 1, Writer().u32(2**32 - 1)),
        "u64": (2**53 + 1, Writer().u64(2**53 + 1)),
        "flag": (True, Writer().flag(True)),
        "text": ("Größe", Writer().text("Größe")),
        "opt u64": (None, Writer().optional_u64(None)),
        "var": ("00ff", Writer().var(b"\x00\xff")),
        "ids": ([m.hex() for m in MEMBERS], Writer().identifiers(MEMBERS)),
    }
    cases = [
        case(kind, kind=kind, value=value, bytes=writer.bytes())
        for kind, (value, writer) in good.items()
    ]
    cases += [
        case("flag of 2", "malformed", kind="flag", bytes=b"\x02"),
        case("text that is not UTF-8", "malformed", kind="text", bytes=b"\0\0\0\x01\xff"),
        case("var that is cut", "malformed", kind="var", bytes=b"\0\0\0\x02a"),
        case("a byte left over", "malformed", kind="u8", bytes=b"\0\0"),
        case("ids unsorted", "malformed", kind="ids", bytes=_unsorted()),
        case("u64 that is cut", "malformed", kind="u64", bytes=bytes(7)),
    ]
    return {"section": "1", "cases": cases}


def _unsorted() -> bytes:
    return Writer().u32(2).identifier(MEMBERS[1]).identifier(MEMBERS[0]).bytes()


def identifiers() -> Vectors:
    return {
        "section": "2",
        "cases": [
            case(
                "member key id and proof of possession",
                organisation=ORGANISATION,
                member=MEMBER,
                suite=int(Suite.XWING),
                hpke_public_key=DEVICE.hpke_public_key,
                signing_seed=fixed("device signing"),
                signing_public_key=DEVICE.signing_public_key,
                key_id=DEVICE.key_id,
                possession_proof=PROOF,
            ),
            case(
                "a proof for another member",
                "signature_invalid",
                organisation=ORGANISATION,
                member=MEMBERS[1],
                suite=int(Suite.XWING),
                hpke_public_key=DEVICE.hpke_public_key,
                signing_public_key=DEVICE.signing_public_key,
                key_id=DEVICE.key_id,
                possession_proof=PROOF,
            ),
        ],
        "fingerprint": {"public_key": PUBLIC_KEY.hex(), "fingerprint": fingerprint(PUBLIC_KEY)},
        "key_fingerprint": {
            "key_id": DEVICE.key_id.hex(),
            "fingerprint": key_fingerprint(DEVICE.key_id),
        },
    }


def derivation() -> Vectors:
    """From seeds and group secrets to keys. The first seed is the draft's own test vector."""
    pairs = [
        case(
            name,
            seed=seed,
            public_key=hpke.public_key(XWingSeed(seed)),
        )
        for name, seed in (
            ("draft-connolly-cfrg-xwing-kem, first vector", bytes.fromhex(XWING_SEED)),
            ("the device of these vectors", fixed("device")),
        )
    ]
    secrets = [
        case(
            f"epoch {epoch}",
            organisation=ORGANISATION,
            group=GROUP,
            epoch=epoch,
            group_secret=SECRETS[epoch],
            hpke_seed=keys.seed.reveal(),
            group_public_key=keys.public_key,
            content_key=keys.content_key.reveal(),
            history_key=keys.history_key.reveal(),
        )
        for epoch, keys in EPOCHS.items()
    ]
    return {"section": "2", "key_pairs": pairs, "cases": secrets}


def rosters() -> Vectors:
    """Each digest follows from the one before it."""
    changes = [(MEMBERS, []), ([], MEMBERS[1:2]), (MEMBERS[1:2], MEMBERS[:1])]
    digest, cases = EMPTY_ROSTER_DIGEST, []
    for number, (joined, left) in enumerate(changes, 1):
        before, digest = digest, next_roster_digest(digest, joined, left)
        cases.append(
            case(
                f"change {number}",
                previous=before,
                joined=[m.hex() for m in joined],
                left=[m.hex() for m in left],
                digest=digest,
            )
        )
    return {"section": "3", "cases": cases}


def entries() -> Vectors:
    """One of each type, at the position of its number minus one; then what must be refused."""
    cases = []
    for position, body in enumerate(entry_bodies()):
        data = Entry(ORGANISATION, position, TIME_MS + position, body).to_bytes()
        name = body.type.name.lower().replace("_", " ")
        if position >= len(EntryType):
            name += " with everything"
        cases.append(case(name, bytes=data, leaf_hash=leaf_hash(data)))
    later = Entry(ORGANISATION, 13, TIME_MS, Unknown(900, b"later"), critical=False)
    another = bytearray(later.to_bytes())
    another[1 + len(Label.ENTRY)] = 2
    cases += [
        case(
            "unknown and uncritical", bytes=later.to_bytes(), leaf_hash=leaf_hash(later.to_bytes())
        ),
        case("unknown", "upgrade_needed", bytes=replace(later, critical=True).to_bytes()),
        case("another version", "upgrade_needed", bytes=bytes(another)),
        case("a byte left over", "malformed", bytes=later.to_bytes() + b"\0"),
        case("a byte missing", "malformed", bytes=later.to_bytes()[:-1]),
    ]
    return {"section": "3", "cases": cases}


def heads() -> Vectors:
    head = Head(ORGANISATION, 11, fixed("root"), TIME_MS)
    note = format_note(head, PUBLIC_KEY, SIGNER.sign(head.text.encode()))
    state = replace(head, state_root=fixed("state root"))
    other = Ed25519PrivateKey.from_private_bytes(fixed("another signing key"))
    other_public = other.public_key().public_bytes_raw()
    common: dict[str, Any] = {"organisation": ORGANISATION, "public_key": PUBLIC_KEY}
    return {
        "section": "3",
        "cases": [
            case("a head", **common, note=note, size=11, root=head.root, time_ms=TIME_MS),
            case(
                "a head with a state root",
                **common,
                note=format_note(state, PUBLIC_KEY, SIGNER.sign(state.text.encode())),
                size=11,
                root=head.root,
                time_ms=TIME_MS,
            ),
            case(
                "by another key",
                "signature_invalid",
                **common,
                note=format_note(head, other_public, other.sign(head.text.encode())),
            ),
            case(
                "another size", "signature_invalid", **common, note=note.replace("\n11\n", "\n12\n")
            ),
            case(
                "another form of the size",
                "malformed",
                **common,
                note=note.replace("\n11\n", "\n011\n"),
            ),
            case(
                "of another organisation",
                "wrong_organisation",
                organisation=bytes(16),
                public_key=PUBLIC_KEY,
                note=note,
            ),
        ],
    }


def history_links() -> Vectors:
    nonce, context = fixed("nonce", 12), group_context(Label.HISTORY_LINK, ORGANISATION, GROUP, 2)
    link = nonce + AESGCM(EPOCHS[2].history_key.reveal()).encrypt(nonce, SECRETS[1], context)
    here: dict[str, Any] = {"organisation": ORGANISATION, "group": GROUP, "epoch": 2}
    common: dict[str, Any] = {"group_secret": SECRETS[2], "link": link}
    return {
        "section": "2",
        "cases": [
            case("from epoch 2 to 1", **here, **common, previous_group_secret=SECRETS[1]),
            case("in another group", "wrong_context", **{**here, "group": OTHER_GROUP}, **common),
            case("of another epoch", "wrong_context", **{**here, "epoch": 3}, **common),
            case("cut", "malformed", **here, group_secret=SECRETS[2], link=link[:-1]),
        ],
    }


def envelopes(recorded: bytes) -> Vectors:
    here: dict[str, Any] = {
        "organisation": ORGANISATION,
        "group": GROUP,
        "epoch": 1,
        "member": MEMBER,
        "hpke_seed": fixed("device"),
        "signing_seed": fixed("device signing"),
        "envelope": recorded,
    }
    others = {
        "organisation": bytes(16),
        "group": OTHER_GROUP,
        "epoch": 2,
        "member": MEMBERS[1],
        "signing_seed": fixed("another signing key"),
        "hpke_seed": fixed("another device"),
        "envelope": recorded[:-1] + bytes([recorded[-1] ^ 1]),
    }
    moved = [
        case(f"another {name.replace('_', ' ')}", "wrong_context", **{**here, name: other})
        for name, other in others.items()
    ]
    return {"section": "2", "cases": [case("opens", **here, group_secret=SECRETS[1]), *moved]}


def items(recorded: bytes) -> Vectors:
    keys, key_id = EPOCHS[1], DEVICE.key_id
    unsigned = SharedItem(ORGANISATION, GROUP, 1, keys.public_key, MEMBER, key_id, recorded)
    item = replace(unsigned, signature=DEVICE.sign(unsigned.message()))
    here: dict[str, Any] = {
        "organisation": ORGANISATION,
        "group": GROUP,
        "group_secret": SECRETS[1],
        "sender_public_key": DEVICE.signing_public_key,
    }
    changed = replace(item, sender=MEMBERS[1]).to_bytes()
    return {
        "section": "2",
        "cases": [
            case("reads", **here, item=item.to_bytes(), plaintext=PLAINTEXT),
            case("another sender", "signature_invalid", **here, item=changed),
            case(
                "in another group",
                "wrong_context",
                **{**here, "group": OTHER_GROUP},
                item=item.to_bytes(),
            ),
            case(
                "with another epoch's secret",
                "wrong_context",
                **{**here, "group_secret": SECRETS[2]},
                item=item.to_bytes(),
            ),
            case("a byte left over", "malformed", **here, item=item.to_bytes() + b"\0"),
        ],
    }


def record() -> dict[str, bytes]:
    """New ciphertexts for the three vectors that cannot be made from seeds."""
    key_id = DEVICE.key_id
    envelope = envelope_info(ORGANISATION, GROUP, 1, MEMBER, key_id)
    item = item_info(ORGANISATION, GROUP, 1, MEMBER, key_id)
    return {
        "envelope": hpke.seal(SECRETS[1], DEVICE.hpke_public_key, envelope),
        "item": hpke.seal(PLAINTEXT, EPOCHS[1].public_key, item),
        "evidence": evidence_vectors.record_evidence(),
    }


def load_recorded() -> dict[str, bytes]:
    """The ciphertexts in the stored files."""
    envelope = json.loads((FOLDER / "envelopes.json").read_text())["cases"][0]["envelope"]
    item = json.loads((FOLDER / "shared_items.json").read_text())["cases"][0]["item"]
    evidence = json.loads((FOLDER / "evidence.json").read_text())["sealed"][0]["sealed"]
    return {
        "envelope": bytes.fromhex(envelope),
        "item": SharedItem.from_bytes(bytes.fromhex(item)).ciphertext,
        "evidence": bytes.fromhex(evidence),
    }


def make(recorded: dict[str, bytes]) -> dict[str, str]:
    """File name -> content."""
    files = {
        "encoding": encodings(),
        "identifiers": identifiers(),
        "key_derivation": derivation(),
        "roster_digests": rosters(),
        "entries": entries(),
        "heads": heads(),
        "history_links": history_links(),
        "envelopes": envelopes(recorded["envelope"]),
        "shared_items": items(recorded["item"]),
        "evidence": evidence_vectors.evidence(recorded["evidence"]),
        "subjects": evidence_vectors.subjects(),
        "trust_settings": trust_vectors.trust_settings(),
        "requests": trust_vectors.requests(),
        "approvals": trust_vectors.approvals(),
        "ledgers": ledger_vectors.ledgers(),
    }
    return {
        f"{name}.json": json.dumps(
            {"specification": "docs/protocol.md", **vectors}, indent=1, ensure_ascii=False
        )
        + "\n"
        for name, vectors in files.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--record", action="store_true", help="make new random ciphertexts")
    options = parser.parse_args()
    files = make(record() if options.record else load_recorded())
    changed = [
        name
        for name, content in files.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != content
    ]
    for name in changed:
        print(f"{'differs' if options.check else 'written'}: tests/vectors/{name}")
        if not options.check:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / name).write_text(files[name])
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
