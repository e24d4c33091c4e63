"""The controller: makes Postgres agree with what users wrote, and Kubernetes agree with Postgres.

Read in this order: `controller` (what runs), `handlers` (events become keys), `dag` (one reconcile: gather,
decide, apply), `decide` (all decisions, pure), `podspec` and `projection` (what objects look like).
"""
