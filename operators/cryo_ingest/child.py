"""The process that cryo runs in: arguments come on stdin as JSON, counts of chunks go into a file.

A process of its own, since cryo ends its process when a channel breaks, and its threads cannot be stopped. stdin,
since one argument is the provider's URL: what a process is called with, and its environment, others can read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Run cryo once; 0 where it came to an end."""
    import cryo

    given = json.load(sys.stdin)
    try:
        counts = cryo.freeze([given["dataset"]], **given["arguments"])
    except BaseException as error:  # a panic of Rust is no Exception; its message is on stderr already
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    Path(given["counts"]).write_text(json.dumps(counts))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # cryo's threads now and then abort an interpreter that ends
