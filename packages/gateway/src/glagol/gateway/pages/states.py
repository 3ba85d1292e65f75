"""What pages say of a recording and of the server, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from glagol.gateway.pages.words import hms

if TYPE_CHECKING:
    from glagol.gateway.http.text_views import FoundView
    from glagol.gateway.http.views import RecordingView, StateView
    from glagol.gateway.pages.words import Words
    from glagol.gateway.text.columns import TextView

__all__ = ["Line", "chip", "lines", "marks", "proofread", "says", "speakers"]

COLOURS: Final = 5
"""Colours of speakers in the style sheet."""

_KEYS: Final = (("ch", "channel", 0), ("spk", "speaker", 0), ("S", "speaker", 1))
"""Beginnings of speakers' keys, the word for each, and the number of the first one."""

_DISK_SHARE: Final = 0.1
_SAID: Final = frozenset({"not_ready", "artifact_altered"})


@dataclass(frozen=True, slots=True)
class Line:
    """A warning above a page; `service` is the one that it is about."""

    text: str
    title: str = ""
    wrong: bool = False
    service: str = ""


def says(t: Words, r: RecordingView) -> str:
    """The state of a recording as a sentence."""
    if r.state == "uploading":
        share = 100 * r.uploaded_bytes // r.bytes if r.bytes else 0
        return t("state_uploading", p=share)
    if r.state == "failed":
        key = f"trouble_{r.trouble}"
        if key in t.texts and "{" not in t.texts[key]:
            return t(key)
        return t("trouble_other", code=r.trouble)
    if r.state == "queued":
        ahead = r.progress.ahead if r.progress else None
        return t("state_waiting", n=ahead) if ahead else t("state_next")
    if r.state == "running":
        done = r.progress
        if done is None or not done.total_s:
            return t("state_running")
        return t("state_running_at", a=hms(done.done_s), b=hms(done.total_s))
    if "audio_gap" in r.warnings:
        return t("gaps")
    return t("state_done")


def chip(r: RecordingView) -> tuple[str, str]:
    """The class and the word of a recording's mark."""
    if r.state == "failed":
        return "wrong", "state_failed"
    if r.state != "done":
        return "", {"uploading": "state_sending", "queued": "state_next"}.get(
            r.state, "state_running"
        )
    if not r.snippet:
        return "", "state_silent"
    return ("", "state_edited") if r.edits else ("good", "state_done")


def lines(t: Words, state: StateView) -> list[Line]:
    """What a person should know of the server before working."""
    found = []
    asr = state.services["asr"]
    if not asr.ready:
        key = f"note_{asr.trouble}" if asr.trouble in _SAID else "note_asr_away"
        wrong = asr.trouble != "not_ready"
        found.append(Line(t(key, code=asr.trouble), wrong=wrong, service="asr"))
    elif asr.note:
        found.append(Line(t("note_nano"), t("note_nano_title", model=asr.model)))
    for name, each in state.services.items():
        if name != "asr" and each.there and not each.ready:
            key = "note_llm_away" if name == "llm" else "note_other_away"
            found.append(Line(t(key, service=name), service=name))
    if state.disk.free_bytes < _DISK_SHARE * state.disk.total_bytes:
        found.append(Line(t("note_disk", n=t.size(state.disk.free_bytes))))
    if not state.secure:
        found.append(Line(t("note_insecure")))
    return found


def speakers(t: Words, text: TextView) -> dict[str, tuple[int, str]]:
    """Colour and name of each speaker of a text."""
    return {
        each.key: (number % COLOURS, each.name or _unnamed(t, each.key))
        for number, each in enumerate(text.speakers)
    }


def proofread(t: Words, text: TextView) -> str:
    """How much of a text a person has read."""
    count, whole = sum(each.reviewed for each in text.segments), len(text.segments)
    if not count:
        return t("text_by_machine")
    return t("text_reviewed") if count == whole else t("text_partly", n=count, of=whole)


def marks(hit: FoundView) -> Iterator[tuple[str, bool]]:
    """The text of a hit in parts, and whether each is a word that was looked for."""
    for number, word in enumerate(hit.text.split(" ")):
        if number:
            yield " ", False
        yield word, number in hit.marks


def _unnamed(t: Words, key: str) -> str:
    for beginning, word, first in _KEYS:
        number = key.removeprefix(beginning)
        if number != key and number.isdecimal():
            return t(word, n=int(number) + 1 - first)
    return key
