"""One encoder with its head: samples of one window to tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glagol.registry.entries import Ctc, Rnnt
from glagol.registry.errors import HostError, InputError
from glagol.speech.ctc import greedy
from glagol.speech.features import FrontEnd
from glagol.speech.rnnt import Transducer
from glagol.speech.session import artifact, device_of, open_session
from glagol.speech.tensors import read_float32
from glagol.speech.types import SAMPLE_RATE, Array, Word
from glagol.speech.vocabulary import Vocabulary
from glagol.speech.words import words_of

if TYPE_CHECKING:
    from glagol.registry.registry import OpenModel
    from glagol.speech.session import Interrupt
    from glagol.speech.types import Emission, Token


class Acoustic:
    """An acoustic model that was opened; may be called from several threads.

    Every call is one window alone: dynamic int8 scales span a batch, so a result would otherwise
    depend on what ran beside it.

    Attributes:
        provider: the device that really runs it, "cpu" or "cuda".
        vocabulary: its pieces.

    Raises:
        InputError: `model_unknown`, the model is not a recogniser; `option_invalid` for the device.
        HostError: `provider_missing`.
        IntegrityError: `artifact_missing` or `artifact_altered`, its files do not fit together.
    """

    def __init__(self, opened: OpenModel, *, device: str, threads: int) -> None:
        decoding = opened.model.decoding
        if not isinstance(decoding, Ctc | Rnnt):
            raise InputError(
                "model_unknown",
                f"{opened.model.id} does not recognise speech (engine {opened.model.engine})",
                "choose a model of the engine gigaam",
            )
        self._session = open_session(opened.blobs, "encoder.onnx", device=device, threads=threads)
        self.provider = device_of(self._session)
        self.vocabulary = Vocabulary.read(artifact(opened.blobs, "vocabulary.json").data)
        head = read_float32(artifact(opened.blobs, "head.safetensors").data)
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
        lengths = np.array([len(features)], np.int64)
        inputs = {"features": features[np.newaxis], "lengths": lengths}
        try:
            outputs, counts = self._session.run(None, inputs, stop.options if stop else None)
        except Exception as error:  # ONNX Runtime's classes are private and derive from Exception
            if stop is None or not stop.is_set():
                raise
            raise HostError("cancelled", "the recognition was given up", "try again") from error
        frames = int(counts[0])
        return self.vocabulary.tokens(self._emissions(outputs[0, :frames])), frames

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
