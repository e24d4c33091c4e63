"""Held leases: heartbeats, and credentials for their holders.

The answer to a heartbeat says three things: whether it still holds the task, whether it should stop, and, for a
source whose run has no end, its next token before the present one expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from traceplane.dispatch.claim import Claims
from traceplane.dispatch.generations import Generations
from traceplane.dispatch.wake import Wakeups
from traceplane.drivers.task_credentials import Credentials
from traceplane.errors import Refused, Stale
from traceplane.identity import prefixes
from traceplane.identity.capability import Capabilities, TaskToken
from traceplane.observe import audit
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.failures import retrying
from traceplane.store.statements import leases as statements
from traceplane_sdk.wire import CredentialsResponse, Fence, HeartbeatState, Renewal


class Leases:
    """Renews leases and gives their holders credentials."""

    def __init__(
        self,
        settings: DispatcherSettings,
        state: Database,
        jobs: Generations,
        claims: Claims,
        capabilities: Capabilities,
        credentials: Credentials | None,
        wakeups: Wakeups,
    ) -> None:
        self._settings = settings
        self._state = state
        self._jobs = jobs
        self._claims = claims
        self._capabilities = capabilities
        self._credentials = credentials
        self._wakeups = wakeups

    async def heartbeat(self, token: TaskToken, leases: Sequence[Renewal]) -> list[HeartbeatState]:
        """The state of each lease, in order; a lost one has no expiry. A source's report is kept with its task."""
        token.require((fence.task_id, fence.attempt) for fence in leases)
        wanted = {fence.task_id: _row(token, fence) | _report(fence) for fence in leases}
        if len(wanted) != len(leases):
            raise Refused("leases: a task is named twice", code="DuplicateTask")

        async def unit() -> dict[UUID, statements.Renewed]:
            async with self._state.autocommit() as conn:
                return await statements.renew(conn, org_id=self._settings.org_id, leases=list(wanted.values()))

        renewed = await retrying(unit)
        self._wakeups.publish(one.job_id for one in renewed.values() if one.news)
        lost = [(fence.task_id, fence.attempt) for fence in leases if UUID(fence.task_id) not in renewed]
        if lost:
            audit.stale("heartbeat", lost)
        next_token = await self._next_token(token) if renewed else None
        return [_state(fence, renewed.get(UUID(fence.task_id)), next_token) for fence in leases]

    async def credentials(self, token: TaskToken, fence: Fence) -> CredentialsResponse:
        """Object-store credentials for the token's prefixes. Raises Stale, Forbidden, Unavailable."""
        token.require([(fence.task_id, fence.attempt)])
        if self._credentials is None:
            raise Refused("this installation has no object store", code="NoObjectStore")
        policy = prefixes.session_policy(*await self._prefixes(token))
        async with self._state.autocommit() as conn:
            held = await statements.scopes(conn, org_id=self._settings.org_id, leases=[_row(token, fence)])
        if not held:
            audit.stale("credentials", [(fence.task_id, fence.attempt)])
            raise Stale(f"task {fence.task_id}, attempt {fence.attempt} is not leased with this token")
        left = token.exp - self._capabilities.now()
        namespace = (await self._jobs.get(UUID(token.job))).facts.namespace
        return await self._credentials.mint(
            policy, namespace=namespace, session=f"task-{fence.task_id}", seconds=left
        )

    async def _prefixes(self, token: TaskToken) -> tuple[list[prefixes.Prefix], list[prefixes.Prefix]]:
        """What the token's tasks may read, and write; of a large scope the generation's part stands in state."""
        read, write = token.s3.read_prefixes, token.s3.write_prefixes
        if token.scope is not None:
            own = (await self._jobs.get(UUID(token.job))).prefixes
            read, write = [*own.read_prefixes, *read], [*own.write_prefixes, *write]
        return [prefixes.parse(text) for text in read], [prefixes.parse(text) for text in write]

    async def _next_token(self, token: TaskToken) -> str | None:
        """The next token of a source's run, once half of the present one's life is over."""
        if token.exp - self._capabilities.now() > (token.exp - token.iat) / 2:
            return None
        job = await self._jobs.get(UUID(token.job))
        if not job.is_source:
            return None
        return self._capabilities.renew(token, seconds=self._claims.token_seconds(None))


def _row(token: TaskToken, fence: Fence) -> dict[str, object]:
    return {
        "task_id": fence.task_id,
        "attempt": fence.attempt,
        "lease_token": fence.lease_token,
        "claim_id": token.claim_id,
    }


def _report(lease: Renewal) -> dict[str, object]:
    return {} if lease.report is None else {"report": lease.report}


def _state(fence: Fence, renewed: statements.Renewed | None, next_token: str | None) -> HeartbeatState:
    if renewed is None:
        return HeartbeatState(task_id=fence.task_id, lease_expires_at=None)
    return HeartbeatState(
        task_id=fence.task_id,
        lease_expires_at=renewed.lease_expires_at.isoformat(),
        canceled=renewed.canceled,
        paused=renewed.paused,
        capability_token=next_token,
    )
