"""What the gateway asks of asr-server: jobs, their results, and that they be forgotten.

The same requests go to a server over HTTP and to an application in this process: `httpx` has a
transport for either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from glagol.core.errors import HostError, InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

__all__ = ["Asr", "JobState", "Progress"]

_PIECE: Final = 1 << 16
_ENDED_UNKNOWN: Final = {"job_unknown", "job_expired"}
_RETRY: Final = 500


class Progress(msgspec.Struct, frozen=True):
    """Seconds of audio that are done, and in all."""

    done_s: float = 0.0
    total_s: float | None = None


class _Trouble(msgspec.Struct, frozen=True):
    code: str = "internal"
    message: str = ""


class JobState(msgspec.Struct, frozen=True):
    """A job, as far as the library cares.

    Attributes:
        id: Of the job.
        state: One of asr-server's words; `lost` where the server does not know the job any more.
        progress: How far it is.
        ahead: Jobs before it while it waits.
        eta_s: Estimate of the seconds until it is done.
        error: The trouble of its last attempt.
    """

    id: str
    state: str
    progress: Progress = Progress()
    ahead: int | None = None
    eta_s: float | None = None
    error: _Trouble | None = None


class Asr:
    """A client of asr-server.

    Args:
        url: Its address; any for an application in this process.
        key: The gateway's key there; empty for none.
        app: The application in this process; None for HTTP.
    """

    def __init__(self, url: str, key: str = "", app: Any = None) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            transport=httpx.ASGITransport(app) if app is not None else None,
            timeout=httpx.Timeout(60.0, connect=3.0),
            trust_env=False,
        )

    async def submit(self, audio: Path, options: Mapping[str, str], once: str) -> JobState:
        """Give a file to the queue.

        Args:
            audio: The file; it is read in pieces of 64 KiB.
            options: Of `/v1/transcribe`, such as the model.
            once: The job's idempotency key: the same key gives the same job.

        Raises:
            InputError: The server refuses the file or an option, by its own code.
            HostError: `upstream_unreachable`; nothing is known of the job then, ask again.
        """
        return await self._job(
            "PUT",
            "/v1/transcribe",
            params={**options, "async": "true"},
            content=_pieces(audio),
            headers={"idempotency-key": once},
        )

    async def job(self, job: str) -> JobState:
        """How a job is.

        Raises:
            HostError: `upstream_unreachable`.
        """
        try:
            return await self._job("GET", f"/v1/jobs/{job}")
        except InputError as error:
            if error.code in _ENDED_UNKNOWN:
                return JobState(job, "lost")
            raise

    async def result(self, job: str) -> bytes:
        """The `data` object of the transcript of a job that is done.

        Raises:
            InputError: The server refuses, by its own code.
            HostError: `upstream_unreachable`.
        """
        answer = await self._ask("GET", f"/v1/jobs/{job}/result", params={"format": "json"})
        return bytes(msgspec.json.decode(answer.content, type=_Envelope).data)

    async def forget(self, job: str) -> None:
        """Cancel a job, or remove one that has ended with its result; an unknown one is no error.

        Raises:
            HostError: `upstream_unreachable`.
        """
        try:
            await self._ask("DELETE", f"/v1/jobs/{job}")
        except InputError as error:
            if error.code not in _ENDED_UNKNOWN | {"job_state"}:
                raise

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _job(self, method: str, path: str, **rest: Any) -> JobState:
        answer = await self._ask(method, path, **rest)
        data = msgspec.json.decode(answer.content, type=_Envelope).data
        return msgspec.json.decode(data, type=JobState)

    async def _ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise _unreachable(type(error).__name__) from error
        if answer.is_success:
            return answer
        try:
            error = msgspec.json.decode(answer.content, type=_Failure).error
        except msgspec.DecodeError:
            raise _unreachable(f"status {answer.status_code}") from None
        if answer.status_code >= _RETRY or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise _unreachable(error.code)
        raise InputError(error.code, error.message, error.remedy)


class _Envelope(msgspec.Struct, frozen=True):
    data: msgspec.Raw


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str
    remedy: str = ""


class _Failure(msgspec.Struct, frozen=True):
    error: _Error


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _unreachable(why: str) -> HostError:
    return HostError(
        "upstream_unreachable",
        f"speech recognition does not answer ({why})",
        "the recording waits and is transcribed when it is back",
    )
