ALTER TABLE trace.write_fences ADD COLUMN position BIGINT;
ALTER TABLE trace.write_fences ADD COLUMN position_epoch BIGINT;

CREATE TABLE trace.empty_ranges (
    dataset_version_id UUID NOT NULL,
    low BIGINT NOT NULL,
    high BIGINT NOT NULL,
    CONSTRAINT empty_ranges_pkey PRIMARY KEY (dataset_version_id, low),
    CONSTRAINT empty_ranges_range_check CHECK (low <= high)
);

GRANT SELECT, INSERT, DELETE ON trace.empty_ranges TO trace_writer;
