ALTER TABLE dag_versions
    ADD COLUMN left_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN purged_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE jobs ADD COLUMN purged_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE dataset_versions ADD COLUMN purged_at TIMESTAMP WITH TIME ZONE;

-- When another version took over; one that never was active begins to count now.
UPDATE dag_versions v
SET left_at = coalesce((
    SELECT min(n.activated_at) FROM dag_versions n
    WHERE (n.org_id, n.namespace, n.dag) = (v.org_id, v.namespace, v.dag) AND n.activated_at > v.activated_at), now())
WHERE NOT EXISTS (
    SELECT FROM dag_current_versions c WHERE v.id IN (c.active_version_id, c.staged_version_id));

-- Views of the data database follow the pointers.
ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check
        CHECK (kind IN ('provision_hot_table', 'delete_hot_rows', 'drop_hot_table', 'delete_prefix', 'move_views'));

CREATE INDEX jobs_purged_at_idx ON jobs (purged_at) WHERE purged_at IS NOT NULL;
CREATE INDEX partition_versions_dataset_version_id_idx ON partition_versions (dataset_version_id);

CREATE OR REPLACE VIEW catalog.versions AS
SELECT d.org_id, d.namespace, d.dag, d.job, d.output, p.asset, d.id AS dataset_id, v.id AS dataset_version_id,
       v.storage, v.location, v.columns, v.scope_column, v.provisioned_at IS NOT NULL AS provisioned
FROM datasets d
JOIN dataset_versions v ON v.dataset_id = d.id AND v.purged_at IS NULL
LEFT JOIN asset_publications p ON p.dataset_id = d.id;
