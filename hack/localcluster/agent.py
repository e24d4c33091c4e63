"""The node's agent: enforces NetworkPolicies and gives used volumes back to the pool.

Both are what a cloud's cluster gets from its network plugin and its volume provisioner. The agent watches a handful
of collections, and whenever something changed it works out the whole rule set again from what it knows and replaces
it in one transaction of nftables; it keeps no state that matters, so killing it costs nothing. A new pod is covered
a few tens of milliseconds after it gets its address.

Runs inside the node's namespaces: ``python3 -m localcluster.agent KUBECONFIG``.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from . import packages
from .addons import STORAGE_CLASS, VOLUME_FOLDER
from .api import MERGE_PATCH, Api
from .commands import run
from .layout import ClusterError
from .policyrules import World, pod_from, ruleset

_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0
_SETTLE_SECONDS = 0.03

_COLLECTIONS = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
    "volumes": "/api/v1/persistentvolumes",
}

Json = dict[str, Any]


class Mirror:
    """The current objects of one collection, kept by list and watch in a thread of its own."""

    def __init__(self, api: Api, path: str, changed: threading.Event) -> None:
        self._api, self._path, self._changed = api, path, changed
        self._objects: dict[str, Json] = {}
        self._lock = threading.Lock()
        self.filled = threading.Event()

    def objects(self) -> list[Json]:
        """A snapshot of the collection."""
        with self._lock:
            return list(self._objects.values())

    def run(self) -> None:
        """List, then watch until the watch ends; again for ever, since a watch may end or break at any time."""
        while True:
            try:
                version = self._list()
                for event in self._api.watch(self._path, version, _WATCH_SECONDS):
                    if event["type"] == "ERROR":
                        break  # the resource version is too old: list again
                    self._apply(event)
            except (ClusterError, OSError, json.JSONDecodeError) as broken:
                _log(f"{self._path}: {broken}; listing again in {_RETRY_SECONDS} s")
                time.sleep(_RETRY_SECONDS)

    def _list(self) -> str:
        answer = self._api.get(self._path)
        with self._lock:
            self._objects = {each["metadata"]["uid"]: each for each in answer["items"]}
        self.filled.set()
        self._changed.set()
        version: str = answer["metadata"]["resourceVersion"]
        return version

    def _apply(self, event: Json) -> None:
        uid = event["object"]["metadata"]["uid"]
        with self._lock:
            if event["type"] == "DELETED":
                self._objects.pop(uid, None)
            else:
                self._objects[uid] = event["object"]
        self._changed.set()


def world(mirrors: dict[str, Mirror]) -> World:
    """What the policies see, from the mirrors."""
    pods = (pod_from(document) for document in mirrors["pods"].objects())
    return World(
        namespaces={
            each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in mirrors["namespaces"].objects()
        },
        pods=tuple(sorted((pod for pod in pods if pod is not None), key=lambda pod: pod.address)),
        policies=tuple(mirrors["policies"].objects()),
    )


def recycle(api: Api, volumes: list[Json]) -> None:
    """Empty the volumes whose claim was deleted and make them available again."""
    for volume in volumes:
        released = volume.get("status", {}).get("phase") == "Released"
        if not released or volume["spec"].get("storageClassName") != STORAGE_CLASS:
            continue
        name = volume["metadata"]["name"]
        folder = Path(VOLUME_FOLDER) / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o755)
        # With the version read: should the volume have changed since, the next event of it comes here again.
        patch = {"metadata": {"resourceVersion": volume["metadata"]["resourceVersion"]}, "spec": {"claimRef": None}}
        api.request("PATCH", f"/api/v1/persistentvolumes/{name}", patch, MERGE_PATCH)
        _log(f"volume {name} was emptied and is available again")


def main(kubeconfig: Path) -> None:
    """Mirror the collections and act on every change, for ever."""
    api, changed = Api(kubeconfig), threading.Event()
    mirrors = {name: Mirror(api, path, changed) for name, path in _COLLECTIONS.items()}
    for mirror in mirrors.values():
        threading.Thread(target=mirror.run, daemon=True).start()
    for mirror in mirrors.values():
        mirror.filled.wait()
    nft, enforced = packages.require("nft"), ""
    while True:
        changed.wait()
        time.sleep(_SETTLE_SECONDS)  # changes come in bursts; one rule set for all of them
        changed.clear()
        try:
            wanted = ruleset(world(mirrors))
            if wanted != enforced:
                run([nft, "-f", "-"], stdin=wanted)
                enforced = wanted
            recycle(api, mirrors["volumes"].objects())
        except (ClusterError, OSError) as failed:
            _log(f"{failed}; trying again in {_RETRY_SECONDS} s")
            time.sleep(_RETRY_SECONDS)
            changed.set()


def _log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
