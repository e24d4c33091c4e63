DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['trace_writer', 'trace_query'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role % is missing and this user may not create it', role_name
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = format('an administrator runs: CREATE ROLE %I NOLOGIN', role_name);
        END;
    END LOOP;
END $$;

CREATE FUNCTION trace_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6
        ), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE SEQUENCE lease_epochs AS BIGINT;

CREATE TABLE orgs (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT orgs_pkey PRIMARY KEY (id),
    CONSTRAINT orgs_name_key UNIQUE (name)
);

CREATE TABLE datasets (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    namespace TEXT NOT NULL,
    dag TEXT NOT NULL,
    job TEXT NOT NULL,
    output TEXT NOT NULL,
    storage TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT datasets_pkey PRIMARY KEY (id),
    CONSTRAINT datasets_org_id_namespace_dag_job_output_key UNIQUE (org_id, namespace, dag, job, output),
    CONSTRAINT datasets_storage_check CHECK (storage IN ('Postgres', 'S3')),
    CONSTRAINT datasets_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE assets (
    org_id UUID NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    storage TEXT NOT NULL,
    federation JSONB,
    description TEXT NOT NULL,
    read_roles TEXT[] DEFAULT '{}' NOT NULL,
    policy JSONB NOT NULL,
    resource_uid TEXT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT assets_pkey PRIMARY KEY (org_id, namespace, name),
    CONSTRAINT assets_storage_check CHECK (storage IN ('Postgres', 'S3', 'Federated')),
    CONSTRAINT assets_federation_check CHECK ((storage = 'Federated') = (federation IS NOT NULL)),
    CONSTRAINT assets_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE dag_versions (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    namespace TEXT NOT NULL,
    dag TEXT NOT NULL,
    spec_hash TEXT NOT NULL,
    spec JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT dag_versions_pkey PRIMARY KEY (id),
    CONSTRAINT dag_versions_org_id_namespace_dag_spec_hash_key UNIQUE (org_id, namespace, dag, spec_hash),
    CONSTRAINT dag_versions_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE jobs (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    namespace TEXT NOT NULL,
    dag TEXT NOT NULL,
    name TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    operator TEXT NOT NULL,
    activation TEXT NOT NULL,
    execution_strategy TEXT,
    update_strategy TEXT NOT NULL,
    definition JSONB NOT NULL,
    provisioned_at TIMESTAMP WITH TIME ZONE,
    paused BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_org_id_namespace_dag_name_config_hash_key UNIQUE (org_id, namespace, dag, name, config_hash),
    CONSTRAINT jobs_activation_check CHECK (activation IN ('Source', 'Reactive')),
    CONSTRAINT jobs_execution_strategy_check CHECK (execution_strategy IN ('PerUpdate', 'PerPartition')),
    CONSTRAINT jobs_update_strategy_check CHECK (update_strategy IN ('Append', 'Replace')),
    CONSTRAINT jobs_strategy_of_reactive_check CHECK ((activation = 'Reactive') = (execution_strategy IS NOT NULL)),
    CONSTRAINT jobs_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    org_id UUID NOT NULL,
    kind TEXT NOT NULL,
    payload JSONB NOT NULL,
    dedupe_key TEXT,
    status TEXT DEFAULT 'Pending' NOT NULL,
    available_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    last_error TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_kind_check CHECK (kind IN ('provision_hot_table', 'delete_hot_rows')),
    CONSTRAINT outbox_status_check CHECK (status IN ('Pending', 'Done', 'Failed')),
    CONSTRAINT outbox_end_check CHECK ((status = 'Pending') = (finished_at IS NULL)),
    CONSTRAINT outbox_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT outbox_dedupe_key_key UNIQUE (dedupe_key)
);

CREATE INDEX outbox_due_idx ON outbox (available_at, id) WHERE status = 'Pending';

CREATE TABLE users (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    issuer TEXT NOT NULL,
    external_id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_issuer_external_id_key UNIQUE (issuer, external_id),
    CONSTRAINT users_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE org_roles (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    name TEXT NOT NULL,
    CONSTRAINT org_roles_pkey PRIMARY KEY (id),
    CONSTRAINT org_roles_org_id_name_key UNIQUE (org_id, name),
    CONSTRAINT org_roles_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE dataset_versions (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    job_id UUID NOT NULL,
    config_hash TEXT NOT NULL,
    schema_hash TEXT NOT NULL,
    storage TEXT NOT NULL,
    location TEXT NOT NULL,
    columns JSONB NOT NULL,
    unique_key TEXT[] NOT NULL,
    scope_column TEXT NOT NULL,
    sort_by TEXT[] NOT NULL,
    indexes JSONB DEFAULT '[]' NOT NULL,
    finality_depth BIGINT,
    first_value BIGINT,
    provisioned_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT dataset_versions_pkey PRIMARY KEY (id),
    CONSTRAINT dataset_versions_dataset_id_config_hash_key UNIQUE (dataset_id, config_hash),
    CONSTRAINT dataset_versions_storage_check CHECK (storage IN ('Postgres', 'S3')),
    CONSTRAINT dataset_versions_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT dataset_versions_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id),
    CONSTRAINT dataset_versions_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id)
);

CREATE INDEX dataset_versions_job_id_idx ON dataset_versions (job_id);

CREATE TABLE dag_version_assets (
    dag_version_id UUID NOT NULL,
    asset TEXT NOT NULL,
    org_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    CONSTRAINT dag_version_assets_pkey PRIMARY KEY (dag_version_id, asset),
    CONSTRAINT dag_version_assets_dag_version_id_fkey FOREIGN KEY(dag_version_id) REFERENCES dag_versions (id) ON DELETE CASCADE,
    CONSTRAINT dag_version_assets_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT dag_version_assets_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id)
);

CREATE TABLE asset_publications (
    org_id UUID NOT NULL,
    namespace TEXT NOT NULL,
    asset TEXT NOT NULL,
    dag TEXT NOT NULL,
    dataset_id UUID NOT NULL,
    CONSTRAINT asset_publications_pkey PRIMARY KEY (org_id, namespace, asset),
    CONSTRAINT asset_publications_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT asset_publications_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id)
);

CREATE INDEX asset_publications_org_id_namespace_dag_idx ON asset_publications (org_id, namespace, dag);

CREATE TABLE dag_current_versions (
    org_id UUID NOT NULL,
    namespace TEXT NOT NULL,
    dag TEXT NOT NULL,
    active_version_id UUID,
    staged_version_id UUID,
    held_spec_hash TEXT,
    resource_uid TEXT NOT NULL,
    resource_generation BIGINT NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT dag_current_versions_pkey PRIMARY KEY (org_id, namespace, dag),
    CONSTRAINT dag_current_versions_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT dag_current_versions_active_version_id_fkey FOREIGN KEY(active_version_id) REFERENCES dag_versions (id),
    CONSTRAINT dag_current_versions_staged_version_id_fkey FOREIGN KEY(staged_version_id) REFERENCES dag_versions (id)
);

CREATE TABLE dag_version_jobs (
    dag_version_id UUID NOT NULL,
    job_id UUID NOT NULL,
    org_id UUID NOT NULL,
    runtime TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    max_attempts INTEGER,
    timeout_seconds INTEGER,
    heartbeat_timeout_seconds INTEGER NOT NULL,
    max_concurrency INTEGER,
    min_workers INTEGER NOT NULL,
    max_workers INTEGER NOT NULL,
    idle_timeout_seconds INTEGER,
    placement JSONB NOT NULL,
    CONSTRAINT dag_version_jobs_pkey PRIMARY KEY (dag_version_id, job_id),
    CONSTRAINT dag_version_jobs_runtime_check CHECK (runtime IN ('Pod', 'Dispatcher', 'Lambda')),
    CONSTRAINT dag_version_jobs_priority_check CHECK (priority IN (0, 1)),
    CONSTRAINT dag_version_jobs_max_attempts_check CHECK (max_attempts >= 1),
    CONSTRAINT dag_version_jobs_workers_check CHECK (0 <= min_workers AND min_workers <= max_workers),
    CONSTRAINT dag_version_jobs_dag_version_id_fkey FOREIGN KEY(dag_version_id) REFERENCES dag_versions (id) ON DELETE CASCADE,
    CONSTRAINT dag_version_jobs_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id),
    CONSTRAINT dag_version_jobs_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE INDEX dag_version_jobs_job_id_idx ON dag_version_jobs (job_id);

CREATE TABLE tasks (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    namespace TEXT NOT NULL,
    job_id UUID NOT NULL,
    dedupe_key TEXT NOT NULL,
    cause TEXT NOT NULL,
    status TEXT DEFAULT 'Queued' NOT NULL,
    attempt INTEGER DEFAULT '0' NOT NULL,
    max_attempts INTEGER,
    priority SMALLINT DEFAULT '0' NOT NULL,
    scope JSONB NOT NULL,
    range_start BIGINT,
    range_end BIGINT,
    event_id UUID,
    invalidation_id UUID,
    queued_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    claim_id UUID,
    worker_id TEXT,
    lease_token UUID,
    lease_epoch BIGINT,
    lease_expires_at TIMESTAMP WITH TIME ZONE,
    heartbeat_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    deadline_at TIMESTAMP WITH TIME ZONE,
    next_retry_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    error JSONB,
    outputs JSONB,
    result TEXT,
    cancel_requested BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT tasks_pkey PRIMARY KEY (id),
    CONSTRAINT tasks_job_id_dedupe_key_key UNIQUE (job_id, dedupe_key),
    CONSTRAINT tasks_cause_check CHECK (cause IN ('Event', 'Source', 'Invalidation', 'Manual')),
    CONSTRAINT tasks_status_check CHECK (status IN ('Queued', 'Running', 'Completed', 'Failed', 'Canceled')),
    CONSTRAINT tasks_attempt_check CHECK (attempt >= 0 AND (max_attempts IS NULL OR max_attempts >= 1)),
    CONSTRAINT tasks_priority_check CHECK (priority IN (0, 1)),
    CONSTRAINT tasks_range_check CHECK ((range_start IS NULL) = (range_end IS NULL) AND (range_start IS NULL OR range_start <= range_end)),
    CONSTRAINT tasks_running_is_leased_check CHECK (status <> 'Running' OR (attempt >= 1 AND started_at IS NOT NULL AND lease_token IS NOT NULL AND lease_epoch IS NOT NULL AND lease_expires_at IS NOT NULL AND claim_id IS NOT NULL AND worker_id IS NOT NULL)),
    CONSTRAINT tasks_queued_is_free_check CHECK (status <> 'Queued' OR (next_retry_at IS NULL AND finished_at IS NULL AND lease_token IS NULL AND lease_epoch IS NULL AND lease_expires_at IS NULL AND claim_id IS NULL AND worker_id IS NULL)),
    CONSTRAINT tasks_terminal_has_end_check CHECK (status NOT IN ('Completed', 'Canceled') OR (finished_at IS NOT NULL AND next_retry_at IS NULL)),
    CONSTRAINT tasks_failed_retries_or_ends_check CHECK (status <> 'Failed' OR (next_retry_at IS NULL) <> (finished_at IS NULL)),
    CONSTRAINT tasks_retry_of_failed_check CHECK (status = 'Failed' OR next_retry_at IS NULL),
    CONSTRAINT tasks_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT tasks_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id)
)
 WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX tasks_lease_idx ON tasks (lease_expires_at) WHERE status = 'Running';

