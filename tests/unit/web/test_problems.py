"""Every error has a status, a title and a text that a caller may read, or none of it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

import traceplane
from traceplane import errors
from traceplane.errors import TraceError
from traceplane.web import problems
from traceplane.web.rates import RateLimited

CANARY = "canary of a message"

EXPECTED = {
    errors.TraceError: 500,
    errors.Refused: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Stale: 409,
    errors.TooLarge: 413,
    errors.Overloaded: 429,
    errors.Unavailable: 503,
    errors.GiveUp: 500,
    errors.InvalidSettings: 500,
    errors.UnknownSchema: 500,
}


def subclasses(of: type[TraceError]) -> Iterator[type[TraceError]]:
    for one in of.__subclasses__():
        yield one
        yield from subclasses(one)


@pytest.fixture(scope="module")
def every_class() -> set[type[TraceError]]:
    """Every error that any module of the package defines."""
    for module in pkgutil.walk_packages(traceplane.__path__, "traceplane."):
        if not module.name.startswith("traceplane.store.migrations."):  # run by alembic only
            importlib.import_module(module.name)
    return {one for one in subclasses(TraceError) if one.__module__.startswith("traceplane.")}


def raised(kind: type[TraceError], **attributes: Any) -> TraceError:
    """An error as it is raised, whatever its constructor asks for."""
    error = kind.__new__(kind)
    TraceError.__init__(error, CANARY)
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def test_every_class_of_the_tree_is_expected_to_have_a_status() -> None:
    tree = {one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, TraceError)}
    assert EXPECTED.keys() == tree
    assert {kind: problems.status_of(kind("x")) for kind in tree} == EXPECTED


def test_every_error_of_the_package_is_mapped(every_class: set[type[TraceError]]) -> None:
    assert len(every_class) > 20, "or nothing was imported"
    for kind in every_class:
        error = raised(kind)
        status = problems.status_of(error)
        nearest = next(EXPECTED[base] for base in kind.__mro__ if base in EXPECTED)
        assert status == problems.STATUS_OF_CODE.get(kind.code, nearest), kind
        assert status in problems.TITLES, kind
        body = json.loads(bytes(problems.from_error(error).body))
        assert (CANARY in body["detail"]) is (status != 500), kind
        assert body["code"] == kind.code


@pytest.mark.parametrize("kind", [errors.TraceError, errors.GiveUp, errors.InvalidSettings])
def test_an_error_of_the_server_is_logged_and_shows_its_code_only(kind: type[TraceError]) -> None:
    with capture_logs() as lines:
        answer = problems.from_error(raised(kind, code="SomethingOfOurs", name=CANARY))
    assert CANARY.encode() not in answer.body
    assert json.loads(bytes(answer.body))["code"] == "SomethingOfOurs"
    assert [(line["detail"], line["code"]) for line in lines] == [(CANARY, "SomethingOfOurs")]


def test_every_status_of_a_code_has_a_title() -> None:
    assert set(problems.STATUS_OF_CODE.values()) | set(problems.STATUSES.values()) == problems.TITLES.keys()


def test_every_code_with_a_status_of_its_own_is_one_that_something_raises() -> None:
    source = "".join(
        inspect.getsource(module)
        for name, module in sys.modules.items()
        if name.startswith("traceplane.") and name != problems.__name__ and hasattr(module, "__file__")
    )
    assert {code for code in problems.STATUS_OF_CODE if f'"{code}"' not in source} == set()


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (errors.Overloaded("full"), {"retry-after": "1"}),
        (RateLimited("often", 17), {"retry-after": "17"}),
        (errors.Unavailable("away"), {"retry-after": "1"}),
        (errors.Unauthenticated("no"), {"www-authenticate": "Bearer"}),
        (errors.Stale("late"), {}),
    ],
)
def test_a_caller_learns_when_to_come_back_or_how_to_prove_itself(
    error: TraceError, headers: dict[str, str]
) -> None:
    found = problems.from_error(error).headers
    named = {name: found[name] for name in ("retry-after", "www-authenticate") if name in found}
    assert named == headers
