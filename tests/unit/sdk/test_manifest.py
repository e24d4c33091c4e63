"""The manifest as its writer leaves it is what its reader takes, byte for byte as it always was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from traceplane_sdk import wire
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.manifest import Manifest

ID = "00000000-0000-7000-8000-00000000000{}"
WRITTEN = (
    '{"format":1,"dataset":"%s","version":"%s","partition":{"key":"0-9","start":0,"end":9},"task_id":"%s",'
    '"attempt":3,"files":[{"path":"blocks_0_9.parquet","rows":10,"bytes":4,"sha256":"%s"}],"rows":10,"bytes":4,'
    '"columns":[{"name":"n","type":"Int64","nullable":false},{"name":"t","type":"Text","nullable":true}]}'
)


class Store:
    """Takes what a commit uploads."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_file(self, url: str, path: Path, sha256: str) -> None:
        self.objects[url] = path.read_bytes()

    def put_bytes(self, url: str, content: bytes) -> None:
        self.objects[url] = content


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[dict[str, bytes], wire.CommittedOutput]:
    """What is stored of a commit of one file, by name, and what the task reports."""
    output = wire.TaskOutput(
        name="blocks",
        dataset=ID.format(1),
        version=ID.format(2),
        storage="S3",
        location="s3://bucket/blocks/",
        columns=[wire.ColumnDef("n", "Int64"), wire.ColumnDef("t", "Text", nullable=True, pii=True)],
        unique_key=[],
        scope_column="n",
        sort_by=[],
    )
    task = wire.TaskPayload(
        task_id=ID.format(3),
        attempt=3,
        org_id=ID.format(4),
        job=wire.JobRef(ID.format(5), "default", "dag", "job"),
        operator="any",
        config={},
        cause="Event",
        lease_epoch=1,
        writer="job",
        scope={},
        inputs=[],
        outputs=[output],
    )
    store = Store()
    commit = PartitionCommit(store, task, output, wire.Partition("0-9", 0, 9))  # type: ignore[arg-type]
    file = tmp_path / "file"
    file.write_bytes(b"PAR1")
    commit.add(file, commit.file_name(None), rows=10)
    committed = commit.seal()
    return {url.removeprefix(committed.location): content for url, content in store.objects.items()}, committed


def test_the_reader_finds_what_the_writer_added(sealed: tuple[dict[str, bytes], wire.CommittedOutput]) -> None:
    stored, committed = sealed
    manifest = msgspec.json.decode(stored["_manifest.json"], type=Manifest)
    assert [(file.path, file.rows, file.bytes) for file in manifest.files] == [("blocks_0_9.parquet", 10, 4)]
    assert (manifest.rows, manifest.bytes) == (committed.rows, committed.bytes) == (10, 4)
    assert manifest.partition == committed.partition
    assert (manifest.task_id, manifest.attempt) == (ID.format(3), 3)


def test_the_bytes_are_those_of_format_1(sealed: tuple[dict[str, bytes], wire.CommittedOutput]) -> None:
    stored, committed = sealed
    sha256 = hashlib.sha256(b"PAR1").hexdigest()
    assert stored["_manifest.json"].decode() == WRITTEN % (ID.format(1), ID.format(2), ID.format(3), sha256)
    assert stored["_SUCCESS"].decode() == committed.manifest_sha256
    assert committed.manifest_sha256 == hashlib.sha256(stored["_manifest.json"]).hexdigest()


@pytest.mark.parametrize(
    ("field", "value"),
    [("path", "../blocks.parquet"), ("path", "a/b.parquet"), ("rows", -1), ("bytes", 0), ("sha256", "none")],
)
def test_the_reader_refuses_a_file_that_is_none(
    sealed: tuple[dict[str, bytes], wire.CommittedOutput], field: str, value: object
) -> None:
    manifest = json.loads(sealed[0]["_manifest.json"])
    manifest["files"][0][field] = value
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(manifest), type=Manifest)


@pytest.mark.parametrize("missing", ["format", "dataset", "files", "rows", "columns"])
def test_the_reader_takes_no_manifest_without(
    sealed: tuple[dict[str, bytes], wire.CommittedOutput], missing: str
) -> None:
    manifest = json.loads(sealed[0]["_manifest.json"])
    del manifest[missing]
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(manifest), type=Manifest)
