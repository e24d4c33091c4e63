"""Landlock, seccomp and limits: what a process gives up before it sees SQL. Imports nothing of the service."""
