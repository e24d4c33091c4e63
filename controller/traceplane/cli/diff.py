"""`tracectl diff`: what another version of an asset has that the active one has not, by key.

Both are read by one statement, so in one snapshot; the samples by a second one, as of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traceplane.cli import answers, printing
from traceplane.cli.connection import QUERY_SERVICE, USER_API, Access, asset_path, call, calls
from traceplane.cli.options import Namespace, Printed
from traceplane.cli.printing import Output
from traceplane.errors import Refused

if TYPE_CHECKING:
    import httpx

Row = dict[str, Any]
SECONDS = 60.0


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("diff", no_args_is_help=True)(diff)


@calls(USER_API)
def diff(
    api: Access,
    asset: Annotated[str, typer.Argument(help="Name of the asset.")],
    version: Annotated[str, typer.Option(help="The version to compare: `staged`, or `v3`.")] = "staged",
    against: Annotated[str | None, typer.Option(help="What with: `v2`. Default: the active version.")] = None,
    start: Annotated[int | None, typer.Option(help="Only rows from here on, by the scope column.")] = None,
    end: Annotated[int | None, typer.Option(help="Only rows up to here, inclusive.")] = None,
    samples: Annotated[int, typer.Option(help="Keys to show of each kind.", min=0, max=100)] = 5,
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
) -> None:
    """Compare two versions of an asset by key: rows added, removed and changed, and in which columns.

    Columns that only one of them has are named and not compared. A large asset is compared by ranges. A staged
    version that has a sample range only for now (`rollout.preview`) is compared over that, unless another is given.

    Examples:

      tracectl diff cold-blocks

      tracectl diff cold-blocks --version v3 --against v2 --start 0 --end 9999 -o json
    """
    scope = {} if namespace is None else {"namespace": namespace}
    with api.client() as client:
        found: Row = call(client, "GET", asset_path(asset), params=scope).json()
    if not found["unique_key"]:
        raise Refused(f"asset {found['name']} has no unique key to compare rows by")
    preview = found["preview"] if start is None and end is None else None
    if preview and version in ("staged", preview["version"], preview["version"].partition("-")[0]):
        start, end = preview["start"], preview["end"]
    names = [_named(found, against), _named(found, version)]
    with api.beside(QUERY_SERVICE).client(answers.SLACK_SECONDS + SECONDS) as client, answers.progress("comparing"):
        left, right = ([row[0] for row in _ask(client, f"DESCRIBE {name}")["rows"]] for name in names)
        shared = [column for column in right if column in left and column not in found["unique_key"]]
        both = _joined(names, found, shared, start, end)
        answer = _ask(client, _counts(both, found["unique_key"], shared))
        ((added, removed, changed, same, *by_column),) = answer["rows"]
        shown = _samples(both, found["unique_key"], shared, samples)
        rows = _ask(client, shown, as_of=answer["as_of"]) if samples and added + removed + changed else None
    compared = {
        "asset": found["name"],
        "version": version,
        "against": against or "active",
        "start": start,
        "end": end,
        "added": added,
        "removed": removed,
        "changed": changed,
        "same": same,
        "changed_columns": {name: count for name, count in zip(shared, by_column, strict=True) if count},
        "columns_added": [column for column in right if column not in left],
        "columns_removed": [column for column in left if column not in right],
        "samples": _rows(rows) if rows else [],
    }
    _print(compared, output)


def _named(asset: Row, version: str | None) -> str:
    schema, _, table = asset["sql_name"].partition(".")
    return f"{_quoted(schema)}.{_quoted(table if version is None else f'{table}@{version}')}"


def _joined(names: Sequence[str], asset: Row, shared: Sequence[str], start: int | None, end: int | None) -> str:
    """The two versions side by side, as a FROM clause: `a` is what there is, `b` what it is compared with."""
    key, scope = asset["unique_key"], _quoted(asset["scope_column"])
    bounds = [f"{scope} >= {start}" if start is not None else "", f"{scope} <= {end}" if end is not None else ""]
    where = " AND ".join(filter(None, bounds))
    columns = ", ".join(_quoted(column) for column in (*key, *shared))
    sides = [f"(SELECT {columns} FROM {name}{f' WHERE {where}' if where else ''})" for name in names]
    on = " AND ".join(f"a.{_quoted(column)} = b.{_quoted(column)}" for column in key)
    return f"{sides[0]} a FULL JOIN {sides[1]} b ON {on}"


def _kind(key: Sequence[str], shared: Sequence[str]) -> str:
    first = _quoted(key[0])
    differs = " OR ".join(_differs(column) for column in shared) or "false"
    return (
        f"CASE WHEN a.{first} IS NULL THEN 'added' WHEN b.{first} IS NULL THEN 'removed' "
        f"WHEN {differs} THEN 'changed' ELSE 'same' END"
    )


def _differs(column: str) -> str:
    return f"a.{_quoted(column)} IS DISTINCT FROM b.{_quoted(column)}"


def _counts(joined: str, key: Sequence[str], shared: Sequence[str]) -> str:
    kinds = ", ".join(
        f"count(*) FILTER (WHERE kind = '{kind}')" for kind in ("added", "removed", "changed", "same")
    )
    flags = "".join(f", {_differs(column)} AS d{index}" for index, column in enumerate(shared))
    columns = "".join(f", count(*) FILTER (WHERE kind = 'changed' AND d{index})" for index in range(len(shared)))
    return f"SELECT {kinds}{columns} FROM (SELECT {_kind(key, shared)} AS kind{flags} FROM {joined})"


def _samples(joined: str, key: Sequence[str], shared: Sequence[str], count: int) -> str:
    """The first keys of each kind, with the columns that changed."""
    keys = ", ".join(f"coalesce(a.{_quoted(column)}, b.{_quoted(column)}) AS {_quoted(column)}" for column in key)
    order = ", ".join(_quoted(column) for column in key)
    changed = "".join(f", CASE WHEN {_differs(column)} THEN {_text(column)} END" for column in shared)
    columns = f"concat_ws(', '{changed or ', NULL'}) AS columns"
    inner = f"SELECT {_kind(key, shared)} AS kind, {keys}, {columns} FROM {joined}"
    return (
        f"SELECT kind, {order}, CASE WHEN kind = 'changed' THEN columns END AS columns FROM ({inner}) "
        f"WHERE kind <> 'same' QUALIFY row_number() OVER (PARTITION BY kind ORDER BY {order}) <= {count} "
        f"ORDER BY kind, {order}"
    )


def _ask(client: httpx.Client, sql: str, as_of: str | None = None) -> Row:
    body = {"sql": sql, "timeout_seconds": SECONDS, "overflow": "truncate", "as_of": as_of}
    given = {name: value for name, value in body.items() if value is not None}
    found: Row = call(client, "POST", "/v1/query", json=given).json()
    return found


def _rows(answer: Row) -> list[Row]:
    names = [column["name"] for column in answer["columns"]]
    return [dict(zip(names, row, strict=True)) for row in answer["rows"]]


def _print(compared: Row, output: Output) -> None:
    if output in (Output.JSON, Output.YAML):
        printing.structured(compared, output)
        return
    # What is outside of a range may differ as well.
    bounds = tuple(name for name in ("start", "end") if compared[name] is not None)
    counts = ("asset", "version", "against", *bounds, "added", "removed", "changed", "same")
    printing.rows([compared], counts, output)
    for what in ("columns_added", "columns_removed", "changed_columns"):
        if compared[what] and output is Output.TABLE:
            typer.echo(f"{what.replace('_', ' ')}: {compared[what]}")
    if compared["samples"] and output is Output.TABLE:
        typer.echo("")
        printing.rows(compared["samples"], tuple(compared["samples"][0]), output)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
