"""Find missing audio at the end of a recording: compare the stated with the decoded duration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

from glagol.speech.audio import tracks
from glagol.speech.audio.allowed import options
from glagol.speech.audio.budget import Sound
from glagol.speech.audio.findings import (
    COUNTED_SECONDS,
    MISSING_SECONDS,
    SILENT,
    truncated,
    undecoded,
)
from glagol.speech.audio.frames import Frames
from glagol.speech.audio.timeline import GAP_MAX_SECONDS, START_MAX_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer

    from glagol.speech.audio.budget import FFmpegFile, WatchedFile
    from glagol.speech.audio.promises.stated import Stated
    from glagol.speech.types import Notice

__all__ = ["declared_s", "ending", "loud_track"]

MICROSECONDS = 1e6
"""Microseconds in a second: FFmpeg gives a container's duration in microseconds."""

CUT_FRAMES = 2
"""Up to so many bad packets at the end mean that the last frame was cut; more mean other damage."""

CUT_BYTES = 4_096
"""Fewer bytes after the last frame are the rest of a frame, or padding."""

TAGGED = re.compile(r"(\d{2,4}):(\d\d):(\d\d\.\d{3,9})")
"""Duration of a track, as Matroska's writers put it into its tags."""

STATING = frozenset({"matroska,webm", "flv"})
"""Containers (FFmpeg's names) whose header states a duration; others show what is there only."""


def declared_s(container: InputContainer, stream: AudioStream, stated: Stated) -> float | None:
    """Duration that the container states, seconds; None when it is unknown or only estimated."""
    if stated.seconds is not None:
        return stated.seconds
    if stated.counted and stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    alone = container.format.name == "matroska,webm" and len(container.streams) == 1
    known = container.duration is not None and container.duration > 0
    return (container.duration or 0) / MICROSECONDS if known and (stated.counted or alone) else None


def ending(
    container: InputContainer,
    stream: AudioStream,
    stated: Stated,
    frames: Frames,
    seconds: float,
    size: int,
    *,
    junk: bool,
) -> list[Notice]:
    """Make the notices about the end of a recording.

    Args:
        container: the container, still open.
        stream: the track that was decoded.
        stated: what the container states about its length.
        frames: the frames, after the last one was read.
        seconds: duration of the decoded audio.
        size: size of the file as its readers see it, bytes.
        junk: whether the last bytes looked like frames but were not.
    """
    found = [undecoded(stated.remark, None)] if stated.remark else []
    if stated.missing:
        missing_s = _missing_s(container, stream, stated, seconds, size)
        least = MISSING_SECONDS if stated.share is not None else COUNTED_SECONDS
        if missing_s is None or missing_s >= least:
            return [*found, truncated(stated.missing, seconds, missing_s)]
        return found
    if stated.seconds is not None:
        missing_s = stated.seconds - seconds
        if missing_s >= COUNTED_SECONDS:
            what = f"the header states {stated.seconds:.2f} s, the file has {seconds:.2f} s"
            return [*found, truncated(what, seconds, missing_s)]
        return found
    length = _written(container, stream)
    if length is not None and COUNTED_SECONDS <= length - seconds <= GAP_MAX_SECONDS:
        what = f"it states {length:.2f} s, {seconds:.2f} s can be decoded"
        return [*found, truncated(what, seconds, length - seconds)]
    if 0 < frames.lost <= CUT_FRAMES and not junk:
        found.append(truncated("its last frame is cut", seconds, frames.lost_s or None))
    elif junk or frames.lost or (frames.broken and size - (frames.end or size) > CUT_BYTES):
        found.append(undecoded(f"the audio after {seconds:.2f} s cannot be decoded", seconds))
    return found


def loud_track(source: FFmpegFile, file: WatchedFile, others: Sequence[int]) -> int | None:
    """The first of the other audio tracks that is not silent; None when all are silent.

    Args:
        source: the file that FFmpeg reads; each track is decoded from the start.
        file: the same file, with the counter of decoding steps.
        others: numbers of the audio tracks.

    Raises:
        HostError: `cancelled`.
    """
    for number in others:
        file.seek(0)
        try:
            with av.open(source, options=options()) as container:
                stream = container.streams.audio[number]
                if not tracks.decodable(stream):
                    continue
                tracks.only(container, stream)
                for frame in Frames(container, stream, Sound(None), file):
                    if abs(frame.samples).max(initial=0) > SILENT:
                        return number
        except (FFmpegError, ValueError, IndexError):
            continue
        finally:
            source.check()
    return None


def _missing_s(
    container: InputContainer, stream: AudioStream, stated: Stated, seconds: float, size: int
) -> float | None:
    """Duration of the missing audio, seconds; None when it is unknown."""
    if stated.share is not None:
        return seconds * stated.share
    if stated.seconds is not None:
        return max(0.0, stated.seconds - seconds)
    if container.format.name.startswith("mov,"):
        return _unindexed(stream, size)
    if container.format.name not in STATING:
        return None
    length = _length(container, stream)
    return None if length is None else max(0.0, length - seconds)


def _written(container: InputContainer, stream: AudioStream) -> float | None:
    """When the track ends by the container's clock; None where it is not zero-based or unknown."""
    start = (container.start_time or 0) / MICROSECONDS
    if container.format.name not in STATING or start > START_MAX_SECONDS:
        return None
    tag = TAGGED.fullmatch(stream.metadata.get("DURATION", ""))
    if tag is not None:
        hours, minutes, tagged = map(float, tag.groups())
        return 3_600 * hours + 60 * minutes + tagged
    return _length(container, stream)


def _length(container: InputContainer, stream: AudioStream) -> float | None:
    """Stated duration of the track, seconds; that of the container when it has one track only."""
    if stream.duration and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if len(container.streams) == 1 and container.duration:
        return container.duration / MICROSECONDS
    return None


def _unindexed(stream: AudioStream, size: int) -> float | None:
    """Duration, by the index, of the samples at its end that lie behind the end of the file."""
    entries = stream.index_entries
    last = len(entries) - 1
    at = last
    while at >= 0 and entries[at].pos + entries[at].size > size:
        at -= 1
    if at == last or stream.time_base is None:
        return 0.0 if last >= 0 else None
    step = entries[last].timestamp - entries[last - 1].timestamp if last else 0
    ticks = int(entries[last].timestamp - entries[at + 1].timestamp + step)
    return ticks * float(stream.time_base)
