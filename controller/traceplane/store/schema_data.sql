CREATE SCHEMA hot;

CREATE SCHEMA trace;

CREATE FUNCTION trace.notify_source() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_notify('trace_source', '');
    RETURN NULL;
END $$;

CREATE TABLE trace.empty_ranges (
    dataset_version_id uuid NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    CONSTRAINT empty_ranges_range_check CHECK ((low <= high))
);

CREATE TABLE trace.pii_access_log (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    user_id uuid,
    task_id uuid,
    attempt integer,
    query_id uuid NOT NULL,
    sql_sha256 text NOT NULL,
    namespace text NOT NULL,
    relation text NOT NULL,
    dataset_version_ids uuid[] NOT NULL,
    pii_columns text[] NOT NULL,
    accessed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT pii_access_log_attempt_check CHECK (((task_id IS NULL) = (attempt IS NULL))),
    CONSTRAINT pii_access_log_principal_check CHECK ((num_nonnulls(user_id, task_id) = 1)),
    CONSTRAINT pii_access_log_sql_sha256_check CHECK ((sql_sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE TABLE trace.query_batches (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    user_id uuid NOT NULL,
    sql text,
    sql_sha256 text NOT NULL,
    namespace text NOT NULL,
    overflow text NOT NULL,
    as_of text,
    seconds double precision NOT NULL,
    state text DEFAULT 'Queued'::text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    runner uuid,
    lease_until timestamp with time zone,
    not_before timestamp with time zone DEFAULT now() NOT NULL,
    cancel boolean DEFAULT false NOT NULL,
    error_status integer,
    error_code text,
    error_detail text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT query_batches_ended_at_check CHECK (((state = ANY (ARRAY['Queued'::text, 'Running'::text])) = (ended_at IS NULL))),
    CONSTRAINT query_batches_error_check CHECK ((((state = 'Failed'::text) = (num_nonnulls(error_status, error_code, error_detail) = 3)) AND (num_nonnulls(error_status, error_code, error_detail) = ANY (ARRAY[0, 3])))),
    CONSTRAINT query_batches_lease_check CHECK ((((state = 'Running'::text) = (runner IS NOT NULL)) AND ((runner IS NULL) = (lease_until IS NULL)))),
    CONSTRAINT query_batches_overflow_check CHECK ((overflow = ANY (ARRAY['export'::text, 'truncate'::text]))),
    CONSTRAINT query_batches_sql_check CHECK (((state = ANY (ARRAY['Queued'::text, 'Running'::text])) = (sql IS NOT NULL))),
    CONSTRAINT query_batches_sql_sha256_check CHECK ((sql_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT query_batches_state_check CHECK ((state = ANY (ARRAY['Queued'::text, 'Running'::text, 'Succeeded'::text, 'Failed'::text, 'Canceled'::text])))
);

CREATE TABLE trace.query_results (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    user_id uuid,
    task_id uuid,
    attempt integer,
    sql_sha256 text NOT NULL,
    format text NOT NULL,
    rows bigint NOT NULL,
    truncated boolean NOT NULL,
    bytes bigint NOT NULL,
    bytes_scanned bigint NOT NULL,
    duration_ms double precision NOT NULL,
    columns jsonb NOT NULL,
    versions jsonb NOT NULL,
    as_of text,
    output_location text,
    output_sha256 text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT query_results_attempt_check CHECK (((task_id IS NULL) = (attempt IS NULL))),
    CONSTRAINT query_results_format_check CHECK ((format = ANY (ARRAY['json'::text, 'csv'::text, 'arrow'::text, 'parquet'::text]))),
    CONSTRAINT query_results_output_check CHECK (((output_location IS NULL) = (output_sha256 IS NULL))),
    CONSTRAINT query_results_principal_check CHECK ((num_nonnulls(user_id, task_id) = 1)),
    CONSTRAINT query_results_sql_sha256_check CHECK ((sql_sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE TABLE trace.source_outbox (
    id uuid NOT NULL,
    seq bigint NOT NULL,
    org_id uuid NOT NULL,
    dataset_version_id uuid NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    lease_epoch bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    relayed_at timestamp with time zone,
    CONSTRAINT source_outbox_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT source_outbox_kind_check CHECK ((kind = ANY (ARRAY['Event'::text, 'Invalidation'::text])))
);

ALTER TABLE trace.source_outbox ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME trace.source_outbox_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW trace.unrelayed_invalidations AS
 SELECT source_outbox.org_id,
    source_outbox.dataset_version_id,
    ((source_outbox.payload ->> 'start'::text))::bigint AS range_start,
    ((source_outbox.payload ->> 'end'::text))::bigint AS range_end
   FROM trace.source_outbox
  WHERE ((source_outbox.relayed_at IS NULL) AND (source_outbox.kind = 'Invalidation'::text));

CREATE TABLE trace.write_fences (
    dataset_version_id uuid NOT NULL,
    writer text NOT NULL,
    epoch bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    "position" bigint,
    position_epoch bigint,
    final_value bigint
);

ALTER TABLE ONLY trace.empty_ranges
    ADD CONSTRAINT empty_ranges_pkey PRIMARY KEY (dataset_version_id, low);

ALTER TABLE ONLY trace.pii_access_log
    ADD CONSTRAINT pii_access_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trace.query_batches
    ADD CONSTRAINT query_batches_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trace.query_results
    ADD CONSTRAINT query_results_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trace.source_outbox
    ADD CONSTRAINT source_outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trace.source_outbox
    ADD CONSTRAINT source_outbox_seq_key UNIQUE (seq);

ALTER TABLE ONLY trace.write_fences
    ADD CONSTRAINT write_fences_pkey PRIMARY KEY (dataset_version_id, writer);

CREATE INDEX pii_access_log_accessed_at_idx ON trace.pii_access_log USING btree (accessed_at);

CREATE INDEX query_batches_ended_at_idx ON trace.query_batches USING btree (ended_at) WHERE (ended_at IS NOT NULL);

CREATE INDEX query_batches_open_idx ON trace.query_batches USING btree (org_id, created_at) WHERE (sql IS NOT NULL);

CREATE INDEX query_batches_user_idx ON trace.query_batches USING btree (org_id, user_id, started_at);

CREATE INDEX query_results_created_at_idx ON trace.query_results USING btree (created_at);

CREATE INDEX query_results_output_idx ON trace.query_results USING btree (output_location) WHERE (output_location IS NOT NULL);

CREATE INDEX source_outbox_due_idx ON trace.source_outbox USING btree (seq) WHERE (relayed_at IS NULL);

CREATE TRIGGER source_outbox_notify AFTER INSERT ON trace.source_outbox FOR EACH STATEMENT EXECUTE FUNCTION trace.notify_source();

GRANT USAGE ON SCHEMA hot TO trace_writer;
GRANT USAGE ON SCHEMA hot TO trace_query;

GRANT USAGE ON SCHEMA trace TO trace_writer;
GRANT USAGE ON SCHEMA trace TO trace_query;

GRANT SELECT,INSERT,DELETE ON TABLE trace.empty_ranges TO trace_writer;

GRANT INSERT ON TABLE trace.pii_access_log TO trace_query;

GRANT SELECT,INSERT ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(sql) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(state) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(attempt) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(runner) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(lease_until) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(not_before) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(cancel) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(error_status) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(error_code) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(error_detail) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(started_at) ON TABLE trace.query_batches TO trace_query;

GRANT UPDATE(ended_at) ON TABLE trace.query_batches TO trace_query;

GRANT SELECT,INSERT ON TABLE trace.query_results TO trace_query;

GRANT SELECT,INSERT,UPDATE ON TABLE trace.source_outbox TO trace_writer;

GRANT SELECT ON TABLE trace.unrelayed_invalidations TO trace_query;

GRANT SELECT,INSERT,UPDATE ON TABLE trace.write_fences TO trace_writer;

ALTER DEFAULT PRIVILEGES FOR ROLE trace IN SCHEMA hot GRANT SELECT,INSERT,DELETE,UPDATE ON TABLES  TO trace_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE trace IN SCHEMA hot GRANT SELECT ON TABLES  TO trace_query;
