"""A policy file of one service, and approvers who sign for it."""

import base64
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from groupseal.approval_documents import SignedApproval
from groupseal.approvals import ApprovalStatement

DAY_MS = 24 * 3600 * 1000


class Approver:
    """Somebody of the organisation with a key in its policy."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes_raw()

    def entry(self) -> dict[str, str]:
        return {"name": self.name, "key": base64.b64encode(self.public_key).decode()}

    def sign(self, statement: ApprovalStatement) -> bytes:
        return self._key.sign(statement.message())

    def approval(self, statement: ApprovalStatement) -> str:
        """The document that `encryption-service approvals add` takes."""
        return SignedApproval(statement, self.public_key, self.sign(statement)).to_json()


class PolicyOnDisk:
    """Written as a whole each time, by renaming, as an editor or a ConfigMap does."""

    def __init__(self, path: Path, **document: Any) -> None:
        self.path = path
        self.write(**document)

    def write(self, **document: Any) -> None:
        """Replaces the document; `version` is added."""
        self.write_text(yaml.safe_dump({"version": 1, **document}))

    def write_text(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)
