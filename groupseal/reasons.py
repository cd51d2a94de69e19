"""Every reason code that this product gives, with the sentence that says how to fix it.

One table, used by the service's answers, the worker, the member API, the clients, the command
line and the documentation. A code is stable: it may be branched on and searched for.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Stable code; `remedy` says what a person can do about it."""

    # Protocol
    MALFORMED = "malformed"
    SIGNATURE_INVALID = "signature_invalid"
    WRONG_ORGANISATION = "wrong_organisation"
    LEDGER_ORDER = "ledger_order"
    LEDGER_FORKED = "ledger_forked"
    LEDGER_BEHIND = "ledger_behind"
    LEDGER_RULE = "ledger_rule"
    PART_MISMATCH = "part_mismatch"
    PROOF_INVALID = "proof_invalid"
    UPGRADE_NEEDED = "upgrade_needed"
    WRONG_CONTEXT = "wrong_context"
    SENDER_UNKNOWN = "sender_unknown"
    SENDER_LEFT = "sender_left"
    HEAD_STALE = "head_stale"
    EPOCH_CLOSED = "epoch_closed"
    UNPINNED_SERVICE = "unpinned_service"

    # Why a member waits or is refused
    NO_KEY = "no_key"
    ANOTHER_KEY_IS_BOUND = "another_key_is_bound"
    POSSESSION_UNPROVEN = "possession_unproven"
    SUITE_NOT_ALLOWED = "suite_not_allowed"
    TOO_MANY_DEVICES = "too_many_devices"
    KEY_OF_ANOTHER_MEMBER = "key_of_another_member"
    ROSTER_TOO_LARGE = "roster_too_large"
    ROTATING = "rotating"
    ENVELOPE_MISSING = "envelope_missing"
    HELD_AFTER_RESTORE = "held_after_restore"
    QUEUED = "queued"

    # Why a tenant waits
    NOT_CONNECTED = "not_connected"
    SERVICE_UNAVAILABLE = "service_unavailable"
    SERVICE_TIMEOUT = "service_timeout"
    SERVICE_REFUSED = "service_refused"
    INTERNAL = "internal"

    @property
    def remedy(self) -> str:
        """What this means and what would resolve it, in a sentence or two."""
        return _REMEDIES[self]


_REMEDIES = {
    Reason.MALFORMED: (
        "The bytes are not in the protocol's form. Compare the versions of both sides."
    ),
    Reason.SIGNATURE_INVALID: "A signature does not verify. Do not go on; compare fingerprints.",
    Reason.WRONG_ORGANISATION: (
        "This belongs to another organisation. Check which one is connected."
    ),
    Reason.LEDGER_ORDER: (
        "Entries are missing or out of order. Read the ledger again from the last position "
        "held; if it persists, the other side has lost data."
    ),
    Reason.LEDGER_FORKED: (
        "Two histories carry the same signature. Stop, keep both heads as evidence and find "
        "out which copy of the service's volume is the real one."
    ),
    Reason.LEDGER_BEHIND: (
        "The service runs on an older copy of its volume than the ledger it has signed. Stop "
        "it and start it on the newest volume."
    ),
    Reason.LEDGER_RULE: "An entry contradicts those before it. Keep the entry and report it.",
    Reason.PART_MISMATCH: "Data does not match the hash in the ledger. Fetch it again.",
    Reason.PROOF_INVALID: (
        "A proof does not lead to the signed head. Fetch it again; if it persists, the server"
        " is at fault."
    ),
    Reason.UPGRADE_NEEDED: "The ledger holds an entry that this version does not know. Upgrade.",
    Reason.WRONG_CONTEXT: "This was sealed or signed for another group, member, key or epoch.",
    Reason.SENDER_UNKNOWN: "No bound key of this organisation signed the item. Do not trust it.",
    Reason.SENDER_LEFT: "The item was written after its sender had left the group.",
    Reason.HEAD_STALE: (
        "The newest ledger head is too old. Wait until the service is reachable again."
    ),
    Reason.EPOCH_CLOSED: "The group's key is being replaced. Try again when the new epoch is open.",
    Reason.UNPINNED_SERVICE: (
        "The service did not prove the pinned identity. Compare the fingerprint printed by "
        "`encryption-service fingerprint` with the connected one."
    ),
    Reason.NO_KEY: (
        "The member has not enrolled a device. Send an enrolment code: `groupseal enrolment-"
        "code create`."
    ),
    Reason.ANOTHER_KEY_IS_BOUND: (
        "Another key is bound to this member. Add the device with a signature of the bound key."
    ),
    Reason.POSSESSION_UNPROVEN: (
        "The request to bind is not signed by the key it offers. Enrol again."
    ),
    Reason.SUITE_NOT_ALLOWED: "The key's suite is not allowed here. Enrol with X-Wing.",
    Reason.TOO_MANY_DEVICES: "The member has as many devices as are allowed. Remove one first.",
    Reason.KEY_OF_ANOTHER_MEMBER: "This key is bound to another member. Enrol with a new key.",
    Reason.ROSTER_TOO_LARGE: (
        "The group is larger than the service's limit. Split it or raise "
        "GROUPSEAL_SERVICE_MAX_ROSTER."
    ),
    Reason.ROTATING: "Somebody left; the new epoch opens within a minute by itself.",
    Reason.ENVELOPE_MISSING: "The envelope was lost and is being sealed again.",
    Reason.HELD_AFTER_RESTORE: (
        "The vendor's database was restored and the member had left since. Push the group "
        "again from the identity provider, or `groupseal tenant release`."
    ),
    Reason.QUEUED: "Waiting for a worker. If it stays, look at the worker's log.",
    Reason.NOT_CONNECTED: (
        "The tenant has no confirmed encryption service: `groupseal tenant connect`."
    ),
    Reason.SERVICE_UNAVAILABLE: "The encryption service cannot be reached. Work resumes by itself.",
    Reason.SERVICE_TIMEOUT: (
        "The encryption service did not answer in time. Work resumes by itself."
    ),
    Reason.SERVICE_REFUSED: (
        "The encryption service refused the call. Check the client certificate and "
        "GROUPSEAL_SERVICE_ALLOWED_CLIENT_IDENTITIES."
    ),
    Reason.INTERNAL: "An unexpected fault; the log of the component has the details.",
}
