"""Transcription with speakers: the same steps, and who speaks when the recording is over."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from glagol.core.errors import GlagolError
from glagol.speech.audio.source import Paced
from glagol.speech.speakers.tell import diarization
from glagol.speech.speakers.words import attributed
from glagol.speech.text.writing import Writer, described

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from glagol.registry.registry import Registry
    from glagol.speech.audio.source import AudioSource
    from glagol.speech.speakers.diarizer import Diarizer
    from glagol.speech.speakers.families import SpeakerModel
    from glagol.speech.speakers.types import Diarization
    from glagol.speech.types import Array, Notice, Options, Step, Transcript

__all__ = ["Speakers", "spoken", "steps", "tapped"]


@dataclass(slots=True)
class Speakers:
    """The manifest's model of speakers, opened when it is first asked for; shared by threads.

    Attributes:
        registry: where it comes from.
    """

    registry: Registry
    _model: SpeakerModel | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def model(self) -> SpeakerModel:
        """The open model.

        Raises:
            HostError: `speakers_missing`.
            IntegrityError: its files are not what the manifest says.
        """
        from glagol.speech.speakers.families import opened

        with self._lock:
            if self._model is None:
                self._model = opened(self.registry)
            return self._model


def steps(
    speakers: Speakers,
    source: AudioSource,
    transcribed: Callable[[AudioSource, Options], Generator[Step, None, Transcript]],
    options: Options,
) -> Generator[Step, None, Transcript]:
    """As `Recognizer.steps`; all segments come with the last step: only then it is known who spoke.

    Args:
        speakers: gives the model.
        source: the recording; it is closed.
        transcribed: the steps of a recording without speakers.
        options: what the caller chose, bounds of the speakers included.

    Raises:
        HostError: `speakers_missing`, the model is not here; and what `Recognizer.steps` raises.
    """
    bounds = options.speakers
    assert bounds is not None  # noqa: S101 - the caller has looked
    try:
        model = speakers.model()
    except GlagolError:
        source.close()
        raise
    diarizer = model.begin()
    both = tapped(source, diarizer)
    plain = replace(options, speakers=None, word_timestamps=True, numbers="words", redact=False)
    inner = transcribed(both, plain)
    with closing(inner):
        while True:
            try:
                step = next(inner)
            except StopIteration as end:
                transcript: Transcript = end.value
                break
            yield replace(step, segments=())
    found = diarization(diarizer.finish(bounds), model, bounds)
    transcript = spoken(transcript, found, options)
    yield replace(step, segments=transcript.segments)
    return transcript


def spoken(transcript: Transcript, found: Diarization, options: Options) -> Transcript:
    """A transcript whose segments have words, with who speaks; segments end at changes.

    Args:
        transcript: of the recording without speakers.
        found: who speaks when.
        options: what the caller chose.
    """
    segments = attributed(transcript.segments, found.turns)
    segments = tuple(Writer(options).push(segments, transcript.language, last=True))
    if not options.word_timestamps:
        segments = tuple(replace(segment, words=()) for segment in segments)
    text = " ".join(segment.text for segment in segments)
    whole = replace(transcript, segments=segments, text=text, diarization=found)
    return described(whole, options)


def tapped(source: AudioSource, diarizer: Diarizer) -> AudioSource:
    """The same recording; the diarizer gets each of its blocks, too."""
    if isinstance(source, Paced):
        return _WindowedSteps(source, diarizer, source)
    return _Tapped(source, diarizer)


@dataclass(frozen=True, slots=True)
class _Tapped:
    """As `glagol.speech.audio.source.AudioSource`; every block goes to the diarizer, too."""

    source: AudioSource
    diarizer: Diarizer

    @property
    def declared_s(self) -> float | None:
        return self.source.declared_s

    @property
    def channels(self) -> int:
        return self.source.channels

    @property
    def warnings(self) -> Sequence[Notice]:
        return self.source.warnings

    def __iter__(self) -> Iterator[Array]:
        return self

    def __next__(self) -> Array:
        block = next(self.source)
        self.diarizer.push(block)
        return block

    def close(self) -> None:
        self.source.close()


@dataclass(frozen=True, slots=True)
class _WindowedSteps(_Tapped):
    """As `glagol.speech.audio.source.Paced`."""

    pace: Paced

    def ready(self) -> bool:
        return self.pace.ready()

    def arrived(self) -> bool:
        return self.pace.arrived()
