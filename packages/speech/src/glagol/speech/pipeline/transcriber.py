"""What servers need of a recogniser; `Recognizer` is one, and tests have others."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from glagol.runtime.batching import Tally
    from glagol.speech.audio.source import AudioSource
    from glagol.speech.pipeline.channel_decoder import ChannelDecoder
    from glagol.speech.pipeline.channels import WindowRecognizer
    from glagol.speech.pipeline.live import Live
    from glagol.speech.types import Options, Step, Transcript

__all__ = ["Transcriber"]


class Transcriber(Protocol):
    """Transcribes files step by step, and live audio; shared by threads."""

    @property
    def tally(self) -> Tally:
        """What was encoded since the model was opened."""

    def steps(
        self,
        file: BinaryIO,
        *,
        options: Options = ...,
        audio_sha256: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        opened: AudioSource | None = None,
    ) -> Generator[Step, None, Transcript]:
        """As `glagol.speech.pipeline.recognizer.Recognizer.steps`."""

    def live(self, *, options: Options = ..., recognize: WindowRecognizer | None = None) -> Live:
        """As `glagol.speech.pipeline.recognizer.Recognizer.live`."""

    def begin(self, options: Options) -> ChannelDecoder:
        """As `glagol.speech.pipeline.recognizer.Recognizer.begin`."""
