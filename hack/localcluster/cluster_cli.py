"""The command ``hack/cluster``: a local Kubernetes node, or only its API server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import apiserver
from .layout import ClusterError
from .progress import say


def main(argv: list[str] | None = None) -> int:
    """Run ``hack/cluster``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="hack/cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("api-up", "api-down"):
        verbs.add_parser(verb).add_argument("folder", type=Path, metavar="DIR")
    arguments = parser.parse_args(argv)
    try:
        if arguments.verb == "api-up":
            print(apiserver.up(arguments.folder.absolute()))
        elif arguments.verb == "api-down":
            apiserver.down(arguments.folder.absolute())
    except ClusterError as error:
        say(f"hack/cluster: {error}")
        return 1
    return 0
