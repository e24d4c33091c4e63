CREATE VIEW catalog.descriptions AS
SELECT org_id, namespace, name, description
FROM assets
WHERE deleted_at IS NULL;

GRANT SELECT ON catalog.descriptions TO trace_query;
