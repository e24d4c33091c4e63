"""Runs the code cells of a notebook in order, as a kernel would, and stops at the first error. Usage: cells.py
FILE"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any


def main(file: str) -> None:
    """Run them; the value of a cell's last expression is printed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(Path(file).read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]), f"cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        if isinstance(last, ast.Expr):
            print(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names))


if __name__ == "__main__":
    main(sys.argv[1])
