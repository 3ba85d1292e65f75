"""One encoder with its head: samples of one window to tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.runtime.batching import Batcher, Tally
from glagol.runtime.kernels.amx import sha256_of
from glagol.runtime.kernels.choice import library
from glagol.runtime.session import artifact, device_of, open_session, provider_of, uses_kernels
from glagol.runtime.tensors import read_float32, require_finite
from glagol.speech.engines.base import EngineProvenance, Hypothesis, configured
from glagol.speech.engines.gigaam import rnnt_phrases
from glagol.speech.engines.gigaam.config import Config, Rnnt, traits_of
from glagol.speech.engines.gigaam.ctc import greedy, spotted
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.engines.gigaam.rnnt import Transducer
from glagol.speech.engines.gigaam.vocabulary import CONTROL, Vocabulary
from glagol.speech.engines.gigaam.words import words_of
from glagol.speech.phrases.spelling import compiled
from glagol.speech.phrases.trie import MARK, Alphabet
from glagol.speech.types import SAMPLE_RATE, Array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from glagol.registry.registry import OpenModel
    from glagol.runtime.session import Interrupt
    from glagol.speech.engines.base import Request
    from glagol.speech.phrases.trie import Trie
    from glagol.speech.phrases.types import Phrase, Phrases
    from glagol.speech.types import Emission, Token, Word


class Acoustic:
    """A model of the family that was opened: the `TranscriptionEngine`; shared by threads.

    On a CPU every call is one window alone: dynamic int8 scales span a batch, so a result would
    otherwise depend on what ran beside it, and two cores gain nothing from batches. On CUDA the
    windows of several threads go together (`glagol.runtime.batching`).

    Decoding has no state: a window does not depend on those before it.

    Attributes:
        traits: what it can do.
        provenance: what computes.
        vocabulary: its pieces.
        tally: what was encoded.

    Raises:
        InputError: `option_invalid`, there is no such device, or the variant is made for another
            one.
        HostError: `provider_missing`.
        IntegrityError: `manifest_invalid`, its decoding parameters are not of the family's form;
            `artifact_missing` or `artifact_altered`, its files do not fit together.
    """

    def __init__(
        self,
        opened: OpenModel,
        *,
        device: str,
        threads: int,
        memory_bytes: int = 0,
        kernels: bool = True,
    ) -> None:
        decoding: Config = configured(opened.model, Config)
        self._model, self._subsampling = opened.model.id, decoding.subsampling
        provider_of(device)
        if opened.variant.provider != device:
            raise InputError(
                "option_invalid",
                f"{opened.model.id} {opened.variant.id} is made for {opened.variant.provider},"
                f" not for {device}",
                "choose another variant or device; glagol models list shows the variants",
            )
        given = library() if kernels and device == "cpu" else None
        self._session = open_session(
            opened.blobs,
            "encoder.onnx",
            device=device,
            threads=threads,
            memory_bytes=memory_bytes,
            library=given,
        )
        used = given if uses_kernels(self._session) else None
        self._batcher = Batcher.on_card(self._session) if device == "cuda" else None
        self.tally = self._batcher.tally if self._batcher else Tally()
        self.traits = traits_of(opened.model)
        self.provenance = EngineProvenance(
            provider=device_of(self._session),
            kernels_sha256=sha256_of(used) if used else None,
        )
        self.vocabulary = Vocabulary.read(artifact(opened.blobs, "vocabulary.json").data)
        pieces = ("" if each in CONTROL else each for each in self.vocabulary.pieces)
        self._alphabet = Alphabet([piece.replace(" ", MARK) for piece in pieces])
        head = read_float32(artifact(opened.blobs, "head.safetensors").data)
        for name, values in head.items():
            require_finite(values, name, "head.safetensors")
        width = self._session.get_outputs()[0].shape[-1]
        _must_fit(self.vocabulary, head, width, rnnt=isinstance(decoding, Rnnt))
        self._front_end = FrontEnd(head["window"], head["mel"])
        self._transducer = (
            Transducer(head, self.vocabulary.blank, decoding.max_symbols)
            if isinstance(decoding, Rnnt)
            else None
        )

    def begin(self, request: Request) -> GreedyDecoding:
        """Begin with one channel of one transcription.

        Raises:
            InputError: `option_invalid`, it only transcribes.
        """
        if request.task != "transcribe":
            raise InputError(
                "option_invalid",
                f"{self._model} does not {request.task}",
                "use the task transcribe, or another model",
            )
        trie = compiled(request.phrases, self._alphabet)[0] if request.phrases else None
        return GreedyDecoding(self, request, trie)

    def expected(self, phrases: Sequence[Phrase]) -> Phrases:
        """As `glagol.speech.engines.base.TranscriptionEngine`."""
        return compiled(tuple(phrases), self._alphabet)[1]

    def close(self) -> None:
        """Nothing is held beyond the life of this object."""

    def tokens(
        self, samples: Array, stop: Interrupt | None = None, trie: Trie | None = None
    ) -> tuple[list[Token], int]:
        """Recognise one window.

        Args:
            samples: float32 [N] at 16 kHz, at most `Traits.window_s` long.
            stop: set by another thread to give up.
            trie: of the phrases that are expected.

        Returns:
            Tokens by rising frame, and the number of encoder frames T.

        Raises:
            HostError: `cancelled`, by `stop`.
            IntegrityError: `manifest_invalid`, the graph has another subsampling.
        """
        features = self._front_end(samples)
        if not len(features):
            return [], 0
        outputs = self._encoded(features, stop)
        if len(outputs) != (len(features) - 1) // self._subsampling + 1:
            raise IntegrityError(
                "manifest_invalid",
                f"the graph of {self._model} gives {len(outputs)} frames for {len(features)} of"
                f" sound, which is not the subsampling {self._subsampling} of the manifest",
                "restore manifest.json from the release or from version control",
            )
        return self.vocabulary.tokens(self._emissions(outputs, trie)), len(outputs)

    def _encoded(self, features: Array, stop: Interrupt | None) -> Array:
        """Encoder outputs [T, C] of one window [L, 64]; a batch is not given up for one of it."""
        if self._batcher is not None:
            return self._batcher(features)
        lengths = np.array([len(features)], np.int64)
        inputs = {"features": features[np.newaxis], "lengths": lengths}
        try:
            outputs, counts = self._session.run(None, inputs, stop.options if stop else None)
        except Exception as error:  # ONNX Runtime's classes are private and derive from Exception
            if stop is None or not stop.is_set():
                raise
            raise HostError("cancelled", "the recognition was given up", "try again") from error
        self.tally.add(1)
        valid: Array = outputs[0, : counts[0]]
        return valid

    def words(
        self, samples: Array, stop: Interrupt | None = None, trie: Trie | None = None
    ) -> list[Word]:
        """Recognise one window; words in seconds from its start.

        The frame shift is the window's duration over its number of frames, as upstream has it.
        Samples float32 [N]; `stop`, `trie` and errors as in `tokens`.
        """
        tokens, frames = self.tokens(samples, stop, trie)
        if not tokens:
            return []
        shift = len(samples) / SAMPLE_RATE / frames
        return words_of(tokens, self.vocabulary, start=0.0, frame_s=shift)

    def _emissions(self, outputs: Array, trie: Trie | None) -> list[Emission]:
        head, blank = self._transducer, self.vocabulary.blank
        if head is None:
            return greedy(outputs, blank) if trie is None else spotted(outputs, blank, trie)
        return head.greedy(outputs) if trie is None else rnnt_phrases.spotted(head, outputs, trie)


@dataclass(frozen=True, slots=True)
class GreedyDecoding:
    """One channel; greedy search needs nothing of the windows before.

    Attributes:
        engine: the model.
        request: what was asked for.
        trie: of the phrases that are expected; None for none.
    """

    engine: Acoustic
    request: Request
    trie: Trie | None = None

    @property
    def independent(self) -> Request:
        """As `glagol.speech.engines.base.Decoding`: from the first window on."""
        return self.request

    def transcribe(self, samples: Array, *, stop: Interrupt | None = None) -> Hypothesis:
        """As `glagol.speech.engines.base.Decoding`; samples float32 [N]."""
        words = tuple(self.engine.words(samples, stop, self.trie))
        language = self.request.language or (*self.engine.traits.languages, "und")[0]
        return Hypothesis(words, " ".join(word.text for word in words), language)


def _must_fit(vocabulary: Vocabulary, head: Mapping[str, Array], width: int, *, rnnt: bool) -> None:
    """Refuse files of different models: `width` is the last axis of the encoder's output."""
    pieces = vocabulary.blank + 1
    classes = len(head["joint.out.bias"]) if rnnt else width
    if pieces != classes:
        what = f"vocabulary.json has {pieces} pieces with the blank, the head {classes} classes"
    elif rnnt and width != len(head["joint.pred.bias"]):
        what = f"the encoder gives {width} values, the joint takes {len(head['joint.pred.bias'])}"
    else:
        return
    raise IntegrityError(
        "artifact_altered",
        f"the model's files are of different models: {what}",
        "build the model again: glagol models build ID",
    )
