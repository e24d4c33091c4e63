"""The dispatcher's loops: one a file, each a bounded step that any number of replicas may run."""
