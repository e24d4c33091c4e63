"""Keys that tasks open the object store with where it has no STS: those of a folder, the same for every task.

No policy confines them to a task's prefixes, so a task may write wherever the keys do. A namespace may have keys of
its own there, which the store confines to `<org>/<namespace>/`. They are files because they rotate: a run asks for
them again before `sts_seconds` are over.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from traceplane.drivers import s3client
from traceplane.drivers.objects import S3Objects
from traceplane.errors import InvalidSettings, Unavailable
from traceplane.settings.object_store import ObjectStore
from traceplane.settings.part import read_secret
from traceplane_sdk.wire import CredentialsResponse

KEY_ID, SECRET = "access-key-id", "secret-access-key"
MAX_NAMESPACES = 1000


class TaskKeys:
    """The keys in `s3_task_keys_dir`. Raises InvalidSettings where there are none."""

    proven = True
    refusal = None

    def __init__(self, settings: ObjectStore) -> None:
        if settings.s3_task_keys_dir is None:
            raise InvalidSettings(
                "TRACE_S3_CREDENTIALS is Static: set TRACE_S3_TASK_KEYS_DIR (s3.tasks.existingSecret) to the keys "
                "of tasks, or leave it Sts"
            )
        self._settings = settings
        self._folder = settings.s3_task_keys_dir
        places = self._places()
        if not places:
            raise InvalidSettings(f"TRACE_S3_TASK_KEYS_DIR: {self._folder} has no file {KEY_ID} (s3.tasks)")
        for prefix in places:
            self._read(prefix)

    async def mint(self, policy: str, *, namespace: str, session: str, seconds: float) -> CredentialsResponse:
        """The keys of `namespace`, else those of all. Raises Unavailable."""
        prefix = next((one for one in (f"{namespace}.", "") if (self._folder / f"{one}{KEY_ID}").exists()), None)
        if prefix is None:
            raise Unavailable(
                f"no keys of the object store for tasks of namespace {namespace}: add {namespace}.{KEY_ID} and "
                f"{namespace}.{SECRET} to the Secret in s3.tasks.existingSecret",
                code="NoTaskKeys",
            )
        try:
            keys = self._read(prefix)
        except InvalidSettings as error:  # they were there at start: the file is being replaced
            raise Unavailable(error.message) from error
        expires_at = datetime.now(UTC) + timedelta(seconds=self._settings.sts_seconds)
        return s3client.lent(self._settings, keys, session_token="", expires_at=expires_at)

    async def try_out(self, org: str) -> str:
        """Ask the store for an object that is not there with every pair, as its tasks would; what was tried.
        Raises Unavailable."""
        places = self._places()
        for prefix in places:
            namespace = prefix.rstrip(".") or "probe"
            try:
                await S3Objects(self._settings, partial(self._read, prefix)).head(f"{org}/{namespace}/probe/none")
            except Unavailable as error:
                raise Unavailable(f"the keys {prefix}{KEY_ID}: {error.message}") from error
        return f"{len(places)} pairs of keys open the bucket"

    def _read(self, prefix: str) -> tuple[str, str]:
        key_id, secret = (
            read_secret("s3_task_keys_dir", self._folder / f"{prefix}{name}", None) for name in (KEY_ID, SECRET)
        )
        if not key_id or not secret:
            raise InvalidSettings(f"TRACE_S3_TASK_KEYS_DIR: {prefix}{KEY_ID} or {prefix}{SECRET} is empty")
        return key_id, secret

    def _places(self) -> list[str]:
        """What stands before the names of the files of each pair: nothing, or a namespace and a dot."""
        found = sorted(path.name.removesuffix(KEY_ID) for path in Path(self._folder).glob(f"*{KEY_ID}"))
        return found[:MAX_NAMESPACES]
