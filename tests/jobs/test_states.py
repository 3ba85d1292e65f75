"""The words of the states stand in one list, and SQL, Lua, webhooks and metrics agree with it."""

from __future__ import annotations

import ast
import hashlib
import re
import sqlite3
from pathlib import Path
from typing import get_args

import pytest

from glagol.jobs import states
from glagol.jobs.redis.script import script
from glagol.jobs.sqlite import queue, schema

LUA = Path(script.__code__.co_filename).with_name("queue.lua")


def test_the_list_has_every_state_with_its_traits() -> None:
    """The type and the table name the same words; the sets are those that callers rely on."""
    assert tuple(states.STATES) == get_args(states.State)
    assert {"done", "failed", "cancelled"} == states.ENDED
    assert {"failed", "cancelled"} == states.REPLAYABLE
    assert {"done", "cancelled"} == states.SETTLED


def test_every_end_has_its_event() -> None:
    """The type of the events and the table agree."""
    assert states.EVENTS.keys() == set(get_args(states.Event))
    assert set(states.EVENTS.values()) == states.ENDED


def test_the_script_defines_what_its_text_uses() -> None:
    """Each name in capitals comes from the line before the text; no state is written out there."""
    text = LUA.read_text(encoding="ascii")
    head = script().removesuffix(text)
    assert "\n" not in head
    code = re.sub(r"--.*", "", text)
    names = set(re.findall(r"\b[A-Z]{2,}\b", re.sub(r"'[^']*'", "", code))) - {"KEYS", "ARGV"}
    own = set(re.findall(r"\blocal ([A-Z]+) =", code))
    assert names - own == set(re.findall(r"\b[A-Z]{2,}\b", re.sub(r"'[^']*'", "", head)))
    words = states.STATES.keys() - {states.DONE}  # "done" is the name of a field, too
    assert not words & set(re.findall(r"'([^']*)'", code))


def test_the_first_schema_stays() -> None:
    """Files of version 1 are there, with these tables and the words in their indexes."""
    assert schema.SCHEMA_VERSION == 1
    digest = hashlib.sha256(schema.SCHEMA.encode()).hexdigest()
    assert digest == "8ff687b780bb51045903b726793acfce5a36df57c5d4aaeeb3a19937cd42e954"


@pytest.mark.parametrize("module", [queue, schema])
def test_no_sql_writes_a_state_out(module: object) -> None:
    """The words get into SQL from the list alone."""
    source = Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8")
    texts = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts for word in states.STATES if f"'{word}'" in text]


def test_the_claims_queries_use_their_index() -> None:
    """A partial index serves only a query that repeats its condition word for word."""
    db = sqlite3.connect(":memory:")
    db.executescript(schema.SCHEMA)
    plan = str(db.execute(f"EXPLAIN QUERY PLAN {queue._READY}", ("k", 0, 0)).fetchall())
    assert "USING INDEX by_due" in plan
    assert "SCAN" not in plan
