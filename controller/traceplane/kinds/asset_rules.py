"""Rules between the fields of an asset. The model itself is in `asset`; these read it by attribute."""

from __future__ import annotations

import re

from traceplane.kinds.rules import FORBIDDEN, NOT_SUPPORTED, REQUIRED, Rule, not_supported

OWN_SCHEMAS = "^(hot|trace|catalog|information_schema|pg_[a-z0-9_]*)[.]"
"""Of the data database: what an external asset may not publish."""

CHECK_KINDS = {
    "notNull": "not_null",
    "unique": "unique",
    "range": "range",
    "rowCount": "row_count",
    "continuity": "continuity",
    "roots": "roots",
    "sql": "sql",
}


ASSET_RULES = (
    Rule(
        "!has(self.storage) || self.storage != 'Federated' || has(self.federation)",
        lambda spec: spec.storage != "Federated" or spec.federation is not None,
        "storage Federated needs federation: {hot, cold, column}",
        "federation",
        REQUIRED,
    ),
    Rule(
        "!has(self.federation) || (has(self.storage) && self.storage == 'Federated')",
        lambda spec: spec.federation is None or spec.storage == "Federated",
        "federation belongs to storage Federated; set it, or remove federation",
        "federation",
        FORBIDDEN,
    ),
    Rule(
        "!has(self.writeMode) || (has(self.storage) && self.storage == 'Postgres')",
        lambda spec: spec.write_mode is None or spec.storage == "Postgres",
        "writeMode belongs to storage Postgres; remove it",
        "writeMode",
        FORBIDDEN,
    ),
    Rule(
        "!has(self.writeMode) || self.writeMode != 'Buffered'",
        lambda spec: spec.write_mode != "Buffered",
        "writeMode Buffered is not supported yet; use Direct",
        "writeMode",
        NOT_SUPPORTED,
    ),
    Rule(
        "!has(self.deletionPolicy) || self.deletionPolicy != 'Purge'",
        lambda spec: spec.deletion_policy != "Purge",
        "deletionPolicy Purge is not supported yet; use Retain",
        "deletionPolicy",
        NOT_SUPPORTED,
    ),
    Rule(
        "!has(self.schema) || has(self.external)",
        lambda spec: spec.schema_ is None or spec.external is not None,
        "schema belongs to external; remove it: a job declares the columns of what it makes",
        "schema",
        FORBIDDEN,
    ),
    Rule(
        "!has(self.external) || !has(self.federation)",
        lambda spec: spec.external is None or spec.federation is None,
        "an asset is external or federated: remove one of them",
        "external",
        FORBIDDEN,
    ),
    Rule(
        "!has(self.external) || !has(self.storage) || self.storage != 'Postgres'",
        lambda spec: spec.external is None or spec.storage != "Postgres",
        "what is read from outside is kept in S3; remove storage",
        "storage",
    ),
    not_supported("freshness", "freshness", "remove it"),
    not_supported("checks", "checks", "remove it"),
    Rule(
        "!has(self.retention) || !has(self.storage) || self.storage != 'Federated'",
        lambda spec: spec.retention is None or spec.storage != "Federated",
        "retention belongs to the two assets that are federated; set it there",
        "retention",
        FORBIDDEN,
    ),
)

FEDERATION_RULES = (
    Rule(
        "self.hot != self.cold",
        lambda federation: federation.hot != federation.cold,
        "hot and cold are two assets: the Postgres one and the S3 one",
        "cold",
    ),
)

EXTERNAL_RULES = (
    Rule(
        "has(self.uri) != has(self.table)",
        lambda external: (external.uri is None) != (external.table is None),
        "give either uri or table",
    ),
    Rule(
        f"!has(self.table) || !self.table.matches('{OWN_SCHEMAS}')",
        lambda external: external.table is None or not re.match(OWN_SCHEMAS, external.table),
        "that schema is Trace's own or the server's; name a table of a schema of yours",
        "table",
        FORBIDDEN,
    ),
    Rule(
        "!has(self.timeZone) || has(self.schedule)",
        lambda external: external.time_zone is None or external.schedule is not None,
        "timeZone belongs to schedule; give one, or remove timeZone",
        "timeZone",
        FORBIDDEN,
    ),
)

SCHEMA_RULES = (
    not_supported("unique", "unique", "remove it"),
    not_supported("indexes", "indexes", "remove it"),
)

RETENTION_RULES = (
    Rule(
        "has(self.versions) || has(self.age)",
        lambda retention: retention.versions is not None or retention.age is not None,
        "give versions, age or both",
    ),
)

CHECK_RULES = (
    Rule(
        "[" + ", ".join(f"has(self.{name})" for name in CHECK_KINDS) + "].filter(given, given).size() == 1",
        lambda check: sum(getattr(check, attribute) is not None for attribute in CHECK_KINDS.values()) == 1,
        "a check has exactly one of " + ", ".join(CHECK_KINDS),
    ),
)
