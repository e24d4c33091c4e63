CREATE VIEW catalog.version_relations AS
WITH published AS (
    SELECT x.id AS dag_version_id, 'v' || x.number || '-' || left(x.spec_hash, 8) AS version,
           'v' || x.number AS number, coalesce(x.id = c.staged_version_id, false) AS staged,
           x.org_id, x.namespace, p.asset AS name, v.dataset_id, v.id AS dataset_version_id, v.storage, v.location,
           v.columns, v.scope_column, v.provisioned_at IS NOT NULL AS provisioned,
           coalesce(a.read_roles, '{}') AS read_roles
    FROM dag_versions x
    JOIN dag_current_versions c
      ON c.org_id = x.org_id AND c.namespace = x.namespace AND c.dag = x.dag AND c.deleted_at IS NULL
    JOIN dag_version_assets p ON p.dag_version_id = x.id
    JOIN dag_version_datasets d ON d.dag_version_id = x.id AND d.dataset_id = p.dataset_id
    JOIN dataset_versions v ON v.id = d.dataset_version_id
    LEFT JOIN assets a ON a.org_id = x.org_id AND a.namespace = x.namespace AND a.name = p.asset
    -- Rights are those of the name that publishes the dataset now: an old name must not open what another one
    -- closed. What nobody publishes yet is read under the name that the staged version gives it.
    WHERE EXISTS (
        SELECT FROM asset_publications now
        WHERE now.org_id = x.org_id AND now.namespace = x.namespace AND now.asset = p.asset
          AND now.dataset_id = p.dataset_id
    ) OR x.id = c.staged_version_id AND NOT EXISTS (
        SELECT FROM asset_publications now
        WHERE now.org_id = x.org_id AND now.namespace = x.namespace
          AND (now.asset = p.asset OR now.dataset_id = p.dataset_id)
    )
)
SELECT p.org_id, p.namespace, p.name, p.version, p.number, p.staged, p.storage, p.read_roles, p.dataset_id,
       p.dataset_version_id, p.location, p.columns, p.scope_column, p.provisioned,
       NULL::uuid AS hot_version_id, NULL::text AS hot_location, NULL::uuid AS cold_version_id,
       '{}'::text[] AS hot_read_roles, '{}'::text[] AS cold_read_roles
FROM published p
UNION ALL
SELECT a.org_id, a.namespace, a.name, h.version, h.number, h.staged, a.storage, a.read_roles, h.dataset_id,
       h.dataset_version_id, h.location, h.columns, a.federation ->> 'column', h.provisioned AND c.provisioned,
       h.dataset_version_id, h.location, c.dataset_version_id, h.read_roles, c.read_roles
FROM assets a
JOIN published h ON h.org_id = a.org_id AND h.namespace = a.namespace AND h.name = a.federation ->> 'hot'
JOIN published c ON c.dag_version_id = h.dag_version_id AND c.name = a.federation ->> 'cold'
WHERE a.storage = 'Federated' AND a.deleted_at IS NULL;

GRANT SELECT ON catalog.version_relations TO trace_query;
