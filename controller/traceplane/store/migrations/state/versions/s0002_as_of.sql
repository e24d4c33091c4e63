ALTER TABLE partition_versions
    ADD COLUMN committed_xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    ADD COLUMN superseded_xid xid8;

UPDATE partition_versions SET superseded_xid = pg_current_xact_id() WHERE superseded_at IS NOT NULL;

CREATE VIEW catalog.versions AS
SELECT d.org_id, d.namespace, d.dag, d.job, d.output, p.asset, d.id AS dataset_id, v.id AS dataset_version_id,
       v.storage, v.location, v.columns, v.scope_column, v.provisioned_at IS NOT NULL AS provisioned
FROM datasets d
JOIN dataset_versions v ON v.dataset_id = d.id
LEFT JOIN asset_publications p ON p.dataset_id = d.id;

CREATE VIEW catalog.partition_history AS
SELECT org_id, dataset_id, dataset_version_id, range_start, range_end, location, files, id, superseded_at,
       committed_xid, superseded_xid
FROM partition_versions;

CREATE VIEW catalog.invalidations AS
SELECT org_id, dataset_version_id, sequence, range_start, range_end, reason
FROM data_invalidations;

GRANT SELECT ON catalog.versions, catalog.partition_history, catalog.invalidations TO trace_query;
