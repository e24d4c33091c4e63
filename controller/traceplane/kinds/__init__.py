"""The custom resources that people write, as pydantic models; `crds/` is generated from them.

A model is the schema (types, bounds, enums, defaults) and, in `rules`, what a schema cannot say. What needs to
know other objects or operators is the graph's business.
"""

from collections.abc import Mapping

from traceplane.kinds.asset import Asset, AssetSpec, AssetStatus
from traceplane.kinds.bundle import Bundle, BundleSpec, BundleStatus
from traceplane.kinds.dag import DAG, DAGSpec, DAGStatus
from traceplane.kinds.job import InlineJob, Job, JobSpec, JobStatus, JobTemplate
from traceplane.kinds.meta import API_VERSION, GROUP, VERSION, Condition, ObjectMeta, Resource

KINDS: Mapping[str, type[Resource]] = {"DAG": DAG, "Job": Job, "Asset": Asset, "Bundle": Bundle}
"""Every kind by name."""

__all__ = [
    "API_VERSION",
    "DAG",
    "GROUP",
    "KINDS",
    "VERSION",
    "Asset",
    "AssetSpec",
    "AssetStatus",
    "Bundle",
    "BundleSpec",
    "BundleStatus",
    "Condition",
    "DAGSpec",
    "DAGStatus",
    "InlineJob",
    "Job",
    "JobSpec",
    "JobStatus",
    "JobTemplate",
    "ObjectMeta",
    "Resource",
]