CREATE INDEX tasks_retry_idx ON tasks (next_retry_at) WHERE status = 'Failed' AND next_retry_at IS NOT NULL;

CREATE INDEX tasks_deadline_idx ON tasks (deadline_at) WHERE status = 'Running' AND deadline_at IS NOT NULL;

CREATE INDEX tasks_queued_idx ON tasks (job_id, priority, queued_at, id) WHERE status = 'Queued';

CREATE INDEX tasks_failed_idx ON tasks (job_id, finished_at) WHERE status = 'Failed';

CREATE INDEX tasks_running_idx ON tasks (job_id) WHERE status = 'Running';

CREATE TABLE operator_state (
    job_id UUID NOT NULL,
    key TEXT NOT NULL,
    org_id UUID NOT NULL,
    value JSONB NOT NULL,
    task_id UUID,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT operator_state_pkey PRIMARY KEY (job_id, key),
    CONSTRAINT operator_state_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE,
    CONSTRAINT operator_state_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE org_role_memberships (
    org_id UUID NOT NULL,
    role_id UUID NOT NULL,
    user_id UUID NOT NULL,
    CONSTRAINT org_role_memberships_pkey PRIMARY KEY (role_id, user_id),
    CONSTRAINT org_role_memberships_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT org_role_memberships_role_id_fkey FOREIGN KEY(role_id) REFERENCES org_roles (id) ON DELETE CASCADE,
    CONSTRAINT org_role_memberships_user_id_fkey FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE dag_version_datasets (
    dag_version_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    org_id UUID NOT NULL,
    dataset_version_id UUID NOT NULL,
    CONSTRAINT dag_version_datasets_pkey PRIMARY KEY (dag_version_id, dataset_id),
    CONSTRAINT dag_version_datasets_dag_version_id_fkey FOREIGN KEY(dag_version_id) REFERENCES dag_versions (id) ON DELETE CASCADE,
    CONSTRAINT dag_version_datasets_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id),
    CONSTRAINT dag_version_datasets_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT dag_version_datasets_dataset_version_id_fkey FOREIGN KEY(dataset_version_id) REFERENCES dataset_versions (id)
);

CREATE INDEX dag_version_datasets_dataset_version_id_idx ON dag_version_datasets (dataset_version_id);

CREATE TABLE partition_versions (
    id UUID DEFAULT trace_uuid7() NOT NULL,
    org_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    dataset_version_id UUID NOT NULL,
    partition_key TEXT NOT NULL,
    range_start BIGINT,
    range_end BIGINT,
    location TEXT NOT NULL,
    files JSONB NOT NULL,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    task_id UUID NOT NULL,
    attempt INTEGER NOT NULL,
    committed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    superseded_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT partition_versions_pkey PRIMARY KEY (id),
    CONSTRAINT partition_versions_range_check CHECK (range_start <= range_end),
    CONSTRAINT partition_versions_sizes_check CHECK (rows >= 0 AND bytes >= 0),
    CONSTRAINT partition_versions_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT partition_versions_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id),
    CONSTRAINT partition_versions_dataset_version_id_fkey FOREIGN KEY(dataset_version_id) REFERENCES dataset_versions (id)
);

