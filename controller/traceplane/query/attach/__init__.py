"""The databases as the query service uses them: the only place of it with SQL and connections."""
