"""Writes the settings that `config:` of the chart accepts into charts/trace/values.schema.json.

The chart passes `config: {lease_seconds: 20}` on as environment of every process. A misspelt key would be
ignored by the processes without a word, so the schema lists each allowed setting with its type and bounds,
taken from the settings model. What the chart decides itself (addresses, files, ports, identities) is not among
them.

Usage: python -m hack.generate.chart_config [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from traceplane.settings import Settings

SCHEMA = Path(__file__).resolve().parents[2] / "charts" / "trace" / "values.schema.json"

# Decided by the chart's other values, by the pod a process runs in, or secret.
NOT_IN_CONFIG = frozenset(
    {
        "org_id", "namespace", "watch_namespaces", "crash_at", "first_admin", "dispatcher_url", "query_url",
        "listen_host", "task_port", "user_port", "query_port", "metrics_port", "admission_port",
        "admission_certificate",
        "s3_endpoint_url", "s3_public_endpoint_url", "s3_region", "s3_bucket",
        "s3_access_key_id", "s3_secret_access_key",
        "sts_endpoint_url", "sts_role_arn", "state_dsn", "data_dsn",
        "oidc_issuer", "oidc_audience", "oidc_jwks_url",
        "tracing", "tracing_sample_ratio", "openlineage_url",
        "worker_image", "worker_pull_policy", "worker_secret", "worker_pods",
        "job_id", "worker_id", "rpc_dir", "scratch_dir", "query_cache_dir",
    }
)  # fmt: skip


def allowed() -> list[str]:
    """Names of the settings that `config:` takes."""
    return [name for name in Settings.model_fields if name not in NOT_IN_CONFIG and not name.endswith("_file")]


def properties() -> dict[str, Any]:
    """JSON schema (draft 7) of each allowed setting."""
    described = Settings.model_json_schema()["properties"]
    return {name: _property(described[name]) for name in sorted(allowed())}


def _property(source: dict[str, Any]) -> dict[str, Any]:
    kept = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "pattern")
    branches = source.get("anyOf", [source])
    shapes = [{key: branch[key] for key in kept if key in branch} for branch in branches]
    # None is written as the word that the settings model reads as None.
    shapes = [{"enum": ["never"]} if shape.get("type") == "null" else shape for shape in shapes]
    found = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    return {"description": source["description"], **found}


def rendered() -> str:
    """The whole schema file with its `config` part as it should be."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["config"]["properties"] = properties()
    return json.dumps(schema, indent=2) + "\n"


def main(argv: list[str]) -> int:
    """Write the file, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        SCHEMA.write_text(rendered())
    elif SCHEMA.read_text() != rendered():
        print(f"{SCHEMA.name} and the settings model differ; run: python -m hack.generate.chart_config")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
