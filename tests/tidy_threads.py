"""Calls that wait name the threads that they wait in, so that one slow thing delays no other."""

from __future__ import annotations

import ast

from style.syntax import tree
from tidy import sources, where

WAITING = frozenset({"to_thread", "set_default_executor", "getaddrinfo", "run_in_executor"})
"""Methods that give work to threads."""


def test_threads_are_named() -> None:
    """A call that waits names the threads that it waits in: asyncio's own are shared by all."""
    wrong = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in WAITING:
                continue
            called = ast.unparse(node.func)
            first = ast.unparse(node.args[0]) if node.args else ""
            own = called.endswith((".to_thread", ".set_default_executor", "loop().getaddrinfo"))
            if own or (called.endswith(".run_in_executor") and first == "None"):
                wrong.append(f"{where(path, node)} {called}: see glagol.core.executors")
    assert not wrong
