"""What operators say about jobs: is the config right, may it run this way, which columns will come out.

All three are asked of the operator's own declaration; the platform knows no operator by name. A job is asked
only when everything it reads has been declared, since its columns may follow from theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, ValidationError

from traceplane.graph import filters
from traceplane.graph.assets import Assets
from traceplane.graph.explain import explain
from traceplane.graph.filters import UNKNOWN_COLUMN
from traceplane.graph.hashing import canonical, config_hash, schema_hash
from traceplane.graph.model import GraphInput, GraphOutput, Problem
from traceplane.graph.nodes import AssetRef, Node
from traceplane.graph.quantities import excesses
from traceplane.graph.reserved import reserved
from traceplane.graph.wording import listing, suggestion
from traceplane.kinds.rules import INVALID, NOT_SUPPORTED
from traceplane_sdk.columns import FORMS, ColumnType
from traceplane_sdk.operator import InputSchema, Operator, OperatorRefusal, OutputSchema, Storage

UNKNOWN_OPERATOR = "UnknownOperator"
INVALID_CONFIG = "InvalidConfig"
OPERATOR_FAILED = "OperatorFailed"
_BOUNDS = [name for name, form in FORMS.items() if form.bounds]
"""Types that ranges may be of."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A node that its operator accepted."""

    operator: Operator
    config: BaseModel
    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]
    config_hash: str


def configure(node: Node, operators: Mapping[str, Operator]) -> tuple[Operator, BaseModel] | list[Problem]:
    """The node's operator and validated config, or why it may not run this way."""
    operator = operators.get(node.template.operator)
    if operator is None:
        name = node.template.operator
        message = f"no operator {name!r} is installed; {suggestion(name, operators)}"
        return [node.problem("operator", UNKNOWN_OPERATOR, message)]
    problems = [*_capabilities(node, operator), *excesses(node), *reserved(node)]
    try:
        config = operator.config_model.model_validate_json(canonical(node.template.config))
    except ValidationError as error:
        problems += [
            node.problem(path, INVALID_CONFIG, message)
            for path, _, message in explain(error, operator.config_model, "config")
        ]
        return problems
    except ValueError:  # NaN or infinity, which JSON does not have
        return [*problems, node.problem("config", INVALID_CONFIG, "a number in it is not finite")]
    return problems or (operator, config)


def _capabilities(node: Node, operator: Operator) -> Iterator[Problem]:
    job = node.template
    for field, value, allowed in (
        ("activation", job.activation, operator.activations),
        ("runtime", None if job.runtime == "Lambda" else job.runtime, operator.runtimes),
        ("executionStrategy", job.execution_strategy, operator.execution_strategies),
        ("updateStrategy", job.update_strategy, operator.update_strategies),
    ):
        fits_activation = field != "executionStrategy" or job.activation in operator.activations
        if value is not None and value not in allowed and fits_activation:
            message = f"operator {operator.name} cannot do {value}; it can do {listing(allowed)}"
            yield node.problem(field, INVALID, message)
    for position, edge in enumerate(job.inputs or () if not operator.applies_where else ()):
        if edge.where:
            message = f"operator {operator.name} reads no rows by a where; remove it"
            yield node.problem(f"inputs[{position}].where", NOT_SUPPORTED, message)


def declare(
    node: Node, operator: Operator, config: BaseModel, upstream: Mapping[str, Declared], assets: Assets
) -> Declared | list[Problem]:
    """The node's outputs and hash; `upstream` has every job it reads, and `assets` what it reads of other DAGs."""
    found = [_input(node, position, upstream, assets) for position, _ in enumerate(node.template.inputs or ())]
    if wrong := [problem for one in found if isinstance(one, list) for problem in one]:
        return wrong
    inputs = tuple(one for one in found if isinstance(one, GraphInput))
    schemas = [
        InputSchema(
            i.output,
            read_schema(i, upstream),
            i.trigger,
            i.where,
            node.template.execution_strategy,
            i.asset is not None,
        )
        for i in inputs
    ]
    names = tuple(node.template.outputs)
    try:
        declared = operator.declare_outputs(config, schemas, names)
    except OperatorRefusal as refusal:
        return [node.problem(refusal.field, INVALID_CONFIG, refusal.message)]
    except Exception as error:  # foreign code: its mistake is this job's problem, not the end of the process
        message = f"operator {operator.name} failed on this job: {type(error).__name__}: {str(error)[:200]}"
        return [node.problem("operator", OPERATOR_FAILED, message)]
    if set(declared) != set(names):
        message = f"operator {operator.name} has the outputs {listing(declared)}"
        return [node.problem("outputs", INVALID, message)]
    problems = [p for name in names for p in _columns(node, name, declared[name])]
    if node.template.update_strategy == "Append":
        of_user = operator.statement(config) is not None
        problems += [p for name in names for p in _appended(node, name, declared[name], of_user)]
    if problems:
        return problems
    outputs = tuple(_keyed(node, name, declared[name]) for name in names)
    hashes = {name: job.config_hash for name, job in upstream.items()}
    own = config_hash(node.template, operator, config, inputs, outputs, hashes)
    return Declared(operator, config, inputs, outputs, own)


