"""The task API's bodies, one definition for both ends.

Server and worker decode the same msgspec structs, so the wire cannot drift between them. Bounds stand here
because a body that is too large must be refused while it is decoded, before anything is done about it.
Times on the wire are RFC 3339 strings; block ranges are inclusive.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from traceplane_sdk.columns import ColumnType

MAX_TASKS_PER_CLAIM = 1000
MAX_ITEMS = 1000
"""Events, outputs, relocations or completions in one body."""
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_STATE_BYTES = 256 * 1024
MAX_WAIT_SECONDS = 60.0
MAX_REPORT_BYTES = 1024
"""UTF-8 of a source's report; a worker cuts what is longer."""
MAX_ANSWER_COLUMNS = 500
MAX_COLD_PARTITIONS = 4096
"""Cold partitions that one task reads a relocated range from."""

Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
Position = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 2)]
"""A cursor, or an end of an inclusive range. The value after it has to fit, too: Postgres keeps the upper end of an
`int8range` exclusive, and what no statement takes would fail for its whole batch, every time."""


class Fence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What binds a call to one attempt of one task."""

    task_id: Id
    attempt: Annotated[int, msgspec.Meta(ge=1)]
    lease_token: Id


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An inclusive range with its key, `start-end`."""

    key: Name
    start: Position
    end: Position


class CursorSpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a PerUpdate run has to read: values greater than `after` (all, where None) up to `upto`.

    Where the run ends short of what there is (a preview), `reach` is how far the input goes on. What is final
    follows from that, and a run that works in whole pieces completes the one which has `upto`.
    """

    after: int | None
    upto: int
    reach: int | None = None

    @property
    def known(self) -> int:
        """How far the input reaches."""
        return self.upto if self.reach is None else self.reach


class ColumnDef(msgspec.Struct, frozen=True):
    """A column as the platform stored it when the job was deployed."""

    name: str
    type: str
    nullable: bool = False
    pii: bool = False


class ColdPartition(msgspec.Struct, frozen=True):
    """A committed partition of a cold dataset version; `location` holds its manifest and its files."""

    start: int
    end: int
    location: str
    manifest_sha256: str


class Relocated(msgspec.Struct, frozen=True):
    """Ranges of a hot dataset version that are to be read from a cold one. No two of an input overlap.

    `partitions` are those that touch the ranges, up to one more than MAX_COLD_PARTITIONS of each: for tasks that
    read a partition, and empty for others.
    """

    cold_version: Id
    ranges: list[tuple[int, int]]
    partitions: list[ColdPartition] = []


class TaskInput(msgspec.Struct, frozen=True, kw_only=True):
    """A pinned input of a task."""

    position: int
    name: str
    dataset: Id
    version: Id
    storage: str
    location: str
    columns: list[ColumnDef]
    scope_column: str
    sort_by: list[str]
    finality_depth: int | None = None
    first_value: int | None = None
    sparse: bool = False
    """Whether a value of the scope column may have no row: `trace.empty_ranges` of **data** says which."""
    final: int | None = None
    """All values up to it are final, as its source said; None where no source did. It outranks `finality_depth`."""
    trigger: bool = True
    foreign: bool = False
    """Another DAG makes it: nothing is moved out of it."""
    where: dict[str, list[str]] = {}
    """Rows to read: those in which each of these columns equals one of its constants, which are text that casts to
    the column's type. Empty: all. It leaves out rows, never a partition or a value of the cursor."""
    cursor: CursorSpan | None = None
    partition: Partition | None = None
    relocated: list[Relocated] = []


class TaskOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task's output goes: a hot table or a cold prefix of its dataset version."""

    name: str
    dataset: Id
    version: Id
    storage: str
    location: str
    """`hot.d_<hex>` for Postgres, `s3://bucket/.../` for S3."""
    columns: list[ColumnDef]
    unique_key: list[str]
    scope_column: str
    sort_by: list[str]
    sparse: bool = False
    """Whether a value of the scope column may have no row, which the writer records."""
    relocated: list[Relocated] = []
    """Ranges of this hot version that moved to cold files, as of the claim: their rows are not missing."""


