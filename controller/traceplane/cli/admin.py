"""`tracectl admin`: who may use Trace. Speaks to the state database itself, as an administrator can.

Roles are never taken from tokens, so this is where people get them. The subject of a Kubernetes service account is
`system:serviceaccount:NAMESPACE:NAME`, its issuer the cluster's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from traceplane.cli.printing import Output
from traceplane.errors import NotFound, Refused

_ROLE = re.compile(r"[a-z][a-z0-9-]{0,62}")

Issuer = Annotated[str, typer.Option(help="`iss` of the user's tokens.")]
Subject = Annotated[str, typer.Argument(help="`sub` of the user's tokens.")]
Role = Annotated[str, typer.Argument(help="reader, writer, admin, or a free name for readRoles.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its nouns."""
    admin = typer.Typer(help="Manage users and roles (needs TRACE_STATE_DSN).", no_args_is_help=True)
    users = typer.Typer(help="Users.", no_args_is_help=True)
    users.command("add")(add_user)
    users.command("list")(list_users)
    roles = typer.Typer(help="Roles.", no_args_is_help=True)
    roles.command("grant")(grant)
    roles.command("revoke")(revoke)
    admin.add_typer(users, name="user")
    admin.add_typer(roles, name="role")
    app.add_typer(admin, name="admin")


def add_user(
    subject: Subject,
    issuer: Issuer,
    name: Annotated[str, typer.Option(help="A name for people; the subject by default.")] = "",
    role: Annotated[list[str] | None, typer.Option(help="Role to grant at once; may be repeated.")] = None,
) -> None:
    """Enter a user, with roles.

    Example: tracectl admin user add alice --issuer https://login.example.com --role reader --role finance
    """
    wanted = [_checked(name) for name in role or []]

    async def work(connection: Any, org: Any) -> None:
        from traceplane.store.statements import tenancy

        values = {"org": org, "issuer": issuer, "subject": subject, "name": name or subject}
        if (await connection.execute(tenancy.ADD_USER, values)).first() is None:
            raise Refused(f"{subject!r} belongs to another organisation", code="Conflict")
        for each in wanted:
            await connection.execute(tenancy.ADD_ROLE, {"org": org, "role": each})
            await connection.execute(
                tenancy.GRANT, {"org": org, "issuer": issuer, "subject": subject, "role": each}
            )

    _with_state(work)
    typer.echo(f"{subject} may sign in" + (f" as {', '.join(wanted)}" if wanted else "; grant a role next"))


def list_users(output: Annotated[Output, typer.Option("--output", "-o")] = Output.TABLE) -> None:
    """List users with their roles.

    Example: tracectl admin user list -o json
    """
    found: list[dict[str, Any]] = []

    async def work(connection: Any, org: Any) -> None:
        from traceplane.store.statements import tenancy

        rows = (await connection.execute(tenancy.USERS, {"org": org})).mappings()
        found.extend({**row, "created_at": row["created_at"].isoformat()} for row in rows)

    _with_state(work)
    from traceplane.cli import printing

    columns = ("issuer", "subject", "name", "roles", "created_at")
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, output)
    else:
        show = printing.comma_separated if output is Output.CSV else printing.table
        show(columns, [[row[column] for column in columns] for row in found])


def grant(role: Role, subject: Subject, issuer: Issuer) -> None:
    """Give a user a role.

    Example: tracectl admin role grant finance alice --issuer https://login.example.com
    """
    _checked(role)

    async def work(connection: Any, org: Any) -> None:
        from traceplane.store.statements import tenancy

        values = {"org": org, "issuer": issuer, "subject": subject, "role": role}
        await connection.execute(tenancy.ADD_ROLE, {"org": org, "role": role})
        if (await connection.execute(tenancy.GRANT, values)).first() is None:
            raise NotFound(f"no user {subject!r} of {issuer}; enter it with `tracectl admin user add`")

    _with_state(work)
    typer.echo(f"{subject} is {role}")


def revoke(role: Role, subject: Subject, issuer: Issuer) -> None:
    """Take a role from a user.

    Example: tracectl admin role revoke finance alice --issuer https://login.example.com
    """

    async def work(connection: Any, org: Any) -> None:
        from traceplane.store.statements import tenancy

        values = {"org": org, "issuer": issuer, "subject": subject, "role": role}
        if (await connection.execute(tenancy.REVOKE, values)).first() is None:
            raise NotFound(f"{subject!r} of {issuer} does not hold the role {role!r}")

    _with_state(work)
    typer.echo(f"{subject} is not {role} any more")


def _checked(role: str) -> str:
    if not _ROLE.fullmatch(role):
        raise Refused(f"{role!r} is not a role's name: lower-case letters, digits and dashes, a letter first")
    return role


def _with_state(work: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Run `work(connection, org)` in one transaction of the state database."""

    async def run() -> None:
        from traceplane.settings import AdminSettings, load
        from traceplane.store.engine import Database

        settings = load(AdminSettings)
        database = Database(settings.read_state_dsn(), application="tracectl-admin", pool_size=1)
        try:
            async with database.transaction() as connection:
                await work(connection, settings.org_id)
        finally:
            await database.close()

    asyncio.run(run())
