CREATE TABLE trace.query_results (
    id UUID NOT NULL,
    org_id UUID NOT NULL,
    user_id UUID,
    task_id UUID,
    attempt INTEGER,
    sql_sha256 TEXT NOT NULL,
    format TEXT NOT NULL,
    rows BIGINT NOT NULL,
    truncated BOOLEAN NOT NULL,
    bytes BIGINT NOT NULL,
    bytes_scanned BIGINT NOT NULL,
    duration_ms FLOAT NOT NULL,
    columns JSONB NOT NULL,
    versions JSONB NOT NULL,
    as_of TEXT,
    output_location TEXT,
    output_sha256 TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT query_results_pkey PRIMARY KEY (id),
    CONSTRAINT query_results_principal_check CHECK (num_nonnulls(user_id, task_id) = 1),
    CONSTRAINT query_results_attempt_check CHECK ((task_id IS NULL) = (attempt IS NULL)),
    CONSTRAINT query_results_format_check CHECK (format IN ('json', 'csv', 'arrow', 'parquet')),
    CONSTRAINT query_results_sql_sha256_check CHECK (sql_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT query_results_output_check CHECK ((output_location IS NULL) = (output_sha256 IS NULL))
);

CREATE INDEX query_results_created_at_idx ON trace.query_results (created_at);

CREATE INDEX query_results_output_idx ON trace.query_results (output_location) WHERE output_location IS NOT NULL;

CREATE TABLE trace.pii_access_log (
    id UUID NOT NULL,
    org_id UUID NOT NULL,
    user_id UUID,
    task_id UUID,
    attempt INTEGER,
    query_id UUID NOT NULL,
    sql_sha256 TEXT NOT NULL,
    namespace TEXT NOT NULL,
    relation TEXT NOT NULL,
    dataset_version_ids UUID[] NOT NULL,
    pii_columns TEXT[] NOT NULL,
    accessed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pii_access_log_pkey PRIMARY KEY (id),
    CONSTRAINT pii_access_log_principal_check CHECK (num_nonnulls(user_id, task_id) = 1),
    CONSTRAINT pii_access_log_attempt_check CHECK ((task_id IS NULL) = (attempt IS NULL)),
    CONSTRAINT pii_access_log_sql_sha256_check CHECK (sql_sha256 ~ '^[0-9a-f]{64}$')
);

CREATE INDEX pii_access_log_accessed_at_idx ON trace.pii_access_log (accessed_at);

CREATE VIEW trace.unrelayed_invalidations AS
SELECT org_id, dataset_version_id, (payload ->> 'start')::bigint AS range_start,
       (payload ->> 'end')::bigint AS range_end
FROM trace.source_outbox
WHERE relayed_at IS NULL AND kind = 'Invalidation';

GRANT USAGE ON SCHEMA trace TO trace_query;

GRANT SELECT, INSERT ON trace.query_results TO trace_query;

GRANT INSERT ON trace.pii_access_log TO trace_query;

GRANT SELECT ON trace.unrelayed_invalidations TO trace_query;
