"""What `make demo` does: a cluster, Trace on it, a pipeline from a chain to SQL, the proof of the answer."""
