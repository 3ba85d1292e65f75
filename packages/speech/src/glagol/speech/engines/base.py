"""The protocol between the pipeline and families of recognisers.

A family is one folder beside this module and one row of `glagol.speech.engines.families`. The
pipeline uses these types only: it cuts audio by `Traits.window_s`, gives each window to a
`Decoding`, and joins the words of the windows. Voice activity, lanes, coverage, provenance and
cancellation are parts of the pipeline and the same for every family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from glagol.core.errors import IntegrityError
from glagol.speech.phrases.types import Phrase
from glagol.speech.types import Notice, SearchProvenance, Task, WindowRule, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import OpenModel
    from glagol.runtime.batching import Tally
    from glagol.runtime.options import Runtime
    from glagol.runtime.session import Interrupt
    from glagol.speech.phrases.types import Phrases
    from glagol.speech.types import Array

__all__ = [
    "Decoding",
    "EngineProvenance",
    "Family",
    "Hypothesis",
    "Request",
    "Traits",
    "TranscriptionEngine",
    "WordTimes",
    "configured",
]

WordTimes: TypeAlias = Literal["exact", "aligned", "none"]
"""Whether words carry the frames they were decoded on, times found afterwards, or no times."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What an engine can do.

    Attributes:
        window_s: longest audio that it reads at a time, seconds.
        languages: BCP 47 tags that it knows; empty when any may be asked for.
        detects_language: whether a request without a language is served.
        word_times: what the times of words are. With "none" its words are phrases: their times
            order the text and are not shown, and no two windows have common audio.
        takes_prompt: whether `Request.prompt` has an effect.
        takes_temperature: whether `Request.temperature` may be above 0.
        takes_phrases: whether `Request.phrases` has an effect.
        translates: whether it does the task "translate".
        searches: whether `Request.beam`, `window` and `history` have an effect.
        needs_speech: whether it writes text where there is no speech; voice detection then decides
            for short audio too.
    """

    window_s: float
    languages: tuple[str, ...]
    detects_language: bool = False
    word_times: WordTimes = "exact"
    takes_prompt: bool = False
    takes_temperature: bool = False
    takes_phrases: bool = False
    translates: bool = False
    searches: bool = False
    needs_speech: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks of an engine for one transcription.

    Attributes:
        language: BCP 47 tag; None lets the engine detect it, or take the only one it knows.
        task: "translate" gives English text.
        prompt: text that is taken for what was said before.
        temperature: 0..1, how freely words are drawn; 0 gives the likeliest text.
        phrases: that are expected; written where they are likely enough.
        beam: beams of the search, from 1, which is greedy; None for the model's own.
        window: what the encoder reads; None for the model's own.
        history: whether a window gets the text of the one before as context.
    """

    language: str | None = None
    task: Task = "transcribe"
    prompt: str = ""
    temperature: float = 0.0
    phrases: tuple[Phrase, ...] = ()
    beam: int | None = None
    window: WindowRule | None = None
    history: bool = False


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The recognised words of one window.

    Attributes:
        words: by rising time; times in seconds from the window's start.
        text: of the whole window.
        language: BCP 47 tag of the text; empty where nothing was understood.
        search: how the text was chosen; None where there was no choice.
        warnings: what could not be done as it was asked for.
    """

    words: tuple[Word, ...]
    text: str
    language: str
    search: SearchProvenance | None = None
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineProvenance:
    """Identity of the model and kernels, for the provenance of every transcript.

    Attributes:
        provider: the device that really runs the engine, "cpu" or "cuda".
        kernels_sha256: digest of the library of kernels that its session was given; None when it
            was given none.
    """

    provider: str
    kernels_sha256: str | None


class Decoding(Protocol):
    """State of one channel of one transcription; used by one thread at a time."""

    @property
    def independent(self) -> Request | None:
        """What to ask fresh decodings for, that recognise the windows to come as this one would.

        None while a window depends on those before it.
        """

    def transcribe(self, samples: Array, *, stop: Interrupt | None = None) -> Hypothesis:
        """Recognise the next window.

        Args:
            samples: float32 [N] at 16 kHz, at most `Traits.window_s` long.
            stop: set by another thread to give up.

        Raises:
            HostError: `cancelled`, by `stop`.
            IntegrityError: the model's files do not give what the manifest says.
        """


class TranscriptionEngine(Protocol):
    """A model that was opened; shared by threads."""

    @property
    def traits(self) -> Traits:
        """What it can do."""

    @property
    def provenance(self) -> EngineProvenance:
        """What computes."""

    @property
    def tally(self) -> Tally:
        """What was encoded since it was opened."""

    def begin(self, request: Request) -> Decoding:
        """Begin with one channel of one transcription.

        Raises:
            InputError: `option_invalid`, the engine cannot do what is asked.
        """

    def expected(self, phrases: Sequence[Phrase]) -> Phrases:
        """Which phrases it can write, and why not the others; only with `Traits.takes_phrases`."""

    def close(self) -> None:
        """Give back what it holds; no call may follow."""


class Family(Protocol):
    """Code that runs models of one kind."""

    @property
    def name(self) -> str:
        """The manifest's `engine`."""

    @property
    def config(self) -> Any:
        """A msgspec.Struct, or a union of some: the form of the manifest's `decoding`."""

    @property
    def int8_kernels(self) -> bool:
        """Whether its int8 products are all such as `glagol.runtime.kernels` computes."""

    def describe(self, model: Model) -> Traits:
        """What a model can do, from its manifest entry alone; the `traits` of its engine.

        Raises:
            IntegrityError: `manifest_invalid`, as `configured`.
        """

    def load(self, opened: OpenModel, runtime: Runtime) -> TranscriptionEngine:
        """Create the sessions of a verified model.

        Raises:
            InputError: `option_invalid`, there is no such device, or the variant is made for
                another one.
            HostError: `provider_missing`, the device cannot be used.
            IntegrityError: `manifest_invalid`, `decoding` is not of the form `config`;
                `artifact_missing` or `artifact_altered`, the files do not fit together.
        """

    def judge(self, opened: OpenModel, directions: dict[str, Array]) -> None:
        """Check a new build with a synthetic clip.

        Args:
            opened: a variant.
            directions: what the variants before it made of the clip, by variant id; this one's is
                added. The family chooses the shape [...] and compares.

        Raises:
            IntegrityError: `artifact_altered`, saying what a right model does and this one not.
            HostError: `provider_missing`.
        """


def configured(model: Model, config: Any) -> Any:
    """The decoding parameters of a manifest entry in the form of its family.

    Args:
        model: the entry.
        config: see `Family.config`.

    Returns:
        A value of that form; parameters that the entry leaves out have their defaults.

    Raises:
        IntegrityError: `manifest_invalid`, naming the parameter.
    """
    try:
        return msgspec.convert(model.decoding or {}, config)
    except msgspec.ValidationError as error:
        raise IntegrityError(
            "manifest_invalid",
            f"the decoding parameters of {model.id} do not fit the engine {model.engine}: {error}",
            "restore manifest.json from the release or from version control",
        ) from error
