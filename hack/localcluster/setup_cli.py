"""The command ``hack/setup``: makes a machine ready to build, test and run Trace.

It may be run again at any time and then does only what is missing: a machine that has everything is done in well
under a second. Python dependencies are not its business: those are ``uv sync``.
"""

from __future__ import annotations

import argparse
import sys

from . import packages, toolchain
from .layout import ClusterError
from .progress import say

USAGE = """\
hack/setup                    packages of the distribution, then the tools of cluster and demo
hack/setup apt [GROUP...]     only the packages (groups: node, images, services)
hack/setup tools [NAME...]    only these tool sets, or the sets of these programs; without names all there are,
                              those of tests alone, too
hack/setup path NAME          print the path of a program of the cache (built when missing)

Tools are built into the cache (TRACE_CACHE, else ~/.cache/trace), which checkouts share. The first run builds
Kubernetes, etcd, MinIO, Helm and CoreDNS from source: about ten minutes on two cores.
"""


def main(argv: list[str] | None = None) -> int:
    """Run ``hack/setup``; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="hack/setup", usage=USAGE, description=None, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb")
    apt = verbs.add_parser("apt", help="install missing packages of the distribution")
    apt.add_argument("groups", nargs="*", metavar="GROUP", choices=[[], *packages.GROUPS])
    tools = verbs.add_parser("tools", help="build missing tools")
    tools.add_argument("names", nargs="*", metavar="NAME")
    path = verbs.add_parser("path", help="print the path of a program of the cache")
    path.add_argument("name", metavar="NAME")
    arguments = parser.parse_args(argv)
    try:
        if arguments.verb == "path":
            print(toolchain.program(arguments.name))
        elif arguments.verb == "apt":
            _install(arguments.groups)
        elif arguments.verb == "tools":
            _build(arguments.names or list(toolchain.TOOLS))
        else:
            _install([])
            _build([name for name in toolchain.TOOLS if name not in toolchain.TESTS_ONLY])
    except ClusterError as error:
        say(f"hack/setup: {error}")
        return 1
    except KeyboardInterrupt:
        say("hack/setup: interrupted; run it again to go on")
        return 130
    return 0


def _install(groups: list[str]) -> None:
    for group in groups or packages.GROUPS:
        packages.install(packages.GROUPS[group])


def _build(names: list[str]) -> None:
    for name in dict.fromkeys(toolchain.set_of(name) for name in names):
        toolchain.ensure(name)


if __name__ == "__main__":
    sys.exit(main())
