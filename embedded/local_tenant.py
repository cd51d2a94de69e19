"""The tenant of the embedded stack: made once, remembered in the data folder."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from embedded.errors import EmbeddedError
from embedded.private_files import write_private


@dataclass(frozen=True, kw_only=True)
class LocalTenant:
    """Its id, its SCIM token, and where and with which fingerprint it was connected, if it was."""

    tenant_id: str
    scim_token: str = field(repr=False)
    fingerprint: str | None = None
    service_address: str | None = None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what `path` holds, None if it does not exist.

        Raises EmbeddedError if the file is damaged.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise EmbeddedError(
                f"The file {path} is damaged. Restore it from a backup, or delete it: a new "
                "tenant is then made beside the old one."
            ) from None  # the text of the cause would hold the token

    def write(self, path: Path) -> None:
        """Keep it, readable by its owner alone."""
        write_private(path, json.dumps(dataclasses.asdict(self), indent=2).encode())

    def connected(self, *, fingerprint: str, service_address: str) -> Self:
        """Return it as connected with this service."""
        return dataclasses.replace(self, fingerprint=fingerprint, service_address=service_address)
