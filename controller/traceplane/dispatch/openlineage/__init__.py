"""OpenLineage: what Trace ran, sent to a catalog of lineage."""
