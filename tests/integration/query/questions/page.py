"""The questions of docs/howto/questions.md, in its order, each with its one statement."""

from __future__ import annotations

import re

from tests.services import ROOT

PAGE = (ROOT / "docs" / "howto" / "questions.md").read_text()


def questions() -> dict[str, str]:
    """The statement of each question. ValueError where a question has none, or several."""
    found = {}
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        question, _, text = section.partition("\n")
        (found[question],) = re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found
