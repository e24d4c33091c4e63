"""Asset: the public name and the policy of a dataset, owned by the policy's owner, not the DAG's author."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from traceplane.kinds.asset_rules import (
    ASSET_RULES,
    CHECK_RULES,
    EXTERNAL_RULES,
    FEDERATION_RULES,
    RETENTION_RULES,
    SCHEMA_RULES,
)
from traceplane.kinds.fields import (
    ASSET_NAME,
    LABEL,
    NAMESPACES,
    ROLE,
    SOURCE_URI,
    TABLE,
    AssetName,
    ColumnName,
    Count,
    Duration,
    Text,
)
from traceplane.kinds.meta import AGE, Column, Conditions, ObservedGeneration, Resource, condition_column
from traceplane.kinds.rules import ListMap, ListSet, Model, Rule
from traceplane_sdk.columns import ColumnType

ColumnList = Annotated[list[ColumnName], Field(min_length=1, max_length=16), ListSet()]
NamespaceName = Annotated[str, Field(pattern=NAMESPACES, max_length=63)]
RoleName = Annotated[str, Field(pattern=ROLE, max_length=63)]


class Federation(Model):
    """One relation over cold partitions and hot rows."""

    rules: ClassVar[tuple[Rule, ...]] = FEDERATION_RULES

    hot: AssetName = Field(description="Asset with storage Postgres.")
    cold: AssetName = Field(description="Asset with storage S3 that was compacted from it.")
    column: ColumnName = Field(description="Column that ranges speak of, such as block_number.")


class External(Model):
    """A file set or a table of the data database that no job makes; `tracectl asset refresh` reads it."""

    rules: ClassVar[tuple[Rule, ...]] = EXTERNAL_RULES

    uri: Annotated[str, Field(pattern=SOURCE_URI, max_length=1024)] | None = Field(
        None,
        description="Address of the files in a bucket that TRACE_EXTERNAL_BUCKETS allows: one object, all below a "
        "prefix that ends in /, or a pattern in which * and ? stand for characters other than / and ** for any. "
        "CSV (.csv, .tsv), JSON lines (.json, .jsonl, .ndjson), both also with .gz, or .parquet.",
    )
    table: Annotated[str, Field(pattern=TABLE, max_length=128)] | None = Field(
        None,
        description="A table or materialized view of the data database as schema.name, outside of Trace's own "
        "schemas.",
    )
    schedule: Annotated[str, Field(min_length=9, max_length=128)] | None = Field(
        None,
        description="When to refresh, in five fields: minute, hour, day of month, month, day of week. Left out: "
        "only when somebody asks.",
    )
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="IANA time zone of the schedule; UTC where left out."
    )


class AssetColumn(Model):
    """A column, by its name in SQL."""

    name: ColumnName = Field(description="Name of the column.")
    # Not strict: a manifest has the member's name, not the member.
    type: ColumnType = Field(strict=False, description="What a value is, hot and cold alike.")
    nullable: bool = Field(False, description="Whether a row may have no value there.")
    pii: bool = Field(False, description="True marks personal data.")


class AssetSchema(Model):
    """Which columns an external asset has; what else its files hold is left out."""

    rules: ClassVar[tuple[Rule, ...]] = SCHEMA_RULES

    columns: Annotated[list[AssetColumn], Field(min_length=1, max_length=256), ListMap("name")] = Field(
        description="The columns, in order."
    )
    unique: ColumnList | None = Field(
        None, description="Columns whose values no two rows share. Not supported yet."
    )
    indexes: Annotated[list[ColumnList], Field(max_length=16)] | None = Field(
        None, description="Columns of each index. Not supported yet."
    )


class Freshness(Model):
    """How old the newest row may be. Not supported yet."""

    max_lag: Duration = Field(description="Longest time since the newest row, such as 2m.")


class Continuity(Model):
    """No gap in a range."""

    column: ColumnName = Field(description="Column without gaps.")


class RangeCheck(Model):
    """Values stay inside bounds."""

    column: ColumnName = Field(description="Column whose values are checked.")
    min: float | None = Field(None, description="Smallest value that is right.")
    max: float | None = Field(None, description="Largest value that is right.")


class RowCount(Model):
    """Rows of a partition stay inside bounds."""

    min: Count | None = Field(None, description="Fewest rows.")
    max: Count | None = Field(None, description="Most rows.")


class Roots(Model):
    """Transactions and receipts roots recomputed from the rows equal the header's."""


class Check(Model):
    """One check of an asset. Not supported yet."""

    rules: ClassVar[tuple[Rule, ...]] = CHECK_RULES

    name: Annotated[str, Field(pattern=LABEL, max_length=63)] = Field(description="Unique in the asset.")
    severity: Literal["Warn", "Block"] = Field(
        "Warn", description="Block keeps what fails from readers; Warn only says so."
    )
    not_null: ColumnList | None = Field(None, description="Columns that have a value in every row.")
    unique: ColumnList | None = Field(None, description="Columns whose values no two rows share.")
    range: RangeCheck | None = Field(None, description="Values stay inside bounds.")
    row_count: RowCount | None = Field(None, description="Rows of a partition stay inside bounds.")
    continuity: Continuity | None = Field(None, description="No gap in a range.")
    roots: Roots | None = Field(
        None, description="Transactions and receipts roots recomputed from the rows equal the header's."
    )
    sql: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None, description="A SELECT whose rows are what is wrong."
    )


