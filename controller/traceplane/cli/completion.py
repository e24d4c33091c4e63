"""`kubectl_complete-tracedag`: what kubectl's own completion asks of its plugin `tracedag`.

kubectl runs it with the words that follow `kubectl tracedag`, the last of them as far as it is typed, and reads a
word a line and, after a colon, what to do beside (cobra, "Shell completions": 4 is "no file names"). The words come
from what a shell asks `tracectl` for.
"""

from __future__ import annotations

import os
import sys

from traceplane.cli.main import app

_NO_FILES = 4


def main() -> None:
    """Print what may follow."""
    words = sys.argv[1:] or [""]
    os.environ["_TRACECTL_COMPLETE"] = "complete_bash"
    os.environ["COMP_WORDS"] = " ".join(["tracectl", *words])
    os.environ["COMP_CWORD"] = str(len(words))
    try:
        app(prog_name="tracectl")
    finally:  # which ends by SystemExit
        print(f":{_NO_FILES}")
