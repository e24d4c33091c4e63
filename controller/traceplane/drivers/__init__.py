"""What Trace drives from outside: the Kubernetes API, the object store."""
