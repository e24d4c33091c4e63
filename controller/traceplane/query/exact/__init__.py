"""256-bit integers as numbers of SQL: exact, refused where DuckDB would round, with the functions that it lacks.
And texts that no column of hex ever equals.

On either side of the wall, and of the platform it knows nothing: a cell runs statements by it, and the process that
checks statements binds a job's by it.
"""
