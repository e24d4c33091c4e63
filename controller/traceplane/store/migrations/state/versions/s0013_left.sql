ALTER TABLE jobs ADD COLUMN left_at TIMESTAMP WITH TIME ZONE;

CREATE INDEX tasks_canceled_idx ON tasks (job_id) WHERE status = 'Canceled';
