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

CREATE SCHEMA IF NOT EXISTS trace;

CREATE SCHEMA IF NOT EXISTS hot;

CREATE TABLE trace.write_fences (
    dataset_version_id UUID NOT NULL,
    writer TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT write_fences_pkey PRIMARY KEY (dataset_version_id, writer)
);

CREATE TABLE trace.source_outbox (
    id UUID NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    org_id UUID NOT NULL,
    dataset_version_id UUID NOT NULL,
    kind TEXT NOT NULL,
    payload JSONB NOT NULL,
    task_id UUID NOT NULL,
    attempt INTEGER NOT NULL,
    lease_epoch BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    relayed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT source_outbox_pkey PRIMARY KEY (id),
    CONSTRAINT source_outbox_kind_check CHECK (kind IN ('Event', 'Invalidation')),
    CONSTRAINT source_outbox_attempt_check CHECK (attempt >= 1),
    CONSTRAINT source_outbox_seq_key UNIQUE (seq)
);

CREATE INDEX source_outbox_due_idx ON trace.source_outbox (seq) WHERE relayed_at IS NULL;

CREATE FUNCTION trace.notify_source() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('trace_source', '');
    RETURN NULL;
END $$;

CREATE TRIGGER source_outbox_notify AFTER INSERT ON trace.source_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION trace.notify_source();

GRANT USAGE ON SCHEMA trace, hot TO trace_writer;

GRANT USAGE ON SCHEMA hot TO trace_query;

GRANT SELECT, INSERT, UPDATE ON trace.write_fences, trace.source_outbox TO trace_writer;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hot TO trace_writer;

GRANT SELECT ON ALL TABLES IN SCHEMA hot TO trace_query;

ALTER DEFAULT PRIVILEGES IN SCHEMA hot GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO trace_writer;

ALTER DEFAULT PRIVILEGES IN SCHEMA hot GRANT SELECT ON TABLES TO trace_query;
