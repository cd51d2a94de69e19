"""A tenant that is connected with an organisation made by the test, and its ledger copied here."""

from uuid import UUID

from directory.ledger_changes import ChunkChanges
from directory.ledger_copy import ChunkEnd, LedgerState, apply_chunk, group_states, ledger_state
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.checkpoint import open_head
from groupseal.encoding import encode_byte_strings
from groupseal.ledger import GroupState, LedgerVerifier
from groupseal.parts import PartKind, Parts
from tests.support.org_maker import MadeGroup, OrgMaker
from tests.support.scim_client import ScimClient


class MadeTenant:
    """The organisation behind a tenant; `copy` takes its ledger over, as the worker does."""

    def __init__(self, scim: ScimClient) -> None:
        self.org = OrgMaker()
        self._scim = scim
        scim.execute(
            """
            UPDATE tenants SET state = 'connected', service_address = '127.0.0.1:1',
                identity_document = '{}', organisation_id = :organisation,
                signing_public_key = :key, trust_mode = 'pin'
            WHERE id = :id
            """,
            id=scim.tenant_id,
            organisation=UUID(bytes=self.org.id),
            key=self.org.public_key,
        )

    def group(self, group_id: str, name: str) -> MadeGroup:
        """The organisation's side of a group that exists in the directory."""
        made = MadeGroup(UUID(group_id).bytes)
        self.org.groups[made.id] = made
        self.org.rename(made, name)
        return made

    def copy(self) -> None:
        """Verifies what is new in the ledger and applies it."""
        with UnitOfWork(self._scim.wiring.engine) as uow:
            scope = TenantScope(uow.connection, self._scim.tenant_id)
            before = ledger_state(scope)
            known = group_states(scope, list(self.org.groups))

            def lookup(group: bytes) -> GroupState | None:
                return known.get(group)

            verifier = LedgerVerifier(
                self.org.id, self.org.public_key, before.past, lookup, before.last_time_ms
            )
            changes = ChunkChanges()
            for position in range(before.size, len(self.org.entries)):
                changes.add(verifier.add(self.org.entries[position], self._parts(position)))
            note = self.org.head()
            verifier.accept_head(note)
            open_head(note, self.org.id, self.org.public_key)
            end = LedgerState(verifier.range, verifier.last_time_ms, note)
            apply_chunk(scope, before, changes, ChunkEnd(end))
            uow.commit()

    def _parts(self, position: int) -> Parts:
        """The entry's parts with the envelopes of its grants."""
        parts = dict(self.org.parts[position])
        envelopes = [
            made.envelope
            for group in self.org.groups.values()
            for _, _, made in group.all_grants
            if made.position == position
        ]
        if envelopes:
            parts[PartKind.ENVELOPES] = encode_byte_strings(envelopes)
        return parts
