"""Each page's commands, typed in order into one shell beside a running installation."""

from __future__ import annotations

import pytest

from tests.docs.blocks import ROOT, commands
from tests.docs.rules import FOLLOWED, rule
from tests.docs.sessions import RUN, run
from tests.services.installation import start_pipeline

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

PAGES = sorted({command.page for command in commands() if rule(command).tier in RUN} - set(FOLLOWED))


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_in_their_order(trace, alarms, page, tmp_path):
    for name in ("hack", "dags", "docs", "charts", "operators", "controller", "pyproject.toml", "uv.lock", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    files = ["openssl ecparam -name prime256v1 -genkey -noout -out key.pem", "touch ca.crt"]
    try:
        run(trace, [c for c in commands() if c.page == page], tmp_path, files if "install" in page else ())
    finally:
        start_pipeline(trace)