CREATE UNIQUE INDEX partition_versions_current_key ON partition_versions (dataset_version_id, partition_key) WHERE superseded_at IS NULL;

CREATE TABLE dataset_cursors (
    dataset_version_id UUID NOT NULL,
    job_id UUID NOT NULL,
    org_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    cursor_column TEXT NOT NULL,
    cursor_value BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT dataset_cursors_pkey PRIMARY KEY (dataset_version_id, job_id),
    CONSTRAINT dataset_cursors_dataset_version_id_fkey FOREIGN KEY(dataset_version_id) REFERENCES dataset_versions (id),
    CONSTRAINT dataset_cursors_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id),
    CONSTRAINT dataset_cursors_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT dataset_cursors_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id)
);

CREATE INDEX dataset_cursors_job_id_idx ON dataset_cursors (job_id);

CREATE TABLE data_invalidations (
    id UUID NOT NULL,
    org_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    dataset_version_id UUID NOT NULL,
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    range_start BIGINT,
    range_end BIGINT,
    time_start TIMESTAMP WITH TIME ZONE,
    time_end TIMESTAMP WITH TIME ZONE,
    reason TEXT NOT NULL,
    detail JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    processed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT data_invalidations_pkey PRIMARY KEY (id),
    CONSTRAINT data_invalidations_kind_check CHECK (kind IN ('Rows')),
    CONSTRAINT data_invalidations_range_check CHECK (range_start <= range_end),
    CONSTRAINT data_invalidations_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT data_invalidations_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id),
    CONSTRAINT data_invalidations_dataset_version_id_fkey FOREIGN KEY(dataset_version_id) REFERENCES dataset_versions (id),
    CONSTRAINT data_invalidations_sequence_key UNIQUE (sequence)
);

