"""What follows from a secret: derived keys, which the vendor must not hold either.

Shapes and labels are those of docs/protocol.md, section 2.
"""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from embedded.secret_search import Secret
from groupseal.envelopes import group_context
from groupseal.labels import Label

_KEY_LENGTH = 32
_DERIVED = {
    "private key seed": Label.DERIVE_GROUP_KEY,
    "content key": Label.DERIVE_CONTENT_KEY,
    "history key": Label.DERIVE_HISTORY_KEY,
}


def of_epoch(
    name: str, secret: bytes, organisation: bytes, group: bytes, epoch: int
) -> list[Secret]:
    """Return a group secret and what is derived from it; `name` is the group's."""
    where = f"{name}, epoch {epoch}"
    found = [Secret(f"secret of {where}", secret)]
    for what, label in _DERIVED.items():
        info = group_context(label, organisation, group, epoch)
        key = HKDF(SHA256(), length=_KEY_LENGTH, salt=None, info=info).derive(secret)
        found.append(Secret(f"{what} of {where}", key))
    return found + list(_xwing(found[1]))


def of_device(name: str, hpke_seed: bytes, signing_seed: bytes) -> list[Secret]:
    """Return a device's private keys; `name` is the member's."""
    sealing = Secret(f"{name}'s private key to open with", hpke_seed)
    signing = Secret(f"{name}'s private key to sign with", signing_seed)
    return [sealing, *_xwing(sealing), signing]


def root_key(path: Path) -> Secret:
    """Return the customer's root key: in the file are its 32 bytes, or their base64."""
    content = path.read_bytes()
    value = content if len(content) == _KEY_LENGTH else base64.b64decode(content)
    return Secret("the customer's root key", value)


def _xwing(seed: Secret) -> Iterator[Secret]:
    """Yield the two private keys into which an X-Wing seed is expanded."""
    expanded = hashlib.shake_256(seed.value).digest(96)
    yield Secret(f"{seed.name} (ML-KEM)", expanded[:64])
    yield Secret(f"{seed.name} (X25519)", expanded[64:])
