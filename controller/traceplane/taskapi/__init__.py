"""The task API: what workers, tasks and the cluster's own services call over HTTP."""
