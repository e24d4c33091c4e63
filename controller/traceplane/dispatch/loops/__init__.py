"""The dispatcher's background loops, one a file; each is safe in any number of replicas."""
