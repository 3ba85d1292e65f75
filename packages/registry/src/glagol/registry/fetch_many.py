"""Fetch several files of a model in parallel, each by `fetch`.

One connection rarely uses the whole bandwidth, and a language model comes in many files. When one
file fails, the other downloads stop at their next chunk; their partial files stay, and the next
call continues them.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

from glagol.registry.fetch import fetch, pin
from glagol.registry.manifest.types import Artifact, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from glagol.registry.store import Store

__all__ = ["AT_ONCE", "fetch_all"]

AT_ONCE: Final = 4
_File = TypeVar("_File", Artifact, SourceFile)


class _StoppedError(Exception):
    """Stops a download because another file failed or the caller cancelled."""


def fetch_all(
    wanted: Sequence[_File],
    store: Store,
    *,
    mirrors: Sequence[str] = (),
    at_once: int = AT_ONCE,
    pinning: bool = False,
    progress: Callable[[_File, int, int | None], None] | None = None,
) -> tuple[_File, ...]:
    """Make sure that the store holds every file.

    Args:
        wanted: The files; one digest given twice is fetched once.
        store: Where they go.
        mirrors: As for `fetch`; asked for files that have a digest.
        at_once: Downloads at a time, 1 or more.
        pinning: Whether a source file without a digest may be fetched and get one.
        progress: Called with the file, bytes done and bytes in all; from several threads.

    Returns:
        The files in the order given; those that had no digest have one now.

    Raises:
        InputError: as `fetch`.
        IntegrityError: the first file in order that no mirror delivered, or that has no digest.
        HostError: `disk_full` or `host_io`.
    """
    stop = threading.Event()

    def one(file: _File) -> _File:
        def report(done: int, total: int | None) -> None:
            if stop.is_set():
                raise _StoppedError
            if progress is not None:
                progress(file, done, total)

        if stop.is_set():
            raise _StoppedError
        try:
            if isinstance(file, SourceFile) and file.sha256 is None and pinning:
                return pin(file, store, progress=report)
            fetch(file, store, mirrors=mirrors, progress=report)
        except BaseException:
            stop.set()  # here, since this thread would begin another file before the caller wakes
            raise
        return file

    by_digest = {file.sha256 or file.path: file for file in reversed(wanted)}
    workers = ThreadPoolExecutor(at_once, thread_name_prefix="fetch")
    try:
        running = {key: workers.submit(one, file) for key, file in reversed(by_digest.items())}
        wait(running.values(), return_when=FIRST_EXCEPTION)
    finally:  # stops the other downloads after an error or an interrupt
        stop.set()
        workers.shutdown(cancel_futures=True)
    for future in running.values():
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, _StoppedError):
            raise error
    return tuple(
        found if found.path == file.path else file
        for file in wanted
        for found in (running[file.sha256 or file.path].result(),)
    )
