"""Small parts that know nothing of tasks and DAGs: ids, crash points, the loop runner."""
