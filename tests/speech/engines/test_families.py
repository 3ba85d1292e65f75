"""A family of recognisers is one row: what the pipeline asks of it, and what it refuses."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

import homes
from glagol.core.errors import InputError, IntegrityError
from glagol.registry.manifest.types import Model, Source, Variant
from glagol.registry.registry import Registry
from glagol.runtime.batching import Tally
from glagol.runtime.options import Runtime
from glagol.speech.audio.decode import decode
from glagol.speech.engines.base import EngineProvenance, Hypothesis, Request, Traits, configured
from glagol.speech.engines.families import FAMILIES, load
from glagol.speech.phrases.types import (
    RULES_VERSION,
    Phrase,
    Phrases,
    PhrasesProvenance,
    sha256_of,
)
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.segmentation.planner import Rule
from glagol.speech.types import SAMPLE_RATE, Options, Word
from glagol.speech.vad import families as detectors
from speech import made

if TYPE_CHECKING:
    from glagol.registry.registry import OpenModel
    from glagol.runtime.session import Interrupt
    from glagol.speech.engines.base import Decoding, Family, TranscriptionEngine
    from glagol.speech.types import Array


CPU = EngineProvenance("cpu", None)
TRAITS = Traits(window_s=30.0, languages=("ru", "en"), detects_language=True)


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="echo"):
    """The decoding parameters of the made-up family: the word that it writes each second."""

    word: str


@dataclass
class Echo:
    """An engine that writes one word a second; keeps the requests."""

    traits: Traits
    word: str
    provenance: EngineProvenance = CPU
    tally: Tally = field(default_factory=Tally)
    requests: list[Request] = field(default_factory=list)
    windows: list[float] = field(default_factory=list)
    closed: bool = False

    def begin(self, request: Request) -> Decoding:
        """One channel."""
        self.requests.append(request)
        return Channel(self, request.language or "und")

    def expected(self, phrases: Sequence[Phrase]) -> Phrases:
        """It takes none."""
        return Phrases((), (), PhrasesProvenance(sha256_of(phrases), RULES_VERSION))

    def close(self) -> None:
        """Remembered."""
        self.closed = True


@dataclass
class Channel:
    """Counts the windows of its channel: a state that the pipeline must keep apart."""

    engine: Echo
    language: str
    count: int = 0
    independent: Request | None = None

    def transcribe(self, samples: Array, *, stop: Interrupt | None = None) -> Hypothesis:
        """A word in the middle of every whole second, named by the window's number."""
        del stop
        self.count += 1
        self.engine.windows.append(len(samples) / SAMPLE_RATE)
        said = f"{self.engine.word}{self.count}"
        words = tuple(
            Word(at + 0.25, at + 0.75, said, 0.5) for at in range(len(samples) // SAMPLE_RATE)
        )
        return Hypothesis(words, " ".join(word.text for word in words), self.language)


@dataclass
class Echoes:
    """The family: all that a folder under `speech/engines` has to bring."""

    traits: Traits = TRAITS
    int8_kernels: bool = False
    name: str = "echo"
    config: Any = Said
    engines: list[Echo] = field(default_factory=list)

    def describe(self, model: Model) -> Traits:
        """The same for every model."""
        del model
        return self.traits

    def load(self, opened: OpenModel, runtime: Runtime) -> TranscriptionEngine:
        """An engine by the word in the manifest."""
        assert runtime.device == "cpu"
        said: Said = configured(opened.model, self.config)
        self.engines.append(Echo(self.traits, said.word))
        return self.engines[-1]

    def judge(self, opened: OpenModel, directions: dict[str, Array]) -> None:
        """No build is ever wrong."""
        directions[opened.variant.id] = np.zeros(1, np.float32)


def with_entry(registry: Registry, engine: str, decoding: dict[str, Any] | None) -> Registry:
    """The registry with one more model, "new"; its artifact is one that the store has."""
    vad = registry.model(homes.VAD)
    variant = Variant(
        id="cpu-fp32", provider="cpu", precision="fp32", artifacts=vad.variants[0].artifacts
    )
    entry = Model(
        id="new",
        engine=engine,
        role="asr",
        version="1",
        license="MIT",
        source=Source(repo="made/up"),
        variants=(variant,),
        decoding=decoding,
    )
    models = (*registry.manifest.models, entry)
    return dataclasses.replace(
        registry, manifest=msgspec.structs.replace(registry.manifest, models=models)
    )


def opened(registry: Registry, family: Echoes) -> Recognizer:
    """A recogniser by the made-up family, which is the only one that is known."""
    known: dict[str, Family] = {family.name: family}
    home = with_entry(registry, "echo", {"kind": "echo", "word": "у"})
    return Recognizer.open(home, model="new", families=known)


def speech(registry: Registry, seconds: float) -> Array:
    """Speech of that length, float32 [n]: the known-answer clip again and again."""
    golden = registry.model(homes.MODEL).golden
    assert golden is not None
    clip = (homes.ROOT / golden.audio).read_bytes()
    blocks = list(decode(io.BytesIO(clip), max_seconds=60, split=False))
    found: Array = np.resize(np.concatenate(blocks), round(seconds * SAMPLE_RATE))
    return found


def test_a_new_family_is_one_row(registry: Registry) -> None:
    """A family that the package does not know transcribes long audio, cut by its own window.

    Words get the times of the recording, every second once where windows overlap.
    """
    family = Echoes()
    recognizer = opened(registry, family)
    data = made.wav(speech(registry, 95.0))
    found = recognizer.transcribe(io.BytesIO(data), options=Options(language="en"))
    (engine,) = family.engines
    assert engine.requests == [Request(language="en")]
    assert len(engine.windows) >= 4
    assert 25 < max(engine.windows) <= 30
    assert found.language == "en"
    assert (found.provenance.model, found.provenance.provider) == ("new", "cpu")
    words = [word for segment in found.segments for word in segment.words]
    starts = np.array([word.start for word in words])
    assert np.diff(starts).min() > 0.2
    assert np.diff(starts).max() < 3
    moved = [word for word in words if abs(word.end - word.start - 0.5) > 0.001]  # at seams
    assert len(moved) < len(engine.windows)
    numbers = [int(word.text.removeprefix("у")) for word in words]
    assert numbers == sorted(numbers)
    assert numbers[-1] == len(engine.windows)
    recognizer.close()
    assert engine.closed


def test_every_channel_has_its_own_state(registry: Registry) -> None:
    """Two channels of one file: two decodings, each of which counts its own windows."""
    family = Echoes()
    sound = speech(registry, 12.0)
    both = made.wav(np.stack([sound, sound], axis=1).reshape(-1, 2))
    found = opened(registry, family).transcribe(
        io.BytesIO(both), options=Options(channel="split", language="auto")
    )
    assert family.engines[0].requests == [Request(), Request()]
    assert {segment.text.split()[0] for segment in found.segments} == {"у1"}
    assert found.language == "und"


def test_live_audio_goes_to_one_decoding(registry: Registry) -> None:
    """Live windows are one channel's; what cuts them elsewhere may use the same decoding."""
    family = Echoes()
    live = opened(registry, family).live(options=Options(language="ru"))
    samples = speech(registry, 70.0)
    finals = [
        segment for at in range(0, len(samples), 8000) for segment in live.push(samples[at:][:8000])
    ]
    finals += live.finish()
    assert family.engines[0].requests == [Request(language="ru")]
    assert finals[-1].text.endswith(f"у{len(family.engines[0].windows)}")
    assert live.decoder.language == live.transcript().language == "ru"


def test_an_engine_without_times_shows_none(registry: Registry) -> None:
    """Its phrases order the text; no two windows have common audio, and no words are shown."""
    family = Echoes(Traits(window_s=20.0, languages=(), word_times="none"))
    recognizer = opened(registry, family)
    assert recognizer.rule.lead == 0
    found = recognizer.transcribe(io.BytesIO(made.wav(speech(registry, 65.0))))
    assert found.text
    assert not any(segment.words for segment in found.segments)
    decoded_s = sum(family.engines[0].windows)
    assert decoded_s == pytest.approx(found.coverage.decoded_s, abs=0.01)


@pytest.mark.parametrize(
    ("window_s", "setting_s", "seconds", "whole"),
    [
        (25.0, 30.0, 24.0, True),
        (25.0, 30.0, 27.0, False),
        (30.0, 30.0, 27.0, True),
        (30.0, 20.0, 27.0, False),
        (30.0, 86_400.0, 31.0, False),
        (25.0, 0.0, 5.0, False),
    ],
)
def test_short_audio_is_what_setting_and_window_allow(
    registry: Registry, window_s: float, setting_s: float, seconds: float, *, whole: bool
) -> None:
    """Audio up to the smaller of the two goes to the engine in one piece, uncut."""
    family = Echoes(Traits(window_s=window_s, languages=()))
    data = made.wav(speech(registry, seconds))
    found = opened(registry, family).transcribe(
        io.BytesIO(data), options=Options(short_audio_s=setting_s)
    )
    assert (found.provenance.vad is None) == whole
    assert max(family.engines[0].windows) <= window_s
    if whole:
        assert family.engines[0].windows == [seconds]


def test_the_rule_follows_the_window() -> None:
    """25 s gives the numbers that plans were always made with; others have them in proportion."""
    assert Rule.for_window(25.0) == Rule()
    wide = Rule.for_window(30.0)
    assert (wide.window, wide.longest, wide.lead) == (30.0, 28.0, 1.0)
    assert wide.earliest < wide.shortest < wide.in_speech < wide.longest
    assert (wide.keep_gap, wide.safe_gap, wide.margin) == (1.5, 0.4, 0.3)
    with pytest.raises(ValueError, match="below"):
        Rule.for_window(4.9)


def test_an_unknown_engine_is_named_with_the_known_ones(registry: Registry) -> None:
    """An entry for a later version of the program: which engine, and which there are."""
    later = with_entry(registry, "whisper-later", None)
    with pytest.raises(InputError) as caught:
        Recognizer.open(later, model="new")
    assert caught.value.code == "model_unknown"
    assert "'whisper-later'" in caught.value.message
    assert all(name in caught.value.remedy for name in FAMILIES)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sample_rate": 8000}, "sample_rate"),
        ({"subsampling": 0}, "subsampling"),
        ({"kind": "vad"}, "vad"),
        ({"surprise": 1}, "surprise"),
        ({"max_symbols": 3}, "max_symbols"),
    ],
)
def test_decoding_parameters_are_the_familys(
    registry: Registry, wrong: dict[str, Any], said: str
) -> None:
    """What the manifest says and the family does not know is refused when the model is opened."""
    model = registry.open(homes.MODEL, "cpu-fp32")
    decoding = {**(model.model.decoding or {}), **wrong}
    entry = msgspec.structs.replace(model.model, decoding=decoding)
    with pytest.raises(IntegrityError, match=said) as caught:
        load(dataclasses.replace(model, model=entry), Runtime(threads=1))
    assert caught.value.code == "manifest_invalid"
    assert homes.MODEL in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sample_rate": 8000}, "sample_rate"),
        ({"threshold": 1.5}, "threshold"),
        ({"neg_threshold": 0.9}, "neg_threshold 0.9 is above 0.5"),
    ],
)
def test_voice_detection_checks_its_parameters(
    registry: Registry, wrong: dict[str, Any], said: str
) -> None:
    """The same for voice activity, its audio rate included."""
    model = registry.open(homes.VAD)
    decoding = {**(model.model.decoding or {}), **wrong}
    entry = msgspec.structs.replace(model.model, decoding=decoding)
    with pytest.raises(IntegrityError, match=said) as caught:
        detectors.load(dataclasses.replace(model, model=entry))
    assert caught.value.code == "manifest_invalid"