CREATE INDEX data_invalidations_open_idx ON data_invalidations (dataset_version_id, sequence) WHERE processed_at IS NULL;

CREATE TABLE relocations (
    hot_version_id UUID NOT NULL,
    cold_version_id UUID NOT NULL,
    org_id UUID NOT NULL,
    ranges INT8MULTIRANGE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT relocations_pkey PRIMARY KEY (hot_version_id, cold_version_id),
    CONSTRAINT relocations_hot_version_id_fkey FOREIGN KEY(hot_version_id) REFERENCES dataset_versions (id),
    CONSTRAINT relocations_cold_version_id_fkey FOREIGN KEY(cold_version_id) REFERENCES dataset_versions (id),
    CONSTRAINT relocations_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE job_inputs (
    job_id UUID NOT NULL,
    position SMALLINT NOT NULL,
    org_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    dataset_version_id UUID NOT NULL,
    is_trigger BOOLEAN NOT NULL,
    row_filter JSONB,
    CONSTRAINT job_inputs_pkey PRIMARY KEY (job_id, position),
    CONSTRAINT job_inputs_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE,
    CONSTRAINT job_inputs_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT job_inputs_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id),
    CONSTRAINT job_inputs_dataset_version_id_fkey FOREIGN KEY(dataset_version_id) REFERENCES dataset_versions (id)
);

