CREATE SCHEMA hot;

CREATE SCHEMA trace;

CREATE FUNCTION trace.notify_source() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_notify('trace_source', '');
    RETURN NULL;
END $$;

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

CREATE TABLE trace.write_fences (
    dataset_version_id uuid NOT NULL,
    writer text NOT NULL,
    epoch bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY trace.source_outbox
    ADD CONSTRAINT source_outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY trace.source_outbox
    ADD CONSTRAINT source_outbox_seq_key UNIQUE (seq);

ALTER TABLE ONLY trace.write_fences
    ADD CONSTRAINT write_fences_pkey PRIMARY KEY (dataset_version_id, writer);

CREATE INDEX source_outbox_due_idx ON trace.source_outbox USING btree (seq) WHERE (relayed_at IS NULL);

CREATE TRIGGER source_outbox_notify AFTER INSERT ON trace.source_outbox FOR EACH STATEMENT EXECUTE FUNCTION trace.notify_source();

GRANT USAGE ON SCHEMA hot TO trace_writer;
GRANT USAGE ON SCHEMA hot TO trace_query;

GRANT USAGE ON SCHEMA trace TO trace_writer;

GRANT SELECT,INSERT,UPDATE ON TABLE trace.source_outbox TO trace_writer;

GRANT SELECT,INSERT,UPDATE ON TABLE trace.write_fences TO trace_writer;

ALTER DEFAULT PRIVILEGES FOR ROLE trace IN SCHEMA hot GRANT SELECT,INSERT,DELETE,UPDATE ON TABLES  TO trace_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE trace IN SCHEMA hot GRANT SELECT ON TABLES  TO trace_query;
