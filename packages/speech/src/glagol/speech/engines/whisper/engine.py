"""Encoder and decoder with their rules: samples of one window to words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from glagol.core.errors import InputError, IntegrityError
from glagol.runtime.batching import Tally
from glagol.runtime.kernels.amx import sha256_of
from glagol.runtime.kernels.choice import library
from glagol.runtime.session import artifact, provider_of, uses_kernels
from glagol.speech.engines.base import (
    EngineProvenance,
    Hypothesis,
    configured,
)
from glagol.speech.engines.whisper.alignment import attention, path, starts
from glagol.speech.engines.whisper.attempts import Attempts
from glagol.speech.engines.whisper.config import Config, traits_of
from glagol.speech.engines.whisper.features import FRAME_RATE, FrontEnd
from glagol.speech.engines.whisper.graphs import FRAMES_MAX, Graphs, State
from glagol.speech.engines.whisper.ids import Ids, Votes
from glagol.speech.engines.whisper.rules import RULES_VERSION, Rules
from glagol.speech.engines.whisper.segments import parts_of, reached, spread
from glagol.speech.engines.whisper.vocabulary import Vocabulary
from glagol.speech.engines.whisper.words import UNSPACED, groups_of, words_of
from glagol.speech.phrases import types as phrase_types
from glagol.speech.types import SAMPLE_RATE, Notice, SearchProvenance, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.registry.registry import OpenModel
    from glagol.runtime.options import Runtime
    from glagol.runtime.session import Interrupt
    from glagol.speech.engines.base import Request
    from glagol.speech.engines.whisper.attempts import Attempt
    from glagol.speech.types import Array

__all__ = ["Whisper", "WindowDecoding"]

PROMPT_CHARACTERS: Final = 2000
"""No more of a prompt is looked at: 223 tokens have some 900 characters."""

REST_S: Final = 1.5
"""Speech behind the last timestamp that is read again; less is the pause after a word."""

HISTORY_TEMPERATURE_MAX: Final = 0.5
"""A text that was sampled above is no history."""


class Whisper:
    """A model of the family that was opened: the `TranscriptionEngine`; shared by threads.

    Every call is one window alone, and every search has the same number of rows from its start to
    its end, so a result does not depend on what runs beside it.

    Attributes:
        traits: what it can do.
        provenance: what computes.
        tally: what was encoded.
        config: the manifest's decoding parameters.
        graphs: its sessions.
        ids: of the special tokens.
        vocabulary: the text tokens.
        rules: what may be sampled.
        front_end: samples to what the encoder reads.
        digest: of the model's files, for seeds.

    Raises:
        InputError: `option_invalid`, there is no such device, or the variant is made for another
            one.
        HostError: `provider_missing`.
        IntegrityError: `manifest_invalid`, its decoding parameters are not of the family's form or
            are not those of the graph; `artifact_missing` or `artifact_altered`, its files do not
            fit together.
    """

    def __init__(self, opened: OpenModel, runtime: Runtime) -> None:
        self.config: Config = configured(opened.model, Config)
        self.model = opened.model.id
        provider_of(runtime.device)
        if opened.variant.provider != runtime.device:
            raise InputError(
                "option_invalid",
                f"{self.model} {opened.variant.id} is made for {opened.variant.provider},"
                f" not for {runtime.device}",
                "choose another variant or device; glagol models list shows the variants",
            )
        given = library() if runtime.kernels and runtime.device == "cpu" else None
        self.ids = Ids.of(self.config.vocabulary)
        self.graphs = Graphs(
            opened.blobs,
            device=runtime.device,
            threads=runtime.threads,
            memory_bytes=runtime.memory_bytes,
            library=given,
        )
        self._must_fit()
        tokens = artifact(opened.blobs, "tokens.txt").data
        self.vocabulary = Vocabulary.read(tokens, self.ids.eot)
        self.rules = Rules.of(self.ids, self.vocabulary)
        self.front_end = FrontEnd.of(self.config.mels)
        self.tally = Tally()
        used = given if uses_kernels(self.graphs.encoder) else None
        self.provenance = EngineProvenance(
            provider=self.graphs.device, kernels_sha256=sha256_of(used) if used else None
        )
        digests = "".join(f"{path} {blob.sha256}\n" for path, blob in sorted(opened.blobs.items()))
        self.digest = hashlib.sha256(digests.encode()).digest()
        self.traits = traits_of(opened.model)

    def begin(self, request: Request) -> WindowDecoding:
        """Begin with one channel of one transcription.

        Raises:
            InputError: `option_invalid`, the model does not know the language or cannot translate,
                or a number is out of its range.
        """
        if request.task == "translate" and not self.config.translates:
            raise InputError(
                "option_invalid",
                f"{self.model} was not trained to translate",
                "use the task transcribe, or a model that translates",
            )
        language = request.language
        if language is None and len(self.traits.languages) == 1:
            language = self.traits.languages[0]
        if language is not None and language not in self.ids.spoken:
            raise InputError(
                "option_invalid",
                f"{self.model} does not know the language {language!r}",
                f"use one of {', '.join(self.ids.spoken)}",
            )
        return WindowDecoding(self, request, language)

    def expected(self, phrases: Sequence[phrase_types.Phrase]) -> phrase_types.Phrases:
        """As `glagol.speech.engines.base.TranscriptionEngine`; it takes none."""
        source = phrase_types.PhrasesProvenance(
            phrase_types.sha256_of(phrases), phrase_types.RULES_VERSION
        )
        return phrase_types.Phrases((), (), source)

    def close(self) -> None:
        """Nothing is held beyond the life of this object."""

    def _must_fit(self) -> None:
        """Refuse graphs of another model than the manifest's entry."""
        graphs, config = self.graphs, self.config
        pairs = {
            "mel bands": (graphs.mels, config.mels),
            "tokens": (graphs.vocabulary, config.vocabulary),
            "alignment heads": (graphs.aligners, len(config.alignment_heads)),
        }
        for what, (found, stated) in pairs.items():
            if found != stated:
                raise IntegrityError(
                    "manifest_invalid",
                    f"the graphs of {self.model} have {found} {what}, the manifest says {stated}",
                    "restore manifest.json from the release or from version control",
                )
        if any(
            not (0 <= layer < graphs.layers and 0 <= head < graphs.heads)
            for layer, head in config.alignment_heads
        ):
            raise IntegrityError(
                "manifest_invalid",
                f"{self.model} has no such alignment heads: {config.alignment_heads}",
                "restore manifest.json from the release or from version control",
            )


