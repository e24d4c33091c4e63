"""The last seen state of every object the controller cares for.

Watch events and lists fill it, and so do the answers to the controller's writes, so that a reconcile sees what it
wrote a moment ago. It is a cache: it may be old, never wrong for long (a full list replaces it at intervals), and
nothing that must not happen twice rests on it: names are deterministic, deletions carry uids, and the truth
about work is in Postgres.

Outside source: "Efficient detection of changes" in kubernetes.io "Kubernetes API Concepts". Versions of one
resource are compared as numbers, which is what they are (etcd revisions, and KEP-5504).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from traceplane.drivers.kube import FIELD_MANAGER, Object
from traceplane.reconcile import names


class Mirror:
    """Objects by kind and name, of one namespace."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self._deleted: dict[str, dict[str, int]] = {}
        """Versions at which objects were deleted since the last list: an older event must not revive them."""

    def get(self, kind: str, name: str) -> Object | None:
        """The object, if it is there."""
        return self._objects.get(kind, {}).get(name)

    def all(self, kind: str) -> Iterator[Object]:
        """Every object of a kind."""
        return iter(tuple(self._objects.get(kind, {}).values()))

    def of_dag(self, kind: str, dag: str) -> list[Object]:
        """Objects with the label of a DAG."""
        return [o for o in self.all(kind) if (o["metadata"].get("labels") or {}).get(names.DAG) == dag]

    def observe(self, kind: str, obj: Object) -> bool:
        """Take in a newer state of an object; True where it could change a decision."""
        name, version = obj["metadata"]["name"], _version(obj)
        old = self.get(kind, name)
        if old is not None and _version(old) >= version and _uid(old) == _uid(obj):
            return False
        if self._deleted.get(kind, {}).get(name, -1) >= version:
            return False
        self._objects.setdefault(kind, {})[name] = _slim(obj)
        return old is None or relevant(kind, old) != relevant(kind, obj)

    def forget(self, kind: str, obj: Object) -> bool:
        """Take in a deletion; True where that very object was held."""
        name = obj["metadata"]["name"]
        self._deleted.setdefault(kind, {})[name] = _version(obj)
        old = self.get(kind, name)
        if old is None or _uid(old) != _uid(obj):
            return False
        del self._objects[kind][name]
        return True

    def drop(self, kind: str, name: str, uid: str) -> None:
        """Forget an object that the API server no longer has."""
        old = self.get(kind, name)
        if old is not None and _uid(old) == uid:
            del self._objects[kind][name]

    def replace(self, kind: str, items: Iterable[Object], version: str) -> set[str]:
        """Take in a whole list as of `version`; names whose objects came, went or changed in a telling way."""
        listed = {item["metadata"]["name"]: item for item in items}
        touched = {name for name, item in listed.items() if self.observe(kind, item)}
        for name, old in list(self._objects.get(kind, {}).items()):
            if name not in listed and _version(old) <= int(version):
                del self._objects[kind][name]
                touched.add(name)
        self._deleted.pop(kind, None)
        return touched


def _version(obj: Object) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def relevant(kind: str, obj: Object) -> list[object]:
    """What decisions depend on: not the status of Trace's kinds, which would make each reconcile cause another."""
    metadata = obj["metadata"]
    base = [metadata.get(key) for key in ("uid", "generation", "deletionTimestamp", "labels", "ownerReferences")]
    base.append(names.FINALIZER in (metadata.get("finalizers") or []))
    return [*base, obj.get("status")] if kind in ("Pod", "Deployment") else base


def _slim(obj: Object) -> Object:
    """`obj` without half of it that is not read: the controller's own managed fields, and those of statuses."""
    metadata: Mapping[str, Any] = obj["metadata"]
    fields = [
        entry
        for entry in metadata.get("managedFields") or []
        if entry.get("manager") != FIELD_MANAGER and entry.get("subresource") is None
    ]
    return {**obj, "metadata": {**metadata, "managedFields": fields}}
