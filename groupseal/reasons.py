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

    # Why a key waits or is refused, by the trust mode
    EVIDENCE_NEEDED = "evidence_needed"
    EVIDENCE_INVALID = "evidence_invalid"
    EVIDENCE_EXPIRED = "evidence_expired"
    EVIDENCE_FOR_ANOTHER_CLIENT = "evidence_for_another_client"
    EVIDENCE_FOR_OTHER_KEYS = "evidence_for_other_keys"
    EVIDENCE_REPLAYED = "evidence_replayed"
    EVIDENCE_OF_ANOTHER_MEMBER = "evidence_of_another_member"
    EVIDENCE_NOT_FRESH = "evidence_not_fresh"
    EVIDENCE_TOO_WEAK = "evidence_too_weak"
    IDENTITY_PROVIDER_UNAVAILABLE = "identity_provider_unavailable"
    KEY_APPROVAL_NEEDED = "key_approval_needed"
    KEY_REFUSED_BY_APPROVER = "key_refused_by_approver"
    KEY_WAS_REMOVED = "key_was_removed"
    KEY_REPLACED = "key_replaced"
    KEY_REMOVED_BY_MEMBER = "key_removed_by_member"
    KEY_REMOVED_BY_ADMIN = "key_removed_by_admin"

    # Why someone on a group's roster is not granted its key
    FROZEN = "frozen"
    GROUP_NOT_ALLOWED = "group_not_allowed"
    APPROVAL_NEEDED = "approval_needed"
    QUOTA_USED_UP = "quota_used_up"
    MEMBERSHIP_UNCHECKED = "membership_unchecked"
    MEMBERSHIP_SOURCE_UNAVAILABLE = "membership_source_unavailable"
    MEMBERSHIP_SOURCE_LIMITED = "membership_source_limited"
    NOT_IN_SOURCE_GROUP = "not_in_source_group"
    GROUP_AMBIGUOUS = "group_ambiguous"
    GROUP_NOT_AT_SOURCE = "group_not_at_source"
    SUBJECT_UNKNOWN = "subject_unknown"

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
        "Another key is bound to this member. Endorse the new one on the device that holds it "
        "(`groupseal member endorse`), or replace it after a loss (`groupseal member replace`)."
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
    Reason.EVIDENCE_NEEDED: (
        "The key has no evidence of the customer's identity provider. Enrol this device again: the "
        "client then signs in there."
    ),
    Reason.EVIDENCE_INVALID: (
        "The evidence is no ID token that the customer's identity provider signed. Enrol again; if "
        "it persists, compare issuer and client id on both sides."
    ),
    Reason.EVIDENCE_EXPIRED: (
        "The evidence expired before the encryption service saw it. Sign in again: `groupseal "
        "member renew`."
    ),
    Reason.EVIDENCE_FOR_ANOTHER_CLIENT: (
        "The ID token was issued to another client, or to several. Use the client that was "
        "registered for Groupseal alone."
    ),
    Reason.EVIDENCE_FOR_OTHER_KEYS: (
        "The ID token vouches for other keys, or for another request. Enrol this device again."
    ),
    Reason.EVIDENCE_REPLAYED: (
        "Newer evidence of the same person was seen already. Sign in again: `groupseal member "
        "renew`."
    ),
    Reason.EVIDENCE_OF_ANOTHER_MEMBER: (
        "The person who signed in is not the one that this member is. Sign in as yourself; if you "
        "did, the unique id at the identity provider and SCIM externalId differ."
    ),
    Reason.EVIDENCE_NOT_FRESH: (
        "Replacing keys takes a sign-in of the last minutes. Sign in again with `groupseal member "
        "replace`."
    ),
    Reason.EVIDENCE_TOO_WEAK: (
        "The organisation's policy asks for a stronger sign-in (acr). Sign in with the factors "
        "that it demands."
    ),
    Reason.IDENTITY_PROVIDER_UNAVAILABLE: (
        "The encryption service cannot reach the identity provider's keys. The key is bound by "
        "itself once it can."
    ),
    Reason.KEY_APPROVAL_NEEDED: (
        "Somebody of the organisation has to compare the key's fingerprint and approve it: "
        "`encryption-service keys list`, then `keys approve`."
    ),
    Reason.KEY_REFUSED_BY_APPROVER: (
        "An approver of the organisation refused this key. Ask why, then enrol with a new key."
    ),
    Reason.KEY_WAS_REMOVED: "This key was removed, for good. Enrol with a new key.",
    Reason.KEY_REPLACED: "The member replaced this key by another one.",
    Reason.KEY_REMOVED_BY_MEMBER: "The member removed this key with another device.",
    Reason.KEY_REMOVED_BY_ADMIN: (
        "The organisation removed this key: `encryption-service keys unbind`."
    ),
    Reason.FROZEN: (
        "The organisation has frozen additions. They follow by themselves after "
        "`encryption-service freeze off`, or when `freeze` in the policy is false."
    ),
    Reason.GROUP_NOT_ALLOWED: (
        "The organisation's policy does not allow this group. Add its id or name to `groups.allow` "
        "in the policy."
    ),
    Reason.APPROVAL_NEEDED: (
        "The group is protected: approvers of the organisation sign this key in. See "
        "`encryption-service approvals list`."
    ),
    Reason.QUOTA_USED_UP: (
        "The policy's limit of seals per hour is used up. It refills by itself; raise "
        "`limits` in the policy if this is expected."
    ),
    Reason.MEMBERSHIP_UNCHECKED: (
        "The identity provider is being asked whether the member is in the group."
    ),
    Reason.MEMBERSHIP_SOURCE_UNAVAILABLE: (
        "The identity provider's API cannot be reached or refuses the credential. See the "
        "encryption service's log; additions resume by themselves."
    ),
    Reason.MEMBERSHIP_SOURCE_LIMITED: (
        "The identity provider's rate limit is used up. Additions resume by themselves when it "
        "resets."
    ),
    Reason.NOT_IN_SOURCE_GROUP: (
        "The identity provider says that the member is not in this group. Add the person to the "
        "group there; the key follows by itself."
    ),
    Reason.GROUP_AMBIGUOUS: (
        "Several groups at the identity provider have this name. Say which one it is: "
        "`encryption-service groups map`."
    ),
    Reason.GROUP_NOT_AT_SOURCE: (
        "No group at the identity provider has this name or id. Say which one it is: "
        "`encryption-service groups map`, or check what the credential may read."
    ),
    Reason.SUBJECT_UNKNOWN: (
        "It is not known who this member is at the identity provider: the key has no evidence and "
        "the user no externalId. Enrol again, or push the user with an externalId."
    ),
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
