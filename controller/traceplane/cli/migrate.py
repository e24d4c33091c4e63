"""`tracectl run migrate`: bring both databases to this release's schema and seed the first rows.

The chart runs it as a hook before anything serves. It is safe to run at any time, any number of times at once.
"""

from __future__ import annotations

import shlex

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("migrate")(migrate)


def migrate() -> None:
    """Migrate the state and data databases, then seed the organisation, roles and first admin."""
    from traceplane.observe import logs
    from traceplane.settings import MigrateSettings, load
    from traceplane.store.migrate import migrate as run
    from traceplane.store.seed import FirstAdmin, first_admin

    settings = load(MigrateSettings)
    logs.configure(settings.log_level)
    done = run(
        settings.read_state_dsn(),
        settings.read_data_dsn(),
        org_id=settings.org_id,
        first_admin=settings.first_admin,
        lock_seconds=settings.migrate_lock_seconds,
    )
    for name, (before, after) in (("state", done.state), ("data", done.data)):
        change = f"is at {after}" if before == after else f"moved from {before or 'nothing'} to {after}"
        typer.echo(f"{name} database {change}")
    if done.admin is FirstAdmin.MADE:
        typer.echo("first admin made")
    elif done.admin is FirstAdmin.UNUSED and settings.first_admin:
        issuer, subject = (shlex.quote(part) for part in first_admin(settings.first_admin))
        typer.echo(
            f"first admin {settings.first_admin} was not used: an admin exists already. To make it one, run "
            f"`tracectl admin user add {subject} --issuer {issuer} --role admin --role reader --role writer`"
        )