@dataclass(slots=True)
class WindowDecoding:
    """One channel of one transcription.

    Windows do not depend on each other but for the language, while it is detected, and for the
    history, if that was asked for.

    Attributes:
        engine: the model.
        request: what was asked for.
        language: BCP 47; None while it is detected.
    """

    engine: Whisper
    request: Request
    language: str | None
    _attempts: Attempts = field(init=False)
    _votes: Votes = field(init=False)
    _prompt: list[int] = field(init=False)
    _prompt_sha256: str | None = field(init=False)
    _prefix: int = field(init=False)
    _history: list[int] = field(init=False, default_factory=list)
    _warnings: tuple[Notice, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        """Prepare what all windows share."""
        engine, request = self.engine, self.request
        config = engine.config
        self._votes = Votes(engine.traits.languages)
        self._attempts = Attempts(
            engine.graphs,
            engine.ids,
            engine.rules,
            engine.vocabulary,
            window=request.window or config.window,
            margin=round(config.margin_s * FRAME_RATE),
            beams=request.beam or config.beam,
            temperature=request.temperature,
            seed=engine.digest,
        )
        prompt = request.prompt.strip()
        self._prompt_sha256 = hashlib.sha256(prompt.encode()).hexdigest() if prompt else None
        tokens = engine.vocabulary.encoded(f" {prompt[-PROMPT_CHARACTERS:]}") if prompt else []
        self._prefix = engine.graphs.context // 2 - 1
        self._prompt = tokens[-self._prefix :]
        if len(prompt) > PROMPT_CHARACTERS or len(tokens) > self._prefix:
            cut = (
                f"the prompt has {len(prompt)} characters; its last {self._prefix} tokens are used"
            )
            self._warnings = (Notice("prompt_cut", cut),)

    @property
    def independent(self) -> Request | None:
        """As `glagol.speech.engines.base.Decoding`: once the language is known, without history."""
        language = self.language or (self._votes.language if self._votes.settled else None)
        if self.request.history or language is None:
            return None
        return replace(self.request, language=language)

    def transcribe(self, samples: Array, *, stop: Interrupt | None = None) -> Hypothesis:
        """As `glagol.speech.engines.base.Decoding`; samples float32 [N] of at most 30 s."""
        mel = self.engine.front_end(samples)[:, :FRAMES_MAX]
        total = mel.shape[1]
        words: list[Word] = []
        texts: list[str] = []
        made: list[Attempt] = []
        at = 0
        while total - at >= 2:
            attempt = self._attempt(mel[:, at:], stop)
            made.append(attempt)
            if attempt.silent or not attempt.decoded.tokens:
                break
            found, text = self._words(attempt, total - at, stop)
            words += [_moved(word, at / FRAME_RATE, len(samples) / SAMPLE_RATE) for word in found]
            texts.append(text)
            until = reached(attempt.decoded.tokens, self.engine.ids)
            step = 0 if until is None else round(until * FRAME_RATE)
            if step < FRAME_RATE or total - at - step <= REST_S * FRAME_RATE:
                break
            at += step
        search = SearchProvenance(
            rules=RULES_VERSION,
            window=self._attempts.window,
            beam=self._attempts.beams,
            temperature=max((each.decoded.temperature for each in made), default=0.0),
            task=self.request.task,
            prompt_sha256=self._prompt_sha256,
        )
        language = self.language or (self._votes.language if made else "")
        if self.request.task == "translate":
            language = "en"
        text = " ".join(part for part in texts if part)
        return Hypothesis(tuple(words), text, language, search=search, warnings=self._warnings)

    def _attempt(self, mel: Array, stop: Interrupt | None) -> Attempt:
        """The best attempt at a window, float32 [mels, frames]."""
        attempts, engine = self._attempts, self.engine
        full = not attempts.cropped(mel.shape[1])
        cross = attempts.encoded(mel, full=full, stop=stop)
        engine.tally.add(1)
        language = self.language
        if language is None:
            if not self._votes.settled:
                state = State(engine.graphs, cross, 1, stop)
                logits = state.step(np.array([[engine.ids.sot]], np.int64))[0, 0]
                ids = engine.ids.of_languages(engine.traits.languages)
                self._votes.add(logits[ids], mel.shape[1] / FRAME_RATE)
            language = self._votes.language
        start = engine.ids.start(language, self.request.task)
        before = (self._prompt + self._history)[-self._prefix :]
        prefix = [engine.ids.sot_prev, *before] if before else []
        attempt = attempts.best(mel, prefix + start, cross, stop)
        if self.request.history:
            decoded = attempt.decoded
            spoken = [token for token in decoded.tokens if token < engine.ids.eot]
            sampled = decoded.temperature > HISTORY_TEMPERATURE_MAX
            self._history = [] if sampled or attempt.silent else (self._history + spoken)
            self._history = self._history[-self._prefix :]
        return attempt

    def _words(
        self, attempt: Attempt, frames: int, stop: Interrupt | None
    ) -> tuple[list[Word], str]:
        """Words of an attempt at so many mel frames of speech, and its text."""
        engine, decoded = self.engine, attempt.decoded
        ids = engine.ids
        pairs = zip(decoded.tokens, decoded.logprobs, strict=True)
        spoken = [(token, logprob) for token, logprob in pairs if token < ids.eot]
        tokens = [token for token, _ in spoken]
        if not tokens:
            return [], ""
        language = self.language or self._votes.language
        parts = parts_of(decoded.tokens, ids)
        translated = self.request.task == "translate"
        spaced = translated or language not in UNSPACED
        if translated:
            onsets = spread(parts, frames / FRAME_RATE)
        else:
            onsets = self._onsets(attempt, tokens, language, frames, stop)
        words: list[Word] = []
        first = 0
        for part in parts:
            inside = decoded.tokens[part.first : part.last]
            groups = groups_of(inside, engine.vocabulary, first=first, spaced=spaced)
            words += words_of(groups, onsets, [logprob for _, logprob in spoken], part)
            first += len(inside)
        return words, engine.vocabulary.decoded(tokens).strip()

    def _onsets(
        self,
        attempt: Attempt,
        tokens: list[int],
        language: str,
        frames: int,
        stop: Interrupt | None,
    ) -> list[int]:
        """Frames of 20 ms on which text tokens start, and the last one ends: one pass over all."""
        engine = self.engine
        ids = engine.ids
        start = ids.start(language, self.request.task)
        state = State(engine.graphs, attempt.cross, 1, stop)
        read = [*start, ids.no_timestamps, *tokens, ids.eot]
        state.step(np.array([read], np.int64), (0,))
        count = max(1, frames // 2)
        keys = [
            attempt.cross.keys(layer, head)[:count] for layer, head in engine.config.alignment_heads
        ]
        found = attention(state.queries[0], keys)[len(start) : -1]
        return [int(at) for at in starts(*path(-found))]


def _moved(word: Word, offset: float, limit: float) -> Word:
    """A word that many seconds later, inside the audio."""
    start, end = word.start + offset, word.end + offset
    return replace(word, start=min(start, limit), end=min(end, limit))
