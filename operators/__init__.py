"""Built-in operators, one folder each; found through the entry point group `traceplane.operators`."""
