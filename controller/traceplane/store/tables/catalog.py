"""What a reader may know of state: nine read-only views in schema `catalog`, four questions, and the id function.

The query service reads the catalog under a role that can see nothing else. So a view here is a contract: it
says which relations a name means now, which files and ranges they have, and which roles a principal holds,
without showing tasks, leases or specs. Which rows a task that asks may read, if it still runs, is a question
(`claim_filters`) and what it calls them (`claim_assets`), and so is what it may read, where its token is too small
to say (`claim_versions`). `holds_lease` is for query services of the release before, which run on while this one
takes their place.

`versions`, `partition_history` and `invalidations` are for readers of what is not current: a query repeated as of
an earlier one, or a task whose inputs were pinned when it was made.

`relations` lists published assets of active DAG versions under their own names, and Federated assets with their
hot and cold halves resolved. A half that is not published leaves its columns null; the reader says so.
`version_relations` has the same of every version of a living DAG that still holds them, the staged one too.
`descriptions` has what their owners say of them.

Roles fail closed. A reader of a Federated asset needs a role of each of the three lists: its own, its hot half's
and its cold half's. And a published name keeps the roles of an Asset that was deleted, until one is declared again:
deleting a policy must not open the data.
"""

from __future__ import annotations

from traceplane.store.tables.columns import around, state
from traceplane.store.tables.hot import ROLES

UUID7 = """
CREATE FUNCTION trace_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6
        ), 52, 1), 53, 1), 'hex')::uuid
$$
"""
"""RFC 9562 UUIDv7: a random UUIDv4 whose first 48 bits become milliseconds and whose version bits become 7."""

VIEWS = (
    "CREATE SCHEMA catalog",
    """
CREATE VIEW catalog.relations AS
WITH published AS (
    SELECT p.org_id, p.namespace, p.asset AS name, p.dag, p.dataset_id, v.id AS dataset_version_id, v.storage,
           v.location, v.columns, v.scope_column, v.provisioned_at IS NOT NULL AS provisioned,
           coalesce(a.read_roles, '{}') AS read_roles
    FROM asset_publications p
    JOIN dag_current_versions c
      ON c.org_id = p.org_id AND c.namespace = p.namespace AND c.dag = p.dag AND c.deleted_at IS NULL
    JOIN dag_version_datasets d ON d.dag_version_id = c.active_version_id AND d.dataset_id = p.dataset_id
    JOIN dataset_versions v ON v.id = d.dataset_version_id
    LEFT JOIN assets a ON a.org_id = p.org_id AND a.namespace = p.namespace AND a.name = p.asset
)
SELECT p.org_id, p.namespace, p.name, p.storage, p.read_roles,
       NULL::jsonb AS federation, p.dataset_id, p.dataset_version_id, p.location, p.columns, p.scope_column,
       p.provisioned,
       NULL::text AS hot_name, NULL::uuid AS hot_version_id, NULL::text AS hot_location,
       NULL::text AS cold_name, NULL::uuid AS cold_version_id, NULL::text AS cold_location,
       '{}'::text[] AS hot_read_roles, '{}'::text[] AS cold_read_roles
FROM published p
UNION ALL
SELECT a.org_id, a.namespace, a.name, a.storage, a.read_roles,
       a.federation, h.dataset_id, h.dataset_version_id, h.location, h.columns, a.federation ->> 'column',
       coalesce(h.provisioned AND c.provisioned, false),
       a.federation ->> 'hot', h.dataset_version_id, h.location,
       a.federation ->> 'cold', c.dataset_version_id, c.location,
       coalesce(h.read_roles, '{}'), coalesce(c.read_roles, '{}')
FROM assets a
LEFT JOIN published h
  ON h.org_id = a.org_id AND h.namespace = a.namespace AND h.name = a.federation ->> 'hot'
LEFT JOIN published c
  ON c.org_id = a.org_id AND c.namespace = a.namespace AND c.name = a.federation ->> 'cold'
WHERE a.storage = 'Federated' AND a.deleted_at IS NULL
""",
    """
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
WHERE a.storage = 'Federated' AND a.deleted_at IS NULL
""",
    """
CREATE VIEW catalog.descriptions AS
SELECT org_id, namespace, name, description FROM assets WHERE deleted_at IS NULL
""",
    """
CREATE VIEW catalog.partitions AS
SELECT org_id, dataset_id, dataset_version_id, partition_key, range_start, range_end, location, files, rows,
       bytes, manifest_sha256, committed_at
FROM partition_versions
WHERE superseded_at IS NULL
""",
    """
CREATE VIEW catalog.relocations AS
SELECT org_id, hot_version_id, cold_version_id, ranges FROM relocations
""",
    """
CREATE VIEW catalog.versions AS
SELECT d.org_id, d.namespace, d.dag, d.job, d.output, p.asset, d.id AS dataset_id, v.id AS dataset_version_id,
       v.storage, v.location, v.columns, v.scope_column, v.provisioned_at IS NOT NULL AS provisioned
FROM datasets d
JOIN dataset_versions v ON v.dataset_id = d.id AND v.purged_at IS NULL
LEFT JOIN asset_publications p ON p.dataset_id = d.id
""",
    """
CREATE VIEW catalog.partition_history AS
SELECT org_id, dataset_id, dataset_version_id, range_start, range_end, location, files, id, superseded_at,
       committed_xid, superseded_xid
FROM partition_versions
""",
    """
CREATE VIEW catalog.invalidations AS
SELECT org_id, dataset_version_id, sequence, range_start, range_end, reason
FROM data_invalidations
""",
    """
CREATE VIEW catalog.principals AS
SELECT u.issuer, u.external_id, u.id AS user_id, u.org_id,
       coalesce(array_agg(r.name ORDER BY r.name) FILTER (WHERE r.name IS NOT NULL), '{}') AS roles
FROM users u
LEFT JOIN org_role_memberships m ON m.user_id = u.id
LEFT JOIN org_roles r ON r.id = m.role_id AND r.org_id = u.org_id
GROUP BY u.id
""",
)

