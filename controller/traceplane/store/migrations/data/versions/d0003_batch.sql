CREATE TABLE trace.query_batches (
    id UUID NOT NULL,
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    sql TEXT,
    sql_sha256 TEXT NOT NULL,
    namespace TEXT NOT NULL,
    overflow TEXT NOT NULL,
    as_of TEXT,
    seconds FLOAT NOT NULL,
    state TEXT DEFAULT 'Queued' NOT NULL,
    attempt INTEGER DEFAULT '0' NOT NULL,
    runner UUID,
    lease_until TIMESTAMP WITH TIME ZONE,
    not_before TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    cancel BOOLEAN DEFAULT false NOT NULL,
    error_status INTEGER,
    error_code TEXT,
    error_detail TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT query_batches_pkey PRIMARY KEY (id),
    CONSTRAINT query_batches_state_check CHECK (state IN ('Queued', 'Running', 'Succeeded', 'Failed', 'Canceled')),
    CONSTRAINT query_batches_overflow_check CHECK (overflow IN ('export', 'truncate')),
    CONSTRAINT query_batches_sql_sha256_check CHECK (sql_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT query_batches_sql_check CHECK ((state IN ('Queued', 'Running')) = (sql IS NOT NULL)),
    CONSTRAINT query_batches_ended_at_check CHECK ((state IN ('Queued', 'Running')) = (ended_at IS NULL)),
    CONSTRAINT query_batches_lease_check CHECK ((state = 'Running') = (runner IS NOT NULL) AND (runner IS NULL) = (lease_until IS NULL)),
    CONSTRAINT query_batches_error_check CHECK ((state = 'Failed') = (num_nonnulls(error_status, error_code, error_detail) = 3) AND num_nonnulls(error_status, error_code, error_detail) IN (0, 3))
);

CREATE INDEX query_batches_ended_at_idx ON trace.query_batches (ended_at) WHERE ended_at IS NOT NULL;

CREATE INDEX query_batches_open_idx ON trace.query_batches (org_id, created_at) WHERE sql IS NOT NULL;

CREATE INDEX query_batches_user_idx ON trace.query_batches (org_id, user_id, started_at);

GRANT SELECT, INSERT ON trace.query_batches TO trace_query;

GRANT UPDATE (sql, state, attempt, runner, lease_until, not_before, cancel, error_status, error_code, error_detail, started_at, ended_at) ON trace.query_batches TO trace_query;