CREATE INDEX job_inputs_trigger_idx ON job_inputs (dataset_version_id, job_id) WHERE is_trigger;

CREATE TABLE task_attempts (
    task_id UUID NOT NULL,
    attempt INTEGER NOT NULL,
    org_id UUID NOT NULL,
    worker_id TEXT NOT NULL,
    lease_epoch BIGINT NOT NULL,
    lease_token UUID NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
    result TEXT NOT NULL,
    error JSONB,
    CONSTRAINT task_attempts_pkey PRIMARY KEY (task_id, attempt),
    CONSTRAINT task_attempts_result_check CHECK (result IN ('Completed', 'Failed', 'LeaseExpired', 'TimedOut', 'Canceled', 'Superseded', 'Released')),
    CONSTRAINT task_attempts_task_id_fkey FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE,
    CONSTRAINT task_attempts_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

CREATE TABLE events (
    id UUID NOT NULL,
    org_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    dataset_version_id UUID NOT NULL,
    kind TEXT NOT NULL,
    cursor_value BIGINT,
    partition_key TEXT,
    range_start BIGINT,
    range_end BIGINT,
    producer_task_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (id),
    CONSTRAINT events_kind_check CHECK (kind IN ('Cursor', 'Partition')),
    CONSTRAINT events_scope_check CHECK (CASE kind WHEN 'Cursor' THEN cursor_value IS NOT NULL ELSE partition_key IS NOT NULL END),
    CONSTRAINT events_range_check CHECK (range_start <= range_end),
    CONSTRAINT events_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id),
    CONSTRAINT events_dataset_id_fkey FOREIGN KEY(dataset_id) REFERENCES datasets (id),
    CONSTRAINT events_dataset_version_id_fkey FOREIGN KEY(dataset_version_id) REFERENCES dataset_versions (id)
);

