CREATE INDEX task_attempts_finished_idx ON task_attempts (finished_at);

CREATE TABLE run_event_positions (
    org_id UUID NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
    task_id UUID NOT NULL,
    attempt INTEGER NOT NULL,
    announced_at TIMESTAMP WITH TIME ZONE NOT NULL,
    holder UUID NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT run_event_positions_pkey PRIMARY KEY (org_id),
    CONSTRAINT run_event_positions_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);
