"""What every process tells, and how many DAGs and jobs a metric names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from traceplane.observe.registry import OTHER, QUIET_SECONDS, JobLabels, registry


def test_a_registry_tells_version_and_memory_of_its_process() -> None:
    made = registry("controller")
    (build,) = [family for family in made.collect() if family.name == "trace_build_info"]
    assert build.samples[0].labels.keys() == {"process", "version", "python"}
    assert build.samples[0].labels["process"] == "controller"
    assert (made.get_sample_value("process_resident_memory_bytes") or 0) > 0


def test_a_counter_has_no_second_series_for_when_it_was_made() -> None:
    made = CollectorRegistry()
    Counter("x_total", "", registry=made).inc()
    assert [sample.name for family in made.collect() for sample in family.samples] == ["x_total"]


class World:
    """Two metrics of jobs, and their labels, at a time of the test's own."""

    def __init__(self, most: int) -> None:
        self.now = 0.0
        self.made = CollectorRegistry()
        self.ended = Counter("ended_total", "", ["dag", "job_name", "result"], registry=self.made)
        self.waited = Histogram("waited_seconds", "", ["dag", "job_name"], registry=self.made)
        self.labels = JobLabels(self.ended, self.waited, clock=lambda: self.now)
        self.labels.most = most

    def count(self, dag: str, job: str = "j") -> None:
        pair = self.labels.of(dag, job)
        self.ended.labels(*pair, "Failed").inc()
        self.waited.labels(*pair).observe(1)

    def counted(self) -> dict[str, float]:
        return {
            sample.labels["dag"]: sample.value
            for family in self.made.collect()
            for sample in family.samples
            if sample.name == "ended_total" and sample.value
        }

    def begun(self, dag: str) -> dict[str, float]:
        """Series of a DAG's failures."""
        return {
            sample.labels["result"]: sample.value
            for family in self.made.collect()
            for sample in family.samples
            if sample.name == "ended_total" and sample.labels["dag"] == dag
        }


def test_pairs_beyond_the_bound_are_summed() -> None:
    world = World(most=2)
    for dag in ("a", "b", "c", "d", "a", "c"):
        world.count(dag)
    assert world.counted() == {"a": 2, "b": 1, OTHER: 3}


FROM_ZERO = {"Failed": 0, "TimedOut": 0, "LeaseExpired": 0}


def test_failures_of_a_pair_begin_at_0_when_it_is_named_first() -> None:
    world = World(most=1)
    assert world.begun(OTHER) == FROM_ZERO
    world.labels.of("a", "j")
    assert world.begun("a") == FROM_ZERO
    world.count("a")
    world.labels.of("a", "j")
    assert world.begun("a") == FROM_ZERO | {"Failed": 1}


def test_a_pair_that_is_expected_takes_a_free_place_and_no_other() -> None:
    world = World(most=1)
    world.labels.expect("a", "j")
    assert world.begun("a") == FROM_ZERO
    world.now = QUIET_SECONDS
    world.labels.expect("b", "j")
    assert world.begun("b") == {}
    world.count("b")
    assert world.counted() == {"b": 1}, "who counts takes the place of the one that was quiet"
    assert world.begun("a") == {}


def test_a_pair_that_was_quiet_gives_its_place_and_its_series_to_a_new_one() -> None:
    world = World(most=2)
    world.count("old")
    world.count("kept")
    world.now = QUIET_SECONDS
    world.count("kept")
    world.count("new")
    world.count("newer")
    assert world.counted() == {"kept": 2, "new": 1, OTHER: 1}
    assert world.made.get_sample_value("waited_seconds_count", {"dag": "old", "job_name": "j"}) is None
