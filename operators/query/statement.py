"""The statement a task sends: the user's SELECT for one partition, with the declared types and order (pure).

The query service checks the whole statement, so nothing here needs to defend against what the user wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from traceplane_sdk import wire
from traceplane_sdk.columns import FORMS

_PARAMETER = re.compile(r"\$partition_(start|end)\b")


def statement(
    sql: str, columns: Sequence[wire.ColumnDef], sort_by: Sequence[str], partition: wire.Partition
) -> str:
    """The whole SELECT. A comment at the end of `sql` ends with its line; a closing semicolon is left out."""
    bounds = {"start": str(partition.start), "end": str(partition.end)}
    # Put in as digits: the text goes through the query service's check like any other, and needs no parameters.
    body = _PARAMETER.sub(lambda found: bounds[found[1]], sql).strip().removesuffix(";")
    # DuckDB makes the types, since its message is the best one ("Could not convert string 'x' to INT64").
    # A 256-bit integer as text: `checks` sees there what a cast to a whole number would cut off.
    typed = ", ".join(
        f'CAST(answer."{column.name}" AS {FORMS[column.type].duckdb_at_rest}) AS "{column.name}"'
        for column in columns
    )
    order = ", ".join(f'"{name}"' for name in sort_by)
    return f"SELECT {typed}\nFROM (\n{body}\n) AS answer\nORDER BY {order}"
