"""What the chart makes of the sizes of the query service, and which of them contradict each other."""

import pytest
import yaml

from tests.chart.conftest import CHART, Refused
from traceplane.query.broker import memory_watch
from traceplane.settings import Settings

DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())["query"]
GI = 1024


def cached(rendered) -> int:
    return int(rendered.one("ConfigMap", "trace-config")["data"]["TRACE_QUERY_CACHE_MB"])


def limits(memory: str | None) -> dict:
    return {"resources": {"limits": {"memory": memory}}}


@pytest.mark.parametrize(
    ("size", "files"),
    [
        ("2Gi", 1843), ("512Mi", 460), ("10G", 8582), ("1.5Gi", 1382), ("2Ti", 1887436), ("1048576Ki", 921),
        (1073741824, 921), ("1073741824", 921),
    ],
)  # fmt: skip
def test_the_cache_follows_from_its_volume_with_room_to_spare(size, files, render):
    rendered = render(query={"cacheSize": size})
    assert cached(rendered) == files
    (pod,) = [spec for name, spec in rendered.pods() if name == "trace-dispatcher"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "query-cache"]
    assert str(volume["emptyDir"]["sizeLimit"]).startswith(str(size)[:3])


def test_the_setting_wins_where_it_fits_its_volume(render):
    assert cached(render(config={"query_cache_mb": 1843})) == 1843
    with pytest.raises(Refused, match=r"config\.query_cache_mb: .*\(2Gi\) has room for 1843 MiB"):
        render(config={"query_cache_mb": 1844})
    assert cached(render(config={"query_cache_mb": 1844}, query={"cacheSize": "3Gi"})) == 1844


def needed(**changed: int) -> int:
    """MiB, by the settings' own defaults."""
    of = DEFAULTS | changed
    return (
        512
        + of["query_concurrency"] * (of["query_memory_mb"] + 256)
        + of["query_batch_concurrency"] * (of["query_batch_memory_mb"] + 256)
    )


@pytest.mark.parametrize("mode", ["Sidecar", "Deployment"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"query_memory_mb": 2048},
        {"query_concurrency": 8},
        {"query_batch_memory_mb": 4096},
        {"query_batch_concurrency": 0},
        {"query_batch_concurrency": 3, "query_concurrency": 1},
    ],
)
def test_a_memory_limit_that_does_not_hold_all_queries_is_refused(mode, changed, render):
    size = needed(**changed)
    render(config=changed, query={"mode": mode, **limits(f"{size}Mi")})
    with pytest.raises(Refused, match=rf"query\.resources\.limits\.memory: queries may need {size}Mi together"):
        render(config=changed, query={"mode": mode, **limits(f"{size - 1}Mi")})


def test_without_a_memory_limit_nothing_is_refused(render):
    render(config={"query_memory_mb": 65536}, query=limits(None))


def test_what_a_query_has_beyond_its_budget_is_counted():
    assert memory_watch.SLACK_BYTES < 256 * 1024**2
    assert VALUES["resources"]["limits"]["memory"] == "3Gi"
    assert needed() <= 3 * GI
