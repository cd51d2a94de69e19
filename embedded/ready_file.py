"""The one JSON object that tells scripts and test suites where everything is."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from embedded.private_files import write_private


@dataclass(frozen=True, kw_only=True)
class ReadyFile:
    """What `groupseal up --ready-file` writes once everything serves.

    `scim_base_url` ends in /scim/v2. `fingerprint` is the encryption service's. `service_data` is
    the folder of the encryption service. `processes` gives the process ids by name: postgres,
    redis, encryption-service, gateway, worker, sweeper.
    """

    tenant_id: str
    scim_base_url: str
    scim_token: str = field(repr=False)
    member_api_url: str
    fingerprint: str
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    service_data: str
    processes: dict[str, list[int]]

    def write(self, path: Path) -> None:
        """Write it atomically, readable by its owner alone: it holds tokens and passwords."""
        content = json.dumps(dataclasses.asdict(self), indent=2) + "\n"
        write_private(path, content.encode())
