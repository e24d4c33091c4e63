"""The few calls to the Kubernetes API that Trace makes, asynchronous and small.

The generated `kubernetes` client costs 45 MB of memory at import and a thread for every call; kopf, which
watches for us, already brings an asynchronous HTTP client. So this module speaks the API's own verbs over that
one: list, get, create, server-side apply, JSON patch, delete. Objects are plain dicts, as the API serves them.

Every call is bounded in time and says by its error what comes next: `Conflict` (somebody else wrote first; read
again), `Missing`, `Rejected` (this object is refused, repeating cannot help), `ApiUnavailable` (try later).
Outside source: kubernetes.io "Kubernetes API Concepts" and "Server-Side Apply".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from traceplane.drivers.kubeaccess import Access
from traceplane.errors import TraceError, Unavailable

FIELD_MANAGER = "trace-controller"
REQUEST_SECONDS = 30.0
_PAGE = 500
"""Objects in one page of a list: bounds the memory of one answer."""

Object = dict[str, Any]
"""A Kubernetes object, as the API server shows it."""


class KubeError(TraceError):
    """The API server refused a call. `status` is the HTTP status, `reason` the API's CamelCase word."""

    code = "KubernetesRefused"

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Missing(KubeError):
    """404: no such object (or no such kind)."""


class Conflict(KubeError):
    """409: the object exists already, or is not the one or the version we meant."""


class Rejected(KubeError):
    """400, 403, 422: refused for what it is: schema, admission, quota, RBAC."""


class ApiUnavailable(Unavailable):
    """No answer, 429 or 5xx. `retry_after` in seconds where the server named a time."""

    code = "KubernetesUnavailable"

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the API addresses it."""

    kind: str
    group_version: str
    plural: str

    def path(self, namespace: str, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection, of one object or of its subresource."""
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version, "namespaces", namespace, self.plural]
        return "/".join(parts + [part for part in (name, subresource) if part])


DAGS = Resource("DAG", "trace.dev/v1alpha1", "dags")
JOBS = Resource("Job", "trace.dev/v1alpha1", "jobs")
ASSETS = Resource("Asset", "trace.dev/v1alpha1", "assets")
BUNDLES = Resource("Bundle", "trace.dev/v1alpha1", "bundles")
PODS = Resource("Pod", "v1", "pods")
DEPLOYMENTS = Resource("Deployment", "apps/v1", "deployments")
POD_EVENTS = Resource("Event", "v1", "events")
"""The same objects as `EVENTS`, by the API that selects by the object they are about."""
EVENTS = Resource("Event", "events.k8s.io/v1", "events")
LEASES = Resource("Lease", "coordination.k8s.io/v1", "leases")

Observer = Callable[[str, str, int], None]
"""(verb, resource plural, HTTP status or 0 where there was no answer): feeds the metrics."""


