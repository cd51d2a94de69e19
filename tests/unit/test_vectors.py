"""The test vectors: made again they are the same, and what each declares is what happens."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from groupseal.bindings import BindingRequest, verify_signature
from groupseal.checkpoint import open_head
from groupseal.encoding import Reader
from groupseal.entries import Entry, EntryType
from groupseal.errors import WrongContextError
from groupseal.identifiers import fingerprint, key_fingerprint
from groupseal.labels import Label
from groupseal.ledger import next_roster_digest
from groupseal.merkle import leaf_hash
from groupseal.shared_items import SharedItem
from groupseal.suites import Suite
from member_client import hpke
from member_client.group_secrets import EpochKeys, GroupSecret
from member_client.history import open_link
from member_client.hpke import XWingSeed
from member_client.key_file import DeviceKeys, Identity, SigningSeed
from member_client.opening import open_envelope
from member_client.sharing import open_item
from tests.support.org_maker import derive, xwing_public_key
from tests.support.vector_files import Case, cases, outcome
from tools.make_vectors import FOLDER, load_recorded, make

DRAFT_PUBLIC_KEY_SHA256 = "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb"
READERS: dict[str, Callable[[Reader], Any]] = {
    "u8": Reader.u8,
    "u16": Reader.u16,
    "u32": Reader.u32,
    "u64": Reader.u64,
    "flag": Reader.flag,
    "text": Reader.text,
    "opt u64": Reader.optional_u64,
    "var": lambda reader: reader.var().hex(),
    "ids": lambda reader: [each.hex() for each in reader.identifiers()],
}


def test_the_vectors_are_what_they_were() -> None:
    """A change of any format shows here: it needs a new label, not new vectors."""
    published = {"xwing.json"}  # the draft's own, not made here
    stored = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert {name: text for name, text in stored.items() if name not in published} == make(
        load_recorded()
    )


@pytest.mark.parametrize("case", cases("encoding.json"))
def test_encoding(case: Case) -> None:
    def read() -> Any:
        reader = Reader(case["bytes"])
        value = READERS[case["kind"]](reader)
        reader.end()
        return value

    assert outcome(read, case) == case.get("value")


@pytest.mark.parametrize("case", cases("identifiers.json"))
def test_member_keys(case: Case) -> None:
    request = BindingRequest(
        case["organisation"],
        case["member"],
        Suite(case["suite"]),
        case["hpke_public_key"],
        case["signing_public_key"],
    )
    assert request.key_id == case["key_id"]
    outcome(lambda: request.verify_possession(case["possession_proof"]), case)


def test_fingerprint() -> None:
    vector = json.loads((FOLDER / "identifiers.json").read_text())["fingerprint"]
    assert fingerprint(bytes.fromhex(vector["public_key"])) == vector["fingerprint"]


def test_key_fingerprint() -> None:
    vector = json.loads((FOLDER / "identifiers.json").read_text())["key_fingerprint"]
    assert key_fingerprint(bytes.fromhex(vector["key_id"])) == vector["fingerprint"]


@pytest.mark.parametrize("case", cases("key_derivation.json", "key_pairs"))
def test_key_pairs(case: Case) -> None:
    """By the client, and by the tests' own service."""
    assert hpke.public_key(XWingSeed(case["seed"])) == case["public_key"]
    assert xwing_public_key(case["seed"]) == case["public_key"]


def test_the_first_key_pair_is_the_drafts() -> None:
    """draft-connolly-cfrg-xwing-kem, appendix C: the public key of its first vector."""
    first = json.loads((FOLDER / "key_derivation.json").read_text())["key_pairs"][0]
    public_key = first["public_key"]
    assert public_key.startswith("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5")
    assert public_key.endswith("eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534")
    assert hashlib.sha256(bytes.fromhex(public_key)).hexdigest() == DRAFT_PUBLIC_KEY_SHA256


@pytest.mark.parametrize("case", cases("key_derivation.json"))
def test_group_secrets(case: Case) -> None:
    """By the client, and by the tests' own service."""
    context = (case["organisation"], case["group"], case["epoch"])
    keys = EpochKeys(GroupSecret(case["group_secret"]), *context)
    assert keys.seed.reveal() == case["hpke_seed"]
    assert keys.public_key == case["group_public_key"]
    assert keys.content_key.reveal() == case["content_key"]
    assert keys.history_key.reveal() == case["history_key"]
    for label, name in (
        (Label.DERIVE_GROUP_KEY, "hpke_seed"),
        (Label.DERIVE_CONTENT_KEY, "content_key"),
        (Label.DERIVE_HISTORY_KEY, "history_key"),
    ):
        assert derive(label, case["group_secret"], *context) == case[name]


@pytest.mark.parametrize("case", cases("roster_digests.json"))
def test_roster_digests(case: Case) -> None:
    joined, left = ([bytes.fromhex(m) for m in case[name]] for name in ("joined", "left"))
    assert next_roster_digest(case["previous"], joined, left) == case["digest"]


@pytest.mark.parametrize("case", cases("entries.json"))
def test_entries(case: Case) -> None:
    entry = outcome(lambda: Entry.from_bytes(case["bytes"]), case)
    if entry is not None:
        assert entry.to_bytes() == case["bytes"]
        assert leaf_hash(case["bytes"]) == case["leaf_hash"]


def test_there_is_an_entry_of_each_type() -> None:
    names = {case["name"] for case in json.loads((FOLDER / "entries.json").read_text())["cases"]}
    assert names >= {kind.name.lower().replace("_", " ") for kind in EntryType}


@pytest.mark.parametrize("case", cases("heads.json"))
def test_heads(case: Case) -> None:
    head = outcome(lambda: open_head(case["note"], case["organisation"], case["public_key"]), case)
    if head is not None:
        found = (head.size, head.root, head.time_ms)
        assert found == (case["size"], case["root"], case["time_ms"])


@pytest.mark.parametrize("case", cases("history_links.json"))
def test_history_links(case: Case) -> None:
    context = (case["organisation"], case["group"], case["epoch"])
    keys = EpochKeys(GroupSecret(case["group_secret"]), *context)
    before = outcome(lambda: open_link(keys, case["link"]), case)
    if before is not None:
        assert before.secret.reveal() == case["previous_group_secret"]


@pytest.mark.parametrize("case", cases("envelopes.json"))
def test_envelopes(case: Case) -> None:
    """The recorded envelope opens in its own context and in no other."""
    keys = DeviceKeys.from_seeds(XWingSeed(case["hpke_seed"]), SigningSeed(case["signing_seed"]))
    me = Identity(case["organisation"], case["member"], keys)
    opened = outcome(
        lambda: open_envelope(me, case["group"], case["epoch"], case["envelope"]), case
    )
    if opened is not None:
        assert opened.secret.reveal() == case["group_secret"]


@pytest.mark.parametrize("case", cases("shared_items.json"))
def test_shared_items(case: Case) -> None:
    def read() -> bytes:
        item = SharedItem.from_bytes(case["item"])
        verify_signature(case["sender_public_key"], item.signature, item.message())
        secret = GroupSecret(case["group_secret"])
        keys = EpochKeys(secret, case["organisation"], case["group"], item.epoch)
        if item.group != case["group"] or item.group_public_key != keys.public_key:
            raise WrongContextError("the item is for another group or epoch")
        return open_item(item, keys)

    assert outcome(read, case) == case.get("plaintext")
