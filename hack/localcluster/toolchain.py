"""The compiled tools: which there are, how each is built, and where its binaries are kept.

Each Go tool is pinned by a folder with ``go.mod`` and ``go.sum`` (``hack/tools``): the checksums pin every line of
source, and no download of a prebuilt binary is needed. One, ``argo``, has a few files of its own beside them.
anvil comes prebuilt inside its npm package, pinned by a lock file. Built binaries live in the cache under the hash
of what pins them, so two checkouts share them and a second run takes no time. Building all of them takes about ten
minutes of two cores.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import packages
from .atomic import drop_unused, fresh_directory, locked, mark_used
from .commands import run, tail
from .layout import TOOLS_SOURCE, ClusterError, cache_dir
from .progress import Step, step

KUBERNETES_VERSION = "v1.34.4"
UV_VERSION = "0.13.9"
_KUBERNETES_LDFLAGS = (
    f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION} "
    f"-X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}"
)


@dataclass(frozen=True)
class GoTool:
    """Programs built from one folder of ``hack/tools``; ``packages`` maps an import path to the program's name."""

    source: str
    packages: dict[str, str]
    ldflags: str = ""


@dataclass(frozen=True)
class NpmTool:
    """Prebuilt programs inside npm packages; ``programs`` maps a program's name to its path in node_modules."""

    source: str
    programs: dict[str, str]


@dataclass(frozen=True)
class PipTool:
    """A program shipped inside a Python wheel of the same name."""

    requirement: str
    programs: dict[str, str] = field(default_factory=dict)


_COMMANDS = "k8s.io/kubernetes/cmd/"

