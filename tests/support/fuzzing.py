"""Tries what nobody wrote until the time is over, and says what was wrong. A run is its seed."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

Problems = Generator[str | None, None, None]
"""One try after another, for ever: None where all was well, else what was not."""


def main(problems: Callable[[int], Problems], arguments: Sequence[str] | None = None) -> int:
    """Try what comes of a seed; exit code 1 where something was wrong. What `problems` opened is closed then."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    sys.stdout.write(f"seed {seed}\n")
    tries = found = 0
    end: float | None = None
    with closing(problems(seed)) as trying:
        for problem in trying:
            end = end or time.monotonic() + options.seconds  # what `problems` starts first takes none of the time
            tries += 1
            if problem is not None:
                found += 1
                sys.stdout.write(problem + "\n")
            if time.monotonic() >= end:
                break
    sys.stdout.write(f"{tries} statements, {found} problems\n")
    return 1 if found else 0
