"""Calls that wait name the threads that they wait in, so that one slow thing delays no other."""

from __future__ import annotations

import ast

from tidy import sources, tree, where


def test_threads_are_named() -> None:
    """A call that waits names the threads that it waits in: asyncio's own are shared by all."""
    wrong = []
    for path in sources():
        for node in (n for n in ast.walk(tree(path)) if isinstance(n, ast.Call)):
            called = ast.unparse(node.func)
            first = ast.unparse(node.args[0]) if node.args else ""
            own = called.endswith((".to_thread", ".set_default_executor", "loop().getaddrinfo"))
            if own or (called.endswith(".run_in_executor") and first == "None"):
                wrong.append(f"{where(path, node)} {called}: see glagol.core.executors")
    assert not wrong
