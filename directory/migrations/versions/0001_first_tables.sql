-- The first tables. `directory/tables.py` says what each column means.

CREATE TABLE tenants (
    id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    state text DEFAULT 'new' NOT NULL,
    service_address text,
    identity_document text,
    organisation_id uuid,
    signing_public_key bytea,
    trust_mode text,
    ledger_size bigint DEFAULT 0 NOT NULL,
    ledger_range bytea,
    ledger_time_ms bigint DEFAULT 0 NOT NULL,
    ledger_head text DEFAULT '' NOT NULL,
    ledger_read_at timestamptz,
    restored_from bigint,
    restored_until bigint,
    halted_reason text,
    service_failures integer DEFAULT 0 NOT NULL,
    service_down_since timestamptz,
    next_attempt_at timestamptz DEFAULT now() NOT NULL,
    service_reason text,
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_state_check CHECK (state IN ('new', 'connected')),
    CONSTRAINT tenants_connected_check CHECK (
        state = 'new' OR (service_address IS NOT NULL AND identity_document IS NOT NULL
        AND organisation_id IS NOT NULL AND signing_public_key IS NOT NULL)
    )
);
CREATE UNIQUE INDEX tenants_name_key
    ON tenants (name);
CREATE UNIQUE INDEX tenants_organisation_id_key
    ON tenants (organisation_id);

CREATE TABLE scim_tokens (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    token_hash bytea NOT NULL,
    prefix text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT scim_tokens_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT scim_tokens_tenants_fkey
        FOREIGN KEY (tenant_id)
        REFERENCES tenants (id)
);
CREATE UNIQUE INDEX scim_tokens_token_hash_key
    ON scim_tokens (token_hash);

CREATE TABLE users (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    external_id text,
    user_name text NOT NULL,
    user_name_key text NOT NULL,
    emails jsonb DEFAULT '[]'::jsonb NOT NULL,
    primary_email_key text,
    email_keys text[] DEFAULT '{}'::text[] NOT NULL,
    active boolean DEFAULT true NOT NULL,
    display_name text,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT users_tenants_fkey
        FOREIGN KEY (tenant_id)
        REFERENCES tenants (id),
    CONSTRAINT users_deleted_is_inactive_check CHECK (deleted_at IS NULL OR NOT active)
);
CREATE INDEX users_email_keys_idx
    ON users USING gin (email_keys);