CREATE INDEX events_dataset_version_id_cursor_value_idx ON events (dataset_version_id, cursor_value);

CREATE SCHEMA catalog;

CREATE VIEW catalog.relations AS
WITH published AS (
    SELECT p.org_id, p.namespace, p.asset AS name, p.dag, p.dataset_id, v.id AS dataset_version_id, v.storage,
           v.location, v.columns, v.scope_column, v.provisioned_at IS NOT NULL AS provisioned,
           coalesce(a.read_roles, '{}') AS read_roles
    FROM asset_publications p
    JOIN dag_current_versions c
      ON c.org_id = p.org_id AND c.namespace = p.namespace AND c.dag = p.dag AND c.deleted_at IS NULL
    JOIN dag_version_datasets d ON d.dag_version_id = c.active_version_id AND d.dataset_id = p.dataset_id
    JOIN dataset_versions v ON v.id = d.dataset_version_id
    LEFT JOIN assets a ON a.org_id = p.org_id AND a.namespace = p.namespace AND a.name = p.asset
)
SELECT p.org_id, p.namespace, p.name, p.storage, p.read_roles,
       NULL::jsonb AS federation, p.dataset_id, p.dataset_version_id, p.location, p.columns, p.scope_column,
       p.provisioned,
       NULL::text AS hot_name, NULL::uuid AS hot_version_id, NULL::text AS hot_location,
       NULL::text AS cold_name, NULL::uuid AS cold_version_id, NULL::text AS cold_location,
       '{}'::text[] AS hot_read_roles, '{}'::text[] AS cold_read_roles
FROM published p
UNION ALL
SELECT a.org_id, a.namespace, a.name, a.storage, a.read_roles,
       a.federation, h.dataset_id, h.dataset_version_id, h.location, h.columns, a.federation ->> 'column',
       coalesce(h.provisioned AND c.provisioned, false),
       a.federation ->> 'hot', h.dataset_version_id, h.location,
       a.federation ->> 'cold', c.dataset_version_id, c.location,
       coalesce(h.read_roles, '{}'), coalesce(c.read_roles, '{}')
FROM assets a
LEFT JOIN published h
  ON h.org_id = a.org_id AND h.namespace = a.namespace AND h.name = a.federation ->> 'hot'
LEFT JOIN published c
  ON c.org_id = a.org_id AND c.namespace = a.namespace AND c.name = a.federation ->> 'cold'
WHERE a.storage = 'Federated' AND a.deleted_at IS NULL;

CREATE VIEW catalog.partitions AS
SELECT org_id, dataset_id, dataset_version_id, partition_key, range_start, range_end, location, files, rows,
       bytes, manifest_sha256, committed_at
FROM partition_versions
WHERE superseded_at IS NULL;

CREATE VIEW catalog.relocations AS
SELECT org_id, hot_version_id, cold_version_id, ranges FROM relocations;

CREATE VIEW catalog.principals AS
SELECT u.issuer, u.external_id, u.id AS user_id, u.org_id,
       coalesce(array_agg(r.name ORDER BY r.name) FILTER (WHERE r.name IS NOT NULL), '{}') AS roles
FROM users u
LEFT JOIN org_role_memberships m ON m.user_id = u.id
LEFT JOIN org_roles r ON r.id = m.role_id AND r.org_id = u.org_id
GROUP BY u.id;

GRANT USAGE ON SCHEMA catalog TO trace_query;

GRANT SELECT ON ALL TABLES IN SCHEMA catalog TO trace_query;
