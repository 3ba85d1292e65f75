"""Choose the audio track: the requested one, else the default, else a decodable one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from av.stream import Discard, Disposition

from glagol.core.errors import InputError
from glagol.speech.audio.allowed import DECODERS, options
from glagol.speech.audio.budget import check_sound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.audio.codeccontext import AudioCodecContext as CodecContext
    from av.audio.stream import AudioStream
    from av.container import InputContainer

__all__ = ["check_stream", "chosen", "decodable", "only"]


def chosen(container: InputContainer, track: int | None) -> AudioStream:
    """The track to decode, checked.

    Args:
        container: opened.
        track: which audio track, from 0; None for the first decodable one that the container
            marks as its default, else the first decodable one.

    Raises:
        InputError: audio_without_sound; option_invalid, there is no such track; audio_unreadable,
            no decoder for its codec is accepted, or its rate or channels are out of range.
    """
    streams = container.streams.audio
    if not streams:
        raise InputError(
            "audio_without_sound",
            f"the {container.format.name} file has no audio stream",
            "send a file with a sound track",
        )
    if track is not None and not 0 <= track < len(streams):
        raise InputError(
            "option_invalid",
            f"there is no audio track {track}, the file has {len(streams)}",
            "choose one from 0, or leave the option out",
        )
    found = _default(streams) if track is None else streams[track]
    check_stream(found)
    return found


def check_stream(stream: AudioStream) -> None:
    """Refuse a stream before anything decodes it.

    Raises:
        InputError: audio_unreadable; its codec is not accepted, or its rate or channels.
    """
    context: CodecContext | None = stream.codec_context
    if context is None or not decodable(stream):
        _not_accepted("unknown" if context is None else context.name)
    context.options = {"max_samples": options()["max_samples"]}
    if context.sample_rate:  # else the first frame says it
        check_sound(context.sample_rate, context.layout.nb_channels)


def decodable(stream: AudioStream) -> bool:
    """Whether the decoder of the track is on the list."""
    context: CodecContext | None = stream.codec_context
    return context is not None and context.name in DECODERS


def only(container: InputContainer, stream: AudioStream) -> None:
    """Let the demuxer pass over all other tracks, pictures first of all."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def _default(streams: Sequence[AudioStream]) -> AudioStream:
    usable = [stream for stream in streams if decodable(stream)]
    marked = [stream for stream in usable if stream.disposition & Disposition.default]
    return next(iter([*marked, *usable, *streams]))


def _not_accepted(name: str) -> NoReturn:
    raise InputError(
        "audio_unreadable",
        f"the sound is in the codec {name}, which is not accepted",
        "convert the recording to WAV, FLAC or Opus, for example with ffmpeg",
    )
