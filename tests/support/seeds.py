"""Seeds of a drill at random: a few in each run, many in `make soak`.

@pytest.mark.parametrize("seed", seeds(2, 20))
"""

from __future__ import annotations

from typing import Any

import pytest


def seeds(always: int, all_together: int) -> list[Any]:
    """Numbers from 0; those from `always` on are marked `soak`."""
    return [n if n < always else pytest.param(n, marks=pytest.mark.soak) for n in range(all_together)]
