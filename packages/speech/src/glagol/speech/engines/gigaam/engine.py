"""One encoder with its head: samples of one window to tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.registry.manifest.types import Ctc, Rnnt
from glagol.runtime.batching import Batcher, Tally
from glagol.runtime.kernels.amx import library, sha256_of
from glagol.runtime.session import artifact, device_of, open_session, provider_of, uses_kernels
from glagol.runtime.tensors import read_float32, require_finite
from glagol.speech.engines.gigaam.ctc import greedy
from glagol.speech.engines.gigaam.features import FrontEnd
from glagol.speech.engines.gigaam.rnnt import Transducer
from glagol.speech.engines.gigaam.vocabulary import Vocabulary
from glagol.speech.engines.gigaam.words import words_of
from glagol.speech.types import SAMPLE_RATE, Array, Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.registry.registry import OpenModel
    from glagol.runtime.session import Interrupt
    from glagol.speech.types import Emission, Token


class Acoustic:
    """An acoustic model that was opened; may be called from several threads.

    On a CPU every call is one window alone: dynamic int8 scales span a batch, so a result would
    otherwise depend on what ran beside it, and two cores gain nothing from batches. On CUDA the
    windows of several threads go together (`glagol.runtime.batching`).

    Attributes:
        provider: the device that really runs it, "cpu" or "cuda".
        kernels_sha256: digest of the library that computes nodes of its session
            (`glagol.runtime.kernels.amx`); None when it computes none.
        vocabulary: its pieces.
        tally: what was encoded.

    Raises:
        InputError: `model_unknown`, the model is not a recogniser; `option_invalid`, there is no
            such device, or the variant is made for another one.
        HostError: `provider_missing`.
        IntegrityError: `artifact_missing` or `artifact_altered`, its files do not fit together.
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
        decoding = opened.model.decoding
        if not isinstance(decoding, Ctc | Rnnt):
            raise InputError(
                "model_unknown",
                f"{opened.model.id} does not recognise speech (engine {opened.model.engine})",
                "choose a model of the engine gigaam",
            )
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
        self.kernels_sha256 = sha256_of(used) if used else None
        self._batcher = Batcher.on_card(self._session) if device == "cuda" else None
        self.tally = self._batcher.tally if self._batcher else Tally()
        self.provider = device_of(self._session)
        self.vocabulary = Vocabulary.read(artifact(opened.blobs, "vocabulary.json").data)
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

    def tokens(self, samples: Array, stop: Interrupt | None = None) -> tuple[list[Token], int]:
        """Recognise one window.

        Args:
            samples: float32 [N] at 16 kHz, at most 25 s.
            stop: set by another thread to give up.

        Returns:
            Tokens by rising frame, and the number of encoder frames T.

        Raises:
            HostError: `cancelled`, by `stop`.
        """
        features = self._front_end(samples)
        if not len(features):
            return [], 0
        outputs = self._encoded(features, stop)
        return self.vocabulary.tokens(self._emissions(outputs)), len(outputs)

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

    def words(self, samples: Array, start: int, stop: Interrupt | None = None) -> list[Word]:
        """Recognise one window that starts at a sample position; words in seconds of the whole.

        The frame shift is the window's duration over its number of frames, as upstream has it.
        Samples float32 [N]; `stop` and errors as in `tokens`.
        """
        tokens, frames = self.tokens(samples, stop)
        if not tokens:
            return []
        shift = len(samples) / SAMPLE_RATE / frames
        return words_of(tokens, self.vocabulary, start=start / SAMPLE_RATE, frame_s=shift)

    def _emissions(self, outputs: Array) -> list[Emission]:
        if self._transducer is None:
            return greedy(outputs, self.vocabulary.blank)
        return self._transducer.greedy(outputs)


def _must_fit(vocabulary: Vocabulary, head: Mapping[str, Array], width: int, *, rnnt: bool) -> None:
    """Refuse files of different models: `width` is the last axis of the encoder's output."""
    told = vocabulary.blank + 1
    classes = len(head["joint.out.bias"]) if rnnt else width
    if told != classes:
        what = f"vocabulary.json has {told} pieces with the blank, the head {classes} classes"
    elif rnnt and width != len(head["joint.pred.bias"]):
        what = f"the encoder gives {width} values, the joint takes {len(head['joint.pred.bias'])}"
    else:
        return
    raise IntegrityError(
        "artifact_altered",
        f"the model's files are of different models: {what}",
        "build the model again: glagol models build ID",
    )
