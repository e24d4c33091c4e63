ALTER TABLE dag_versions ADD COLUMN written_hash TEXT;

CREATE INDEX job_inputs_dataset_version_id_idx ON job_inputs (dataset_version_id);
