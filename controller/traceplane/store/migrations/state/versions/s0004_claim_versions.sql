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
$$;

REVOKE ALL ON FUNCTION catalog.claim_versions(UUID, UUID, INTEGER, UUID, UUID) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION catalog.claim_versions(UUID, UUID, INTEGER, UUID, UUID) TO trace_query;
