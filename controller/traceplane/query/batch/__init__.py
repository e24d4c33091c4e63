"""Batch queries: submitted, run later under a lease, fetched by id."""
