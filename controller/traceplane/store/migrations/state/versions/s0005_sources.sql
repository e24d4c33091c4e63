ALTER TABLE dataset_versions
    ADD COLUMN sparse BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN unverified TEXT[] DEFAULT '{}' NOT NULL;

CREATE TABLE dataset_finality (
    dataset_version_id UUID NOT NULL,
    org_id UUID NOT NULL,
    final_value BIGINT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT dataset_finality_pkey PRIMARY KEY (dataset_version_id),
    CONSTRAINT dataset_finality_dataset_version_id_fkey FOREIGN KEY(dataset_version_id) REFERENCES dataset_versions (id),
    CONSTRAINT dataset_finality_org_id_fkey FOREIGN KEY(org_id) REFERENCES orgs (id)
);

ALTER TABLE tasks ADD COLUMN report JSONB;
