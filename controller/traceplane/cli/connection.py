"""How a command reaches a service of Trace: an address and a token.

Given explicitly, both are used as they are. Else `tracectl` does what a person would do by hand: it opens a
`kubectl port-forward` to the service in the release's namespace while the command runs, and takes a short-lived
token of a service account from the cluster (`kubectl create token --audience trace`).

A verb that calls a service is decorated with `calls(SERVICE)` and takes an `Access` as its first parameter. The
decorator puts the connection options in its place, so they are declared once, here, and work after every verb.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from traceplane.cli import kubectl
from traceplane.cli.options import Context, Kubeconfig
from traceplane.errors import NotFound, Refused, TraceError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import ssl

    import httpx

ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 10.0
TOKEN_SECONDS = 30.0
LOOKUP_SECONDS = 30.0

# Names of services and accounts are a value of the chart (`fullnameOverride`), so they are looked up by the
# chart's labels, which are not. There is one installation in a namespace.
LABELS = "app.kubernetes.io/name=trace,app.kubernetes.io/component={component}"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that verbs call: the chart's component, its port, and the variable that holds its address."""

    title: str
    component: str
    port: int
    variable: str


USER_API = Service("the user API", "dispatcher", 8081, "TRACE_USER_URL")
QUERY_SERVICE = Service("the query service", "query", 8082, "TRACE_QUERY_URL")


@dataclass(frozen=True, slots=True)
class Access:
    """The connection options, as given. Every field but `service` is an option of each verb that calls one."""

    service: Service
    # None: through a port-forward. Its environment variables are those of the service, so `calls` completes it.
    server: Annotated[str | None, typer.Option("--server")] = None
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with a bearer token; TRACE_TOKEN holds one directly.")
    ] = None
    # Hidden: a token on the command line is in the shell's history and in the list of processes.
    token: Annotated[str | None, typer.Option("--token", envvar="TRACE_TOKEN", hidden=True)] = None
    release_namespace: Annotated[
        str,
        typer.Option(
            "--release-namespace", envvar="TRACE_RELEASE_NAMESPACE", help="Namespace Trace is installed in."
        ),
    ] = "trace"
    account: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Service account to take a token of, where none is given; the chart's first admin by default.",
            metavar="ACCOUNT",
        ),
    ] = None
    audience: Annotated[
        str,
        typer.Option(
            "--audience", envvar="TRACE_AUDIENCE", help="Audience of such a token: `oidc.audience` of the chart."
        ),
    ] = "trace"
    context: Context = None
    kubeconfig: Kubeconfig = None

    @property
    def aim(self) -> list[str]:
        """The options that lead kubectl to the chosen cluster."""
        return kubectl.options(self.context, self.kubeconfig)

    def beside(self, service: Service) -> Access:
        """The same access to another service: at its variable's address, or this one's where one host has both."""
        server = os.environ.get(service.variable) or os.environ.get("TRACE_SERVER") or self.server
        return replace(self, service=service, server=server)

    def bearer(self) -> str:
        """The token to present. Raises Unauthenticated with the remedy."""
        if self.token_file is not None:
            try:
                return self.token_file.read_text().strip()
            except OSError as error:
                raise Refused(f"--token-file: cannot read {self.token_file}: {error.strerror}") from error
        if self.token:
            return self.token.strip()
        account = self.account or self._named("serviceaccount", "admin", "--as, --token-file or TRACE_TOKEN")
        scope = ["--namespace", self.release_namespace, "--audience", self.audience, *self.aim]
        done = kubectl.run("create", "token", account, *scope, seconds=TOKEN_SECONDS)
        if done.returncode:
            raise Unauthenticated(
                f"no token of service account {account!r}: {done.stderr.strip()}; set TRACE_TOKEN or --token-file"
            )
        return done.stdout.strip()

    @contextmanager
    def client(self, seconds: float = ANSWER_SECONDS) -> Iterator[httpx.Client]:
        """An HTTP client of the service, with the token; `seconds` limits one answer."""
        import httpx

        headers = {"Authorization": f"Bearer {self.bearer()}"}
        with self._address() as url:
            timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
            # trust_env=False: a proxy of the environment must not see the token, nor can it reach a port-forward.
            with httpx.Client(
                base_url=url, headers=headers, timeout=timeout, trust_env=False, verify=authorities()
            ) as client:
                yield client

    @contextmanager
    def _address(self) -> Iterator[str]:
        if self.server is not None:
            yield self.server.rstrip("/")
            return
        name = self._named("service", self.service.component, "--server")
        with kubectl.forward(self.release_namespace, name, self.service.port, *self.aim) as url:
            yield url

    def _named(self, kind: str, component: str, instead: str) -> str:
        """Name of the one object that the chart marks as the component's. Raises with what to give `instead`."""
        scope = ["--namespace", self.release_namespace, "--selector", LABELS.format(component=component)]
        done = kubectl.run("get", kind, *scope, "--output", "name", *self.aim, seconds=LOOKUP_SECONDS)
        if done.returncode:
            raise Unavailable(f"kubectl get {kind}: {done.stderr.strip()}; or give {instead}")
        names = [line.partition("/")[2] for line in done.stdout.split()]
        if not names:
            raise NotFound(
                f"no {kind} of Trace's {component} in namespace {self.release_namespace!r}: "
                f"name Trace's with --release-namespace, or give {instead}"
            )
        if len(names) > 1:
            raise Refused(f"several could be meant, {', '.join(names)}: give {instead}")
        return names[0]