HOLDS_LEASE = """
CREATE FUNCTION catalog.holds_lease(org UUID, task UUID, its_attempt INTEGER, token UUID, claim UUID)
    RETURNS BOOLEAN LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.tasks t
        WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
              AND t.claim_id = claim AND t.status = 'Running'
    )
$$
"""
"""Whether an attempt runs. A function and no view: who may ask about a lease cannot list those of others."""

CLAIM_VERSIONS = """
CREATE FUNCTION catalog.claim_versions(org UUID, task UUID, its_attempt INTEGER, token UUID, claim UUID)
    RETURNS UUID[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(
        SELECT i.dataset_version_id FROM public.job_inputs i WHERE i.job_id = t.job_id
        UNION
        SELECT v.id FROM public.dataset_versions v WHERE v.job_id = t.job_id
    )
    FROM public.tasks t
    WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
          AND t.claim_id = claim AND t.status = 'Running'
$$
"""
"""What the job generation of an attempt that runs reads and writes; null unless it runs. Both never change, so
they are what they were at the claim."""

CLAIM_FILTERS = """
CREATE FUNCTION catalog.claim_filters(org UUID, task UUID, its_attempt INTEGER, token UUID, claim UUID)
    RETURNS JSONB LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((
        SELECT jsonb_object_agg(i.dataset_version_id, j.definition -> 'where' -> i.position::text)
        FROM public.job_inputs i
        WHERE i.job_id = j.id AND j.definition -> 'where' ? i.position::text
    ), '{}')
    FROM public.tasks t
    JOIN public.jobs j ON j.id = t.job_id
    WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
          AND t.claim_id = claim AND t.status = 'Running'
$$
"""
"""The `where` of each input of an attempt that runs, by dataset version, where it has one; null unless it runs."""

CLAIM_ASSETS = """
CREATE FUNCTION catalog.claim_assets(org UUID, task UUID, its_attempt INTEGER, token UUID, claim UUID)
    RETURNS JSONB LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((
        SELECT jsonb_object_agg(
            i.dataset_version_id, split_part(j.definition -> 'assets' -> i.position::text ->> 0, '/', -1))
        FROM public.job_inputs i
        WHERE i.job_id = j.id AND j.definition -> 'assets' ? i.position::text
    ), '{}')
    FROM public.tasks t
    JOIN public.jobs j ON j.id = t.job_id
    WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
          AND t.claim_id = claim AND t.status = 'Running'
$$
"""
"""The assets of other DAGs among the inputs of an attempt that runs, by dataset version; null unless it runs. A
statement names them as they were called when its job was made and not as they may be called by now."""

GRANTS = (
    "REVOKE ALL ON FUNCTION catalog.holds_lease(UUID, UUID, INTEGER, UUID, UUID) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION catalog.holds_lease(UUID, UUID, INTEGER, UUID, UUID) TO trace_query",
    "REVOKE ALL ON FUNCTION catalog.claim_versions(UUID, UUID, INTEGER, UUID, UUID) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION catalog.claim_versions(UUID, UUID, INTEGER, UUID, UUID) TO trace_query",
    "REVOKE ALL ON FUNCTION catalog.claim_filters(UUID, UUID, INTEGER, UUID, UUID) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION catalog.claim_filters(UUID, UUID, INTEGER, UUID, UUID) TO trace_query",
    "REVOKE ALL ON FUNCTION catalog.claim_assets(UUID, UUID, INTEGER, UUID, UUID) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION catalog.claim_assets(UUID, UUID, INTEGER, UUID, UUID) TO trace_query",
    "GRANT USAGE ON SCHEMA catalog TO trace_query",
    "GRANT SELECT ON ALL TABLES IN SCHEMA catalog TO trace_query",
)

around(state, "before_create", ROLES, UUID7)
around(state, "after_create", *VIEWS, HOLDS_LEASE, CLAIM_VERSIONS, CLAIM_FILTERS, CLAIM_ASSETS, *GRANTS)
