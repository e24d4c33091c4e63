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
    ADD COLUMN approved_version_id UUID,
    ADD CONSTRAINT dag_current_versions_approved_version_id_fkey
        FOREIGN KEY(approved_version_id) REFERENCES dag_versions (id);

ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check
        CHECK (kind IN ('provision_hot_table', 'delete_hot_rows', 'drop_hot_table', 'delete_prefix'));
