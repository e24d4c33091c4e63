"""Rules between the fields of a job. The model itself is in `job`; these read it by attribute."""

from __future__ import annotations

from typing import Any

from traceplane.kinds.rules import FORBIDDEN, INVALID, NOT_SUPPORTED, REQUIRED, Rule, not_supported

NO_BACKPRESSURE = "queues hold no producer back; remove it and bound workers with scaling"


def _source_has_no(field: str, attribute: str, because: str) -> Rule:
    """A job with `activation: Source` may not set `field`."""
    return Rule(
        f"self.activation != 'Source' || !has(self.{field})",
        lambda job: job.activation != "Source" or getattr(job, attribute) is None,
        f"a Source job has no {field}: {because}",
        field,
        FORBIDDEN,
    )


def _pod_only(field: str, attribute: str) -> Rule:
    """`field` is about worker pods, which only `runtime: Pod` has."""
    return Rule(
        f"self.runtime == 'Pod' || !has(self.{field})",
        lambda job: job.runtime == "Pod" or getattr(job, attribute) is None,
        f"{field} is about worker pods, which only runtime Pod has; remove it",
        field,
        FORBIDDEN,
    )


def _one_at_a_time(field: str, attribute: str) -> Rule:
    """A PerUpdate job runs one task at a time, so more workers or tasks are a mistake."""
    return Rule(
        "!has(self.executionStrategy) || self.executionStrategy != 'PerUpdate' || !has(self.scaling) || "
        f"!has(self.scaling.{field}) || self.scaling.{field} <= 1",
        lambda job: (
            job.execution_strategy != "PerUpdate"
            or job.scaling is None
            or (getattr(job.scaling, attribute) or 0) <= 1
        ),
        f"a PerUpdate job runs one task at a time; remove {field}, or use executionStrategy PerPartition",
        f"scaling.{field}",
        INVALID,
    )


def _triggers(job: Any) -> bool:
    return job.activation != "Reactive" or not job.inputs or any(i.trigger for i in job.inputs)


QUEUE_RULES = (
    not_supported("maxQueueDepth", "max_queue_depth", NO_BACKPRESSURE),
    not_supported("maxQueueAge", "max_queue_age", NO_BACKPRESSURE),
)
"""Of a job, and of the defaults of a DAG."""

JOB_RULES = (
    Rule(
        "self.activation != 'Source' || has(self.source)",
        lambda job: job.activation != "Source" or job.source is not None,
        "a Source job needs source, such as {kind: AlwaysOn}",
        "source",
        REQUIRED,
    ),
    Rule(
        "self.activation != 'Reactive' || !has(self.source)",
        lambda job: job.activation != "Reactive" or job.source is None,
        "a Reactive job has no source; remove it, or use activation Source",
        "source",
        FORBIDDEN,
    ),
    _source_has_no("inputs", "inputs", "it emits events by itself; remove them, or use activation Reactive"),
    _source_has_no("executionStrategy", "execution_strategy", "nothing makes tasks for it; remove it"),
    _source_has_no("scaling", "scaling", "exactly one instance runs; remove it"),
    _source_has_no("idleTimeout", "idle_timeout", "it always runs; remove it"),
    _source_has_no("timeoutSeconds", "timeout_seconds", "its run has no end; remove it"),
    _source_has_no("maxAttempts", "max_attempts", "it is restarted for ever; remove it"),
    Rule(
        "self.activation != 'Reactive' || has(self.inputs)",
        lambda job: job.activation != "Reactive" or job.inputs is not None,
        "a Reactive job needs at least one input, such as {from: {job: follow, output: blocks}}",
        "inputs",
        REQUIRED,
    ),
    Rule(
        "self.activation != 'Reactive' || has(self.executionStrategy)",
        lambda job: job.activation != "Reactive" or job.execution_strategy is not None,
        "a Reactive job needs executionStrategy: PerUpdate or PerPartition",
        "executionStrategy",
        REQUIRED,
    ),
    Rule(
        "self.activation != 'Reactive' || !has(self.inputs) || self.inputs.exists(i, !has(i.trigger) || i.trigger)",
        _triggers,
        "at least one input must trigger the job; remove trigger: false from one",
        "inputs",
        INVALID,
    ),
    Rule(
        "self.updateStrategy != 'Append' || has(self.uniqueKey)",
        lambda job: job.update_strategy != "Append" or job.unique_key is not None,
        "updateStrategy Append needs uniqueKey: the columns that identify a row",
        "uniqueKey",
        REQUIRED,
    ),
    Rule(
        "self.runtime != 'Lambda'",
        lambda job: job.runtime != "Lambda",
        "runtime Lambda is not supported yet; use Pod or Dispatcher",
        "runtime",
        NOT_SUPPORTED,
    ),
    Rule(
        "self.activation != 'Source' || self.runtime != 'Dispatcher'",
        lambda job: job.activation != "Source" or job.runtime != "Dispatcher",
        "a Source job in the dispatcher is not supported yet; use runtime Pod",
        "runtime",
        NOT_SUPPORTED,
    ),
    Rule(
        "!has(self.bootstrap) || !has(self.bootstrap.resetOutputs) || !self.bootstrap.resetOutputs",
        lambda job: job.bootstrap is None or not job.bootstrap.reset_outputs,
        "resetOutputs: true is not supported yet; every new dataset version starts empty anyway",
        "bootstrap.resetOutputs",
        NOT_SUPPORTED,
    ),
    not_supported("image", "image", "name an operator that is installed"),
    not_supported("udf", "udf", "name an operator that is installed"),
    not_supported("secrets", "secrets", "remove it; RPC providers are reached through an rpcPool"),
    *QUEUE_RULES,
    _pod_only("idleTimeout", "idle_timeout"),
    _pod_only("resources", "resources"),
    _pod_only("nodeSelector", "node_selector"),
    _pod_only("tolerations", "tolerations"),
    _pod_only("serviceAccountName", "service_account_name"),
    _pod_only("pod", "pod"),
    Rule(
        "self.runtime == 'Pod' || !has(self.scaling) || "
        "(!has(self.scaling.minWorkers) && !has(self.scaling.maxWorkers))",
        lambda job: (
            job.runtime == "Pod"
            or job.scaling is None
            or (job.scaling.min_workers is None and job.scaling.max_workers is None)
        ),
        "minWorkers and maxWorkers count worker pods, which only runtime Pod has; use maxConcurrency",
        "scaling",
        FORBIDDEN,
    ),
    _one_at_a_time("maxWorkers", "max_workers"),
    _one_at_a_time("maxConcurrency", "max_concurrency"),
)

