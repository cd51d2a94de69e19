"""Secrets: derived as published, shown to nobody, opened by the right root key alone."""

import copy
import json
import os
import pickle  # to show that it is refused
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from encryption_service.errors import RootKeyError
from encryption_service.group_secrets import (
    SecretVault,
    derive_xwing_public_key,
    make_group_secret,
)
from encryption_service.keyset import make_keyset, seal_keyset, unseal_keyset
from encryption_service.root_key.file import FileRootKey, create_root_key
from encryption_service.sealing import seal_xwing
from encryption_service.secret_bytes import SecretBytes
from groupseal.envelopes import envelope_info
from tests.support.devices import Device

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "xwing.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["key_pairs"], ids=lambda vector: vector["seed"][:8])
def test_xwing_keys_are_those_of_the_draft(vector: dict[str, str]) -> None:
    """A seed yields the public key that the draft's vectors give."""
    public = derive_xwing_public_key(SecretBytes(bytes.fromhex(vector["seed"]))).hex()
    assert len(public) == 2 * 1216
    assert public.startswith(vector["begins"])
    assert public.endswith(vector["ends"])


def test_a_secret_shows_nothing() -> None:
    """Neither printing, formatting nor pickling gives a secret away."""
    secret = SecretBytes(b"a very secret value, thirty-two ")
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]!r}"):
        assert "secret value" not in text
    for serialise in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            serialise(secret)
    assert secret == SecretBytes(b"a very secret value, thirty-two ")
    assert secret != SecretBytes.random()


def test_sealing_is_bound_to_its_info() -> None:
    """What is sealed with one info opens with that alone."""
    organisation, group = os.urandom(16), os.urandom(16)
    device = Device(organisation)
    info = envelope_info(organisation, group, 1, device.member, device.key_id)
    envelope = seal_xwing(b"x" * 32, device.hpke_public_key, info)
    assert device.open(envelope, group, 1) == b"x" * 32
    with pytest.raises(InvalidTag):
        device.open(envelope, group, 2)


def test_a_stored_secret_opens_in_its_own_place() -> None:
    """Not for another group or epoch, nor under another organisation's keys."""
    organisation, group = os.urandom(16), os.urandom(16)
    vault = SecretVault(organisation, {1: SecretBytes.random(), 2: SecretBytes.random()})
    secret = make_group_secret()
    sealed = vault.seal(secret, group, 3)
    assert sealed[:4] == (2).to_bytes(4, "big")
    assert vault.unseal(sealed, group, 3) == secret
    other = SecretVault(organisation, {2: SecretBytes.random()})
    for wrong, where in ((vault, (group, 4)), (vault, (organisation, 3)), (other, (group, 3))):
        with pytest.raises(RootKeyError):
            wrong.unseal(sealed, *where)


def test_a_keyset_opens_under_its_root_key_alone(tmp_path: Path) -> None:
    """Sealed, opened, and refused under another root key or for another organisation."""
    for name in ("one", "other"):
        create_root_key(tmp_path / name)
    keyset = make_keyset(os.urandom(16), 1_700_000_000_000)
    sealed = seal_keyset(keyset, FileRootKey(tmp_path / "one"))
    assert unseal_keyset(sealed, keyset.organisation, FileRootKey(tmp_path / "one")) == keyset
    assert keyset.signing_seed.reveal() not in sealed
    for file, organisation in (("other", keyset.organisation), ("one", os.urandom(16))):
        with pytest.raises(RootKeyError, match="ROOT_KEY_FILE"):
            unseal_keyset(sealed, organisation, FileRootKey(tmp_path / file))


def test_a_root_key_is_raw_or_base64_and_never_overwritten(tmp_path: Path) -> None:
    """Both forms are read; anything else names the variable; an existing file stays."""
    path = tmp_path / "root.key"
    create_root_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RootKeyError, match="not overwritten"):
        create_root_key(path)
    (tmp_path / "raw").write_bytes(os.urandom(32))
    FileRootKey(tmp_path / "raw")
    for content in (b"", b"short", os.urandom(31), b"A" * 40):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(RootKeyError, match="ROOT_KEY_FILE"):
            FileRootKey(tmp_path / "bad")
    with pytest.raises(RootKeyError, match="cannot be read"):
        FileRootKey(tmp_path / "absent")
