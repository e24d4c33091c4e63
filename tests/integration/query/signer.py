"""The dispatcher's keys and tokens, for tests of what tasks may ask of the query service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests import services
from tests.integration.dispatch.callers import signing_key
from traceplane.identity.capability import Capabilities
from traceplane.identity.grants import DatasetVersion, Grants, Prefixes

TASK, CLAIM, LEASE = uuid4(), uuid4(), uuid4()


@dataclass
class Signer:
    """The dispatcher as far as the query service knows it: keys, and the address they are published at."""

    folder: Path
    url: str
    capabilities: Capabilities

    @classmethod
    def serving(cls, folder: Path, serve: Callable[[Any], str]) -> Signer:
        """One whose keys are published."""
        (folder / "key.pem").write_bytes(signing_key())
        made = cls(folder, "", Capabilities(folder / "key.pem", issuer="trace"))

        async def keys(request: Any) -> JSONResponse:
            return JSONResponse(made.capabilities.jwks())

        made.url = serve(Starlette(routes=[Route("/internal/jwks/task", keys)]))
        return made

    def token(
        self,
        *versions: UUID,
        org: UUID = services.ORG_ID,
        seconds: float = 3600,
        claim: UUID = CLAIM,
        task: UUID = TASK,
        tasks: int = 1,
        job: UUID | None = None,
    ) -> str:
        datasets = [DatasetVersion(str(version), str(version)) for version in versions]
        return self.capabilities.mint(
            claim_id=claim,
            org_id=org,
            job_id=job or uuid4(),
            tasks=[(str(task), 1), *((str(uuid4()), 1) for _ in range(tasks - 1))],
            grants=Grants(datasets, Prefixes([], [])),
            seconds=seconds,
        )

    def rotate(self) -> None:
        """A new key signs from now on; the old one still verifies."""
        (self.folder / "previous.pem").write_bytes((self.folder / "key.pem").read_bytes())
        (self.folder / "key.pem").write_bytes(signing_key())
        self.capabilities = Capabilities(self.folder / "key.pem", self.folder / "previous.pem", issuer="trace")
