"""The engine at its seam: what it accepts, gives, refuses and never does."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

import homes
from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.runtime.session import Interrupt
from glagol.speech.audio.decode import decode
from glagol.speech.engines.base import Request
from glagol.speech.engines.families import FAMILIES, load
from glagol.speech.engines.whisper.attempts import Attempt, Attempts
from glagol.speech.engines.whisper.engine import Whisper
from glagol.speech.engines.whisper.features import FrontEnd, filter_bank
from glagol.speech.engines.whisper.search import Decoded
from glagol.speech.pipeline.recognizer import Recognizer
from glagol.speech.types import SAMPLE_RATE, Options, SearchedProvenance
from speech import made

if TYPE_CHECKING:
    from collections.abc import Callable

    from glagol.registry.registry import OpenModel
    from glagol.speech.types import Array

    Make = Callable[..., OpenModel]

GREEDY = Request(language="ru")


@pytest.fixture(scope="module")
def engine(made_model: Make) -> Whisper:
    """The engine of the made-up model, which also translates."""
    return Whisper(made_model(translates=True), Runtime(threads=1))


@pytest.fixture(scope="module")
def speech(registry: Registry) -> Array:
    """The known-answer clip, float32 [n]."""
    golden = registry.model(homes.MODEL).golden
    assert golden is not None
    clip = (homes.ROOT / golden.audio).read_bytes()
    return np.concatenate(list(decode(io.BytesIO(clip), max_seconds=60, split=False)))


class OneTry:
    """No second attempt: a made-up model never says anything that looks like speech."""

    @pytest.fixture(autouse=True)
    def _once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usual = Attempts._made
        monkeypatch.setattr(Attempts, "_made", lambda *given: [next(usual(*given))])


class TestWindows(OneTry):
    """One window, one attempt."""

    def test_words_lie_in_the_audio(self, engine: Whisper, speech: Array) -> None:
        """In order, inside the window, and the text is the words."""
        found = engine.begin(GREEDY).transcribe(speech)
        assert found.words
        assert found.text == " ".join(word.text for word in found.words)
        starts = [word.start for word in found.words]
        assert starts == sorted(starts)
        assert starts[0] >= 0
        assert all(word.start <= word.end for word in found.words)
        assert found.words[-1].end <= len(speech) / SAMPLE_RATE
        assert all(0 <= word.confidence <= 1 for word in found.words)
        assert found.language == "ru"
        assert found.search is not None
        assert (found.search.window, found.search.beam) == ("cropped", 1)

    def test_the_same_window_gives_the_same_words(self, engine: Whisper, speech: Array) -> None:
        """Between others or alone, also by chance."""
        for request in (Request(language="ru", temperature=0.6),):
            one = engine.begin(request)
            first = one.transcribe(speech)
            one.transcribe(speech[: SAMPLE_RATE * 2])
            assert one.transcribe(speech) == first
            assert engine.begin(request).transcribe(speech) == first

    def test_what_is_asked_for_is_done(self, engine: Whisper, speech: Array) -> None:
        """Beams, full windows, a task: each changes the text of this model, or its provenance."""
        plain = engine.begin(GREEDY).transcribe(speech)
        full = engine.begin(Request(language="ru", window="full")).transcribe(speech)
        beams = engine.begin(Request(language="ru", beam=3)).transcribe(speech)
        english = engine.begin(Request(language="ru", task="translate")).transcribe(speech)
        prompted = engine.begin(Request(language="ru", prompt="t300 t301")).transcribe(speech)
        assert full.search is not None
        assert beams.search is not None
        assert (full.search.window, beams.search.beam) == ("full", 3)
        assert english.language == "en"
        texts = {plain.text, full.text, english.text, prompted.text}
        assert len(texts) == 4
        ends = [word.end for word in english.words]
        assert ends == sorted(ends)
        assert ends[-1] <= len(speech) / SAMPLE_RATE

    def test_history_is_off_unless_asked_for(self, engine: Whisper, speech: Array) -> None:
        """With it the second window depends on the first, and not without."""
        telling = engine.begin(Request(language="ru", history=True))
        first, second = telling.transcribe(speech), telling.transcribe(speech)
        silent = engine.begin(GREEDY)
        assert first == silent.transcribe(speech) == silent.transcribe(speech)
        assert second.text != first.text

    def test_a_long_prompt_is_cut_with_a_warning(self, engine: Whisper, speech: Array) -> None:
        """Its end counts, as the end of what was said before."""
        tail = " t300 t301 t302" * 700
        found = engine.begin(Request(language="ru", prompt=tail)).transcribe(speech)
        longer = engine.begin(Request(language="ru", prompt="x y " + tail)).transcribe(speech)
        (notice,) = found.warnings
        assert notice.code == "prompt_cut"
        assert str(len(tail.strip())) in notice.message
        assert longer.text == found.text
        assert not engine.begin(Request(language="ru", prompt="t300")).transcribe(speech).warnings

    @pytest.mark.parametrize("samples", [0, 100, 319, 320, 1600])
    def test_very_short_audio(self, engine: Whisper, samples: int) -> None:
        """From nothing to 0.1 s: no error, times inside."""
        found = engine.begin(GREEDY).transcribe(made.tone(1.0)[:samples])
        assert all(word.end <= max(0.02, samples / SAMPLE_RATE) for word in found.words)
        if samples < 320:
            assert not found.text

    def test_the_language_is_detected(self, engine: Whisper, speech: Array) -> None:
        """One of the model's own; the same again; none where nothing was recognised."""
        found = engine.begin(Request()).transcribe(speech)
        assert found.language in engine.traits.languages
        assert engine.begin(Request()).transcribe(speech) == found
        assert engine.begin(Request()).transcribe(speech[:0]).language == ""

    def test_what_a_text_leaves_out_is_read_again(
        self, engine: Whisper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From the last timestamp on, until less than a second and a half is left."""
        time = engine.ids.timestamps
        texts = [(time, 300, time + 100), (time + 10, 301, time + 60), (time, 302, time + 90)]
        lengths: list[int] = []

        def best(self: Attempts, mel: Array, *given: Any) -> Attempt:
            del given
            tokens = texts[len(lengths)]
            lengths.append(mel.shape[1])
            decoded = Decoded(tokens, (0.0,) * len(tokens), 0.0, 0.0, 0.0)
            return Attempt(decoded, self.encoded(mel, full=False, stop=None), False, 1.0)

        monkeypatch.setattr(Attempts, "best", best)
        found = engine.begin(GREEDY).transcribe(made.tone(6.0))
        assert lengths == [600, 400, 280]
        assert found.text == "t300 t301 t302"
        assert [word.text for word in found.words] == ["t300", "t301", "t302"]
        first, second, third = found.words
        assert first.end <= 2.0 <= second.start
        assert second.end <= 3.2 <= third.start
        assert third.end <= 6.0

    def test_it_can_be_interrupted(self, engine: Whisper, speech: Array) -> None:
        """Before or between steps, as `cancelled`."""
        stop = Interrupt()
        stop.set()
        with pytest.raises(HostError) as caught:
            engine.begin(GREEDY).transcribe(speech, stop=stop)
        assert caught.value.code == "cancelled"


class TestPipeline(OneTry):
    """The engine in the recogniser, which finds speech before anything is read."""

    @pytest.fixture
    def recognizer(self, registry: Registry, engine: Whisper) -> Recognizer:
        """A recogniser with the made-up model."""
        usual = Recognizer.open(registry, runtime=Runtime(threads=1))
        return dataclasses.replace(
            usual,
            model=msgspec.structs.replace(usual.model, id="made"),
            engine=engine,
        )

    @pytest.mark.parametrize("sound", ["silence", "noise", "tone"])
    def test_no_text_without_speech(self, recognizer: Recognizer, sound: str) -> None:
        """Ten seconds are short audio, yet nothing is read: this model would say something."""
        rng = np.random.default_rng(1)
        samples = {
            "silence": np.zeros(10 * SAMPLE_RATE, np.float32),
            "noise": rng.normal(0, 0.05, 10 * SAMPLE_RATE).astype(np.float32),
            "tone": made.tone(10.0),
        }[sound]
        found = recognizer.transcribe(io.BytesIO(made.wav(samples)))
        assert found.text == ""
        assert found.coverage.dropped_s == 10.0
        assert not isinstance(found.provenance, SearchedProvenance)

    def test_live_finals_are_those_of_the_file(self, recognizer: Recognizer, speech: Array) -> None:
        """Cut by the engine's window of 30 s, both ways; word times rise over the seams."""
        samples = np.resize(speech, 41 * SAMPLE_RATE)
        quiet = np.round(samples * 32767).astype(np.int16).astype(np.float32) / np.float32(32768)
        found = recognizer.transcribe(io.BytesIO(made.wav(samples)))
        live = recognizer.live()
        finals = [s for at in range(0, len(quiet), 9000) for s in live.push(quiet[at:][:9000])]
        finals += live.finish()
        assert [s.text for s in finals] == [s.text for s in found.segments]
        words = [word for segment in found.segments for word in segment.words]
        starts = [word.start for word in words]
        assert starts == sorted(starts)
        assert found.coverage.decoded_s + found.coverage.dropped_s == pytest.approx(41.0)
        assert isinstance(found.provenance, SearchedProvenance)

    def test_options_reach_the_engine(self, recognizer: Recognizer, speech: Array) -> None:
        """And what it cannot do is refused by name."""
        data = made.wav(speech)
        options = Options(beam=2, window="full", task="translate", temperature=0.2)
        provenance = recognizer.transcribe(io.BytesIO(data), options=options).provenance
        assert isinstance(provenance, SearchedProvenance)
        search = provenance.search
        assert (search.beam, search.window, search.temperature) == (2, "full", 0.2)
        for wrong, said in (
            ({"beam": 0}, "take this beam"),
            ({"temperature": 2.0}, "take this temperature"),
        ):
            with pytest.raises(InputError, match=said):
                recognizer.begin(Options(**wrong))


@pytest.mark.parametrize(
    "wrong", [{"beam": 2}, {"window": "full"}, {"temperature": 0.2}, {"task": "translate"}]
)
def test_an_engine_that_does_not_search_refuses_its_options(
    recognizer: Callable[..., Recognizer], wrong: dict[str, Any]
) -> None:
    """Nothing that was asked for is left out in silence."""
    with pytest.raises(InputError) as caught:
        recognizer("ctc").begin(Options(**wrong))
    assert caught.value.code == "option_invalid"
    assert homes.MODEL in caught.value.message


def test_requests_that_a_model_cannot_serve(made_model: Make) -> None:
    """Translation where it was not trained, a language without a token."""
    engine = load(made_model(), Runtime(threads=1))
    assert engine.traits.languages == ("ru", "en", "zh")
    assert not engine.traits.translates
    with pytest.raises(InputError, match="made was not trained to translate"):
        engine.begin(Request(task="translate"))
    with pytest.raises(InputError, match="'xx'"):
        engine.begin(Request(language="xx"))
    engine.close()


@pytest.mark.parametrize(
    ("decoding", "said"),
    [
        ({"mels": 80}, "8 mel bands, the manifest says 80"),
        ({"vocabulary": 51_866}, "51865 tokens, the manifest says 51866"),
        ({"vocabulary": 50_000}, "50000 tokens"),
        ({"alignment_heads": ((0, 0),)}, "2 alignment heads, the manifest says 1"),
        ({"alignment_heads": ((0, 0), (7, 0))}, "no such alignment heads"),
        ({"beam": 0}, "beam"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_entry_of_another_model_is_refused(
    made_model: Make, decoding: dict[str, Any], said: str
) -> None:
    """Side files of 80 bands beside graphs of 128 are the commonest mistake with these models."""
    with pytest.raises(IntegrityError, match=said) as caught:
        load(made_model(**decoding), Runtime(threads=1))
    assert caught.value.code == "manifest_invalid"


def test_a_file_that_is_missing_or_of_another_model(made_model: Make) -> None:
    """Each is named."""
    whole = made_model()
    for path in whole.blobs:
        if path.endswith(".data"):
            continue
        rest = {name: blob for name, blob in whole.blobs.items() if name != path}
        with pytest.raises(IntegrityError, match=path) as caught:
            load(dataclasses.replace(whole, blobs=rest), Runtime(threads=1))
        assert caught.value.code == "artifact_missing"
    swapped = {**whole.blobs, "decoder.onnx": whole.blobs["encoder.onnx"]}
    with pytest.raises(IntegrityError) as caught:
        load(dataclasses.replace(whole, blobs=swapped), Runtime(threads=1))
    assert caught.value.code == "artifact_altered"


def test_a_fresh_build_is_judged(made_model: Make) -> None:
    """A right build passes; one whose logits point elsewhere than another precision's does not."""
    directions: dict[str, Array] = {}
    FAMILIES["whisper"].judge(made_model(), directions)
    (direction,) = directions.values()
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-4)
    with pytest.raises(IntegrityError, match="cosine"):
        FAMILIES["whisper"].judge(made_model(), {"other": direction[::-1].copy()})


def test_features_are_those_of_the_reference() -> None:
    """Slaney's filters by their definition; a tone in its band; framed as upstream frames it."""
    bank = filter_bank(80)
    assert bank.shape == (201, 80)
    assert bank.sum(axis=0) * 40 == pytest.approx(1, abs=0.35)
    assert bank.min() == 0
    front = FrontEnd.of(80)
    mel = front(made.tone(2.0))
    assert mel.shape == (80, 200)
    peak = bank[11].argmax()  # 440 Hz is bin 11 of 40 Hz
    assert abs(int(mel[:, 100].argmax()) - int(peak)) <= 1
    assert mel.max() - mel.min() == pytest.approx(2, abs=1e-6)
    assert front(np.zeros(159, np.float32)).shape == (80, 0)
    later = front(np.concatenate([made.tone(2.0), np.zeros(SAMPLE_RATE, np.float32)]))
    assert np.allclose(later[:, :198], mel[:, :198], atol=1e-6)
