"""The known-answer check: the manifest's golden clip must give the manifest's transcript.

It runs once at start, on the very session that will serve, and so catches what digests cannot:
a broken driver, a wrong instruction set, an onnxruntime that computes something else.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.core.errors import HostError, IntegrityError

if TYPE_CHECKING:
    from glagol.registry.manifest.read import Model
    from glagol.speech.pipeline.recognizer import Recognizer

__all__ = ["known_answer"]


def known_answer(recognizer: Recognizer, model: Model, home: Path) -> str:
    """Transcribe the golden clip of `model` and compare.

    Args:
        recognizer: The recognizer that will serve.
        model: Its manifest entry.
        home: The directory that the golden paths are relative to.

    Returns:
        "exact", "same words" (equal but for case and punctuation), or "no clip" when the
        manifest has none.

    Raises:
        IntegrityError: `artifact_missing` or `artifact_altered` for the clip or its transcript.
        HostError: `not_ready`, the answer differs.
    """
    golden = model.golden
    if golden is None:
        return "no clip"
    audio = _read(home, golden.audio, golden.audio_sha256)
    expected = _read(home, golden.transcript, golden.transcript_sha256).decode().strip()
    got = recognizer.transcribe(io.BytesIO(audio), audio_sha256=golden.audio_sha256).text.strip()
    if got == expected:
        return "exact"
    if _words(got) == _words(expected):
        return "same words"
    raise HostError(
        "not_ready",
        f"the known-answer clip of {model.id} was not transcribed as the manifest says"
        f" (expected {expected!r}, got {got!r})",
        "check driver, onnxruntime version and CPU; run: glagol models verify " + model.id,
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _read(home: Path, path: str, sha256: str) -> bytes:
    try:
        data = (home / path).read_bytes()
    except OSError as error:
        raise IntegrityError(
            "artifact_missing",
            f"the known-answer file {path} cannot be read: {error.strerror}",
            "restore it from the release or from version control",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise IntegrityError(
            "artifact_altered",
            f"the known-answer file {path} has sha256 {found}, the manifest says {sha256}",
            "restore it from the release or from version control",
        )
    return data
