"""Members' devices that read the vendor's copy with the client's own code, without HTTP.

What they are given is what the gateway may serve (grant ∩ wanted ∩ active); what they believe is
decided by the reference client's ledger file, proof checks and opening. One ledger file serves all
devices, so that what was seen once is remembered: a later history that differs is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from groupseal.grants import grants_tree
from groupseal.parts import PartKind
from groupseal.projection import Projection
from member_client.answers import LedgerPage, ServedGrant
from member_client.home import Home
from member_client.key_file import DeviceKeys, Identity
from member_client.ledger_file import LedgerFile
from member_client.opening import open_grant
from tests.worker.parts import Tenant

_SERVED = (
    "SELECT g.member_id, g.key_id, g.epoch, g.position, g.batch_index, g.envelope FROM grants g"
    " JOIN memberships m ON m.tenant_id = g.tenant_id AND m.group_id = g.group_id"
    "  AND m.user_id = g.member_id"
    " JOIN users u ON u.tenant_id = g.tenant_id AND u.id = g.member_id"
    " WHERE g.tenant_id = %s AND g.group_id = %s AND m.wanted AND u.active"
)
_SUBMIT = (
    "INSERT INTO member_keys (tenant_id, key_id, member_id, suite, hpke_public_key,"
    " signing_public_key, possession_proof) VALUES (%s, %s, %s, %s, %s, %s, %s)"
)


@dataclass
class VendorCopy:
    """The vendor's copy of the ledger, as the member API pages it."""

    tenant: Tenant

    def ledger(self, start: int) -> LedgerPage:
        """Entries from a position on."""
        size, head = self.tenant.one("SELECT ledger_size, ledger_head FROM tenants WHERE id = %s")
        rows = self.tenant.rows(
            "SELECT entry FROM ledger_entries WHERE tenant_id = %s AND position >= %s"
            " ORDER BY position",
            start,
        )
        return LedgerPage([row[0] for row in rows], size, head)


class Devices:
    """One device for each of many members of a tenant."""

    def __init__(self, tenant: Tenant, organisation: bytes, public_key: bytes, home: Path) -> None:
        self.tenant = tenant
        self.organisation = organisation
        self.keys: dict[UUID, DeviceKeys] = {}
        self._file = LedgerFile(Home(home), organisation, public_key)

    def submit(self, users: Iterable[UUID]) -> None:
        """Submits each member's key once more to a vendor that may not have it."""
        for user in users:
            keys = self.keys.setdefault(user, DeviceKeys.make())
            request = Identity(self.organisation, user.bytes, keys).binding_request()
            self.tenant.run(
                _SUBMIT,
                self.tenant.id,
                keys.key_id,
                user,
                int(keys.suite),
                keys.hpke_public_key,
                keys.signing_public_key,
                keys.sign(request.message()),
            )

    def sync(self) -> Projection:
        """Reads on in the vendor's copy. Raises a ProtocolError for one that does not go on."""
        return self._file.sync(VendorCopy(self.tenant)).projection

    def open(self, group: UUID) -> dict[UUID, bytes]:
        """Everyone who is served the newest epoch's envelope, opens it, and the key it yields.

        Raises a ProtocolError where one does not verify.
        """
        projection = self.sync()
        newest = projection.groups[group.bytes].state
        opened = {}
        for user, key_id, epoch, position, index, envelope in self.tenant.rows(_SERVED, group):
            if epoch != newest.epoch or not newest.is_open:
                continue
            assert self.keys[user].key_id == key_id
            served = ServedGrant(
                epoch, position, index, self._path(position, index), envelope, None
            )
            me = Identity(self.organisation, user.bytes, self.keys[user])
            opened[user] = open_grant(me, projection, group.bytes, served).public_key
        return opened

    def _path(self, position: int, index: int) -> list[bytes]:
        part = self.tenant.one(
            "SELECT body FROM ledger_parts WHERE tenant_id = %s AND position = %s AND kind = %s",
            position,
            int(PartKind.GRANTS),
        )
        return grants_tree(part).inclusion_proof(index)
