"""What an installation gives to every worker pod beside its image: who it is, where it runs, how it is marked.

The chart's `workers`, as JSON. What stands here is all that can be set: a field that would open a wall (a user of
0, a capability, a writable root, a token of the API server) does not exist. Names of fields are those of a pod.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from traceplane.kit import podkeys

Name = Annotated[str, Field(min_length=1, max_length=253, pattern="^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
JobKey = Annotated[
    str,
    Field(min_length=1, max_length=317, pattern="^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?(/[-A-Za-z0-9_.]+)?$"),
]
"""A label or annotation, or the prefix of some."""
UserId = Annotated[int, Field(ge=1, le=2_147_483_647)]
"""Never 0, which is root."""


def _free(keys: dict[str, str]) -> dict[str, str]:
    refused = [why for key in keys if (why := podkeys.refused_of_installation(key))]
    if refused:
        raise ValueError("; ".join(refused))
    return keys


def _well_formed(keys: dict[str, str]) -> dict[str, str]:
    if refused := [why for key in keys if (why := podkeys.malformed(key))]:
        raise ValueError("; ".join(refused))
    return keys


LabelValue = Annotated[str, Field(pattern="^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
Labels = Annotated[dict[str, LabelValue], Field(max_length=32), AfterValidator(_free)]
Annotations = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32), AfterValidator(_free)
]
NodeSelector = Annotated[dict[str, LabelValue], AfterValidator(_well_formed)]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def manifest(self) -> dict[str, Any]:
        """The part as Kubernetes spells it, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=False)


class SeccompProfile(_Part):
    """Profiles of the Restricted standard: the runtime's, or one of the node's own."""

    type: Literal["RuntimeDefault", "Localhost"] = "RuntimeDefault"
    localhost_profile: Annotated[str, Field(min_length=1, max_length=253)] | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (self.type == "Localhost") != (self.localhost_profile is not None):
            raise ValueError("type Localhost, and no other, needs localhostProfile")
        return self


class SELinuxOptions(_Part):
    """The level alone: user and role are not for a pod to choose."""

    level: Annotated[str, Field(pattern="^s[0-9]+(-s[0-9]+)?(:c[0-9.,c]+)?$", max_length=64)]


class PodSecurity(_Part):
    """Ids that a pod runs with; one that is not set is the namespace's or the image's, and never root."""

    run_as_user: UserId | None = None
    run_as_group: UserId | None = None
    fs_group: UserId | None = None
    supplemental_groups: Annotated[list[UserId], Field(max_length=16)] | None = None
    seccomp_profile: SeccompProfile = SeccompProfile()
    se_linux_options: SELinuxOptions | None = None


class WorkerTracing(_Part):
    """Where workers export their traces to; see `parts.Tracing`."""

    endpoint: Annotated[str, Field(min_length=1, max_length=2048)]
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    headers_secret: Name | None = None


_IMAGE_USER = 10001
"""The images' own user; numeric, so that the kubelet can prove that it is not root."""


class WorkerPods(_Part):
    """Of every worker pod and every source."""

    image_pull_secrets: Annotated[list[Name], Field(max_length=16)] = []
    service_account_name: Name = "default"
    job_service_accounts: Annotated[list[Name], Field(max_length=64)] = []
    """Those that a job may name: an account may stand for rights in a cloud."""
    job_priority_classes: Annotated[list[Name], Field(max_length=64)] = []
    """Those that a job may name: a pod of higher priority takes the place of others."""
    job_keys: Annotated[list[JobKey], Field(max_length=64)] = []
    """Labels and annotations, or their prefixes, that a job may set: what is installed may act on them."""
    labels: Labels = {}
    annotations: Annotations = {}
    priority_class_name: Name | None = None
    runtime_class_name: Name | None = None
    node_selector: NodeSelector = {}
    tolerations: Annotated[list[dict[str, Any]], Field(max_length=32)] = []
    affinity: dict[str, Any] = {}
    topology_spread_constraints: Annotated[list[dict[str, Any]], Field(max_length=8)] = []
    """Without a `labelSelector` each counts the pods of the job."""
    security_context: PodSecurity = PodSecurity(
        run_as_user=_IMAGE_USER, run_as_group=_IMAGE_USER, fs_group=_IMAGE_USER
    )
    scratch_size: Annotated[str, Field(pattern="^[1-9][0-9]*(Mi|Gi|Ti)$")] = "4Gi"
    tracing: WorkerTracing | None = None
    """The chart's `tracing`; None: workers export none."""
