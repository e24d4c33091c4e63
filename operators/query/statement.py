"""What becomes of the SELECT that a user wrote: values for the partition, the declared types and order (pure).

The query service makes it so, with the parser that reads the SELECT. The platform checks the same before it deploys
the job.
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.query.config import QueryConfig
from operators.query.schemas import output_schema
from traceplane_sdk import wire
from traceplane_sdk.operator import ColumnType, Statement

PARAMETERS = ("partition_start", "partition_end")


def shape(columns: Sequence[wire.ColumnDef], sort_by: Sequence[str], partition: wire.Partition) -> wire.AnswerShape:
    """The shape of the answer for one partition."""
    return wire.AnswerShape(
        parameters=dict(zip(PARAMETERS, (partition.start, partition.end), strict=True)),
        columns=[wire.AnswerColumn(column.name, ColumnType(column.type)) for column in columns],
        sort_by=list(sort_by),
    )


def declared(config: QueryConfig) -> Statement:
    """The SELECT of a config, for the platform to check."""
    return Statement("config.sql", config.sql, PARAMETERS, output_schema(config), "config.columns")
