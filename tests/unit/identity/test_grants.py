"""A token's scope: in full while it is small, by reference where it is not, and never too large to be verified."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from uuid import uuid4

import jwt
import pytest

from tests.integration.dispatch.callers import signing_key
from traceplane.errors import TooLarge
from traceplane.identity import prefixes
from traceplane.identity.capability import MAX_INLINE, Capabilities, TaskToken
from traceplane.identity.grants import MAX_VERSIONS, Grants, grants
from traceplane.kinds.fields import MAX_INPUTS, MAX_OUTPUTS

LONGEST = 63
ISSUER = "https://" + "trace." * 20
PROXY_LINE = 8 * 1024
"""Longest header of a request that nginx passes by default; ALB, HAProxy and Envoy pass longer ones."""


@pytest.fixture
def capabilities(tmp_path: Path) -> Capabilities:
    (tmp_path / "key.pem").write_bytes(signing_key())
    return Capabilities(tmp_path / "key.pem", issuer=ISSUER)


def versions(count: int) -> list[tuple[str, str]]:
    return [(str(uuid4()), str(uuid4())) for _ in range(count)]


def places(count: int, name: int = LONGEST) -> list[str]:
    """Prefixes of dataset versions whose bucket, namespace, DAG, job and output have names of that length."""
    names = "/".join(["n" * name] * 4)
    return [f"s3://{'b' * LONGEST}/{uuid4()}/{names}/{uuid4()}/" for _ in range(count)]


def minted(capabilities: Capabilities, grants: Grants, tasks: int = 1) -> str:
    return capabilities.mint(
        claim_id=uuid4(),
        org_id=uuid4(),
        job_id=uuid4(),
        tasks=[(str(uuid4()), 2**31 - 1) for _ in range(tasks)],
        grants=grants,
        seconds=60,
    )


@pytest.mark.parametrize("moved", [0, 1, 5, 300])
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1, 1), (MAX_VERSIONS - 4, 4), (MAX_VERSIONS, 1), (MAX_INPUTS, MAX_OUTPUTS)]
)
@pytest.mark.parametrize("name", [1, 6, 20, 40, LONGEST])
def test_a_token_of_any_scope_can_be_verified(
    tmp_path: Path, capabilities: Capabilities, inputs: int, outputs: int, moved: int, name: int
) -> None:
    scope = grants(versions(inputs + outputs), places(inputs, name), places(outputs, name), places(moved, name))
    token = minted(capabilities, scope, MAX_INLINE)
    assert len(f"X-Trace-Task-Capability: {token}\r\n") <= PROXY_LINE
    another = Capabilities(tmp_path / "key.pem", issuer=ISSUER)
    assert another.verify(token).scope == scope.scope


def test_a_small_scope_stands_in_the_token_and_nothing_else_is_said(capabilities: Capabilities) -> None:
    given, (read, moved), write = versions(2), places(2, 20), places(1, 20)
    token = minted(capabilities, grants(given, [read], write, [moved, read]))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["datasets"] == [{"dataset": dataset, "version": version} for dataset, version in given]
    assert claims["s3"] == {"read_prefixes": [read, moved], "write_prefixes": write}
    assert claims.keys() == set(TaskToken.__struct_fields__) - {"scope"}


def test_a_large_scope_leaves_only_what_the_claim_adds_in_the_token(capabilities: Capabilities) -> None:
    moved = places(1)
    scope = grants(versions(MAX_VERSIONS + 1), places(1), places(1), moved)
    claims = capabilities.verify(minted(capabilities, scope))
    assert (claims.scope, claims.datasets) == ("state", [])
    assert (claims.s3.read_prefixes, claims.s3.write_prefixes) == (moved, [])


def test_prefixes_that_do_not_all_stand_in_a_token_open_nothing() -> None:
    """A policy of some of them would be one that says nothing of the rest."""
    for count in chain(range(1, 12), (100, 1000)):
        moved = places(count)
        kept = grants(versions(1), [], [], moved).s3.read_prefixes
        if kept != moved:
            with pytest.raises(TooLarge):
                prefixes.session_policy([prefixes.parse(prefix) for prefix in kept], [])
