"""`tracectl admin`: who may use Trace. It works on the state database itself, with the rights of an installation.

Roles are never taken from tokens, so this is where people get them. The subject of a Kubernetes service account is
`system:serviceaccount:NAMESPACE:NAME`, its issuer the cluster's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from traceplane.cli.printing import Output
from traceplane.errors import NotFound, Refused

if TYPE_CHECKING:
    from traceplane.store.engine import Connection

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

    async def work(connection: Connection, org: UUID) -> None:
        from traceplane.store.statements import tenancy

        user = tenancy.Identity(issuer, subject)
        if not await tenancy.add_user(connection, org_id=org, identity=user, name=name or subject):
            raise Refused(f"{subject!r} belongs to another organisation", code="Conflict")
        for each in wanted:
            await tenancy.grant(connection, org_id=org, identity=user, role=each)

    _with_state(work)
    typer.echo(f"{subject} may sign in" + (f" as {', '.join(wanted)}" if wanted else "; grant a role next"))


def list_users(output: Annotated[Output, typer.Option("--output", "-o")] = Output.TABLE) -> None:
    """List users with their roles.

    Example: tracectl admin user list -o json
    """
    found: list[dict[str, Any]] = []

    async def work(connection: Connection, org: UUID) -> None:
        from traceplane.store.statements import tenancy

        for user in await tenancy.users(connection, org_id=org):
            found.append({**asdict(user), "created_at": user.created_at.isoformat()})

    _with_state(work)
    from traceplane.cli import printing

    printing.rows(found, ("issuer", "subject", "name", "roles", "created_at"), output)


def grant(role: Role, subject: Subject, issuer: Issuer) -> None:
    """Give a user a role.

    Example: tracectl admin role grant finance alice --issuer https://login.example.com
    """
    _checked(role)

    async def work(connection: Connection, org: UUID) -> None:
        from traceplane.store.statements import tenancy

        user = tenancy.Identity(issuer, subject)
        if not await tenancy.grant(connection, org_id=org, identity=user, role=role):
            raise NotFound(f"no user {subject!r} of {issuer}; enter it with `tracectl admin user add`")

    _with_state(work)
    typer.echo(f"{subject} is {role}")


def revoke(role: Role, subject: Subject, issuer: Issuer) -> None:
    """Take a role from a user.

    Example: tracectl admin role revoke finance alice --issuer https://login.example.com
    """

    async def work(connection: Connection, org: UUID) -> None:
        from traceplane.store.statements import tenancy

        user = tenancy.Identity(issuer, subject)
        if not await tenancy.revoke(connection, org_id=org, identity=user, role=role):
            raise NotFound(f"{subject!r} of {issuer} does not hold the role {role!r}")

    _with_state(work)
    typer.echo(f"{subject} is not {role} any more")


def _checked(role: str) -> str:
    if not _ROLE.fullmatch(role):
        raise Refused(f"{role!r} is not a role's name: lower-case letters, digits and dashes, a letter first")
    return role


def _with_state(work: Callable[[Connection, UUID], Awaitable[None]]) -> None:
    """Run `work(connection, org)` in one transaction of the state database."""

    async def run() -> None:
        from traceplane.settings import AdminSettings, load
        from traceplane.store.engine import one_transaction

        settings = load(AdminSettings)
        async with one_transaction(settings.read_state_dsn(), application="tracectl-admin") as connection:
            await work(connection, settings.org_id)

    asyncio.run(run())
