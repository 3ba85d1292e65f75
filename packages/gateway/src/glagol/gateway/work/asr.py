"""What the gateway asks of asr-server: jobs, their results, and that they be forgotten.

The same requests go to a server over HTTP and to an application in this process: `httpx` has a
transport for either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from glagol.core.errors import HostError, InputError, LimitError
from glagol.core.executors import call
from glagol.web import envelope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from concurrent.futures import Executor
    from pathlib import Path

    from glagol.gateway.work.services import Client

__all__ = ["REFUSED", "Asr", "JobState", "Progress"]

REFUSED: Final = frozenset({"speakers_missing"})
"""Codes of the host's troubles that a recording does not wait for: a person chooses otherwise."""

_PIECE: Final = 1 << 20
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
        attempt: Which one it is.
    """

    id: str
    state: str
    progress: Progress = Progress()
    ahead: int | None = None
    eta_s: float | None = None
    error: _Trouble | None = None
    attempt: int = 0


class Asr:
    """What asr-server is asked.

    Args:
        client: Of the server.
        disk: Threads that wait for the disk.
    """

    def __init__(self, client: Client, disk: Executor) -> None:
        self._client = client
        self._disk = disk

    async def submit(self, audio: Path, options: Mapping[str, str], once: str) -> JobState:
        """Give a file to the queue.

        Args:
            audio: The file; it is read in pieces of 1 MiB.
            options: Of `/v1/transcribe`, such as the model.
            once: The job's idempotency key: the same key gives the same job.

        Raises:
            InputError, LimitError: The server refuses the file or an option, by its own code.
            HostError: One of `REFUSED`; `upstream_unreachable`: nothing is known of the job then,
                ask again.
        """
        return await self._job(
            "PUT",
            "/v1/transcribe",
            params={**options, "async": "true"},
            content=self._pieces(audio),
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

    async def _pieces(self, path: Path) -> AsyncIterator[bytes]:
        file = await call(self._disk, path.open, "rb")
        try:
            while piece := await call(self._disk, file.read, _PIECE):
                yield piece
        finally:
            await call(self._disk, file.close)

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
        failure = envelope.received(answer.content).error()
        if failure is not None and failure.code in REFUSED:
            raise failure
        later = answer.status_code >= _RETRY or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        if later or not isinstance(failure, InputError | LimitError):
            raise _unreachable(failure.code if failure else f"status {answer.status_code}")
        raise failure


class _Envelope(msgspec.Struct, frozen=True):
    data: msgspec.Raw


def _unreachable(why: str) -> HostError:
    return HostError(
        "upstream_unreachable",
        f"speech recognition does not answer ({why})",
        "the recording waits and is transcribed when it is back",
    )
