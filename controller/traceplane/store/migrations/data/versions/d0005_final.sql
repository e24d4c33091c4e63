ALTER TABLE trace.write_fences ADD COLUMN final_value BIGINT;