def _input(
    node: Node, position: int, upstream: Mapping[str, Declared], assets: Assets
) -> GraphInput | list[Problem]:
    edge, origin = (node.template.inputs or [])[position], node.origin(position)
    if origin is None:
        return []  # reported by the rules of the kind
    version = assets.version(origin) if isinstance(origin, AssetRef) else None
    if version is not None and version.namespace == node.namespace:
        version = replace(version, namespace="")
    job, output = (version.job, version.output) if version else origin
    found = GraphInput(position, job, output, edge.trigger, asset=version)
    where = filters.read(node, position, "/".join(origin), read_schema(found, upstream))
    return where if isinstance(where, list) else replace(found, where=where)


def read_schema(edge: GraphInput, upstream: Mapping[str, Declared]) -> OutputSchema:
    """The schema of what an input reads."""
    if edge.asset is not None:
        return edge.asset.schema
    return next(output.schema for output in upstream[edge.job].outputs if output.name == edge.output)


def _columns(node: Node, output: str, schema: OutputSchema) -> Iterator[Problem]:
    """Columns that the job names and the output lacks, or has in a type that will not do."""
    columns = {column.name: column for column in schema.columns}
    for index, name in enumerate(node.template.unique_key or ()):
        if name not in columns:
            message = f"output {output!r} has no column {name!r}; {suggestion(name, columns)}"
            yield node.problem(f"uniqueKey[{index}]", UNKNOWN_COLUMN, message)
        elif columns[name].nullable:
            message = f"column {name!r} of output {output!r} may be null, so it cannot identify a row"
            yield node.problem(f"uniqueKey[{index}]", INVALID, message)
    if node.template.execution_strategy == "PerUpdate" and schema.storage is Storage.S3:
        message = f"output {output!r} is in the bucket, which takes partitions; a PerUpdate job writes hot tables"
        yield node.problem("executionStrategy", INVALID, message)
    scope = node.template.scope_column
    if scope is None:
        return
    if scope not in columns:
        message = f"output {output!r} has no column {scope!r}; {suggestion(scope, columns)}"
        yield node.problem("scopeColumn", UNKNOWN_COLUMN, message)
    elif columns[scope].type not in _BOUNDS:
        message = f"column {scope!r} is {columns[scope].type.value}; ranges need {' or '.join(_BOUNDS)}"
        code = NOT_SUPPORTED if columns[scope].type is ColumnType.TIMESTAMP else INVALID
        yield node.problem("scopeColumn", code, message)


def _appended(node: Node, output: str, schema: OutputSchema, of_user: bool) -> Iterator[Problem]:
    """What keeps rows from being added to an output. Those `of_user` are checked by the key in the config alone."""
    template = node.template
    if schema.storage is Storage.S3:
        message = f"output {output!r} is in the bucket, where a partition is replaced whole; write Replace"
        yield node.problem("updateStrategy", INVALID, message)
    elif of_user and set(template.unique_key or ()) != set(schema.unique_key):
        message = f"must be config.uniqueKey ({', '.join(schema.unique_key)}), by which the answer is checked"
        yield node.problem("uniqueKey", INVALID, message)
    elif of_user and template.scope_column not in (None, *schema.unique_key):
        message = f"{template.scope_column!r} must be in uniqueKey: rows of two ranges are then never the same"
        yield node.problem("scopeColumn", INVALID, message)


def _keyed(node: Node, name: str, schema: OutputSchema) -> GraphOutput:
    """The output with the job's own key and scope column in place of the operator's."""
    own = replace(
        schema,
        unique_key=tuple(node.template.unique_key or schema.unique_key),
        scope_column=node.template.scope_column or schema.scope_column,
    )
    return GraphOutput(name, own, schema_hash(own))
