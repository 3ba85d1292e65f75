"""Value types of recognition; all are frozen.

Positions inside audio are sample indices at 16 kHz, times in results are seconds from the start of
the audio rounded to a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from glagol.runtime.tensors import Array as Array  # noqa: PLC0414 - exported to all of speech

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from glagol.speech.phrases.types import Phrase, Phrases
    from glagol.speech.speakers.types import Bounds, Diarization

Task: TypeAlias = Literal["transcribe", "translate"]
WindowRule: TypeAlias = Literal["cropped", "full"]
Numbers: TypeAlias = Literal["words", "digits"]

SAMPLE_RATE = 16_000
"""Hz; every waveform inside the package has this rate and one channel."""


@dataclass(frozen=True, slots=True)
class Waveform:
    """Mono audio: samples float32 [N] in [-1, 1] at 16 kHz."""

    samples: Array

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Samples [start, end) of one recording, 0 <= start <= end."""

    start: int
    end: int

    def __len__(self) -> int:
        """Number of samples."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Features:
    """Log-mel energies float32 [L, 64], one row each 10 ms."""

    frames: Array


@dataclass(frozen=True, slots=True)
class Emission:
    """A label that a decoder emitted: class index, encoder frame, log of its probability (<= 0)."""

    label: int
    frame: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Token:
    """A vocabulary piece with its encoder frame and log of its probability (<= 0)."""

    piece: str
    frame: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Word:
    """A word: start and end in seconds, text without spaces, confidence 0..1.

    `glued` words follow the one before without a space, as in Chinese. `speaker` is the id of the
    the speaker that says it, where speakers were asked for. `spoken` is what was said where the
    text is written otherwise, as a number in digits.
    """

    start: float
    end: float
    text: str
    confidence: float
    glued: bool = False
    speaker: str | None = None
    spoken: str | None = None


def text_of(words: Iterable[Word]) -> str:
    """The text of words, one space between two that are not glued."""
    return "".join(f"{'' if word.glued else ' '}{word.text}" for word in words).strip()


@dataclass(frozen=True, slots=True)
class Segment:
    """Words between two pauses.

    Attributes:
        start: seconds.
        end: seconds.
        text: the words as `text_of` joins them.
        words: empty when word times were not asked for.
        channel: in which it was spoken, from 0; None when the channels were mixed.
        speaker: id of the one who speaks; None when speakers were not asked for.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    channel: int | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Seconds that went through the model and seconds dropped as silence; they add up.

    With split channels to the sum of their durations; `channels` has each one's own.
    """

    decoded_s: float
    dropped_s: float
    channels: tuple[Coverage, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a recording or a model lacks; the transcript is given nevertheless.

    Attributes:
        code: stable, for programs.
        message: for people: what, where, and what to do.
        at_s: where in the recording it begins, seconds; None when it is about the whole.
        missing_s: how much sound is missing, seconds; None when unknown or nothing is.
    """

    code: str
    message: str
    at_s: float | None = None
    missing_s: float | None = None


INCOMPLETE = frozenset({"audio_truncated", "audio_damaged", "audio_gap"})
"""Codes of notices that sound is missing."""


