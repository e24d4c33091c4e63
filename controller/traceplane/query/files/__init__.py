"""Cold files: the object store and the local cache."""
