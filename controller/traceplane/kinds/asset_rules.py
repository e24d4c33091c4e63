"""Rules between the fields of an asset. The model itself is in `asset`; these read it by attribute."""

from __future__ import annotations

from traceplane.kinds.rules import FORBIDDEN, NOT_SUPPORTED, REQUIRED, Rule, not_supported

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
    not_supported("schema", "schema_", "remove it"),
    not_supported("freshness", "freshness", "remove it"),
    not_supported("checks", "checks", "remove it"),
    not_supported("external", "external", "remove it"),
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
