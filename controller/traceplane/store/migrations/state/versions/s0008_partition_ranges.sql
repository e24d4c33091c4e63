CREATE INDEX partition_versions_range_idx ON partition_versions USING gist (int8range(range_start, range_end, '[]'))
WHERE superseded_at IS NULL AND range_start IS NOT NULL;
