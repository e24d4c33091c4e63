"""Options that several verbs share, named as kubectl names them."""

from __future__ import annotations

from typing import Annotated

import typer

from traceplane.cli.printing import Output

Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Only this namespace.")]
Printed = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
Limit = Annotated[int, typer.Option(help="At most this many.", min=1, max=100_000)]