def test_the_graph_has_the_subsampling_of_the_manifest(registry: Registry) -> None:
    """Another number than the graph gives is found with the first window, in numbers."""
    model = registry.open(homes.MODEL, "cpu-fp32")
    decoding = {**(model.model.decoding or {}), "subsampling": 8}
    entry = msgspec.structs.replace(model.model, decoding=decoding)
    engine = load(dataclasses.replace(model, model=entry), Runtime(threads=1))
    with pytest.raises(IntegrityError, match=r"50 frames for 199 of sound.*subsampling 8"):
        engine.begin(Request()).transcribe(made.tone(2.0))


def test_an_engine_refuses_a_task_that_it_cannot_do(registry: Registry) -> None:
    """Translation by a model that only transcribes is the caller's mistake."""
    engine = load(registry.open(homes.MODEL, "cpu-fp32"), Runtime(threads=1))
    assert not engine.traits.translates
    with pytest.raises(InputError, match="translate"):
        engine.begin(Request(task="translate"))


def test_committed_entries_fit_their_families(registry: Registry) -> None:
    """Every recogniser and detector of manifest.json has parameters that its family takes whole."""
    seen = 0
    for model in registry.manifest.models:
        for table in (FAMILIES, detectors.FAMILIES):
            if model.engine in table:
                seen += 1
                found = configured(model, table[model.engine].config)
                assert msgspec.json.decode(msgspec.json.encode(found)) == model.decoding
    assert seen >= 7


def test_a_detector_of_another_engine_is_refused(registry: Registry) -> None:
    """A recogniser cannot detect voice; the message says which engines can."""
    with pytest.raises(InputError) as caught:
        detectors.load(registry.open(homes.MODEL))
    assert caught.value.code == "model_unknown"
    assert all(name in caught.value.remedy for name in detectors.FAMILIES)
    assert registry.model(homes.MODEL).engine in caught.value.message
