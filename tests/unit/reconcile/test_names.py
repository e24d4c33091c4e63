"""Names of what the controller owns: no two things share one, and none is too long for a host name."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from traceplane.kinds.fields import LABEL
from traceplane.reconcile import names

LABELS = st.text("ab-", min_size=1, max_size=63).filter(lambda text: re.fullmatch(LABEL, text))
LONG = st.text("ab-", min_size=40, max_size=63).filter(lambda text: re.fullmatch(LABEL, text))
JOBS = st.tuples(LABELS, LABELS, st.sampled_from(["sha256:" + "0" * 64, "sha256:" + "1" * 64]))
LONG_JOBS = st.tuples(LONG, LONG, st.just("sha256:" + "0" * 64))


def all_names(dag: str, job: str, config_hash: str) -> set[str]:
    return {
        names.workload(dag, job, config_hash),
        names.projected_job(dag, job),
        names.worker_pod(dag, job, config_hash, 0),
        names.worker_pod(dag, job, config_hash, 999),
    }


def test_dags_and_jobs_that_read_the_same_when_put_together_have_names_of_their_own() -> None:
    one, other = all_names("a", "b-follow", "sha256:0"), all_names("a-b", "follow", "sha256:0")
    assert len(one) == len(other) == 4
    assert not one & other


@given(one=JOBS | LONG_JOBS, other=JOBS | LONG_JOBS)
def test_no_two_jobs_share_a_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    if one[:2] != other[:2]:
        assert not all_names(*one) & all_names(*other)
    elif one != other:
        assert names.workload(*one) != names.workload(*other)


@given(job=JOBS | LONG_JOBS)
def test_names_fit_into_63_characters_with_what_kubernetes_adds(job: tuple[str, str, str]) -> None:
    for name in all_names(*job) | {names.workload(*job) + "-0123456789-abcde"}:
        assert len(name) <= 63
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)?", name), name


@given(job=LONG_JOBS, other=JOBS)
def test_a_shortened_job_name_is_never_a_whole_one(job: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert "." not in names.projected_job(*job[:2])
    whole = names.projected_job(*other[:2])
    assert len(whole) <= 63
    assert ("." in whole) == (len("".join(other[:2])) < 63)


def test_a_slot_is_read_back_from_the_name() -> None:
    assert names.slot_of(names.worker_pod("a-w7", "w3", "sha256:0", 12)) == 12
    assert names.slot_of(names.workload("a-w7", "b-w3", "sha256:0")) is None