class Retention(Model):
    """Which versions of the data are kept: with both fields, a version goes when neither keeps it. Without this,
    they stay until `tracectl gc`. Of several Assets over one output, the most generous counts."""

    rules: ClassVar[tuple[Rule, ...]] = RETENTION_RULES

    versions: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="How many versions are kept, the current one among them: 1 keeps that alone."
    )
    age: Duration | None = Field(
        None, description="For how long a version is kept after another took its place, such as 30d."
    )


class AssetSpec(Model):
    """Schema and policy of a published dataset."""

    rules: ClassVar[tuple[Rule, ...]] = ASSET_RULES

    description: Annotated[str, Field(max_length=4096)] | None = Field(None, description="For people.")
    storage: Literal["Postgres", "S3", "Federated"] | None = Field(
        None, description="Where the rows live; the published output's own where left out."
    )
    federation: Federation | None = Field(None, description="Required for, and only for, storage Federated.")
    read_roles: Annotated[list[RoleName], Field(max_length=32), ListSet()] = Field(
        default_factory=list,
        description="Roles that may read; none means any reader. A Federated asset asks for a role of each half "
        "besides. The roles outlive the Asset: they hold until one of its name is applied again.",
    )
    read_namespaces: Annotated[list[NamespaceName], Field(max_length=32), ListSet()] = Field(
        default_factory=list,
        description="Other namespaces whose DAGs may read the asset as an input; `*` is all of them. DAGs of its "
        "own namespace always may.",
    )
    write_mode: Literal["Direct", "Buffered"] | None = Field(
        None, description="Only for storage Postgres. Buffered is not supported yet."
    )
    schema_: AssetSchema | None = Field(
        None, alias="schema", description="Only for external; types are found in the files where left out."
    )
    freshness: Freshness | None = Field(None, description="Not supported yet.")
    checks: Annotated[list[Check], Field(max_length=32), ListMap("name")] | None = Field(
        None, description="Not supported yet."
    )
    external: External | None = Field(
        None, description="Where the rows come from, if no job makes them. Such an asset lives in S3."
    )
    retention: Retention | None = Field(
        None, description="Which versions of the data are kept; all, where left out, until `tracectl gc`."
    )
    deletion_policy: Literal["Retain", "Purge"] = Field(
        "Retain", description="What happens to the data. Purge is not supported yet."
    )


MAX_UNVERIFIED = 64
"""Rules that a status lists."""


class AssetStatus(Model):
    """What the controller last saw of the dataset behind the name."""

    observed_generation: ObservedGeneration = 0
    conditions: Conditions = Field(default_factory=list)
    dataset_id: Text | None = Field(None, description="Id of the dataset behind the name.")
    current_version: Text | None = Field(None, description="Id of the dataset version that readers get.")
    producer: Text | None = Field(None, description="dag/job/output.")
    storage: Text | None = Field(None, description="Where the rows live: Postgres, S3 or Federated.")
    table: Text | None = Field(None, description="Name in SQL: schema.table.")
    cursor: int | None = Field(None, description="Newest value.")
    partitions: Annotated[int, Field(ge=0)] | None = Field(None, description="Committed partitions.")
    rows: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Rows of committed partitions, also of a Federated asset; hot rows are not counted."
    )
    bytes: Annotated[int, Field(ge=0)] | None = Field(None, description="Bytes of committed partitions.")
    last_materialization: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="When rows were last added."
    )
    versions: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Versions of the data that are there, the current one among them; with spec.retention."
    )
    next_purge: Text | None = Field(None, description="Which version spec.retention lets go next, and when.")
    source: Text | None = Field(None, description="Of an external asset: where its rows were read from.")
    content: Text | None = Field(None, description="Of an external asset: SHA-256 of what was read.")
    columns: Annotated[list[Text], Field(max_length=256)] | None = Field(
        None, description="Of an external asset: each column and its type."
    )
    last_refresh: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Of an external asset: when a refresh last succeeded."
    )
    unverified: Annotated[list[Text], Field(max_length=MAX_UNVERIFIED)] | None = Field(
        None, description="Rules that hold on the chain, or wherever the rows come from, but are not checked."
    )


class Asset(Resource):
    """A published dataset."""

    plural: ClassVar[str] = "assets"
    singular: ClassVar[str] = "asset"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Storage", "string", ".status.storage", "Where the rows live."),
        condition_column("Ready", "Ready"),
        Column("Producer", "string", ".status.producer", "dag/job/output."),
        Column("Cursor", "integer", ".status.cursor", "Newest value."),
        Column("Rows", "integer", ".status.rows", "Rows of committed partitions."),
        AGE,
        Column("Source", "string", ".status.source", "Where an external asset is read from.", wide=True),
        Column("Version", "string", ".status.currentVersion", "Current dataset version.", wide=True),
        Column("Versions", "integer", ".status.versions", "Versions that are there.", wide=True),
        Column("Next purge", "string", ".status.nextPurge", "Which version goes next, and when.", wide=True),
        condition_column("Message", "Ready", "message", wide=True),
    )
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.metadata.name.matches('{ASSET_NAME}')",
            lambda asset: bool(re.fullmatch(ASSET_NAME, asset.metadata.name)),
            "metadata.name becomes a table name (`-` as `_`): it must begin with a letter, have only a-z, 0-9 "
            "and -, and at most 128 characters",
            "metadata.name",
        ),
    )

    spec: AssetSpec = Field(default_factory=AssetSpec)
    status: AssetStatus | None = None