@dataclass(frozen=True, slots=True)
class VadProvenance:
    """Voice activity model: registry id, artifact digests, parameters as in the manifest."""

    id: str
    artifacts: Mapping[str, str]
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SearchProvenance:
    """How a searching engine chose between texts.

    Sampling seeds follow from the model's files and the audio, so none is stored.

    Attributes:
        rules: version of the rules that forbid tokens, repeat attempts and move windows.
        window: what the encoder read first, "cropped" or "full"; it reads the full window where
            the cropped one gave no sound text.
        beam: beams of the search; 1 is greedy.
        temperature: the highest that a text was taken from; 0 where none was sampled.
        task: "translate" where the text is a translation into English.
        prompt_sha256: digest of the caller's prompt, UTF-8; None where there was none.
    """

    rules: int
    window: str
    beam: int
    temperature: float
    task: Task = "transcribe"
    prompt_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything that decided a transcript besides the processor.

    Attributes:
        model: registry id.
        model_version: version of the weights.
        artifacts: path to sha256 of every model file.
        manifest_version: version of the registry.
        manifest_sha256: digest of its bytes.
        variant: which build of the model ran; not the one that was asked for where this processor
            computes that one inexactly (`glagol.runtime.kernels.int8`).
        provider: what really ran it, "cpu" or "cuda".
        onnxruntime: its version.
        kernels_sha256: digest of the library whose operators computed the encoder's products on
            the matrix unit, or those in int8 with AVX2; None when they were ONNX Runtime's own, or
            in a result that was stored by a version that did not record it.
        vad: the voice activity model, None when the audio was short and did not need it.
        chunk_plan_sha256: digest of where the audio was cut; with split channels of the lines
            "<channel> <digest of its plan>".
        audio_sha256: digest of the input file when the caller knows it.
    """

    model: str
    model_version: str
    artifacts: Mapping[str, str]
    manifest_version: int
    manifest_sha256: str
    variant: str
    provider: str
    onnxruntime: str
    kernels_sha256: str | None
    vad: VadProvenance | None
    chunk_plan_sha256: str
    audio_sha256: str | None


@dataclass(frozen=True, slots=True)
class SearchedProvenance(Provenance):
    """That of an engine that chooses between texts; others have no field for it.

    Attributes:
        search: how texts were chosen.
    """

    search: SearchProvenance


@dataclass(frozen=True, slots=True)
class WritingProvenance:
    """How the text was written where that was asked for.

    Attributes:
        rules: version of the rules that write numbers.
        numbers: "digits" where numbers were written so.
        redact: whether numbers of telephones, cards and passports were masked.
    """

    rules: int
    numbers: Numbers
    redact: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """The result: `text` is the segments' texts joined by one space.

    Attributes:
        warnings: what the recording or the model lacks, by place; those about the whole are last.
        diarization: the speakers; None when they were not asked for.
        phrases: what became of the caller's phrases; None where there were none.
        names: what people call the speakers of the channels, by number; a channel that has none is
            called by its number. Data (`as_data`) have the numbers alone.
        foot: lines below documents that people read, such as where the text is from.
        writing: how the text was written; None where it is as the engine gave it.
    """

    text: str
    segments: tuple[Segment, ...]
    duration_s: float
    language: str
    coverage: Coverage
    provenance: Provenance
    warnings: tuple[Notice, ...] = ()
    diarization: Diarization | None = None
    phrases: Phrases | None = None
    names: tuple[str, ...] = ()
    foot: tuple[str, ...] = ()
    writing: WritingProvenance | None = None

    def called(self, channel: int) -> str:
        """The name of a channel, or its number."""
        name = self.names[channel] if channel < len(self.names) else ""
        return name or str(channel)

    def speaker_of(self, segment: Segment) -> str | None:
        """Who speaks in a segment: a channel by its name or number, else a speaker's id."""
        return segment.speaker if segment.channel is None else self.called(segment.channel)

    @property
    def complete(self) -> bool:
        """Whether no sound of the recording is known to be missing."""
        return not any(notice.code in INCOMPLETE for notice in self.warnings)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the audio is done, in seconds; `total_s` is None while the length is unknown."""

    done_s: float
    total_s: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn of the work on a recording brought.

    Attributes:
        segments: that became final with it; often none.
        progress: how far it is now.
        waiting: whether nothing was done because the next audio is not there yet.
    """

    segments: tuple[Segment, ...]
    progress: Progress
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose for one transcription.

    Attributes:
        language: any form that `glagol.speech.language.matched` reads. "auto" or nothing lets the
            engine detect it, or take the first that it knows.
        word_timestamps: keep the words of every segment.
        short_audio_s: audio up to this long, but not longer than the engine's window, goes to the
            engine in one piece, without voice detection.
        max_audio_s: longer audio is refused.
        channel: "mix" transcribes the mean of the channels, "split" each one alone, and never
            without voice detection: where one channel speaks, the other one is silent.
        prompt: text that is taken for what was said before; only where the engine takes one.
        temperature: 0..1; above 0 only where the engine takes it.
        track: which audio track is transcribed, from 0; None lets the container's flags decide.
        task: "translate" gives English text, where the engine can.
        beam: beams of the search, where the engine searches; 1 is greedy, None the model's own.
        window: what its encoder reads: "cropped" to the speech, "full" windows, None the model's
            own.
        history: whether a window gets the text of the one before as context.
        pause_s: a silence of this many seconds ends a segment and is not decoded, 0.2..5; None: the
            engine's own rule, 1.5 s.
        strict: refuse a recording that is missing, damaged or silent somewhere, by the code of the
            first notice about it, instead of transcribing what is there.
        speakers: how many people there may be; None leaves speakers out. Segments are then final
            when the recording is over.
        phrases: that are expected; only where the engine takes them.
        numbers: "digits" writes numbers of Russian speech in digits (`glagol.speech.text.digits`).
        redact: mask numbers of telephones, cards and passports (`glagol.speech.text.masking`).
    """

    language: str = "auto"
    word_timestamps: bool = True
    short_audio_s: float = 30.0
    max_audio_s: float = 43_200.0
    channel: Literal["mix", "split"] = "mix"
    prompt: str = ""
    temperature: float = 0.0
    track: int | None = None
    task: Task = "transcribe"
    beam: int | None = None
    window: WindowRule | None = None
    history: bool = False
    pause_s: float | None = None
    strict: bool = False
    speakers: Bounds | None = None
    phrases: tuple[Phrase, ...] = ()
    numbers: Numbers = "words"
    redact: bool = False