SCALING_RULES = (
    Rule(
        "!has(self.minWorkers) || self.minWorkers <= (has(self.maxWorkers) ? self.maxWorkers : 1)",
        lambda s: s.min_workers is None or s.min_workers <= (1 if s.max_workers is None else s.max_workers),
        "minWorkers may not exceed maxWorkers (1 where left out)",
        "minWorkers",
    ),
)

SOURCE_RULES = (
    Rule(
        "self.kind == 'AlwaysOn'",
        lambda source: source.kind == "AlwaysOn",
        "only kind AlwaysOn is supported yet; Cron, Webhook and Manual are not",
        "kind",
        NOT_SUPPORTED,
    ),
    Rule(
        "self.kind == 'Cron' || (!has(self.schedule) && !has(self.timeZone))",
        lambda source: source.kind == "Cron" or (source.schedule is None and source.time_zone is None),
        "schedule and timeZone belong to kind Cron; remove them",
        "schedule",
        FORBIDDEN,
    ),
    Rule(
        "self.kind == 'Webhook' || (!has(self.path) && !has(self.secretRef))",
        lambda source: source.kind == "Webhook" or (source.path is None and source.secret_ref is None),
        "path and secretRef belong to kind Webhook; remove them",
        "path",
        FORBIDDEN,
    ),
)

INPUT_FROM = (
    Rule(
        "has(self.job) != has(self.asset)",
        lambda origin: (origin.job is None) != (origin.asset is None),
        "give either job and output, or asset",
    ),
    Rule(
        "has(self.job) == has(self.output)",
        lambda origin: (origin.job is None) == (origin.output is None),
        "job and output go together: {job: follow, output: blocks}",
        "output",
    ),
    Rule(
        "!has(self.__namespace__) || has(self.asset)",
        lambda origin: origin.namespace is None or origin.asset is not None,
        "namespace belongs to asset; jobs are of the same DAG",
        "namespace",
        FORBIDDEN,
    ),
)

TOLERATION_RULES = (
    Rule(
        "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
        lambda toleration: toleration.key is not None or toleration.operator == "Exists",
        "a toleration needs key, or operator Exists to tolerate every taint",
        "key",
        REQUIRED,
    ),
    Rule(
        "!has(self.value) || !has(self.operator) || self.operator != 'Exists'",
        lambda toleration: toleration.value is None or toleration.operator != "Exists",
        "operator Exists takes no value; remove it, or use Equal",
        "value",
        FORBIDDEN,
    ),
    Rule(
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        lambda toleration: toleration.toleration_seconds is None or toleration.effect == "NoExecute",
        "tolerationSeconds belongs to effect NoExecute",
        "tolerationSeconds",
        FORBIDDEN,
    ),
)
