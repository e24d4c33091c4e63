"""Assets on a real API server: projections and those of users, and whose policy holds from when on."""

from __future__ import annotations

import pytest

from tests.apiserver.reconcile.world import World

pytestmark = pytest.mark.apiserver


def test_a_user_s_asset_wins_over_the_projection(world: World) -> None:
    world.led()
    mine = {"apiVersion": "trace.dev/v1alpha1", "kind": "Asset", "metadata": {"name": "hot-blocks"}}
    world.apply(mine | {"spec": {"storage": "Postgres", "readRoles": ["finance"]}})
    world.running_chain()
    asset = world.until(
        lambda: world.holds("assets", "hot-blocks", "Ready") and world.get("assets", "hot-blocks"), "ready"
    )
    assert "ownerReferences" not in asset["metadata"]
    assert asset["spec"]["readRoles"] == ["finance"]
    assert world.sql("SELECT read_roles FROM assets WHERE name = 'hot-blocks'") == [{"read_roles": ["finance"]}]
    world.delete("assets", "hot-blocks")
    again = world.until(lambda: world.get("assets", "hot-blocks"), "the projection takes its place")
    assert again["metadata"]["ownerReferences"][0]["kind"] == "DAG"
    world.until(
        lambda: "only finance may read" in world.condition("assets", "hot-blocks", "Ready").get("message", ""),
        "the projection says which roles hold",
    )
    roles = "SELECT read_roles FROM catalog.relations WHERE name = 'hot-blocks'"
    assert world.sql(roles) == [{"read_roles": ["finance"]}]
    world.delete("assets", "hot-blocks")
    world.until(lambda: (a := world.get("assets", "hot-blocks")) and a != again, "it comes again")
    assert world.sql(roles) == [{"read_roles": ["finance"]}]
    world.patch("assets", "hot-blocks", {"spec": {"description": "For everybody."}})
    world.until(lambda: world.sql(roles) == [{"read_roles": []}], "an Asset that a user applies opens it")


def test_an_asset_lists_what_was_not_checked_and_a_federated_one_that_of_both_halves(world: World) -> None:
    world.led()
    world.running_chain()
    world.apply(world.federated())
    for storage, rules in (("Postgres", ["gas sum", "bloom"]), ("S3", ["gas sum", "types"])):
        world.sql("UPDATE dataset_versions SET unverified = %s WHERE storage = %s", rules, storage)

    def listed(asset: str, rules: list[str]) -> bool:
        found = world.get("assets", asset) or {}
        return (found.get("status") or {}).get("unverified") == rules

    world.until(lambda: listed("hot-blocks", ["bloom", "gas sum"]), "the asset lists them")
    world.until(lambda: listed("blocks", ["bloom", "gas sum", "types"]), "so does the federated one")
    world.sql("UPDATE dataset_versions SET unverified = '{}'")
    world.until(lambda: "unverified" not in (world.get("assets", "hot-blocks") or {})["status"], "all is checked")


def test_an_asset_that_is_wrong_elsewhere_closes_its_data_and_opens_nothing(world: World) -> None:
    world.led()
    world.running_chain()
    world.apply(world.federated())
    world.until(lambda: world.holds("assets", "blocks", "Ready"), "the federated asset is ready")
    stored = "SELECT read_roles, federation ->> 'cold' AS cold FROM assets WHERE name = 'blocks'"
    assert world.sql(stored) == [{"read_roles": [], "cold": "cold-blocks"}]
    for roles in (["finance"], []):
        wrong = {"readRoles": roles, "federation": {"cold": "nobody"}}
        generation = world.patch("assets", "blocks", {"spec": wrong})["metadata"]["generation"]
        world.until(
            lambda: (a := world.get("assets", "blocks")) and a["status"]["observedGeneration"] == generation,  # noqa: B023
            "the change is seen",
        )
        assert world.holds("assets", "blocks", "Ready", "False", "Invalid")
        assert world.sql(stored) == [{"read_roles": ["finance"], "cold": "cold-blocks"}]


