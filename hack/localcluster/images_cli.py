"""The command ``hack/images/build``: container images, built when their content changed."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import packages
from .imagebuild import Builder
from .imagetable import DEPLOYED, IMAGES
from .layout import ClusterError
from .progress import say

DESCRIPTION = f"""\
Build container images into the cache and print the paths of their archives (OCI, one image each).

Images: {", ".join(IMAGES)}; without names, those a cluster with Trace needs: {", ".join(DEPLOYED)}.
A tag is the hash of the image's content, so only what changed is built. `hack/cluster load` builds and loads them.
"""


def main(argv: list[str] | None = None) -> int:
    """Run ``hack/images/build``; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="hack/images/build", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--print", action="store_true", help="build nothing; print NAME=REFERENCE lines")
    parser.add_argument(
        "--context",
        nargs=2,
        metavar=("NAME", "DIR"),
        help="build nothing; prepare a context for `docker build DIR`",
    )
    arguments = parser.parse_args(argv)
    try:
        _run(arguments)
    except ClusterError as error:
        say(f"hack/images/build: {error}")
        return 1
    except KeyboardInterrupt:
        say("hack/images/build: interrupted; run it again to go on")
        return 130
    return 0


def _run(arguments: argparse.Namespace) -> None:
    builder = Builder(IMAGES)
    names = arguments.names or DEPLOYED
    if arguments.context:
        name, folder = arguments.context
        builder.context(name, Path(folder))
        return
    if arguments.print:
        for name in names:
            print(f"{name}={builder.reference(name)}")
        return
    packages.install(packages.IMAGES)
    for name in names:
        print(builder.build(name).archive)