class JobRef(msgspec.Struct, frozen=True):
    """The job generation a task belongs to."""

    id: Id
    namespace: str
    dag: str
    name: str


class TaskPayload(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker needs to run one attempt."""

    task_id: Id
    attempt: int
    org_id: Id
    job: JobRef
    operator: str
    config: dict[str, Any]
    cause: str
    update_strategy: str = "Replace"
    """Append: rows of another key than those that are there are added, and none goes but for an `Invalidation`."""
    lease_epoch: int
    writer: str
    """Name under which the task takes the write fence of its outputs: `job`, or `task:<id>`."""
    scope: dict[str, Any]
    inputs: list[TaskInput]
    outputs: list[TaskOutput]
    state: dict[str, Any] = {}
    timeout_seconds: float | None = None


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`job` is a job generation id; one of `job` and `task_id` is given."""

    worker_id: Name
    job: Id | None = None
    task_id: Id | None = None
    max_tasks: Annotated[int, msgspec.Meta(ge=1, le=MAX_TASKS_PER_CLAIM)] = 1
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_SECONDS)] = 0.0


class ClaimedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One lease. `capability_token` is the same for all tasks of one claim."""

    task: TaskPayload
    attempt: int
    lease_token: Id
    lease_expires_at: str
    capability_token: str
    lease_seconds: float | None = None
    """How long the lease holds without a heartbeat; clocks of two machines differ, durations do not."""


class ClaimResponse(msgspec.Struct, frozen=True):
    """Empty `tasks` after the wait means nothing to do."""

    tasks: list[ClaimedTask]


class SourceReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a source says of itself, for people; `position` is the last value written, `head` the last one known."""

    healthy: bool
    message: Annotated[str, msgspec.Meta(max_length=MAX_REPORT_BYTES)]
    position: Int64 | None = None
    head: Int64 | None = None


