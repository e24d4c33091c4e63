"""Options that several verbs share, named as kubectl names them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traceplane.cli import kubectl
from traceplane.cli.printing import Output

PLUGIN = "kubectl tracedag"
"""What a person types where kubectl runs `kubectl-tracedag` (`main`)."""


def chosen_namespace(ctx: typer.Context, given: str | None) -> str | None:
    """The namespace that was named; as a plugin of kubectl else the context's own, as kubectl has it."""
    if given is not None or ctx.resilient_parsing or ctx.find_root().info_name != PLUGIN:
        return given
    return kubectl.namespace(ctx.params.get("context"), ctx.params.get("kubeconfig"))


# Eager, so that the namespace finds them whatever the order on the command line.
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig that kubectl uses.", is_eager=True)
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig that kubectl uses.", is_eager=True)
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Only this namespace.", callback=chosen_namespace)
]
LookedUpIn = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Where unqualified names are looked up.", callback=chosen_namespace),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Every namespace.")]
Printed = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
Limit = Annotated[int, typer.Option(help="At most this many.", min=1, max=100_000)]
