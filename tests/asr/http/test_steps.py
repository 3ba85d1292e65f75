"""A request that is given up leaves no thread behind that reads its file."""

from __future__ import annotations

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

from glagol.asr.http import steps
from glagol.asr.http.multipart import Upload

HOLLOW = b"RIFF\xf0\xff\xff\x7fWAVE" + b"JUNK\0\0\0\0" * (1 << 14)
"""A WAV file of empty chunks: 32,768 steps of our own walk, more of FFmpeg's."""


class Held(io.BytesIO):
    """A file whose tenth seek waits."""

    calls = 0

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reached, self.resume = threading.Event(), threading.Event()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Count and wait."""
        self.calls += 1
        if self.calls == 10:
            self.reached.set()
            self.resume.wait(30)
        return super().seek(offset, whence)


def test_a_cancelled_check_stops_its_thread() -> None:
    """`shutdown` waits for the thread: it ends a step after the request, not after the walk."""
    file, media = Held(HOLLOW), ThreadPoolExecutor(1)

    async def leave() -> None:
        body = Upload(cast("BinaryIO", file), "", len(HOLLOW), {})
        task = asyncio.create_task(steps.checked(body, 60.0, media=media))
        await asyncio.to_thread(file.reached.wait, 30)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        file.resume.set()

    asyncio.run(leave())
    media.shutdown()
    assert 10 <= file.calls < 15