# In the order they are wanted: tests of the API and of the object store need the first three only. Two sets share
# the folder of Kubernetes, so that nobody waits for the kubelet who only wants an API server.
TOOLS: dict[str, GoTool | NpmTool | PipTool] = {
    "uv": PipTool(f"uv=={UV_VERSION}", {"uv": "bin/uv"}),
    "anvil": NpmTool("anvil", {"anvil": "@foundry-rs/anvil-linux-amd64/bin/anvil"}),
    "etcd": GoTool("etcd", {"go.etcd.io/etcd/server/v3": "etcd"}),
    "minio": GoTool("minio", {"github.com/minio/minio": "minio"}),
    "versitygw": GoTool("versitygw", {"github.com/versity/versitygw/cmd/versitygw": "versitygw"}),
    "apiserver": GoTool(
        "kubernetes",
        {_COMMANDS + name: name for name in ("kube-apiserver", "kubectl")},
        _KUBERNETES_LDFLAGS,
    ),
    "node": GoTool(
        "kubernetes",
        {_COMMANDS + name: name for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")},
        _KUBERNETES_LDFLAGS,
    ),
    "helm": GoTool("helm", {"helm.sh/helm/v3/cmd/helm": "helm"}),
    "coredns": GoTool("coredns", {"github.com/coredns/coredns": "coredns"}),
    "argo": GoTool("argo", {"trace.local/tools/argo": "argo"}),
}
TESTS_ONLY = frozenset({"versitygw"})
"""Sets that no cluster and no demo needs."""


def set_of(program: str) -> str:
    """The tool set a program belongs to; a set's own name is accepted too."""
    for name, tool in TOOLS.items():
        programs = tool.packages.values() if isinstance(tool, GoTool) else tool.programs
        if program in programs:
            return name
    if program in TOOLS:
        return program
    known = sorted(
        {p for t in TOOLS.values() for p in (t.packages.values() if isinstance(t, GoTool) else t.programs)}
    )
    raise ClusterError(
        f"no tool {program!r}; there are the sets {', '.join(TOOLS)} with the programs {', '.join(known)}"
    )


def directory_of(name: str) -> Path:
    """Where the binaries of a tool set are, or will be once built."""
    return cache_dir() / "tools" / name / _key(TOOLS[name])


def program(name: str) -> Path:
    """Path of a program of the cache, built first when it is missing."""
    return ensure(set_of(name)) / name


def built_program(name: str) -> Path:
    """Path of a program that must be in the cache already."""
    path = directory_of(set_of(name)) / name
    if not path.exists():
        raise ClusterError(f"{name} is not built yet; run: hack/setup tools {set_of(name)}")
    return path


def ensure(name: str) -> Path:
    """Build a tool set unless the cache has it; returns the folder of its binaries."""
    target = directory_of(name)
    if not target.exists():
        with locked(cache_dir() / "locks" / f"tool-{name}.lock", f"tool {name}"):
            if not target.exists():
                with step(f"building {name}") as progress, fresh_directory(target) as making:
                    _build(TOOLS[name], making, progress)
                drop_unused(target.parent, keep=target)
    mark_used(target)
    return target


def _key(tool: GoTool | NpmTool | PipTool) -> str:
    digest = hashlib.sha256(repr(tool).encode())
    if not isinstance(tool, PipTool):
        pins = ("go.mod", "go.sum") if isinstance(tool, GoTool) else ("package-lock.json",)
        folder = TOOLS_SOURCE / tool.source
        for path in (*(folder / pin for pin in pins), *sorted(folder.glob("*.go"))):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _build(tool: GoTool | NpmTool | PipTool, into: Path, progress: Step) -> None:
    if isinstance(tool, GoTool):
        _build_go(tool, into, progress)
    elif isinstance(tool, NpmTool):
        _install_npm(tool, into)
    else:
        _install_pip(tool, into)


def _build_go(tool: GoTool, into: Path, progress: Step) -> None:
    source = TOOLS_SOURCE / tool.source
    _require_go(source / "go.mod")
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    progress.detail("downloading modules")
    imports = list(tool.packages)
    total = len(run(["go", "list", "-deps", *imports], cwd=source, env=env).stdout.splitlines())
    progress.detail("compiling")
    argv = ["nice", "go", "build", "-v", "-trimpath", "-ldflags", f"-s -w {tool.ldflags}".strip()]
    # `-v` names each package once it is compiled; those of an earlier build are not named.
    building = subprocess.Popen(
        [*argv, "-o", f"{into}/", *imports], cwd=source, env=env, stderr=subprocess.PIPE, text=True
    )
    assert building.stderr is not None
    lines: list[str] = []
    for line in building.stderr:
        lines.append(line)
        progress.detail(f"{len(lines)} of at most {total} packages")
    if building.wait() != 0:
        raise ClusterError(f"go build of {', '.join(imports)} in {source} failed:\n{tail(''.join(lines))}")
    for package, name in tool.packages.items():
        built = into / _go_binary_name(package)
        if built.name != name:
            built.rename(into / name)


def _go_binary_name(package: str) -> str:
    """What `go build` calls the program: the last element of the import path that is no major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def _require_go(go_mod: Path) -> None:
    wanted = re.search(r"^go (\d+)\.(\d+)", go_mod.read_text(), re.MULTILINE)
    assert wanted is not None, f"{go_mod} names no Go version"
    remedy = f"install Go {wanted[1]}.{wanted[2]} or newer (https://go.dev/dl) and put it on PATH"
    if shutil.which("go") is None:
        raise ClusterError(f"building the cluster's tools needs Go, which is not on PATH; {remedy}")
    found = re.search(r"go(\d+)\.(\d+)", run(["go", "env", "GOVERSION"]).stdout)
    if found is None or (int(found[1]), int(found[2])) < (int(wanted[1]), int(wanted[2])):
        raise ClusterError(f"{go_mod.parent.name} needs a newer Go than the one on PATH; {remedy}")


def _install_npm(tool: NpmTool, into: Path) -> None:
    if shutil.which("npm") is None:
        raise ClusterError(
            f"{', '.join(tool.programs)} comes from npm, which is not on PATH; install Node.js with npm"
        )
    work = into / "npm"
    work.mkdir()
    for pin in ("package.json", "package-lock.json"):
        shutil.copy(TOOLS_SOURCE / tool.source / pin, work / pin)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work)
    for name, path in tool.programs.items():
        (work / "node_modules" / path).rename(into / name)
        (into / name).chmod(0o755)
    shutil.rmtree(work)


def _install_pip(tool: PipTool, into: Path) -> None:
    packages.install(packages.PIP)
    work = into / "wheel"
    run(["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target", work, tool.requirement])
    for name, path in tool.programs.items():
        shutil.copy(work / path, into / name)
    shutil.rmtree(work)
