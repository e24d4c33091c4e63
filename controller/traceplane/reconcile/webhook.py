"""The validating webhook: the API server asks before it stores a change of a DAG, a Job or an Asset.

It is a help and no wall: what it does not refuse, or is not asked about because it is away, the conditions say. So
it answers within a bound and takes few questions at once, and where it cannot tell it lets the change pass with a
warning. It serves beside a leader and on standby alike, over TLS with a certificate that is read again when its
file changes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from traceplane.drivers.kube import JOBS, Kube
from traceplane.errors import InvalidSettings, Unavailable
from traceplane.graph import Checker
from traceplane.kit.listen import listener
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile import admission, names
from traceplane.reconcile.admission import Verdict
from traceplane.reconcile.conditions import bounded
from traceplane.reconcile.gather import Manifests, Operators
from traceplane.reconcile.health import Pulse

PATH = "/admission"
MAX_BODY_BYTES = 8 * 1024 * 1024
"""A question has the object before and after, each of which the API server bounds at 1.5 MiB, written out."""
AT_ONCE = 4
ANSWER_SECONDS = 4.0
"""Below the chart's timeoutSeconds: an answer that says what could not be found out is better than none."""
MESSAGE_BYTES = 16 * 1024
WARNING_BYTES = 512
WARNINGS = 8
_UNCHECKED = "it was not checked before it was stored; its condition Valid says what is wrong with it"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """What is known of one namespace that is served."""

    kube: Kube
    manifests: Manifests
    pulse: Pulse


class Webhook:
    """Answers what the API server asks of the namespaces that are served."""

    def __init__(self, desks: Mapping[str, Desk], operators: Operators, checker: Checker) -> None:
        self._desks = desks
        self._operators = operators
        self._checker = checker
        self._running: set[asyncio.Task[Verdict]] = set()

    async def answer(self, request: web.Request) -> web.Response:
        """One AdmissionReview (admission.k8s.io/v1)."""
        try:
            asked = (await request.json())["request"]
            uid, obj, old = str(asked["uid"]), asked["object"], asked.get("oldObject")
            desk = self._desks.get(asked["namespace"])
            if desk is None or not admission.concerns(obj, old):
                return _response(uid, Verdict(), "skipped")
        except (ValueError, LookupError, TypeError, AttributeError):
            return web.Response(status=400, text="not an AdmissionReview of a DAG, a Job or an Asset")
        if len(self._running) >= AT_ONCE:
            return _response(uid, Verdict((), (_UNCHECKED,)), "unchecked")
        task = asyncio.create_task(self._verdict(desk, obj, old))
        # It goes on past the bound, as a thread cannot be stopped, and counts among those at once until it ends.
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            found = await asyncio.wait_for(asyncio.shield(task), ANSWER_SECONDS)
        except (TimeoutError, Unavailable):
            return _response(uid, Verdict((), (_UNCHECKED,)), "unchecked")
        return _response(uid, found, "refused" if found.problems else "allowed")

    async def _verdict(self, desk: Desk, obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> Verdict:
        beside = list(desk.manifests.beside(dict(obj)))
        found = await self._look(desk, obj, old, beside)
        if not found.may_be_stale:
            return found
        # A Job may have been applied so short a time ago that no watch has shown it yet.
        jobs, _ = await desk.kube.list_all(JOBS)
        dag = obj["metadata"]["name"]
        joining = [job for job in jobs if job["spec"].get("dag") == dag and not names.projected(job)]
        return await self._look(desk, obj, old, [*beside, *joining])

    async def _look(
        self, desk: Desk, obj: Mapping[str, Any], old: Mapping[str, Any] | None, beside: list[Any]
    ) -> Verdict:
        return await asyncio.to_thread(
            admission.verdict, obj, old, beside, self._operators, self._checker, known=desk.pulse.synced
        )


def _response(uid: str, found: Verdict, result: str) -> web.Response:
    metrics.admissions.labels(result).inc()
    response: dict[str, Any] = {"uid": uid, "allowed": not found.problems}
    if found.problems:
        message = bounded("\n".join(found.problems), MESSAGE_BYTES)
        response["status"] = {"code": 422, "reason": "Invalid", "message": message}
    if found.warnings:
        response["warnings"] = [bounded(line, WARNING_BYTES) for line in found.warnings[:WARNINGS]]
    return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


async def serve(host: str, port: int, certificate: Path, webhook: Webhook) -> web.AppRunner:
    """Serve the webhook with `tls.crt` and `tls.key` of the folder `certificate`; the caller cleans up the runner.

    Raises InvalidSettings where there is no usable certificate.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes([web.post(PATH, webhook.answer)])
    runner = web.AppRunner(app, access_log=None)
    tls = _Certificate(certificate).context()
    await runner.setup()
    await web.SockSite(runner, listener(host, port), ssl_context=tls).start()
    return runner


class _Certificate:
    """A certificate that is read again when its file changes, as it does when it is renewed."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / "tls.crt", folder / "tls.key")
        self._read = self._written()
        try:
            self._current = self._load()
        except (OSError, ssl.SSLError) as error:
            raise InvalidSettings(
                f"TRACE_ADMISSION_CERTIFICATE: {folder} has no usable tls.crt and tls.key: {error}"
            ) from error

    def context(self) -> ssl.SSLContext:
        """A context whose handshakes use the certificate as it is then."""
        entry = self._load()
        entry.sni_callback = self._chosen
        return entry

    def _chosen(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        written = self._written()
        if written != self._read:
            try:
                self._current = self._load()
                self._read = written
            except (OSError, ssl.SSLError) as error:  # half written; the next handshake looks again
                log.warning("certificate of the webhook cannot be read", error=str(error))
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files)
        return context

    def _written(self) -> tuple[float, ...]:
        return tuple(file.stat().st_mtime if file.exists() else 0.0 for file in self._files)
