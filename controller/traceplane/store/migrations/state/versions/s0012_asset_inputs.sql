ALTER TABLE dag_versions ADD COLUMN written_hash TEXT;

CREATE INDEX job_inputs_dataset_version_id_idx ON job_inputs (dataset_version_id);

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
$$;

REVOKE ALL ON FUNCTION catalog.claim_assets(UUID, UUID, INTEGER, UUID, UUID) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION catalog.claim_assets(UUID, UUID, INTEGER, UUID, UUID) TO trace_query;