class Problem(TraceError):
    """What a server refused. `position` is the place in the statement, in characters, where there is one."""

    position: int | None = None


def calls(service: Service) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the connection options in place of its first parameter, an `Access` to `service`."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        options = _options(service)

        @functools.wraps(verb)
        def command(**given: Any) -> None:
            verb(Access(service, **{option.name: given.pop(option.name) for option in options}), **given)

        # Typer reads a command's options from its signature and its annotations.
        _, *own = inspect.signature(verb, eval_str=True).parameters.values()
        parameters = [*own, *options]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def _options(service: Service) -> list[inspect.Parameter]:
    """The fields of `Access` as parameters of a command that calls `service`."""
    hints = get_type_hints(Access, include_extras=True)
    server, _ = get_args(hints["server"])
    variables = [service.variable, "TRACE_SERVER"]
    hints["server"] = Annotated[
        server, typer.Option("--server", envvar=variables, help=f"Address of {service.title}.")
    ]
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(Access)
        if field.name != "service"
    ]


def authorities() -> ssl.SSLContext | bool:
    """Whose certificates are believed: those of the file or the folder that OpenSSL's own variables name, else the
    public ones. Raises Refused."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        return True
    import ssl

    try:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    except OSError as error:
        raise Refused(f"SSL_CERT_FILE or SSL_CERT_DIR: no CA certificates there: {error}") from error


def asset_path(name: str) -> str:
    """Where the user API has an asset. A name in SQL has `_` where that of an asset has `-`: both are taken."""
    return f"/v1/assets/{name.replace('_', '-')}"


def call(client: httpx.Client, method: str, path: str, **arguments: Any) -> httpx.Response:
    """One request. Raises Unavailable where there is no answer, and the server's own refusal as TraceError."""
    import httpx

    try:
        answer = client.request(method, path, **arguments)
    except httpx.TimeoutException as error:
        raise Unavailable("the server did not answer in time") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"the server cannot be reached: {error}") from error
    if answer.is_success or answer.status_code == httpx.codes.SEE_OTHER:
        return answer
    try:
        body = answer.json()
        problem = Problem(str(body["detail"]), code=str(body["code"]))
        problem.position = body.get("position")
    except (ValueError, KeyError, TypeError):
        # No problem document of Trace: most likely a proxy, or another server at this address.
        message = f"the server answered {answer.status_code}, not as Trace does: is --server right?"
        problem = Problem(message, code="BadAnswer")
    raise problem
