"""Plain English in code, comments, tests and documents: a list of words and forms that are refused.

STYLE.md says why, and its glossary has the terms to use instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tidy import ROOT, text_files

# Nouns after which "who" is right: people, not programs.
PEOPLE = (
    "(?:author|caller|colleague|developer|engineer|operator|reader|speaker|user)s?"
    "|people|person|staff"
)
# By a pattern, what to write instead. Words also count inside names: `_` ends a word.
BANNED = {
    "whoever": "name the subject: a client that ..., the worker that ...",
    "whom": "name the person or program",
    "nobody": "say what is absent: no worker, no client, not reviewed",
    "somebody": "name the person or program: another process, a caller",
    "someone": "name the person or program: another process, a caller",
    "anybody": "name the person or program: any owner, any caller",
    "everybody": "every caller, all owners, all processes",
    "told": "reported, logged, sent, refused, listed, given",
    "heard": "transcribed, recognised, received, read",
    "hears": "transcribes, receives, notices",
    "lent|lends": "holds, uses, passes by reference",
    "go(?:es)?[ _]on|went on|going on": "continues, runs, happens",
    "once more, please": "retry, replay",
    "heirs?(?!_kind)": "follow-up job (`heir_kind` is a stored field)",
    "leavers?": "a client that disconnects",
    "crowd|crowds": "load peak, many clients, concurrent requests",
    "speaks? for": "say what is done: notifies about, answers",
}
WHO = "a noun and that: the client that leaves; after a noun for people it is right"
EDGES = "(?<![a-z]){}(?![a-z])"
RULES = [(re.compile(EDGES.format(f"(?:{each})")), advice) for each, advice in BANNED.items()]
# In prose and in names; a field, a column or a CSS class may be called so.
RULES.append(
    (
        re.compile(r"(?<![a-z.\"'`-])who(?!\s+(?:speaks?|spoke|said)\b)(?=\s+(?:[#*]\s+)?[a-z]|_)"),
        WHO,
    )
)
_PERSON = re.compile(rf"\b(?:{PEOPLE})[,*`]*\s+(?:#\s*)?$")

SUFFIXES = (
    *(".py", ".js", ".html", ".c", ".h", ".sh", ".lua", ".nix", ".bzl"),
    *(".md", ".toml", ".yaml"),
)
NAMES = {"Justfile", "just", "Containerfile"}
# This list, and the style guide with the forms that it advises against.
EXCEPT = {"tests/style/tidy_words.py", "STYLE.md"}
# (file, line's part): the word is right there
KEPT = {
    ("tests/llm/tiny.py", "what was decided who does what"),  # training text of a tiny model
    ("packages/gateway/src/glagol/gateway/library/schema.py", "who TEXT NOT NULL"),  # a column
}


def refused(text: str) -> Iterator[tuple[int, str, str]]:
    """Each banned form of a text: line from 1, the form as it stands, what to write instead."""
    lowered = text.lower()
    for pattern, advice in RULES:
        for match in pattern.finditer(lowered):
            before = lowered[max(0, match.start() - 40) : match.start()]
            if advice == WHO and _PERSON.search(before):
                continue
            yield lowered.count("\n", 0, match.start()) + 1, match.group(), advice


def looked_at(path: Path) -> bool:
    """Whether the rule reads a file: sources, documents and build files in English."""
    name = path.relative_to(ROOT).as_posix()
    if name in EXCEPT or "/fixtures/" in name:
        return False
    return path.suffix in SUFFIXES or path.name in NAMES or name.startswith(("build/", ".ci/"))


def test_words_are_plain() -> None:
    """No banned word or form in sources, comments, tests and documents."""
    found = []
    for path, text in text_files():
        if not looked_at(path):
            continue
        name, lines = path.relative_to(ROOT).as_posix(), text.splitlines()
        for number, form, advice in refused(text):
            if not any(name == kept and part in lines[number - 1] for kept, part in KEPT):
                found.append(f"{name}:{number} {form!r}: {advice}")
    assert not found, "plain English, see STYLE.md:\n" + "\n".join(sorted(found))


def test_the_rule_sees_what_it_must() -> None:
    """Words, parts of names and forms over a line count; people keep their pronoun."""
    text = (
        "def test_who_leaves():\n    # Nobody is told\n    heard = go_on  # the speaker who said it"
    )
    assert [(line, form) for line, form, _ in sorted(refused(text))] == [
        (1, "who"),
        (2, "nobody"),
        (2, "told"),
        (3, "go_on"),
        (3, "heard"),
    ]
    assert not [*refused("whole, behold, withhold, crowded, their heir_kind; a person\nwho waits")]


def test_kept_lines_exist() -> None:
    """An exception that stands for nothing would hide a later one."""
    assert not [name for name, part in KEPT if part not in (ROOT / name).read_text("utf-8")]