CREATE UNIQUE INDEX users_external_id_key
    ON users (tenant_id, external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL;
CREATE INDEX users_listing_idx
    ON users (tenant_id, created_at) WHERE deleted_at IS NULL;
CREATE INDEX users_primary_email_idx
    ON users (tenant_id, primary_email_key);
CREATE UNIQUE INDEX users_user_name_key
    ON users (tenant_id, user_name_key) WHERE deleted_at IS NULL;

CREATE TABLE groups (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    display_name text NOT NULL,
    display_name_key text NOT NULL,
    external_id text,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    desired_version bigint DEFAULT 1 NOT NULL,
    reconciled_version bigint DEFAULT 0 NOT NULL,
    named_as text,
    lease_owner text,
    lease_until timestamptz,
    fence bigint DEFAULT 0 NOT NULL,
    next_attempt_at timestamptz DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    reason text,
    dirty_since timestamptz DEFAULT now(),
    last_position bigint,
    epoch integer DEFAULT 0 NOT NULL,
    epoch_open boolean DEFAULT false NOT NULL,
    public_key bytea,
    roster_digest bytea,
    CONSTRAINT groups_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT groups_tenants_fkey
        FOREIGN KEY (tenant_id)
        REFERENCES tenants (id)
);
CREATE INDEX groups_dirty_idx
    ON groups (tenant_id, next_attempt_at) WHERE desired_version > reconciled_version;
CREATE UNIQUE INDEX groups_display_name_key
    ON groups (tenant_id, display_name_key) WHERE deleted_at IS NULL;
CREATE INDEX groups_external_id_idx
    ON groups (tenant_id, external_id);
CREATE INDEX groups_listing_idx
    ON groups (tenant_id, created_at) WHERE deleted_at IS NULL;

CREATE TABLE grants (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    member_id uuid NOT NULL,
    key_id bytea NOT NULL,
    epoch integer NOT NULL,
    envelope bytea NOT NULL,
    envelope_hash bytea NOT NULL,
    position bigint NOT NULL,
    batch_index integer NOT NULL,
    CONSTRAINT grants_pkey PRIMARY KEY (tenant_id, group_id, member_id, key_id)
);
ALTER TABLE grants ALTER COLUMN envelope SET STORAGE EXTERNAL;

CREATE TABLE memberships (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    desired boolean DEFAULT false NOT NULL,
    wanted boolean DEFAULT false NOT NULL,
    rostered boolean DEFAULT false NOT NULL,
    held_reason text,
    reason text,
    desired_at timestamptz,
    desired_version bigint DEFAULT 0 NOT NULL,
    grant_key_id bytea,
    display text,
    CONSTRAINT memberships_pkey PRIMARY KEY (tenant_id, group_id, user_id),
    CONSTRAINT memberships_groups_fkey
        FOREIGN KEY (tenant_id, group_id)
        REFERENCES groups (tenant_id, id),
    CONSTRAINT memberships_users_fkey
        FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT memberships_grants_fkey
        FOREIGN KEY (tenant_id, group_id, user_id, grant_key_id)
        REFERENCES grants (tenant_id, group_id, member_id, key_id),
    CONSTRAINT memberships_wanted_check CHECK (NOT wanted OR (desired AND held_reason IS NULL))
);
CREATE INDEX memberships_differing_idx
    ON memberships (tenant_id, group_id) WHERE wanted <> rostered;
CREATE INDEX memberships_user_idx
    ON memberships (tenant_id, user_id);

CREATE TABLE unresolved_members (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    value text NOT NULL,
    since timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT unresolved_members_pkey PRIMARY KEY (tenant_id, group_id, value),
    CONSTRAINT unresolved_members_groups_fkey
        FOREIGN KEY (tenant_id, group_id)
        REFERENCES groups (tenant_id, id)
);
CREATE INDEX unresolved_members_value_idx
    ON unresolved_members (tenant_id, value);

CREATE TABLE member_keys (
    tenant_id uuid NOT NULL,
    key_id bytea NOT NULL,
    member_id uuid NOT NULL,
    suite smallint NOT NULL,
    hpke_public_key bytea NOT NULL,
    signing_public_key bytea NOT NULL,
    possession_proof bytea NOT NULL,
    endorsing_key_id bytea,
    endorsement bytea,
    state text DEFAULT 'submitted' NOT NULL,
    reason text,
    position bigint,
    submitted_at timestamptz DEFAULT now() NOT NULL,
    next_attempt_at timestamptz DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    CONSTRAINT member_keys_pkey PRIMARY KEY (tenant_id, key_id),
    CONSTRAINT member_keys_users_fkey
        FOREIGN KEY (tenant_id, member_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT member_keys_state_check CHECK (state IN ('submitted', 'bound', 'refused', 'unbound')),
    CONSTRAINT member_keys_key_id_check CHECK (length(key_id) = 32)
);
CREATE INDEX member_keys_member_idx
    ON member_keys (tenant_id, member_id);
CREATE INDEX member_keys_submitted_idx
    ON member_keys (tenant_id, next_attempt_at) WHERE state = 'submitted';

CREATE TABLE missing_envelopes (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    member_id uuid NOT NULL,
    key_id bytea NOT NULL,
    epoch integer NOT NULL,
    since timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT missing_envelopes_pkey PRIMARY KEY (tenant_id, group_id, member_id, key_id)
);

CREATE TABLE ledger_entries (
    tenant_id uuid NOT NULL,
    position bigint NOT NULL,
    entry bytea NOT NULL,
    root bytea NOT NULL,
    group_id uuid,
    CONSTRAINT ledger_entries_pkey PRIMARY KEY (tenant_id, position),
    CONSTRAINT ledger_entries_tenants_fkey
        FOREIGN KEY (tenant_id)
        REFERENCES tenants (id)
);
CREATE INDEX ledger_entries_group_idx
    ON ledger_entries (tenant_id, group_id, position) WHERE group_id IS NOT NULL;

CREATE TABLE ledger_parts (
    tenant_id uuid NOT NULL,
    position bigint NOT NULL,
    kind smallint NOT NULL,
    body bytea NOT NULL,
    CONSTRAINT ledger_parts_pkey PRIMARY KEY (tenant_id, position, kind),
    CONSTRAINT ledger_parts_ledger_entries_fkey
        FOREIGN KEY (tenant_id, position)
        REFERENCES ledger_entries (tenant_id, position)
);

CREATE TABLE epochs (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    epoch integer NOT NULL,
    public_key bytea NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT epochs_pkey PRIMARY KEY (tenant_id, group_id, epoch),
    CONSTRAINT epochs_groups_fkey
        FOREIGN KEY (tenant_id, group_id)
        REFERENCES groups (tenant_id, id)
);

CREATE TABLE enrolment_codes (
    tenant_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    member_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT enrolment_codes_pkey PRIMARY KEY (tenant_id, code_hash),
    CONSTRAINT enrolment_codes_users_fkey
        FOREIGN KEY (tenant_id, member_id)
        REFERENCES users (tenant_id, id)
);
CREATE UNIQUE INDEX enrolment_codes_code_hash_key
    ON enrolment_codes (code_hash);

CREATE TABLE member_sessions (
    tenant_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    member_id uuid NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CONSTRAINT member_sessions_pkey PRIMARY KEY (tenant_id, token_hash),
    CONSTRAINT member_sessions_users_fkey
        FOREIGN KEY (tenant_id, member_id)
        REFERENCES users (tenant_id, id)
);
CREATE UNIQUE INDEX member_sessions_token_hash_key
    ON member_sessions (token_hash);

CREATE TABLE shared_items (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    group_id uuid NOT NULL,
    epoch integer NOT NULL,
    sender_id uuid NOT NULL,
    sender_key_id bytea NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT shared_items_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT shared_items_groups_fkey
        FOREIGN KEY (tenant_id, group_id)
        REFERENCES groups (tenant_id, id),
    CONSTRAINT shared_items_users_fkey
        FOREIGN KEY (tenant_id, sender_id)
        REFERENCES users (tenant_id, id)
);
CREATE INDEX shared_items_group_idx
    ON shared_items (tenant_id, group_id, created_at, id);

CREATE TABLE timeline (
    tenant_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz DEFAULT now() NOT NULL,
    kind text NOT NULL,
    group_id uuid,
    user_id uuid,
    reason text,
    detail jsonb,
    CONSTRAINT timeline_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX timeline_membership_idx
    ON timeline (tenant_id, group_id, user_id, id);