class Kube:
    """Calls in one namespace. `session` may be shared with kopf; use as an async context manager."""

    def __init__(self, access: Access, namespace: str, observe: Observer | None = None) -> None:
        self.access = access
        self.namespace = namespace
        self.observe = observe
        self.session: aiohttp.ClientSession

    async def __aenter__(self) -> Kube:
        self.session = self.open_session()
        return self

    def open_session(self, traces: Sequence[aiohttp.TraceConfig] = ()) -> aiohttp.ClientSession:
        """A session with our TLS and token; the caller closes it."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=32, ssl=self.access.tls),
            middlewares=(self._authorize,),
            headers={"User-Agent": FIELD_MANAGER},
            trace_configs=list(traces),
        )

    def beside(self, namespace: str) -> Kube:
        """The same client, in another namespace: it shares the session, and is not closed."""
        other = Kube(self.access, namespace, self.observe)
        other.session = self.session
        return other

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if token := self.access.token():
            request.headers["Authorization"] = f"Bearer {token}"
        return await handler(request)

    async def list_all(self, resource: Resource, label_selector: str | None = None) -> tuple[list[Object], str]:
        """All objects of a kind, read page by page from the newest state, and the list's resourceVersion."""
        items: list[Object] = []
        query = {"limit": str(_PAGE)} | ({"labelSelector": label_selector} if label_selector else {})
        while True:
            page = await self._call("list", "GET", resource, resource.path(self.namespace), query=query)
            # Items of built-in kinds come without their type.
            typed = {"apiVersion": resource.group_version, "kind": resource.kind}
            items += [typed | item for item in page.get("items") or []]
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"]["resourceVersion"]
            query = query | {"continue": token}

    async def list_few(self, resource: Resource, field_selector: str) -> list[Object]:
        """Objects that a field selector matches, one page of them at most."""
        query = {"limit": str(_PAGE), "fieldSelector": field_selector}
        answer = await self._call("list", "GET", resource, resource.path(self.namespace), query=query)
        found: list[Object] = answer.get("items") or []
        return found

    async def get(self, resource: Resource, name: str) -> Object:
        """One object. Missing where there is none."""
        return await self._call("get", "GET", resource, resource.path(self.namespace, name))

    async def create(self, resource: Resource, obj: Object) -> Object:
        """A new object. Conflict where one of that name exists."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call("create", "POST", resource, resource.path(self.namespace), obj, query=query)

    async def apply(self, resource: Resource, obj: Object, subresource: str | None = None) -> Object:
        """Server-side apply of exactly the fields in `obj`, taken over from other field managers."""
        path = resource.path(self.namespace, obj["metadata"]["name"], subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._call("apply", "PATCH", resource, path, obj, "application/apply-patch+yaml", query)

    async def replace(self, resource: Resource, obj: Object) -> Object:
        """Overwrite an object. Conflict where its resourceVersion is not the newest."""
        path = resource.path(self.namespace, obj["metadata"]["name"])
        return await self._call("replace", "PUT", resource, path, obj, query={"fieldManager": FIELD_MANAGER})

    async def json_patch(self, resource: Resource, name: str, operations: Sequence[Object]) -> Object:
        """JSON Patch (RFC 6902). A failed `test` is Rejected with status 422, or Conflict for resourceVersion."""
        path = resource.path(self.namespace, name)
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call(
            "patch", "PATCH", resource, path, list(operations), "application/json-patch+json", query
        )

    async def delete(
        self, resource: Resource, name: str, *, uid: str, last: bool = False, now: bool = False
    ) -> None:
        """Delete exactly the object with that uid; Conflict where a later one has the name.

        With `last` it stays, with a time of deletion, until all that belongs to it is gone (foreground deletion).
        With `now` a pod gets no grace: it is gone when this returns, and its node ends what still runs of it.
        """
        body: Object = {"preconditions": {"uid": uid}, "propagationPolicy": "Foreground" if last else "Background"}
        body |= {"gracePeriodSeconds": 0} if now else {}
        await self._call("delete", "DELETE", resource, resource.path(self.namespace, name), body)

    async def served_kinds(self, group_version: str) -> frozenset[str]:
        """Kinds the server has in an API group version; empty where it does not know the group."""
        probe = Resource("APIResourceList", group_version, "")
        try:
            answer = await self._call("discover", "GET", probe, f"/apis/{group_version}")
        except Missing:
            return frozenset()
        return frozenset(entry["kind"] for entry in answer["resources"])

    async def _call(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        status = 0
        try:
            async with self.session.request(
                method,
                self.access.server + path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": content_type},
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            ) as response:
                status = response.status
                text = await response.text()
                if status < 300:
                    answer: Object = json.loads(text)
                    return answer
                raise _error(status, text, response.headers.get("Retry-After"), f"{verb} {path}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{verb} {path}: {type(error).__name__}: {error}") from error
        finally:
            if self.observe:
                self.observe(verb, resource.plural, status)


def _error(status: int, text: str, retry_after: str | None, call: str) -> TraceError:
    """The error that a `Status` answer stands for."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {}
    reason, detail = answer.get("reason", ""), answer.get("message", text[:500])
    message = f"{call}: {status} {reason}: {detail}"[:2000]
    if status == 429 or status >= 500:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
        return ApiUnavailable(message, status=status, retry_after=seconds)
    kinds = {404: Missing, 409: Conflict, 410: Missing}
    return kinds.get(status, Rejected)(message, status=status, reason=reason)
