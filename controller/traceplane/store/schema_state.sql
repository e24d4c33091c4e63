CREATE SCHEMA catalog;

CREATE FUNCTION catalog.claim_assets(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce((
        SELECT jsonb_object_agg(
            i.dataset_version_id, split_part(j.definition -> 'assets' -> i.position::text ->> 0, '/', -1))
        FROM public.job_inputs i
        WHERE i.job_id = j.id AND j.definition -> 'assets' ? i.position::text
    ), '{}')
    FROM public.tasks t
    JOIN public.jobs j ON j.id = t.job_id
    WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
          AND t.claim_id = claim AND t.status = 'Running'
$$;

CREATE FUNCTION catalog.claim_filters(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce((
        SELECT jsonb_object_agg(i.dataset_version_id, j.definition -> 'where' -> i.position::text)
        FROM public.job_inputs i
        WHERE i.job_id = j.id AND j.definition -> 'where' ? i.position::text
    ), '{}')
    FROM public.tasks t
    JOIN public.jobs j ON j.id = t.job_id
    WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
          AND t.claim_id = claim AND t.status = 'Running'
$$;

CREATE FUNCTION catalog.claim_versions(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) RETURNS uuid[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT ARRAY(
        SELECT i.dataset_version_id FROM public.job_inputs i WHERE i.job_id = t.job_id
        UNION
        SELECT v.id FROM public.dataset_versions v WHERE v.job_id = t.job_id
    )
    FROM public.tasks t
    WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
          AND t.claim_id = claim AND t.status = 'Running'
$$;

CREATE FUNCTION catalog.holds_lease(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT EXISTS (
        SELECT FROM public.tasks t
        WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
              AND t.claim_id = claim AND t.status = 'Running'
    )
$$;

CREATE FUNCTION public.trace_uuid7() RETURNS uuid
    LANGUAGE sql PARALLEL SAFE
    AS $$
    SELECT encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6
        ), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE TABLE public.assets (
    org_id uuid NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    storage text NOT NULL,
    federation jsonb,
    description text NOT NULL,
    read_roles text[] DEFAULT '{}'::text[] NOT NULL,
    policy jsonb NOT NULL,
    resource_uid text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT assets_federation_check CHECK (((storage = 'Federated'::text) = (federation IS NOT NULL))),
    CONSTRAINT assets_storage_check CHECK ((storage = ANY (ARRAY['Postgres'::text, 'S3'::text, 'Federated'::text])))
);

CREATE VIEW catalog.descriptions AS
 SELECT assets.org_id,
    assets.namespace,
    assets.name,
    assets.description
   FROM public.assets
  WHERE (assets.deleted_at IS NULL);

CREATE TABLE public.data_invalidations (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    dataset_version_id uuid NOT NULL,
    sequence bigint NOT NULL,
    kind text NOT NULL,
    range_start bigint,
    range_end bigint,
    time_start timestamp with time zone,
    time_end timestamp with time zone,
    reason text NOT NULL,
    detail jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    processed_at timestamp with time zone,
    CONSTRAINT data_invalidations_kind_check CHECK ((kind = 'Rows'::text)),
    CONSTRAINT data_invalidations_range_check CHECK ((range_start <= range_end))
);

CREATE VIEW catalog.invalidations AS
 SELECT data_invalidations.org_id,
    data_invalidations.dataset_version_id,
    data_invalidations.sequence,
    data_invalidations.range_start,
    data_invalidations.range_end,
    data_invalidations.reason
   FROM public.data_invalidations;

CREATE TABLE public.partition_versions (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    dataset_version_id uuid NOT NULL,
    partition_key text NOT NULL,
    range_start bigint,
    range_end bigint,
    location text NOT NULL,
    files jsonb NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    manifest_sha256 text NOT NULL,
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    committed_at timestamp with time zone DEFAULT now() NOT NULL,
    superseded_at timestamp with time zone,
    committed_xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    superseded_xid xid8,
    CONSTRAINT partition_versions_range_check CHECK ((range_start <= range_end)),
    CONSTRAINT partition_versions_sizes_check CHECK (((rows >= 0) AND (bytes >= 0)))
);

CREATE VIEW catalog.partition_history AS
 SELECT partition_versions.org_id,
    partition_versions.dataset_id,
    partition_versions.dataset_version_id,
    partition_versions.range_start,
    partition_versions.range_end,
    partition_versions.location,
    partition_versions.files,
    partition_versions.id,
    partition_versions.superseded_at,
    partition_versions.committed_xid,
    partition_versions.superseded_xid
   FROM public.partition_versions;

CREATE VIEW catalog.partitions AS
 SELECT partition_versions.org_id,
    partition_versions.dataset_id,
    partition_versions.dataset_version_id,
    partition_versions.partition_key,
    partition_versions.range_start,
    partition_versions.range_end,
    partition_versions.location,
    partition_versions.files,
    partition_versions.rows,
    partition_versions.bytes,
    partition_versions.manifest_sha256,
    partition_versions.committed_at
   FROM public.partition_versions
  WHERE (partition_versions.superseded_at IS NULL);

CREATE VIEW catalog.principals AS
SELECT
    NULL::text AS issuer,
    NULL::text AS external_id,
    NULL::uuid AS user_id,
    NULL::uuid AS org_id,
    NULL::text[] AS roles;

CREATE TABLE public.asset_publications (
    org_id uuid NOT NULL,
    namespace text NOT NULL,
    asset text NOT NULL,
    dag text NOT NULL,
    dataset_id uuid NOT NULL
);

CREATE TABLE public.dag_current_versions (
    org_id uuid NOT NULL,
    namespace text NOT NULL,
    dag text NOT NULL,
    active_version_id uuid,
    staged_version_id uuid,
    held_spec_hash text,
    resource_uid text NOT NULL,
    resource_generation bigint NOT NULL,
    deleted_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    staged_at timestamp with time zone,
    ready_at timestamp with time zone,
    approved_version_id uuid
);

CREATE TABLE public.dag_version_datasets (
    dag_version_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    org_id uuid NOT NULL,
    dataset_version_id uuid NOT NULL,
    marks jsonb DEFAULT '{}'::jsonb NOT NULL
);

CREATE TABLE public.dataset_versions (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    job_id uuid NOT NULL,
    config_hash text NOT NULL,
    schema_hash text NOT NULL,
    storage text NOT NULL,
    location text NOT NULL,
    columns jsonb NOT NULL,
    unique_key text[] NOT NULL,
    scope_column text NOT NULL,
    sort_by text[] NOT NULL,
    indexes jsonb DEFAULT '[]'::jsonb NOT NULL,
    finality_depth bigint,
    first_value bigint,
    provisioned_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    sparse boolean DEFAULT false NOT NULL,
    unverified text[] DEFAULT '{}'::text[] NOT NULL,
    purged_at timestamp with time zone,
    CONSTRAINT dataset_versions_storage_check CHECK ((storage = ANY (ARRAY['Postgres'::text, 'S3'::text])))
);

CREATE VIEW catalog.relations AS
 WITH published AS (
         SELECT p.org_id,
            p.namespace,
            p.asset AS name,
            p.dag,
            p.dataset_id,
            v.id AS dataset_version_id,
            v.storage,
            v.location,
            v.columns,
            v.scope_column,
            (v.provisioned_at IS NOT NULL) AS provisioned,
            COALESCE(a.read_roles, '{}'::text[]) AS read_roles
           FROM ((((public.asset_publications p
             JOIN public.dag_current_versions c ON (((c.org_id = p.org_id) AND (c.namespace = p.namespace) AND (c.dag = p.dag) AND (c.deleted_at IS NULL))))
             JOIN public.dag_version_datasets d ON (((d.dag_version_id = c.active_version_id) AND (d.dataset_id = p.dataset_id))))
             JOIN public.dataset_versions v ON ((v.id = d.dataset_version_id)))
             LEFT JOIN public.assets a ON (((a.org_id = p.org_id) AND (a.namespace = p.namespace) AND (a.name = p.asset))))
        )
 SELECT p.org_id,
    p.namespace,
    p.name,
    p.storage,
    p.read_roles,
    NULL::jsonb AS federation,
    p.dataset_id,
    p.dataset_version_id,
    p.location,
    p.columns,
    p.scope_column,
    p.provisioned,
    NULL::text AS hot_name,
    NULL::uuid AS hot_version_id,
    NULL::text AS hot_location,
    NULL::text AS cold_name,
    NULL::uuid AS cold_version_id,
    NULL::text AS cold_location,
    '{}'::text[] AS hot_read_roles,
    '{}'::text[] AS cold_read_roles
   FROM published p
UNION ALL
 SELECT a.org_id,
    a.namespace,
    a.name,
    a.storage,
    a.read_roles,
    a.federation,
    h.dataset_id,
    h.dataset_version_id,
    h.location,
    h.columns,
    (a.federation ->> 'column'::text) AS scope_column,
    COALESCE((h.provisioned AND c.provisioned), false) AS provisioned,
    (a.federation ->> 'hot'::text) AS hot_name,
    h.dataset_version_id AS hot_version_id,
    h.location AS hot_location,
    (a.federation ->> 'cold'::text) AS cold_name,
    c.dataset_version_id AS cold_version_id,
    c.location AS cold_location,
    COALESCE(h.read_roles, '{}'::text[]) AS hot_read_roles,
    COALESCE(c.read_roles, '{}'::text[]) AS cold_read_roles
   FROM ((public.assets a
     LEFT JOIN published h ON (((h.org_id = a.org_id) AND (h.namespace = a.namespace) AND (h.name = (a.federation ->> 'hot'::text)))))
     LEFT JOIN published c ON (((c.org_id = a.org_id) AND (c.namespace = a.namespace) AND (c.name = (a.federation ->> 'cold'::text)))))
  WHERE ((a.storage = 'Federated'::text) AND (a.deleted_at IS NULL));

CREATE TABLE public.relocations (
    hot_version_id uuid NOT NULL,
    cold_version_id uuid NOT NULL,
    org_id uuid NOT NULL,
    ranges int8multirange NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE VIEW catalog.relocations AS
 SELECT relocations.org_id,
    relocations.hot_version_id,
    relocations.cold_version_id,
    relocations.ranges
   FROM public.relocations;

CREATE TABLE public.dag_version_assets (
    dag_version_id uuid NOT NULL,
    asset text NOT NULL,
    org_id uuid NOT NULL,
    dataset_id uuid NOT NULL
);

CREATE TABLE public.dag_versions (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    namespace text NOT NULL,
    dag text NOT NULL,
    spec_hash text NOT NULL,
    spec jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    number integer NOT NULL,
    activated_at timestamp with time zone,
    written_hash text,
    left_at timestamp with time zone,
    purged_at timestamp with time zone
);

CREATE VIEW catalog.version_relations AS
 WITH published AS (
         SELECT x.id AS dag_version_id,
            ((('v'::text || x.number) || '-'::text) || "left"(x.spec_hash, 8)) AS version,
            ('v'::text || x.number) AS number,
            COALESCE((x.id = c.staged_version_id), false) AS staged,
            x.org_id,
            x.namespace,
            p.asset AS name,
            v.dataset_id,
            v.id AS dataset_version_id,
            v.storage,
            v.location,
            v.columns,
            v.scope_column,
            (v.provisioned_at IS NOT NULL) AS provisioned,
            COALESCE(a.read_roles, '{}'::text[]) AS read_roles
           FROM (((((public.dag_versions x
             JOIN public.dag_current_versions c ON (((c.org_id = x.org_id) AND (c.namespace = x.namespace) AND (c.dag = x.dag) AND (c.deleted_at IS NULL))))
             JOIN public.dag_version_assets p ON ((p.dag_version_id = x.id)))
             JOIN public.dag_version_datasets d ON (((d.dag_version_id = x.id) AND (d.dataset_id = p.dataset_id))))
             JOIN public.dataset_versions v ON ((v.id = d.dataset_version_id)))
             LEFT JOIN public.assets a ON (((a.org_id = x.org_id) AND (a.namespace = x.namespace) AND (a.name = p.asset))))
          WHERE ((EXISTS ( SELECT
                   FROM public.asset_publications now
                  WHERE ((now.org_id = x.org_id) AND (now.namespace = x.namespace) AND (now.asset = p.asset) AND (now.dataset_id = p.dataset_id)))) OR ((x.id = c.staged_version_id) AND (NOT (EXISTS ( SELECT
                   FROM public.asset_publications now
                  WHERE ((now.org_id = x.org_id) AND (now.namespace = x.namespace) AND ((now.asset = p.asset) OR (now.dataset_id = p.dataset_id))))))))
        )
 SELECT p.org_id,
    p.namespace,
    p.name,
    p.version,
    p.number,
    p.staged,
    p.storage,
    p.read_roles,
    p.dataset_id,
    p.dataset_version_id,
    p.location,
    p.columns,
    p.scope_column,
    p.provisioned,
    NULL::uuid AS hot_version_id,
    NULL::text AS hot_location,
    NULL::uuid AS cold_version_id,
    '{}'::text[] AS hot_read_roles,
    '{}'::text[] AS cold_read_roles
   FROM published p
UNION ALL
 SELECT a.org_id,
    a.namespace,
    a.name,
    h.version,
    h.number,
    h.staged,
    a.storage,
    a.read_roles,
    h.dataset_id,
    h.dataset_version_id,
    h.location,
    h.columns,
    (a.federation ->> 'column'::text) AS scope_column,
    (h.provisioned AND c.provisioned) AS provisioned,
    h.dataset_version_id AS hot_version_id,
    h.location AS hot_location,
    c.dataset_version_id AS cold_version_id,
    h.read_roles AS hot_read_roles,
    c.read_roles AS cold_read_roles
   FROM ((public.assets a
     JOIN published h ON (((h.org_id = a.org_id) AND (h.namespace = a.namespace) AND (h.name = (a.federation ->> 'hot'::text)))))
     JOIN published c ON (((c.dag_version_id = h.dag_version_id) AND (c.name = (a.federation ->> 'cold'::text)))))
  WHERE ((a.storage = 'Federated'::text) AND (a.deleted_at IS NULL));

CREATE TABLE public.datasets (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    namespace text NOT NULL,
    dag text NOT NULL,
    job text NOT NULL,
    output text NOT NULL,
    storage text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT datasets_storage_check CHECK ((storage = ANY (ARRAY['Postgres'::text, 'S3'::text])))
);

CREATE VIEW catalog.versions AS
 SELECT d.org_id,
    d.namespace,
    d.dag,
    d.job,
    d.output,
    p.asset,
    d.id AS dataset_id,
    v.id AS dataset_version_id,
    v.storage,
    v.location,
    v.columns,
    v.scope_column,
    (v.provisioned_at IS NOT NULL) AS provisioned
   FROM ((public.datasets d
     JOIN public.dataset_versions v ON (((v.dataset_id = d.id) AND (v.purged_at IS NULL))))
     LEFT JOIN public.asset_publications p ON ((p.dataset_id = d.id)));

CREATE TABLE public.dag_version_jobs (
    dag_version_id uuid NOT NULL,
    job_id uuid NOT NULL,
    org_id uuid NOT NULL,
    runtime text NOT NULL,
    priority smallint NOT NULL,
    max_attempts integer,
    timeout_seconds integer,
    heartbeat_timeout_seconds integer NOT NULL,
    max_concurrency integer,
    min_workers integer NOT NULL,
    max_workers integer NOT NULL,
    idle_timeout_seconds integer,
    placement jsonb NOT NULL,
    definition jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT dag_version_jobs_max_attempts_check CHECK ((max_attempts >= 1)),
    CONSTRAINT dag_version_jobs_priority_check CHECK ((priority = ANY (ARRAY[0, 1]))),
    CONSTRAINT dag_version_jobs_runtime_check CHECK ((runtime = ANY (ARRAY['Pod'::text, 'Dispatcher'::text, 'Lambda'::text]))),
    CONSTRAINT dag_version_jobs_workers_check CHECK (((0 <= min_workers) AND (min_workers <= max_workers)))
);

ALTER TABLE public.data_invalidations ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.data_invalidations_sequence_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.dataset_cursors (
    dataset_version_id uuid NOT NULL,
    job_id uuid NOT NULL,
    org_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    cursor_column text NOT NULL,
    cursor_value bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.dataset_finality (
    dataset_version_id uuid NOT NULL,
    org_id uuid NOT NULL,
    final_value bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.events (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    dataset_version_id uuid NOT NULL,
    kind text NOT NULL,
    cursor_value bigint,
    partition_key text,
    range_start bigint,
    range_end bigint,
    producer_task_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT events_kind_check CHECK ((kind = ANY (ARRAY['Cursor'::text, 'Partition'::text]))),
    CONSTRAINT events_range_check CHECK ((range_start <= range_end)),
    CONSTRAINT events_scope_check CHECK (
CASE kind
    WHEN 'Cursor'::text THEN (cursor_value IS NOT NULL)
    ELSE (partition_key IS NOT NULL)
END)
);

CREATE TABLE public.job_inputs (
    job_id uuid NOT NULL,
    "position" smallint NOT NULL,
    org_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    dataset_version_id uuid NOT NULL,
    is_trigger boolean NOT NULL,
    row_filter jsonb
);

CREATE TABLE public.jobs (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    namespace text NOT NULL,
    dag text NOT NULL,
    name text NOT NULL,
    config_hash text NOT NULL,
    operator text NOT NULL,
    activation text NOT NULL,
    execution_strategy text,
    update_strategy text NOT NULL,
    definition jsonb NOT NULL,
    provisioned_at timestamp with time zone,
    paused boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    left_at timestamp with time zone,
    purged_at timestamp with time zone,
    preview int8range,
    CONSTRAINT jobs_activation_check CHECK ((activation = ANY (ARRAY['Source'::text, 'Reactive'::text]))),
    CONSTRAINT jobs_execution_strategy_check CHECK ((execution_strategy = ANY (ARRAY['PerUpdate'::text, 'PerPartition'::text]))),
    CONSTRAINT jobs_strategy_of_reactive_check CHECK (((activation = 'Reactive'::text) = (execution_strategy IS NOT NULL))),
    CONSTRAINT jobs_update_strategy_check CHECK ((update_strategy = ANY (ARRAY['Append'::text, 'Replace'::text])))
);

CREATE SEQUENCE public.lease_epochs
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.operator_state (
    job_id uuid NOT NULL,
    key text NOT NULL,
    org_id uuid NOT NULL,
    value jsonb NOT NULL,
    task_id uuid,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.org_role_memberships (
    org_id uuid NOT NULL,
    role_id uuid NOT NULL,
    user_id uuid NOT NULL
);

CREATE TABLE public.org_roles (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    name text NOT NULL
);

CREATE TABLE public.orgs (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    org_id uuid NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    dedupe_key text,
    status text DEFAULT 'Pending'::text NOT NULL,
    available_at timestamp with time zone DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    last_error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT outbox_end_check CHECK (((status = 'Pending'::text) = (finished_at IS NULL))),
    CONSTRAINT outbox_kind_check CHECK ((kind = ANY (ARRAY['provision_hot_table'::text, 'delete_hot_rows'::text, 'drop_hot_table'::text, 'delete_prefix'::text, 'move_views'::text]))),
    CONSTRAINT outbox_status_check CHECK ((status = ANY (ARRAY['Pending'::text, 'Done'::text, 'Failed'::text])))
);

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.relay_progress (
    id boolean DEFAULT true NOT NULL,
    caught_up_at timestamp with time zone NOT NULL,
    CONSTRAINT relay_progress_one_check CHECK (id)
);

CREATE TABLE public.run_event_positions (
    org_id uuid NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    announced_at timestamp with time zone NOT NULL,
    holder uuid NOT NULL,
    held_until timestamp with time zone NOT NULL
);

CREATE TABLE public.task_attempts (
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    org_id uuid NOT NULL,
    worker_id text NOT NULL,
    lease_epoch bigint NOT NULL,
    lease_token uuid NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    result text NOT NULL,
    error jsonb,
    CONSTRAINT task_attempts_result_check CHECK ((result = ANY (ARRAY['Completed'::text, 'Failed'::text, 'LeaseExpired'::text, 'TimedOut'::text, 'Canceled'::text, 'Superseded'::text, 'Released'::text])))
);

CREATE TABLE public.tasks (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    namespace text NOT NULL,
    job_id uuid NOT NULL,
    dedupe_key text NOT NULL,
    cause text NOT NULL,
    status text DEFAULT 'Queued'::text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    max_attempts integer,
    priority smallint DEFAULT '0'::smallint NOT NULL,
    scope jsonb NOT NULL,
    range_start bigint,
    range_end bigint,
    event_id uuid,
    invalidation_id uuid,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    claim_id uuid,
    worker_id text,
    lease_token uuid,
    lease_epoch bigint,
    lease_expires_at timestamp with time zone,
    heartbeat_at timestamp with time zone,
    started_at timestamp with time zone,
    deadline_at timestamp with time zone,
    next_retry_at timestamp with time zone,
    finished_at timestamp with time zone,
    error jsonb,
    outputs jsonb,
    result text,
    cancel_requested boolean DEFAULT false NOT NULL,
    report jsonb,
    CONSTRAINT tasks_attempt_check CHECK (((attempt >= 0) AND ((max_attempts IS NULL) OR (max_attempts >= 1)))),
    CONSTRAINT tasks_cause_check CHECK ((cause = ANY (ARRAY['Event'::text, 'Source'::text, 'Invalidation'::text, 'Manual'::text]))),
    CONSTRAINT tasks_failed_retries_or_ends_check CHECK (((status <> 'Failed'::text) OR ((next_retry_at IS NULL) <> (finished_at IS NULL)))),
    CONSTRAINT tasks_priority_check CHECK ((priority = ANY (ARRAY[0, 1]))),
    CONSTRAINT tasks_queued_is_free_check CHECK (((status <> 'Queued'::text) OR ((next_retry_at IS NULL) AND (finished_at IS NULL) AND (lease_token IS NULL) AND (lease_epoch IS NULL) AND (lease_expires_at IS NULL) AND (claim_id IS NULL) AND (worker_id IS NULL)))),
    CONSTRAINT tasks_range_check CHECK ((((range_start IS NULL) = (range_end IS NULL)) AND ((range_start IS NULL) OR (range_start <= range_end)))),
    CONSTRAINT tasks_retry_of_failed_check CHECK (((status = 'Failed'::text) OR (next_retry_at IS NULL))),
    CONSTRAINT tasks_running_is_leased_check CHECK (((status <> 'Running'::text) OR ((attempt >= 1) AND (started_at IS NOT NULL) AND (lease_token IS NOT NULL) AND (lease_epoch IS NOT NULL) AND (lease_expires_at IS NOT NULL) AND (claim_id IS NOT NULL) AND (worker_id IS NOT NULL)))),
    CONSTRAINT tasks_status_check CHECK ((status = ANY (ARRAY['Queued'::text, 'Running'::text, 'Completed'::text, 'Failed'::text, 'Canceled'::text]))),
    CONSTRAINT tasks_terminal_has_end_check CHECK (((status <> ALL (ARRAY['Completed'::text, 'Canceled'::text])) OR ((finished_at IS NOT NULL) AND (next_retry_at IS NULL))))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02');

CREATE TABLE public.users (
    id uuid DEFAULT public.trace_uuid7() NOT NULL,
    org_id uuid NOT NULL,
    issuer text NOT NULL,
    external_id text NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.asset_publications
    ADD CONSTRAINT asset_publications_pkey PRIMARY KEY (org_id, namespace, asset);

ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_pkey PRIMARY KEY (org_id, namespace, name);

ALTER TABLE ONLY public.dag_current_versions
    ADD CONSTRAINT dag_current_versions_pkey PRIMARY KEY (org_id, namespace, dag);

ALTER TABLE ONLY public.dag_version_assets
    ADD CONSTRAINT dag_version_assets_pkey PRIMARY KEY (dag_version_id, asset);

ALTER TABLE ONLY public.dag_version_datasets
    ADD CONSTRAINT dag_version_datasets_pkey PRIMARY KEY (dag_version_id, dataset_id);

ALTER TABLE ONLY public.dag_version_jobs
    ADD CONSTRAINT dag_version_jobs_pkey PRIMARY KEY (dag_version_id, job_id);

ALTER TABLE ONLY public.dag_versions
    ADD CONSTRAINT dag_versions_org_id_namespace_dag_number_key UNIQUE (org_id, namespace, dag, number);

ALTER TABLE ONLY public.dag_versions
    ADD CONSTRAINT dag_versions_org_id_namespace_dag_spec_hash_key UNIQUE (org_id, namespace, dag, spec_hash);

ALTER TABLE ONLY public.dag_versions
    ADD CONSTRAINT dag_versions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.data_invalidations
    ADD CONSTRAINT data_invalidations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.data_invalidations
    ADD CONSTRAINT data_invalidations_sequence_key UNIQUE (sequence);

ALTER TABLE ONLY public.dataset_cursors
    ADD CONSTRAINT dataset_cursors_pkey PRIMARY KEY (dataset_version_id, job_id);

ALTER TABLE ONLY public.dataset_finality
    ADD CONSTRAINT dataset_finality_pkey PRIMARY KEY (dataset_version_id);

ALTER TABLE ONLY public.dataset_versions
    ADD CONSTRAINT dataset_versions_dataset_id_config_hash_key UNIQUE (dataset_id, config_hash);

ALTER TABLE ONLY public.dataset_versions
    ADD CONSTRAINT dataset_versions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT datasets_org_id_namespace_dag_job_output_key UNIQUE (org_id, namespace, dag, job, output);

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT datasets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.job_inputs
    ADD CONSTRAINT job_inputs_pkey PRIMARY KEY (job_id, "position");

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_org_id_namespace_dag_name_config_hash_key UNIQUE (org_id, namespace, dag, name, config_hash);

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.operator_state
    ADD CONSTRAINT operator_state_pkey PRIMARY KEY (job_id, key);

ALTER TABLE ONLY public.org_role_memberships
    ADD CONSTRAINT org_role_memberships_pkey PRIMARY KEY (role_id, user_id);

ALTER TABLE ONLY public.org_roles
    ADD CONSTRAINT org_roles_org_id_name_key UNIQUE (org_id, name);

ALTER TABLE ONLY public.org_roles
    ADD CONSTRAINT org_roles_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.orgs
    ADD CONSTRAINT orgs_name_key UNIQUE (name);

ALTER TABLE ONLY public.orgs
    ADD CONSTRAINT orgs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_dedupe_key_key UNIQUE (dedupe_key);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.partition_versions
    ADD CONSTRAINT partition_versions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.relay_progress
    ADD CONSTRAINT relay_progress_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.relocations
    ADD CONSTRAINT relocations_pkey PRIMARY KEY (hot_version_id, cold_version_id);

ALTER TABLE ONLY public.run_event_positions
    ADD CONSTRAINT run_event_positions_pkey PRIMARY KEY (org_id);

ALTER TABLE ONLY public.task_attempts
    ADD CONSTRAINT task_attempts_pkey PRIMARY KEY (task_id, attempt);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_job_id_dedupe_key_key UNIQUE (job_id, dedupe_key);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_issuer_external_id_key UNIQUE (issuer, external_id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX asset_publications_org_id_namespace_dag_idx ON public.asset_publications USING btree (org_id, namespace, dag);

CREATE INDEX dag_version_datasets_dataset_version_id_idx ON public.dag_version_datasets USING btree (dataset_version_id);

CREATE INDEX dag_version_jobs_job_id_idx ON public.dag_version_jobs USING btree (job_id);

CREATE INDEX data_invalidations_open_idx ON public.data_invalidations USING btree (dataset_version_id, sequence) WHERE (processed_at IS NULL);

CREATE INDEX dataset_cursors_job_id_idx ON public.dataset_cursors USING btree (job_id);

CREATE INDEX dataset_versions_job_id_idx ON public.dataset_versions USING btree (job_id);

CREATE INDEX events_dataset_version_id_cursor_value_idx ON public.events USING btree (dataset_version_id, cursor_value);

CREATE INDEX job_inputs_dataset_version_id_idx ON public.job_inputs USING btree (dataset_version_id);

CREATE INDEX job_inputs_trigger_idx ON public.job_inputs USING btree (dataset_version_id, job_id) WHERE is_trigger;

CREATE INDEX jobs_purged_at_idx ON public.jobs USING btree (purged_at) WHERE (purged_at IS NOT NULL);

CREATE INDEX outbox_due_idx ON public.outbox USING btree (available_at, id) WHERE (status = 'Pending'::text);

CREATE UNIQUE INDEX partition_versions_current_key ON public.partition_versions USING btree (dataset_version_id, partition_key) WHERE (superseded_at IS NULL);

CREATE INDEX partition_versions_dataset_version_id_idx ON public.partition_versions USING btree (dataset_version_id);

CREATE INDEX partition_versions_range_idx ON public.partition_versions USING gist (int8range(range_start, range_end, '[]'::text)) WHERE ((superseded_at IS NULL) AND (range_start IS NOT NULL));

CREATE INDEX task_attempts_finished_idx ON public.task_attempts USING btree (finished_at);

CREATE INDEX tasks_canceled_idx ON public.tasks USING btree (job_id) WHERE (status = 'Canceled'::text);

CREATE INDEX tasks_deadline_idx ON public.tasks USING btree (deadline_at) WHERE ((status = 'Running'::text) AND (deadline_at IS NOT NULL));

CREATE INDEX tasks_failed_idx ON public.tasks USING btree (job_id, finished_at) WHERE (status = 'Failed'::text);

CREATE INDEX tasks_lease_idx ON public.tasks USING btree (lease_expires_at) WHERE (status = 'Running'::text);

CREATE INDEX tasks_queued_idx ON public.tasks USING btree (job_id, priority, queued_at, id) WHERE (status = 'Queued'::text);

CREATE INDEX tasks_retry_idx ON public.tasks USING btree (next_retry_at) WHERE ((status = 'Failed'::text) AND (next_retry_at IS NOT NULL));

CREATE INDEX tasks_running_idx ON public.tasks USING btree (job_id) WHERE (status = 'Running'::text);

CREATE OR REPLACE VIEW catalog.principals AS
 SELECT u.issuer,
    u.external_id,
    u.id AS user_id,
    u.org_id,
    COALESCE(array_agg(r.name ORDER BY r.name) FILTER (WHERE (r.name IS NOT NULL)), '{}'::text[]) AS roles
   FROM ((public.users u
     LEFT JOIN public.org_role_memberships m ON ((m.user_id = u.id)))
     LEFT JOIN public.org_roles r ON (((r.id = m.role_id) AND (r.org_id = u.org_id))))
  GROUP BY u.id;

ALTER TABLE ONLY public.asset_publications
    ADD CONSTRAINT asset_publications_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.asset_publications
    ADD CONSTRAINT asset_publications_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dag_current_versions
    ADD CONSTRAINT dag_current_versions_active_version_id_fkey FOREIGN KEY (active_version_id) REFERENCES public.dag_versions(id);

ALTER TABLE ONLY public.dag_current_versions
    ADD CONSTRAINT dag_current_versions_approved_version_id_fkey FOREIGN KEY (approved_version_id) REFERENCES public.dag_versions(id);

ALTER TABLE ONLY public.dag_current_versions
    ADD CONSTRAINT dag_current_versions_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dag_current_versions
    ADD CONSTRAINT dag_current_versions_staged_version_id_fkey FOREIGN KEY (staged_version_id) REFERENCES public.dag_versions(id);

ALTER TABLE ONLY public.dag_version_assets
    ADD CONSTRAINT dag_version_assets_dag_version_id_fkey FOREIGN KEY (dag_version_id) REFERENCES public.dag_versions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dag_version_assets
    ADD CONSTRAINT dag_version_assets_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.dag_version_assets
    ADD CONSTRAINT dag_version_assets_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dag_version_datasets
    ADD CONSTRAINT dag_version_datasets_dag_version_id_fkey FOREIGN KEY (dag_version_id) REFERENCES public.dag_versions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dag_version_datasets
    ADD CONSTRAINT dag_version_datasets_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.dag_version_datasets
    ADD CONSTRAINT dag_version_datasets_dataset_version_id_fkey FOREIGN KEY (dataset_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.dag_version_datasets
    ADD CONSTRAINT dag_version_datasets_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dag_version_jobs
    ADD CONSTRAINT dag_version_jobs_dag_version_id_fkey FOREIGN KEY (dag_version_id) REFERENCES public.dag_versions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dag_version_jobs
    ADD CONSTRAINT dag_version_jobs_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id);

ALTER TABLE ONLY public.dag_version_jobs
    ADD CONSTRAINT dag_version_jobs_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dag_versions
    ADD CONSTRAINT dag_versions_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.data_invalidations
    ADD CONSTRAINT data_invalidations_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.data_invalidations
    ADD CONSTRAINT data_invalidations_dataset_version_id_fkey FOREIGN KEY (dataset_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.data_invalidations
    ADD CONSTRAINT data_invalidations_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dataset_cursors
    ADD CONSTRAINT dataset_cursors_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.dataset_cursors
    ADD CONSTRAINT dataset_cursors_dataset_version_id_fkey FOREIGN KEY (dataset_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.dataset_cursors
    ADD CONSTRAINT dataset_cursors_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id);

ALTER TABLE ONLY public.dataset_cursors
    ADD CONSTRAINT dataset_cursors_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dataset_finality
    ADD CONSTRAINT dataset_finality_dataset_version_id_fkey FOREIGN KEY (dataset_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.dataset_finality
    ADD CONSTRAINT dataset_finality_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.dataset_versions
    ADD CONSTRAINT dataset_versions_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.dataset_versions
    ADD CONSTRAINT dataset_versions_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id);

ALTER TABLE ONLY public.dataset_versions
    ADD CONSTRAINT dataset_versions_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT datasets_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_dataset_version_id_fkey FOREIGN KEY (dataset_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.job_inputs
    ADD CONSTRAINT job_inputs_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.job_inputs
    ADD CONSTRAINT job_inputs_dataset_version_id_fkey FOREIGN KEY (dataset_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.job_inputs
    ADD CONSTRAINT job_inputs_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.job_inputs
    ADD CONSTRAINT job_inputs_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.operator_state
    ADD CONSTRAINT operator_state_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.operator_state
    ADD CONSTRAINT operator_state_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.org_role_memberships
    ADD CONSTRAINT org_role_memberships_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.org_role_memberships
    ADD CONSTRAINT org_role_memberships_role_id_fkey FOREIGN KEY (role_id) REFERENCES public.org_roles(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.org_role_memberships
    ADD CONSTRAINT org_role_memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.org_roles
    ADD CONSTRAINT org_roles_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.partition_versions
    ADD CONSTRAINT partition_versions_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id);

ALTER TABLE ONLY public.partition_versions
    ADD CONSTRAINT partition_versions_dataset_version_id_fkey FOREIGN KEY (dataset_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.partition_versions
    ADD CONSTRAINT partition_versions_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.relocations
    ADD CONSTRAINT relocations_cold_version_id_fkey FOREIGN KEY (cold_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.relocations
    ADD CONSTRAINT relocations_hot_version_id_fkey FOREIGN KEY (hot_version_id) REFERENCES public.dataset_versions(id);

ALTER TABLE ONLY public.relocations
    ADD CONSTRAINT relocations_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.run_event_positions
    ADD CONSTRAINT run_event_positions_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.task_attempts
    ADD CONSTRAINT task_attempts_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.task_attempts
    ADD CONSTRAINT task_attempts_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id);

GRANT USAGE ON SCHEMA catalog TO trace_query;

REVOKE ALL ON FUNCTION catalog.claim_assets(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION catalog.claim_assets(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) TO trace_query;

REVOKE ALL ON FUNCTION catalog.claim_filters(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION catalog.claim_filters(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) TO trace_query;

REVOKE ALL ON FUNCTION catalog.claim_versions(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION catalog.claim_versions(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) TO trace_query;

REVOKE ALL ON FUNCTION catalog.holds_lease(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION catalog.holds_lease(org uuid, task uuid, its_attempt integer, token uuid, claim uuid) TO trace_query;

GRANT SELECT ON TABLE catalog.descriptions TO trace_query;

GRANT SELECT ON TABLE catalog.invalidations TO trace_query;

GRANT SELECT ON TABLE catalog.partition_history TO trace_query;

GRANT SELECT ON TABLE catalog.partitions TO trace_query;

GRANT SELECT ON TABLE catalog.principals TO trace_query;

GRANT SELECT ON TABLE catalog.relations TO trace_query;

GRANT SELECT ON TABLE catalog.relocations TO trace_query;

GRANT SELECT ON TABLE catalog.version_relations TO trace_query;

GRANT SELECT ON TABLE catalog.versions TO trace_query;