def test_a_declared_policy_is_in_force_when_its_name_is_published(world: World) -> None:
    world.led()
    mine = {"apiVersion": "trace.dev/v1alpha1", "kind": "Asset", "metadata": {"name": "hot-blocks"}}
    world.apply(mine | {"spec": {"readRoles": ["finance"]}})
    world.until(lambda: world.holds("assets", "hot-blocks", "Ready", "False", "NotPublished"), "it is seen")
    assert world.sql("SELECT name FROM assets") == [], "its storage is not known yet"
    world.sql("CREATE TABLE seen (name text, read_roles text[])")
    world.sql(
        """CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO seen SELECT name, read_roles FROM catalog.relations WHERE name = 'hot-blocks';
             RETURN NULL; END $$"""
    )
    # Looks at the very end of the transaction that publishes: what commits is what is seen first.
    world.sql(
        """CREATE CONSTRAINT TRIGGER look AFTER INSERT ON asset_publications DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION look()"""
    )
    world.running_chain()
    assert world.sql("SELECT DISTINCT read_roles FROM seen") == [{"read_roles": ["finance"]}]


def test_a_projected_asset_becomes_the_user_s_who_applies_it(world: World) -> None:
    world.led()
    world.running_chain()
    world.until(lambda: world.get("assets", "hot-logs"), "the projection")
    world.patch("assets", "hot-logs", {"spec": {"readRoles": ["finance"]}})
    asset = world.until(
        lambda: (a := world.get("assets", "hot-logs")) and not a["metadata"].get("ownerReferences") and a,
        "it is his",
    )
    assert asset["spec"]["readRoles"] == ["finance"]
    world.until(
        lambda: world.sql("SELECT 1 AS n FROM assets WHERE name = 'hot-logs' AND read_roles = '{finance}'"),
        "his policy holds",
    )


def test_two_producers_of_one_asset_are_refused(world: World) -> None:
    world.led()
    world.running_chain()
    other = world.chain()
    other["metadata"]["name"] = "other"
    world.apply(other)
    world.until(lambda: world.holds("dags", "other", "Valid", "False"), "the second producer is refused")
    assert "hot-blocks" in world.condition("dags", "other", "Valid")["message"]
    assert world.holds("dags", "chain", "Ready")


def test_an_external_asset_says_what_it_waits_for_and_why_it_may_not(world: World) -> None:
    world.led()
    asset = {"apiVersion": "trace.dev/v1alpha1", "kind": "Asset", "metadata": {"name": "prices"}}
    world.apply(asset | {"spec": {"external": {"uri": "s3://elsewhere/prices/"}}})
    world.until(lambda: world.holds("assets", "prices", "Ready", "False", "Invalid"), "the bucket is refused")
    assert "bucket elsewhere may not be read here" in world.condition("assets", "prices", "Ready")["message"]
    assert world.sql("SELECT name FROM assets") == []

    source = {"table": "reference.prices", "schedule": "15 0 * * *"}
    world.patch("assets", "prices", {"spec": {"external": source | {"uri": None}}})
    world.until(lambda: world.holds("assets", "prices", "Ready", "False", "NotRefreshed"), "it may be refreshed")
    assert "tracectl asset refresh prices" in world.condition("assets", "prices", "Ready")["message"]
    stored = world.sql("SELECT storage, policy -> 'external' AS external FROM assets")
    assert stored == [{"storage": "S3", "external": source | {"uri": None, "timeZone": None, "columns": None}}]

    world.sql(
        "INSERT INTO dag_versions (org_id, namespace, dag, spec_hash, spec, number)"
        " SELECT org_id, namespace, name || '.external', 'none', '{}', 0 FROM assets"
    )
    world.sql(
        "INSERT INTO dag_current_versions (org_id, namespace, dag, active_version_id, resource_uid,"
        " resource_generation) SELECT v.org_id, v.namespace, v.dag, v.id, 'uid', 1 FROM dag_versions v"
    )
    world.sql(
        "INSERT INTO jobs (org_id, namespace, dag, name, config_hash, operator, activation, execution_strategy,"
        " update_strategy, definition) SELECT org_id, namespace, dag, 'refresh', 'none', 'external', 'Reactive',"
        " 'PerPartition', 'Replace', '{}' FROM dag_versions"
    )
    world.sql(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, status, scope, finished_at, error)"
        " SELECT org_id, namespace, id, 'refresh', 'Manual', 'Failed', '{}', now(),"
        ' \'{"code": "BadValue", "message": "row 7 is wrong"}\' FROM jobs'
    )
    world.until(
        lambda: world.holds("assets", "prices", "Fresh", "False", "RefreshFailed"), "why it failed is shown"
    )
    assert world.condition("assets", "prices", "Fresh")["message"] == "BadValue: row 7 is wrong"
    assert "row 7 is wrong" in world.condition("assets", "prices", "Ready")["message"]

    world.delete("assets", "prices")
    gone = "SELECT deleted_at IS NOT NULL AS gone FROM dag_current_versions"
    world.until(lambda: world.sql(gone) == [{"gone": True}], "it is out of service with its Asset")
