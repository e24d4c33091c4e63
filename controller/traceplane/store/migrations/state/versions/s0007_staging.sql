ALTER TABLE dag_versions
    ADD COLUMN number INTEGER,
    ADD COLUMN activated_at TIMESTAMP WITH TIME ZONE;

UPDATE dag_versions v
SET activated_at = v.created_at, number = n.number
FROM (SELECT id, row_number() OVER (PARTITION BY org_id, namespace, dag ORDER BY id) AS number FROM dag_versions) n
WHERE n.id = v.id;

ALTER TABLE dag_versions
    ALTER COLUMN number SET NOT NULL,
    ADD CONSTRAINT dag_versions_org_id_namespace_dag_number_key UNIQUE (org_id, namespace, dag, number);

ALTER TABLE dag_current_versions
    ADD COLUMN staged_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN ready_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN approved_version_id UUID,
    ADD CONSTRAINT dag_current_versions_approved_version_id_fkey
        FOREIGN KEY(approved_version_id) REFERENCES dag_versions (id);

ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check
        CHECK (kind IN ('provision_hot_table', 'delete_hot_rows', 'drop_hot_table', 'delete_prefix'));

ALTER TABLE dag_version_jobs ADD COLUMN definition JSONB DEFAULT '{}' NOT NULL;
UPDATE dag_version_jobs m SET definition = j.definition FROM jobs j WHERE j.id = m.job_id;

ALTER TABLE dag_version_datasets ADD COLUMN marks JSONB DEFAULT '{}' NOT NULL;
UPDATE dag_version_datasets m
SET marks = jsonb_build_object(
    'columns', v.columns, 'finality_depth', v.finality_depth, 'first_value', v.first_value, 'sparse', v.sparse,
    'unverified', v.unverified)
FROM dataset_versions v WHERE v.id = m.dataset_version_id;
