"""A cell: one process that runs one untrusted statement and ends.

It is forked from the zygote with an empty environment, one socket to the broker, and two databases. Whatever the
SQL does, this process holds nothing but what was granted to this query.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from traceplane.query import wire
from traceplane.query.cell import execution, warm
from traceplane.query.exact import bound
from traceplane.query.sandbox import confine
from traceplane.query.wire import Limits

REST_SECONDS = 0.1
"""Queries that come faster than this one after another need the machine more than a rehearsal does."""


def main(channel: socket.socket, folder: str, limits: Limits, databases: warm.Databases, log: confine.Log) -> None:
    """Serve one query on `channel`, reading files from `folder` only; return when it is over.

    Raises what makes this process unfit for a query; the caller logs it and ends the process.
    """
    confine.die_with_parent()
    log.detach()
    rehearsal = warm.Rehearsal("json")  # makes its sockets now: once confined, it could not
    own = _connected(databases, folder, limits)
    slack = confine.slack(limits.threads)
    confine.confine(folder, memory_bytes=limits.memory_bytes, cpu_seconds=limits.cpu_seconds, slack_bytes=slack)
    # Only now: Landlock binds one thread and those that it starts, so DuckDB's threads start behind the walls.
    own.main.execute(f"SET threads = {limits.threads}")
    for connection in (own.main, own.shadow):
        connection.execute("SET lock_configuration = true")
    with rehearsal:
        if not _query_arrives(channel, REST_SECONDS):
            rehearsal.run(own)  # a cell that could not run a query ends here, before it gets one
    log.close()  # before the first byte of SQL: a statement that takes this process over could forge lines
    try:
        execution.serve(channel, folder, own.main, own.shadow)
    except wire.Closed:
        return  # the broker gave up on this query


def _query_arrives(channel: socket.socket, seconds: float) -> bool:
    """Whether a query comes within `seconds`, or the broker closes the channel."""
    channel.settimeout(seconds)
    try:
        channel.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        channel.settimeout(None)
    return True


def _connected(inherited: warm.Databases, folder: str, limits: Limits) -> warm.Databases:
    """This cell's own connections to the databases it inherited, with all settings but the number of threads."""
    file = Path(folder, "rehearsal", inherited.file.name)
    file.parent.mkdir()
    os.link(inherited.file, file)  # into the only folder that this cell can read once it is confined
    # A connection of its own has a random state of its own: no two cells give the same random numbers.
    own = warm.Databases(inherited.main.cursor(), inherited.shadow.cursor(), file)
    for connection in (own.main, own.shadow):
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{limits.memory_bytes // 1024**2}MiB'")
    own.main.execute("SET allowed_directories = ?", [[folder]])
    own.main.execute("SET parquet_metadata_cache = true")  # a file's is wanted for the view, the types and the rows
    bound.limit_optimizers(own.shadow)
    for connection in (own.main, own.shadow):
        connection.execute("SET enable_external_access = false")  # after the folder is allowed: it freezes the list
    return own
