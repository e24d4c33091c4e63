"""One run of cryo against one provider, and what its failure means.

cryo asks one URL. So whatever the provider must hold for the rows to be right is asked of the same one before and
after: that it serves the chain (the pool asks that), that it has the last block of the range, and that this block
is the same when cryo is done. Whatever goes wrong is the provider's fault as the table of faults knows it, by
cryo's words: its config was checked before. The pool then takes the next provider.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from operators.chain.answers import refusal
from operators.chain.faults import Kind, ProviderFault
from operators.chain.head import hashes
from operators.chain.provider import Provider
from operators.cryo_ingest import program
from operators.cryo_ingest.config import CryoIngestConfig
from operators.cryo_ingest.program import Finished
from operators.cryo_ingest.schemas import selected
from traceplane_sdk.control import Control
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.secrecy import of_url
from traceplane_sdk.wire import Partition

_CHILD = Path(__file__).with_name("child.py")
_RETRIES = 3
"""Of a request, by cryo itself; the pool's next provider comes after them."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^- (.*) \(\d+x\)$", re.MULTILINE)
_RPC_ERROR = re.compile(r"\(code: (-?\d{1,9}), message: (.*), data: .*\)$")
_MUTE = "TypeError: failed"
"""All that cryo says where it cannot connect."""
_PANIC = re.compile(r"panicked at [^\n]*:\n([^\n]*)")


@dataclass(frozen=True)
class Extraction:
    """Extracts one range; `end` is when the time for it is up (monotonic)."""

    config: CryoIngestConfig
    partition: Partition
    scratch: Path
    control: Control
    end: float

    def files(self, provider: Provider) -> list[tuple[Partition, Path]]:
        """cryo's files of the range in its order, each with its part of it.

        Raises ProviderFault, OperatorError, Stopped.
        """
        folder = self.scratch / "cryo"
        shutil.rmtree(folder, ignore_errors=True)  # what was left of another provider's
        folder.mkdir()
        before = self._last_block(provider)
        found = self._run(provider, folder)
        if self._last_block(provider) != before:
            words = f"block {self.partition.end} was replaced while cryo read; the range is not final yet"
            raise ProviderFault(words, Kind.NOT_THERE_YET, provider=provider.name)
        return [(part, found[part.start]) for part in parts(self.partition, self.config.chunk_blocks)]

    def _run(self, provider: Provider, folder: Path) -> dict[int, Path]:
        """cryo's files by their first block."""
        counts = folder / "counts.json"
        given = {
            "dataset": self.config.dataset,
            "arguments": arguments(self.config, self.partition, folder, provider.url),
            "counts": str(counts),
        }
        argv = [sys.executable, "-P", str(_CHILD)]
        left = max(0.0, self.end - time.monotonic())
        finished = program.run(argv, json.dumps(given).encode(), folder, left, self.control)
        if finished.code is None:
            raise OperatorError(
                "CryoTimeout",
                f"cryo was not done with {self.partition.key} after {self.config.timeout_seconds:g} s: raise "
                "timeoutSeconds, or emit smaller ranges",
            )
        done = json.loads(counts.read_text()) if finished.code == 0 else {}
        found = {first_block(path): path for path in folder.glob("*.parquet")}
        due = [part.start for part in parts(self.partition, self.config.chunk_blocks)]
        if done.get("n_completed") != len(due) or sorted(found) != due:
            raise failure(provider, finished)
        return found

    def _last_block(self, provider: Provider) -> str:
        number = self.partition.end
        found = hashes(provider, [number]).get(number)
        if found is None:
            words = f"it does not have block {number}, the last of the range"
            raise ProviderFault(words, Kind.NOT_THERE_YET, provider=provider.name)
        return found


def failure(provider: Provider, finished: Finished) -> ProviderFault:
    """What a run that failed says of its provider, without the provider's secrets.   (pure)"""
    return refusal(
        200,
        {},
        reason(finished.output) or f"cryo ended with code {finished.code} and gave no reason",
        provider=provider.name,
        methods=(),
        array=False,
        secrets=of_url(provider.url),
    )


def reason(output: str) -> object:
    """Why cryo failed, by what it printed: the JSON-RPC error that it met, or its words; empty for none.   (pure)

    It lists errors as `- Failed to get block: (code: -32000, message: no, data: None) (1x)`.
    """
    text = _COLOURS.sub("", output)
    if text.strip() == _MUTE:
        return "cryo could not open a connection, or trusts no CA of it"
    errors = _ERROR.findall(text.partition("error summary")[2])
    for error in errors:
        if (met := _RPC_ERROR.search(error)) is not None:
            return {"code": int(met[1]), "message": met[2]}
    # A line and no part of one: a secret that is cut would not be found any more.
    return "; ".join([*_PANIC.findall(text), *errors]) or text.strip().rpartition("\n")[2]


def parts(partition: Partition, size: int) -> list[Partition]:
    """The parts of a range that cryo makes a file of each: it counts from the first block.   (pure)"""
    starts = range(partition.start, partition.end + 1, size)
    ends = [min(start + size - 1, partition.end) for start in starts]
    return [Partition(f"{start}-{end}", start, end) for start, end in zip(starts, ends, strict=True)]


def first_block(path: Path) -> int:
    """The first block of one of cryo's files, which are named `..._00000000_to_00000999.parquet`.   (pure)"""
    return int(path.name.split("__")[2].partition("_to_")[0])


def arguments(config: CryoIngestConfig, partition: Partition, folder: Path, url: str) -> dict[str, object]:
    """What cryo is called with.   (pure)"""
    return {
        "blocks": [f"{partition.start}:{partition.end + 1}"],  # to cryo the end is not part of the range
        "columns": selected(config.known, config.columns),
        "u256_types": ["string"],
        "hex": True,
        "sort": ["none"],  # rows are sorted here, by more columns
        "chunk_size": config.chunk_blocks,
        "max_concurrent_chunks": 1,  # one in memory
        "max_concurrent_requests": config.concurrency,
        "requests_per_second": config.requests_per_second,
        "max_retries": _RETRIES,
        "network_name": "chain",
        "output_dir": str(folder),
        "no_report": True,
        "no_verbose": True,
        "rpc": url,
        **config.parameters.given(),
    }
