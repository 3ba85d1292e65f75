"""Read Python files as syntax trees."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["functions", "tree"]


@cache
def tree(path: Path) -> ast.Module:
    """Syntax tree of a file; all of them together are a million objects that stay."""
    gc.disable()  # the collector would look through them again and again while they grow
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        gc.freeze()
        gc.enable()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
