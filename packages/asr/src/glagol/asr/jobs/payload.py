"""Payload of a transcription job, its id, and its digest."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

import msgspec

from glagol.asr.http.engine_options import USUAL, EngineOptions
from glagol.asr.http.schemas import Channel
from glagol.core import stored
from glagol.speech.speakers.types import Bounds

__all__ = ["KIND", "NOTIFY", "Work", "made_s", "name"]

KIND: Final = "transcribe"
NOTIFY: Final = "notify"
"""Kind of the follow-up job that sends the webhook of a job which ended without a worker."""

_NAME: Final = re.compile(r"([0-9a-f]{12})[0-9a-f]{20}")


class Work(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The payload of a job of `KIND`.

    Attributes:
        model: Manifest id.
        language: BCP 47 tag.
        word_timestamps: Whether segments carry words.
        format: Name of the result's format when none is asked for.
        channel: Whether channels are mixed or each is transcribed alone.
        track: Which audio track, from 0; None lets the container's flags decide.
        strict: Whether a recording that lacks something is refused.
        speakers: How many people may speak; None leaves speakers out.
        engine: What is asked of the engine beside the language.
        audio_sha256: Of the input's bytes.
        size_bytes: Of the input.
        audio_s: How long its container says it is; None when it does not say.
        webhook_url: Receiver of the webhook at the end; empty means none.
        summarize: Whether the result carries a summary by llm-server.
        request_id: Of the request that made it.
        traceparent: The trace of that request (W3C); empty means none.
    """

    model: str
    language: str
    word_timestamps: bool
    format: str
    audio_sha256: str
    size_bytes: int
    audio_s: float | None
    channel: Channel = "mix"
    track: int | None = None
    strict: bool = False
    speakers: Bounds | None = None
    engine: EngineOptions = USUAL
    webhook_url: str = ""
    summarize: bool = False
    request_id: str = ""
    traceparent: str = ""

    def encoded(self) -> bytes:
        """As the queue keeps it: older releases read an order that asks for nothing new."""
        usual = self.engine == USUAL  # msgspec omits the default itself, not what equals it
        return msgspec.json.encode(msgspec.structs.replace(self, engine=USUAL) if usual else self)

    @classmethod
    def decoded(cls, payload: bytes) -> Work:
        """What `encoded` gave.

        Raises:
            IntegrityError: `state_too_new`, `state_damaged`.
        """
        return stored.read(payload, cls, "the order of this job")

    def sha256(self) -> str:
        """What an idempotency key stands for: the audio and everything asked about it."""
        asked = msgspec.structs.asdict(self) | {"request_id": "", "traceparent": ""}
        if self.track is None:  # what was not asked for changes no key of an earlier version
            del asked["track"]
        if not self.strict:
            del asked["strict"]
        if self.speakers is None:
            del asked["speakers"]
        if self.engine == USUAL:
            del asked["engine"]
        return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


def name(now_s: float) -> str:
    """A new job's id: its milliseconds since 1970 and 80 random bits, hexadecimal."""
    return f"{int(now_s * 1000):012x}{secrets.token_hex(10)}"


def made_s(job_id: str) -> float | None:
    """When a job with this id was made; None when it is none of ours."""
    found = _NAME.fullmatch(job_id)
    return int(found[1], 16) / 1000 if found else None
