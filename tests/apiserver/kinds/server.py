"""What the API server says to a manifest, without keeping it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kubernetes import client

PLURALS = {"DAG": "dags", "Job": "jobs", "Asset": "assets", "Bundle": "bundles"}


@dataclass(frozen=True)
class Answer:
    """HTTP status, and the message where it is an error, or the object as the server would store it."""

    status: int
    message: str
    stored: dict[str, Any]


def dry_run(api: client.ApiClient, document: dict[str, Any], *, strict: bool = True) -> Answer:
    """Create `document` with `dryRun=All`; `strict` is what kubectl asks for: unknown fields are refused."""
    try:
        stored = client.CustomObjectsApi(api).create_namespaced_custom_object(
            "trace.dev",
            "v1alpha1",
            "default",
            PLURALS[document["kind"]],
            document,
            dry_run="All",
            field_validation="Strict" if strict else "Ignore",
        )
    except client.ApiException as error:
        return Answer(error.status, json.loads(error.body)["message"], {})
    return Answer(201, "", stored)
