-- The tables, their constraints and indexes. States and other words are checked here once more.

CREATE TABLE domain (
    id UUID NOT NULL,
    parent_id UUID,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_domain PRIMARY KEY (id),
    CONSTRAINT uq_domain_name UNIQUE (parent_id, name),
    CONSTRAINT fk_domain_parent_id FOREIGN KEY(parent_id) REFERENCES domain (id),
    CONSTRAINT uq_domain_path UNIQUE (path)
);

CREATE TABLE event (
    id BIGSERIAL NOT NULL,
    tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamptz DEFAULT clock_timestamp() NOT NULL,
    type TEXT NOT NULL,
    level VARCHAR(16) DEFAULT 'info' NOT NULL,
    actor TEXT NOT NULL,
    vm_id UUID,
    snapshot_id UUID,
    job_id UUID,
    host_id UUID,
    message TEXT DEFAULT '' NOT NULL,
    data JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_event PRIMARY KEY (id),
    CONSTRAINT ck_event_level CHECK (level IN ('info', 'warning', 'error'))
);
CREATE INDEX ix_event_at ON event USING brin (at);
CREATE INDEX ix_event_job ON event (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX ix_event_snapshot ON event (snapshot_id, id) WHERE snapshot_id IS NOT NULL;
CREATE INDEX ix_event_vm ON event (vm_id, id) WHERE vm_id IS NOT NULL;

CREATE TABLE host (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    libvirt_version TEXT DEFAULT '' NOT NULL,
    qemu_version TEXT DEFAULT '' NOT NULL,
    cpus BIGINT DEFAULT '0' NOT NULL,
    memory_bytes BIGINT DEFAULT '0' NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_host PRIMARY KEY (id),
    CONSTRAINT uq_host_name UNIQUE (name)
);

CREATE TABLE account (
    id UUID NOT NULL,
    domain_id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_account PRIMARY KEY (id),
    CONSTRAINT fk_account_domain_id FOREIGN KEY(domain_id) REFERENCES domain (id),
    CONSTRAINT uq_account_name UNIQUE (name)
);
CREATE INDEX ix_account_domain ON account (domain_id);

CREATE TABLE api_key (
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    name TEXT NOT NULL,
    role VARCHAR(16) NOT NULL,
    prefix TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT pk_api_key PRIMARY KEY (id),
    CONSTRAINT fk_api_key_account_id FOREIGN KEY(account_id) REFERENCES account (id),
    CONSTRAINT ck_api_key_role CHECK (role IN ('root', 'domain', 'user', 'read_only')),
    CONSTRAINT uq_api_key_sha256 UNIQUE (sha256)
);
CREATE INDEX ix_api_key_account ON api_key (account_id);

CREATE TABLE vm (
    id UUID NOT NULL,
    host_id UUID NOT NULL,
    name TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    memory_bytes BIGINT DEFAULT '0' NOT NULL,
    account_id UUID,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    gone BOOLEAN DEFAULT 'false' NOT NULL,
    CONSTRAINT pk_vm PRIMARY KEY (id),
    CONSTRAINT fk_vm_host_id FOREIGN KEY(host_id) REFERENCES host (id),
    CONSTRAINT ck_vm_state CHECK (state IN ('running', 'paused', 'off', 'crashed', 'gone')),
    CONSTRAINT fk_vm_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE INDEX ix_vm_account ON vm (account_id, name);
CREATE INDEX ix_vm_host ON vm (host_id);
CREATE INDEX ix_vm_name ON vm (name);

CREATE TABLE layer (
    id UUID NOT NULL,
    vm_id UUID NOT NULL,
    target TEXT NOT NULL,
    path TEXT NOT NULL,
    format TEXT NOT NULL,
    backing TEXT,
    parent_id UUID,
    virtual_bytes BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    is_head BOOLEAN NOT NULL,
    CONSTRAINT pk_layer PRIMARY KEY (id),
    CONSTRAINT uq_layer_path UNIQUE (vm_id, path),
    CONSTRAINT fk_layer_vm_id FOREIGN KEY(vm_id) REFERENCES vm (id) ON DELETE CASCADE,
    CONSTRAINT fk_layer_parent_id FOREIGN KEY(parent_id) REFERENCES layer (id) ON DELETE SET NULL
);
CREATE INDEX ix_layer_parent ON layer (parent_id);
CREATE INDEX ix_layer_path ON layer (path);

CREATE TABLE snapshot (
    id UUID NOT NULL,
    vm_id UUID NOT NULL,
    host_id UUID NOT NULL,
    account_id UUID NOT NULL,
    policy_id UUID,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    type VARCHAR(16) NOT NULL,
    state VARCHAR(16) NOT NULL,
    consistency VARCHAR(16),
    current BOOLEAN DEFAULT 'false' NOT NULL,
    parent_id UUID,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    held BOOLEAN DEFAULT 'false' NOT NULL,
    folder TEXT,
    created_at timestamptz NOT NULL DEFAULT now(),
    ready_at timestamptz,
    expires_at timestamptz,
    size_bytes BIGINT DEFAULT '0' NOT NULL,
    memory_bytes BIGINT,
    pause_ms DOUBLE PRECISION,
    freeze_ms DOUBLE PRECISION,
    error JSONB,
    CONSTRAINT pk_snapshot PRIMARY KEY (id),
    CONSTRAINT fk_snapshot_vm_id FOREIGN KEY(vm_id) REFERENCES vm (id),
    CONSTRAINT fk_snapshot_host_id FOREIGN KEY(host_id) REFERENCES host (id),
    CONSTRAINT fk_snapshot_account_id FOREIGN KEY(account_id) REFERENCES account (id),
    CONSTRAINT ck_snapshot_type CHECK (type IN ('cold', 'hot', 'memory')),
    CONSTRAINT ck_snapshot_state CHECK (state IN ('creating', 'ready', 'reverting', 'deleting', 'deleted', 'error')),
    CONSTRAINT ck_snapshot_consistency CHECK (consistency IN ('stopped', 'memory', 'application', 'filesystem', 'crash')),
    CONSTRAINT fk_snapshot_parent_id FOREIGN KEY(parent_id) REFERENCES snapshot (id)
);
CREATE INDEX ix_snapshot_account ON snapshot (account_id, created_at DESC, id DESC);
CREATE INDEX ix_snapshot_created ON snapshot (created_at DESC, id DESC);
CREATE INDEX ix_snapshot_parent ON snapshot (parent_id);
CREATE INDEX ix_snapshot_policy ON snapshot (policy_id, vm_id) WHERE policy_id IS NOT NULL;
CREATE INDEX ix_snapshot_state ON snapshot (state, created_at DESC, id DESC);
CREATE INDEX ix_snapshot_vm ON snapshot (vm_id, created_at DESC, id DESC);
CREATE UNIQUE INDEX uq_snapshot_current ON snapshot (vm_id) WHERE current;
CREATE UNIQUE INDEX uq_snapshot_live_name ON snapshot (vm_id, name) WHERE state NOT IN ('deleted', 'error');

CREATE TABLE volume (
    vm_id UUID NOT NULL,
    target TEXT NOT NULL,
    path TEXT NOT NULL,
    format TEXT NOT NULL,
    storage TEXT NOT NULL,
    virtual_bytes BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    why_not TEXT,
    CONSTRAINT pk_volume PRIMARY KEY (vm_id, target),
    CONSTRAINT fk_volume_vm_id FOREIGN KEY(vm_id) REFERENCES vm (id) ON DELETE CASCADE
);

CREATE TABLE comment (
    id UUID NOT NULL,
    snapshot_id UUID NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_comment PRIMARY KEY (id),
    CONSTRAINT fk_comment_snapshot_id FOREIGN KEY(snapshot_id) REFERENCES snapshot (id)
);
CREATE INDEX ix_comment_snapshot ON comment (snapshot_id, created_at);

CREATE TABLE snapshot_layer (
    snapshot_id UUID NOT NULL,
    target TEXT NOT NULL,
    layer_id UUID,
    path TEXT NOT NULL,
    virtual_bytes BIGINT NOT NULL,
    CONSTRAINT pk_snapshot_layer PRIMARY KEY (snapshot_id, target),
    CONSTRAINT fk_snapshot_layer_snapshot_id FOREIGN KEY(snapshot_id) REFERENCES snapshot (id),
    CONSTRAINT fk_snapshot_layer_layer_id FOREIGN KEY(layer_id) REFERENCES layer (id) ON DELETE SET NULL
);
CREATE INDEX ix_snapshot_layer_layer ON snapshot_layer (layer_id);

CREATE TABLE volume_snapshot (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    snapshot_id UUID NOT NULL,
    vm_id UUID NOT NULL,
    host_id UUID NOT NULL,
    account_id UUID NOT NULL,
    target TEXT NOT NULL,
    format TEXT DEFAULT 'qcow2' NOT NULL,
    virtual_bytes BIGINT,
    size_bytes BIGINT,
    sha256 TEXT,
    path TEXT,
    created_at timestamptz NOT NULL DEFAULT now(),
    ready_at timestamptz,
    error JSONB,
    CONSTRAINT pk_volume_snapshot PRIMARY KEY (id),
    CONSTRAINT ck_volume_snapshot_state CHECK (state IN ('creating', 'ready', 'deleted', 'error')),
    CONSTRAINT fk_volume_snapshot_snapshot_id FOREIGN KEY(snapshot_id) REFERENCES snapshot (id),
    CONSTRAINT fk_volume_snapshot_vm_id FOREIGN KEY(vm_id) REFERENCES vm (id),
    CONSTRAINT fk_volume_snapshot_host_id FOREIGN KEY(host_id) REFERENCES host (id),
    CONSTRAINT fk_volume_snapshot_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE INDEX ix_volume_snapshot_account ON volume_snapshot (account_id, created_at DESC, id DESC);
CREATE INDEX ix_volume_snapshot_snapshot ON volume_snapshot (snapshot_id);
CREATE INDEX ix_volume_snapshot_vm ON volume_snapshot (vm_id, created_at DESC, id DESC);
CREATE UNIQUE INDEX uq_volume_snapshot_live_name ON volume_snapshot (account_id, name) WHERE state NOT IN ('deleted', 'error');

CREATE TABLE job (
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    phase TEXT,
    host_id UUID NOT NULL,
    vm_id UUID NOT NULL,
    vm_name TEXT NOT NULL,
    snapshot_id UUID,
    volume_snapshot_id UUID,
    account_id UUID NOT NULL,
    request JSONB NOT NULL,
    priority SMALLINT NOT NULL,
    progress JSONB,
    attempt BIGINT DEFAULT '0' NOT NULL,
    worker TEXT,
    lease_until timestamptz,
    cancel_requested_at timestamptz,
    published_at timestamptz,
    publish_count BIGINT DEFAULT '0' NOT NULL,
    next_attempt_at timestamptz,
    requested_by TEXT NOT NULL,
    idempotency_key TEXT,
    request_sha256 TEXT,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    error JSONB,
    CONSTRAINT pk_job PRIMARY KEY (id),
    CONSTRAINT ck_job_state CHECK (state IN ('queued', 'running', 'undoing', 'succeeded', 'failed', 'cancelled', 'skipped', 'expired', 'stuck')),
    CONSTRAINT fk_job_host_id FOREIGN KEY(host_id) REFERENCES host (id),
    CONSTRAINT fk_job_vm_id FOREIGN KEY(vm_id) REFERENCES vm (id),
    CONSTRAINT fk_job_snapshot_id FOREIGN KEY(snapshot_id) REFERENCES snapshot (id),
    CONSTRAINT fk_job_volume_snapshot_id FOREIGN KEY(volume_snapshot_id) REFERENCES volume_snapshot (id),
    CONSTRAINT fk_job_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE INDEX ix_job_account ON job (account_id, created_at DESC, id DESC);
CREATE INDEX ix_job_created ON job (created_at DESC, id DESC);
CREATE INDEX ix_job_lease ON job (lease_until) WHERE state IN ('running', 'undoing');
CREATE INDEX ix_job_line ON job (vm_id, priority, created_at, id) WHERE state IN ('queued', 'running', 'stuck', 'undoing');
CREATE INDEX ix_job_owed ON job (priority, created_at) WHERE published_at IS NULL AND state IN ('queued', 'running', 'undoing');
CREATE INDEX ix_job_snapshot ON job (snapshot_id);
CREATE INDEX ix_job_state ON job (state, created_at DESC, id DESC);
CREATE INDEX ix_job_vm ON job (vm_id, created_at DESC, id DESC);
CREATE INDEX ix_job_volume_snapshot ON job (volume_snapshot_id);
CREATE UNIQUE INDEX uq_job_held_vm ON job (vm_id) WHERE state IN ('running', 'undoing');
CREATE UNIQUE INDEX uq_job_idempotency ON job (requested_by, idempotency_key);

CREATE TABLE step (
    job_id UUID NOT NULL,
    seq SMALLINT NOT NULL,
    name TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempt BIGINT NOT NULL,
    output JSONB DEFAULT '{}' NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT pk_step PRIMARY KEY (job_id, seq),
    CONSTRAINT fk_step_job_id FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE,
    CONSTRAINT ck_step_state CHECK (state IN ('started', 'done', 'undone'))
);
CREATE UNIQUE INDEX uq_step_name ON step (job_id, name);

INSERT INTO domain (id, parent_id, name, path)
VALUES ('00000000-0000-7000-8000-000000000001', NULL, 'root', '/');
INSERT INTO account (id, domain_id, name)
VALUES ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001', 'admin');
