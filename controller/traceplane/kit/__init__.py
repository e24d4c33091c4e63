"""Small parts without knowledge of Trace: ids, crash points, the loop runner."""
