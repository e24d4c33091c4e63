CREATE FUNCTION catalog.holds_lease(org UUID, task UUID, its_attempt INTEGER, token UUID, claim UUID)
    RETURNS BOOLEAN LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.tasks t
        WHERE t.id = task AND t.org_id = org AND t.attempt = its_attempt AND t.lease_token = token
              AND t.claim_id = claim AND t.status = 'Running'
    )
$$;

REVOKE ALL ON FUNCTION catalog.holds_lease(UUID, UUID, INTEGER, UUID, UUID) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION catalog.holds_lease(UUID, UUID, INTEGER, UUID, UUID) TO trace_query;
