CREATE TABLE relay_progress (
    id BOOLEAN DEFAULT true NOT NULL,
    caught_up_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT relay_progress_pkey PRIMARY KEY (id),
    CONSTRAINT relay_progress_one_check CHECK (id)
);
