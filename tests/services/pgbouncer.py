"""A real PgBouncer before a Postgres server, which lets the same users in without a password."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.services.postgres import Postgres
from tests.services.process import (
    Part,
    ServiceError,
    on_free_port,
    own,
    run_as,
    start,
    temporary_folder,
    unprivileged_user,
)

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
{settings}
"""


@contextmanager
def pgbouncer(server: Postgres, mode: str, *settings: str) -> Iterator[int]:
    """The port of a PgBouncer in pool `mode` before `server`; `settings` are further lines of its configuration."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise ServiceError("pgbouncer not found; run: hack/setup apt services")
    user = unprivileged_user()
    with temporary_folder("pgbouncer") as folder:
        users, configuration = folder / "users", folder / "pgbouncer.ini"
        users.write_text("".join(f'"{name}" ""\n' for name in ("trace", "worker", "query")))

        def run(port: int) -> Part:
            configuration.write_text(
                _CONFIGURATION.format(
                    server=server.port, port=port, users=users, mode=mode, settings="\n".join(settings)
                )
            )
            part = start("pgbouncer", folder, [program, str(configuration)], **run_as(user))
            part.wait_ready(lambda: _answers(port))
            return part

        own(folder, user)
        part, port = on_free_port(run)
        try:
            yield port
        finally:
            part.stop()


def _answers(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://trace@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
