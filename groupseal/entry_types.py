"""The kinds of ledger entries, by their number."""

from enum import IntEnum


class EntryType(IntEnum):
    """Numbers on the wire; never used again for something else."""

    ORGANISATION_CREATED = 1
    KEY_BOUND = 2
    KEY_REFUSED = 3
    KEY_UNBOUND = 4
    GROUP_NAMED = 5
    EPOCH_CLOSED = 6
    GROUP_RECONCILED = 7
    POLICY_CHANGED = 8
    KEY_ROTATED = 9
    APPROVAL = 10
    GENERATION = 11
    TRUST_CHANGED = 12
