"""What Argo CD says and does, by the program `argo` of hack/tools: its engine on a real API server, and its health.

An `Application` is a folder of a git repository and where it goes, as Argo CD's object of that kind; `sync` is one
operation of its controller. What repeats one by itself (a new commit, self-heal) is the test's to play.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.generate.argocd import SOURCE
from tests.services import tool

AGREED = {"Healthy": "Current", "Suspended": "Current", "Progressing": "InProgress", "Degraded": "Failed"}
"""kstatus's status for each of Argo CD's; of an object that is being deleted it says Terminating."""


def _said(command: str, asked: str, seconds: float = 60) -> Any:
    done = subprocess.run([tool("argo"), command], input=asked, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def verdicts(objects: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, str], str]]:
    """Of each object Argo CD's health (`status`, `message`), and kstatus's status."""
    script = SOURCE.read_text()
    asked = json.dumps([{"script": script, "object": obj} for obj in objects])
    return [(answer["health"], answer["kstatus"]["status"]) for answer in _said("verdicts", asked)]


def agreed(obj: Mapping[str, Any]) -> str:
    """Argo CD's status of one object, once kstatus says the same of it."""
    ((health, kstatus),) = verdicts([obj])
    assert kstatus == expected(obj, health["status"]), (health, kstatus, obj)
    return health["status"]


def expected(obj: Mapping[str, Any], status: str) -> str:
    """What kstatus has to say where Argo CD says `status`."""
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else AGREED[status]


@dataclass(frozen=True)
class Repository:
    """A bare git repository on this machine, with a clone in which commits are made."""

    bare: Path
    clone: Path

    @staticmethod
    def make(folder: Path) -> Repository:
        """An empty one."""
        made = Repository(folder / "repository.git", folder / "clone")
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", made.bare], check=True)
        subprocess.run(["git", "clone", "--quiet", made.bare, made.clone], check=True, capture_output=True)
        return made

    def commit(self, files: Mapping[str, str | None]) -> str:
        """Write files (None: remove) and push; the commit."""
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        self._git("add", "--all")
        self._git(*who, "commit", "--quiet", "--message", "Change")
        self._git("push", "--quiet", "origin", "HEAD:main")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *words: str) -> str:
        argv = ["git", "-C", str(self.clone), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _places(live: Any, predicted: Any, at: str = "") -> Iterator[str]:
    """Paths at which two sides differ."""
    if isinstance(live, dict) and isinstance(predicted, dict):
        for key in sorted({*live, *predicted}):
            yield from _places(live.get(key), predicted.get(key), f"{at}.{key}")
    elif isinstance(live, list) and isinstance(predicted, list) and len(live) == len(predicted):
        for number, (one, other) in enumerate(zip(live, predicted, strict=True)):
            yield from _places(one, other, f"{at}[{number}]")
    elif live != predicted:
        yield at


@dataclass(frozen=True)
class Outcome:
    """What became of an application."""

    commit: str
    phase: str
    message: str
    results: list[dict[str, str]]
    objects: list[dict[str, Any]]

    @property
    def different(self) -> dict[str, list[str]]:
        """Objects that are out of sync, by kind and name, and where."""
        return {
            f"{one['kind']}/{one['name']}": list(_places(one.get("live"), one.get("predicted")))
            for one in self.objects
            if one["sync"] != "Synced"
        }

    @property
    def health(self) -> dict[str, str]:
        """Of each object, by kind and name; of those that Argo CD judges."""
        return {f"{one['kind']}/{one['name']}": one["health"] for one in self.objects if one["health"]}

    @property
    def synced(self) -> dict[str, str]:
        """What the sync did to each object, by kind and name."""
        return {f"{one['kind']}/{one['name']}": one["status"] for one in self.results}


@dataclass(frozen=True)
class Application:
    """A folder of a repository, and the namespace that it goes to."""

    name: str
    namespace: str
    kubeconfig: Path
    repository: Repository
    path: str = "dags"
    server_side: bool = False
    """The sync option ServerSideApply, with the way of comparing that goes with it."""

    def compare(self) -> Outcome:
        """What differs, and how healthy everything is."""
        return self._run(0, prune=False)

    def sync(self, *, seconds: float = 30, prune: bool = True) -> Outcome:
        """One sync of the newest commit; it ends in phase Running where `seconds` were not enough."""
        return self._run(seconds, prune=prune)

    def _run(self, seconds: float, *, prune: bool) -> Outcome:
        asked = {
            "name": self.name,
            "kubeconfig": str(self.kubeconfig),
            "repository": str(self.repository.bare),
            "revision": "main",
            "path": self.path,
            "namespace": self.namespace,
            "script": SOURCE.read_text(),
            "seconds": seconds,
            "prune": prune,
            "serverSide": self.server_side,
            "skipDryRun": True,
        }
        return Outcome(**_said("sync", json.dumps(asked), seconds + 60))
