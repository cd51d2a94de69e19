"""Errors of the trusted core.

`ProtocolError` and its kinds mean that bytes from outside are not what they must be: an attack, a
fault or a version skew. A programmer's mistake raises ValueError or TypeError instead. Each kind
carries the stable `reason` that is shown to operators and members (see `groupseal.reasons`).
"""

from typing import ClassVar

from groupseal.reasons import Reason


class ProtocolError(Exception):
    """Bytes from outside that the protocol refuses."""

    reason: ClassVar[Reason] = Reason.MALFORMED


class MalformedError(ProtocolError):
    """The bytes are not the canonical encoding of anything known."""


class SignatureError(ProtocolError):
    """A signature does not verify under the key that must have made it."""

    reason = Reason.SIGNATURE_INVALID


class WrongOrganisationError(ProtocolError):
    """The bytes belong to another organisation than the pinned one."""

    reason = Reason.WRONG_ORGANISATION


class LedgerOrderError(ProtocolError):
    """An entry is missing, repeated or out of order."""

    reason = Reason.LEDGER_ORDER


class LedgerForkError(ProtocolError):
    """A signed head and the entries at hand do not belong to one history."""

    reason = Reason.LEDGER_FORKED


class LedgerShrunkError(ProtocolError):
    """A ledger is shorter than one that was seen before."""

    reason = Reason.LEDGER_BEHIND


class LedgerRuleError(ProtocolError):
    """An entry is well formed but may not follow the ones before it."""

    reason = Reason.LEDGER_RULE


class PartMismatchError(ProtocolError):
    """A part of an entry is not the one that the entry commits to."""

    reason = Reason.PART_MISMATCH


class ProofError(ProtocolError):
    """An inclusion proof does not lead to the root it must lead to."""

    reason = Reason.PROOF_INVALID


class UpgradeNeededError(ProtocolError):
    """A critical entry of a kind that this version does not know: upgrade before going on."""

    reason = Reason.UPGRADE_NEEDED


class WrongContextError(ProtocolError):
    """Sealed or signed bytes were made for another group, member, key or epoch."""

    reason = Reason.WRONG_CONTEXT


class SenderError(ProtocolError):
    """A shared item has no sender that this organisation's ledger vouches for."""

    reason = Reason.SENDER_UNKNOWN


class FormerMemberError(ProtocolError):
    """A shared item was written by someone after leaving the group."""

    reason = Reason.SENDER_LEFT


class StaleHeadError(ProtocolError):
    """The newest ledger head at hand is older than policy allows for what is asked."""

    reason = Reason.HEAD_STALE


class EpochClosedError(ProtocolError):
    """The group's key is being replaced: nothing may be written until the next epoch opens."""

    reason = Reason.EPOCH_CLOSED
