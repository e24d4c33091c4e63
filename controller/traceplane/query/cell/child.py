"""The cell: one process that runs one untrusted statement and ends.

It is forked from the zygote with an empty environment, one socket to the broker, and two databases. Before SQL
arrives it takes them over, confines itself, rehearses (see `warm`), gives up the log and waits. What it does then
is in `execution`. Whatever the SQL does, this process holds nothing but what was granted to this query.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from traceplane.query import wire
from traceplane.query.cell import execution, warm
from traceplane.query.sandbox import confine


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell may use: memory in bytes, CPU in seconds over all threads."""

    memory_bytes: int
    cpu_seconds: int
    threads: int


REST_SECONDS = 0.1
"""Queries that come faster than this one after another need the machine more than a rehearsal does."""


def main(channel: socket.socket, folder: str, limits: Limits, databases: warm.Databases, log: confine.Log) -> None:
    """Serve one query on `channel`, reading files from `folder` only; return when it is over."""
    confine.die_with_parent()
    log.take()
    rehearsal = warm.Rehearsal("json")
    own = _own(databases, folder, limits)
    slack = confine.slack(limits.threads)
    confine.confine(folder, memory_bytes=limits.memory_bytes, cpu_seconds=limits.cpu_seconds, slack_bytes=slack)
    own.main.execute(f"SET threads = {limits.threads}")
    for connection in (own.main, own.shadow):
        connection.execute("SET lock_configuration = true")
    with rehearsal:
        if not _asked(channel, REST_SECONDS):
            rehearsal.run(own)
    log.close()
    try:
        execution.serve(channel, folder, own.main, own.shadow)
    except wire.Closed:
        return  # the broker gave up on this query


def _asked(channel: socket.socket, seconds: float) -> bool:
    """Whether a query comes within `seconds`, or the broker goes."""
    channel.settimeout(seconds)
    try:
        channel.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        channel.settimeout(None)
    return True


def _own(inherited: warm.Databases, folder: str, limits: Limits) -> warm.Databases:
    """This cell's own connections to the databases that it inherited, set as they stay but for threads.

    A connection of its own has a random state of its own: no two cells give the same random numbers.
    """
    file = Path(folder, "rehearsal", inherited.file.name)
    file.parent.mkdir()
    os.link(inherited.file, file)
    own = warm.Databases(inherited.main.cursor(), inherited.shadow.cursor(), file)
    for connection in (own.main, own.shadow):
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{limits.memory_bytes // 1024**2}MiB'")
    own.main.execute("SET allowed_directories = ?", [[folder]])
    # The first would fold away empty tables, the second reads a table twice, once without its filters.
    own.shadow.execute("SET disabled_optimizers = 'statistics_propagation,late_materialization'")
    for connection in (own.main, own.shadow):
        connection.execute("SET enable_external_access = false")
    return own
