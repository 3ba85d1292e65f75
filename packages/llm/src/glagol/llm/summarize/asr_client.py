"""Fetch the transcript of a job of asr-server with the key of the caller."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import httpx

from glagol.core.errors import GlagolError, HostError, InputError
from glagol.llm.summarize.transcripts import from_json
from glagol.web import envelope

if TYPE_CHECKING:
    from glagol.llm.summarize.transcripts import Transcript

__all__ = ["Recordings"]

TIMEOUT_S: Final = 60.0
TRANSCRIPT_BYTES_MAX: Final = 64 << 20
_JOB: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OK: Final = 200


class Recordings:
    """Finished jobs of one asr-server.

    Args:
        client: Its base URL is asr-server's; None when none is configured.
    """

    def __init__(self, client: httpx.AsyncClient | None) -> None:
        self._client = client

    async def transcript(self, job: str, authorization: str) -> Transcript:
        """The transcript of a job.

        Args:
            job: Its id.
            authorization: The caller's Authorization header, passed on; empty for none.

        Raises:
            InputError: `request_invalid`, no asr-server is known or the id cannot be one;
                `text_empty`; or what asr-server says: `job_unknown`, `job_state`, `key_refused`...
            HostError: `queue_unreachable`, asr-server does not answer.
        """
        if self._client is None:
            raise InputError(
                "request_invalid",
                "this server knows no asr-server",
                "set LLM_ASR_URL, or send text",
            )
        if not _JOB.fullmatch(job):
            raise InputError("request_invalid", "job is not a job's id", "send the id of a job")
        headers = {"Authorization": authorization} if authorization else {}
        try:
            async with self._client.stream(
                "GET", f"/v1/jobs/{job}/result?format=json", headers=headers, timeout=TIMEOUT_S
            ) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > TRANSCRIPT_BYTES_MAX:
                        raise _unreachable("its transcript is longer than 64 MiB")
        except httpx.HTTPError as error:
            raise _unreachable(type(error).__name__) from error
        if answer.status_code != _OK:
            raise _error(answer.status_code, body)
        return from_json(body)


def _error(status: int, body: bytes) -> GlagolError:
    """What asr-server says, as our own error where its code is in the table."""
    return envelope.received(body).error() or _unreachable(f"status {status}")


def _unreachable(why: str) -> HostError:
    return HostError(
        "queue_unreachable", f"asr-server gave no transcript: {why}", "look at its log, try again"
    )
