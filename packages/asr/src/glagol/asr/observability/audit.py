"""Write an audit line for every transcript: its bytes and its model.

A log that cannot be written stops no transcription; an error is logged.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.web.audit_log import AuditLog, entry_of, note

if TYPE_CHECKING:
    from glagol.speech.types import Transcript

__all__ = ["Audit"]


class Audit:
    """The log of this process and of those that share its state.

    Args:
        path: The file; None writes nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._log = AuditLog(path) if path else None

    def transcribed(
        self,
        transcript: Transcript,
        *,
        request: str = "",
        call: str = "",
        job: str = "",
        owner: str = "",
    ) -> None:
        """Write that `transcript` was made; waits for the disk, never raises.

        Args:
            transcript: What was made.
            request: Id of the request that asked for it.
            call: The server's own id of that request, if it was answered at once.
            job: Id of the job; empty for a request that was answered at once.
            owner: Name of the key.
        """
        if self._log is None:
            return
        entry = entry_of(
            "transcribed",
            transcript.provenance,
            job=job,
            request=request,
            call=call,
            owner=owner,
            input_sha256=transcript.provenance.audio_sha256 or "",
            transcript_sha256=hashlib.sha256(transcript.text.encode()).hexdigest(),
        )
        note(self._log, entry)
