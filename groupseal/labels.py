"""Every domain-separation label of the protocol, in one place.

A label is mandatory wherever bytes are hashed, signed, sealed or derived. A new version of a
format gets a new label; a label is never used for two purposes.
"""

from enum import Enum


class Label(bytes, Enum):
    """Prefix that keeps the bytes of one purpose from being taken for those of another."""

    # Hashed or signed encodings
    ENTRY = b"groupseal/v1/ledger-entry"
    GRANT = b"groupseal/v1/grant"
    KEY_ID = b"groupseal/v1/member-key-id"
    FINGERPRINT = b"groupseal/v1/organisation-fingerprint"
    KEY_FINGERPRINT = b"groupseal/v1/member-key-fingerprint"
    ROSTER = b"groupseal/v1/roster-digest"
    BINDING_REQUEST = b"groupseal/v1/binding-request"
    REPLACEMENT_REQUEST = b"groupseal/v1/replacement-request"
    ENDORSEMENT = b"groupseal/v1/key-endorsement"
    REPLACEMENT_ENDORSEMENT = b"groupseal/v1/replacement-endorsement"
    KEY_REMOVAL = b"groupseal/v1/key-removal"
    GROUP_APPROVAL = b"groupseal/v1/group-approval"
    KEY_APPROVAL = b"groupseal/v1/key-approval"
    TRUST_SETTINGS = b"groupseal/v1/trust-settings"
    POLICY = b"groupseal/v1/policy"
    EVIDENCE = b"groupseal/v1/evidence"
    EVIDENCE_NONCE = b"groupseal/v1/evidence-nonce"
    REPLACEMENT_NONCE = b"groupseal/v1/replacement-nonce"
    SUBJECT = b"groupseal/v1/subject"
    SHARED_ITEM = b"groupseal/v1/shared-item"
    SERVER_IDENTITY = b"groupseal/v1/server-identity"

    # Hashes of parts, by kind
    PART = b"groupseal/v1/entry-part"

    # Contexts of sealed bytes (HPKE info or associated data)
    ENVELOPE = b"groupseal/v1/envelope"
    HISTORY_LINK = b"groupseal/v1/history-link"
    SEALED_SECRET = b"groupseal/v1/sealed-group-secret"
    SEALED_KEYSET = b"groupseal/v1/sealed-keyset"
    SEALED_EVIDENCE = b"groupseal/v1/sealed-evidence"
    SEALED_SUBJECT = b"groupseal/v1/sealed-subject"
    ITEM_ENVELOPE = b"groupseal/v1/shared-item-envelope"

    # HKDF info, followed by the group's context
    DERIVE_GROUP_KEY = b"groupseal/v1/derive/group-hpke-seed"
    DERIVE_CONTENT_KEY = b"groupseal/v1/derive/content-key"
    DERIVE_HISTORY_KEY = b"groupseal/v1/derive/history-key"