class Renewal(Fence, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One lease to extend, and what its source reports: where it changed since the last heartbeat only."""

    report: SourceReport | None = None


class HeartbeatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Heartbeats of up to MAX_ITEMS leases of one claim."""

    leases: Annotated[list[Renewal], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class HeartbeatState(msgspec.Struct, frozen=True, kw_only=True):
    """`lease_expires_at` None: the lease is lost and the worker must stop at once."""

    task_id: Id
    lease_expires_at: str | None
    canceled: bool = False
    paused: bool = False
    capability_token: str | None = None
    """A renewed token, for runs that outlive the first."""


class HeartbeatResponse(msgspec.Struct, frozen=True):
    """In the order of the request."""

    leases: list[HeartbeatState]


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New data in an output of the task: up to `cursor`, or one partition.

    `final` goes with a cursor: no value up to it will change any more. A source that knows gives it with every
    event, from the first on; for a dataset without it, its finality depth counts.
    """

    output: Name
    cursor: Position | None = None
    partition: Partition | None = None
    final: Position | None = None


class Invalidation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range of an output that must be processed again. Times are RFC 3339, of the rows removed and added."""

    output: Name
    start: Position
    end: Position
    time_start: str | None = None
    time_end: str | None = None
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    detail: dict[str, Any] = {}


class EventsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events and invalidations reported while a task runs. `id` makes a repeat a no-op.

    A report without any of them is answered with how many events are unfinished.
    """

    fence: Fence
    id: Id
    events: Annotated[list[Event], msgspec.Meta(max_length=MAX_ITEMS)] = []
    invalidations: Annotated[list[Invalidation], msgspec.Meta(max_length=MAX_ITEMS)] = []


class EventsResponse(msgspec.Struct, frozen=True):
    """How many were new; to an empty report, how many events of each output have an open task.

    Open is a task that is neither completed nor canceled, also a dead one, of a job that the output triggers in
    the active version of the DAG; in the staged one where the source itself is only staged.
    """

    accepted: int
    unfinished: dict[str, int] | None = None
    """Outputs that have none are left out; None to a report of something, or from a release that counts none."""


class CommittedOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Replace output written to S3: the prefix with `_manifest.json` and `_SUCCESS`."""

    name: Name
    partition: Partition
    location: Annotated[str, msgspec.Meta(max_length=1024)]
    rows: Annotated[int, msgspec.Meta(ge=0)]
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    manifest_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Relocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The committed partition of `output` replaces the same range of the hot input at `input`.

    `cold` are the ranges that were read from cold files, as the claim said. The rest was read from the hot table:
    where something else moved of it since the claim, so long ago that its rows may be deleted, the completion is
    refused. Of an input with a `where` the output lacks rows: it replaces nothing, and is checked all the same.
    """

    input: Annotated[int, msgspec.Meta(ge=0)]
    output: Name
    delete_hot: bool
    cold: Annotated[list[tuple[Position, Position]], msgspec.Meta(max_length=MAX_COLD_PARTITIONS)] = []


class TaskError(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an attempt failed. `code` is CamelCase and stable; not retryable means no further attempt helps."""

    code: Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Za-z0-9]{0,63}$")]
    message: Annotated[str, msgspec.Meta(max_length=4096)]
    retryable: bool = True


class Completion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of one attempt. `Released` hands the task back unspent, as a draining worker does."""

    fence: Fence
    status: Annotated[str, msgspec.Meta(pattern="^(Completed|Failed|Released)$")]
    outputs: Annotated[list[CommittedOutput], msgspec.Meta(max_length=64)] = []
    events: Annotated[list[Event], msgspec.Meta(max_length=MAX_ITEMS)] = []
    relocations: Annotated[list[Relocation], msgspec.Meta(max_length=64)] = []
    state: dict[str, Any] = {}
    error: TaskError | None = None


class CompleteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One or many completions of one claim."""

    completions: Annotated[list[Completion], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class CompletionState(msgspec.Struct, frozen=True, kw_only=True):
    """`accepted` False: the fence was stale and nothing changed. `status` is the task's state afterwards."""

    task_id: Id
    accepted: bool
    status: str | None = None


class CompleteResponse(msgspec.Struct, frozen=True):
    """In the order of the request. A request with one stale completion is answered 409 with the same body."""

    completions: list[CompletionState]


class CredentialsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for object-store credentials for the token's prefixes."""

    fence: Fence


class CredentialsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Temporary credentials (AWS STS AssumeRole), limited to the token's prefixes; of a store without STS, keys
    that all tasks share. And how the store is spoken to."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    """Empty: the keys need none."""
    expires_at: str
    """Ask again before."""
    endpoint_url: str | None
    region: str
    addressing: Literal["Path", "VirtualHosted"] | None = None
    """None: Path with an endpoint, and what the client library does at AWS."""
    checksums: Literal["WhenSupported", "WhenRequired"] = "WhenSupported"
    ca: str | None = None
    """PEM of the CA certificates that the store's is checked with; None: the public ones."""


class AnswerColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of an answer, and the type that it is cast to."""

    name: Name
    type: ColumnType


class AnswerShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the query service makes of a task's SELECT: `$name` stands for the number in `parameters`; the answer
    has `columns`, by `sort_by`. Semicolons and comments around the SELECT do not matter."""

    parameters: Annotated[
        dict[
            Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,62}$")],
            Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
        ],
        msgspec.Meta(max_length=16),
    ] = {}
    columns: Annotated[list[AnswerColumn], msgspec.Meta(min_length=1, max_length=MAX_ANSWER_COLUMNS)]
    sort_by: Annotated[list[Name], msgspec.Meta(max_length=64)] = []


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error body, `application/problem+json` (RFC 9457); `code` is stable."""

    type: str
    title: str
    status: int
    code: str
    detail: str
