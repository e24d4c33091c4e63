"""The command ``hack/cluster``: a local Kubernetes node, or only its API server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from . import apiserver, cgroups, lifecycle, ociarchive, packages, runtime, teardown
from .atomic import locked
from .imagebuild import Builder
from .imagetable import DEPLOYED, IMAGES
from .layout import ClusterError, Layout, cluster_dir
from .progress import say

DESCRIPTION = """\
A one-node Kubernetes cluster in a network and mount namespace of its own, for development and tests.

  up                     raise it, or what is missing of it (needs root; the first run builds the tools)
  down                   end it and remove every trace of it
  status                 tell how it is
  load [ARCHIVE...]      import image archives, only what is new, and print NAME=REFERENCE of each; without
                         archives, first build (hack/images/build) what a cluster with Trace needs
  exec -- COMMAND...     run a command with KUBECONFIG set and kubectl and helm on PATH
  kubeconfig             print the path of the administrator's kubeconfig
  stop|start COMPONENT   end or start one component, for failure drills
  node -- COMMAND...     run a command inside the node's namespaces (crictl-like debugging: ctr, nft, ip)
  api-up DIR             only etcd and kube-apiserver, on loopback, without root; prints the kubeconfig's path
  api-down DIR           end those and remove their files

The cluster lives in TRACE_CLUSTER_DIR (else ~/.cache/trace/cluster); clusters of different folders do not meet.
"""


# The API server would wait for its watchers to leave; a drill wants it gone.
_STOP_GRACE = 2.0


def main(argv: list[str] | None = None) -> int:
    """Run ``hack/cluster``; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int | None = arguments.run(Layout(cluster_dir()), arguments)
    except ClusterError as error:
        say(f"hack/cluster: {error}")
        return 1
    except KeyboardInterrupt:
        say("hack/cluster: interrupted; the command may be repeated")
        return 130
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/cluster", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: Callable[[Layout, argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name)
        added.set_defaults(run=run)
        return added

    verb("up", lambda layout, _: lifecycle.up(layout))
    verb("down", lambda layout, _: teardown.down(layout))
    verb("status", lambda layout, _: print(lifecycle.status(layout)))
    verb("kubeconfig", lambda layout, _: print(layout.kubeconfig))
    verb("load", _load).add_argument("archives", nargs="*", type=Path, metavar="ARCHIVE")
    command: Callable[[Layout, argparse.Namespace], None]
    for name, command in (("exec", _exec), ("node", _node)):
        verb(name, command).add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND...")
    for name, command in (("stop", _stop), ("start", _start)):
        verb(name, command).add_argument("component", metavar="COMPONENT")
    for name, command in (("api-up", _api_up), ("api-down", _api_down)):
        verb(name, command).add_argument("folder", type=Path, metavar="DIR")
    return parser


def _load(layout: Layout, arguments: argparse.Namespace) -> None:
    """Load archives, or build and load what Trace needs; prints each image so that the chart can be given it."""
    archives: list[Path] = arguments.archives
    if not archives:
        packages.install(packages.IMAGES)
        builder = Builder(IMAGES)
        built = {name: builder.build(name) for name in DEPLOYED}
        archives = [image.archive for image in built.values()]
    components = lifecycle.open_cluster(layout)
    with locked(layout.lock, f"cluster in {layout.root}"):
        runtime.load(components.namespaces, archives)
    for archive in archives:
        reference = ociarchive.read(archive).name
        print(f"{reference.rpartition('/')[2].partition(':')[0]}={reference}")


def _exec(layout: Layout, arguments: argparse.Namespace) -> None:
    command = _command(arguments)
    environment = lifecycle.environment(layout)
    _become(command, environment)


def _node(layout: Layout, arguments: argparse.Namespace) -> None:
    _become(lifecycle.open_cluster(layout).namespaces.enter(_command(arguments)), lifecycle.environment(layout))


def _command(arguments: argparse.Namespace) -> list[str]:
    command: list[str] = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise ClusterError(
            f"{arguments.verb} needs a command, for example: hack/cluster exec -- kubectl get pods -A"
        )
    return command


def _become(command: list[str], environment: dict[str, str]) -> None:
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environment)
    except OSError as refused:
        raise ClusterError(f"{command[0]}: {refused.strerror}") from refused


def _stop(layout: Layout, arguments: argparse.Namespace) -> None:
    with locked(layout.lock, f"cluster in {layout.root}"):
        stopped = lifecycle.open_cluster(layout).process(arguments.component).stop(_STOP_GRACE)
    say(f"{arguments.component} {'stopped' if stopped else 'did not run'}")


def _start(layout: Layout, arguments: argparse.Namespace) -> None:
    with locked(layout.lock, f"cluster in {layout.root}"):
        lifecycle.open_cluster(layout).start(arguments.component, cgroups.create(layout))


def _api_up(_: Layout, arguments: argparse.Namespace) -> None:
    print(apiserver.up(arguments.folder.absolute()))


def _api_down(_: Layout, arguments: argparse.Namespace) -> None:
    apiserver.down(arguments.folder.absolute())
