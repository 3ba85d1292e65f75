# ruff: noqa: E402 - what the imports below need may be absent
"""Training of gigaam-nano: exact fold, exact transducer loss, equal batches, resuming."""

from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("scipy")
pytest.importorskip("num2words")
np = pytest.importorskip("numpy")

from glagol.forge.families.gigaam.reference import CtcModel, EncoderConfig, TwoHeadModel
from glagol.forge.nano import sizes
from glagol.forge.nano.evaluate import recognisers
from glagol.forge.nano.speech import features
from glagol.forge.nano.speech.clips import Clip
from glagol.forge.nano.text.vocabulary import BLANK, NUM_CLASSES, encode
from glagol.forge.nano.train import batches, loop, losses, weights
from glagol.forge.nano.train.optim import Optimiser, Schedule

SMALL = replace(sizes.TRAINED, n_layers=2, d_model=32, n_heads=2)


def small_model(config: EncoderConfig) -> TwoHeadModel:
    torch.manual_seed(4)
    return TwoHeadModel(config, NUM_CLASSES, sizes.RNNT)


def some_clips(count: int = 24) -> list[Clip]:
    draw = np.random.default_rng(2)
    texts = ("раз два три", "мама мыла раму", "ёж", "сорок пять")
    return [
        Clip((draw.standard_normal(24000 + 640 * i) * 900).astype(np.int16), "v", "p", texts[i % 4])
        for i in range(count)
    ]


def test_the_fold_changes_nothing_even_at_padded_edges() -> None:
    trained = small_model(SMALL).eval()
    shipped = small_model(replace(SMALL, feature_mean=0.0, feature_std=1.0)).eval()
    shipped.load_state_dict(weights.fold(trained.state_dict()))
    x, lengths = torch.randn(3, 64, 120) * 3 - 9, torch.tensor([120, 77, 13])
    with torch.no_grad():
        (one, sizes_one), (two, sizes_two) = trained(x, lengths), shipped(x, lengths)
    assert torch.equal(sizes_one, sizes_two)
    for row, size in enumerate(sizes_one.tolist()):
        torch.testing.assert_close(one[row, :size], two[row, :size], atol=2e-4, rtol=0)


def test_unfold_undoes_fold() -> None:
    state = small_model(SMALL).state_dict()
    for key, value in weights.unfold(weights.fold(state)).items():
        torch.testing.assert_close(value, state[key], atol=1e-6, rtol=1e-6)


def test_the_exported_file_holds_both_heads_and_the_front_end(tmp_path: Path) -> None:
    model = sizes.build(sizes.TRAINED)
    digest = weights.export(model.state_dict(), tmp_path / "weights.safetensors")
    assert digest == weights.export(model.state_dict(), tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").stat().st_size < 16 * 2**20
    loaded = weights.load_exported(tmp_path / "weights.safetensors")
    sizes.build(sizes.SHIPPED).load_state_dict(loaded)
    warm = weights.warm_start(tmp_path)
    sizes.build(sizes.TRAINED).load_state_dict(warm)


def test_padding_never_reaches_a_clip() -> None:
    model = small_model(SMALL).eval()
    x = torch.randn(1, 64, 90) * 3 - 9
    dirty = torch.cat([x, torch.full((1, 64, 60), torch.nan)], dim=2)
    with torch.no_grad():
        alone, size = model(x, torch.tensor([90]))
        padded, same = model(dirty, torch.tensor([90]))
    assert torch.equal(size, same)
    torch.testing.assert_close(alone[0], padded[0, : int(size)], atol=1e-5, rtol=0)


def test_reference_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = CtcModel(EncoderConfig(), 34)
    assert sum(p.numel() for p in model.parameters()) == 220_707_874


def test_the_transducer_loss_equals_the_sum_over_all_paths() -> None:
    torch.manual_seed(1)
    frames, target = 4, encode("да")
    log_probs = torch.log_softmax(torch.randn(1, frames, 3, NUM_CLASSES), dim=-1)
    total = torch.tensor(-torch.inf, dtype=torch.float64)
    for when in combinations_with_replacement(range(frames), len(target)):
        path = torch.zeros((), dtype=torch.float64)
        emitted = 0
        for frame in range(frames):
            while emitted < len(target) and when[emitted] == frame:
                path = path + log_probs[0, frame, emitted, target[emitted]].double()
                emitted += 1
            path = path + log_probs[0, frame, emitted, BLANK].double()
        total = torch.logaddexp(total, path)
    batch = batches.Batch(
        torch.zeros(1, 64, 16), torch.tensor([16]), torch.tensor([target]), torch.tensor([2]), 1.0
    )
    found = losses.transducer(log_probs, torch.tensor([frames]), batch)
    assert float(found[0]) == pytest.approx(-float(total), abs=1e-9)


def test_a_pass_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    clips = some_clips()
    one, same, other = (batches.plan_epoch(clips, 8.0, seed, 0) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_distorted_batches_repeat() -> None:
    clips = some_clips(4)
    one, two = (batches.make_batch(clips, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.features, two.features)
    assert one.targets.shape == (4, 14)


def test_training_resumes_where_it_stopped(tmp_path: Path) -> None:
    def run(steps: int, name: str) -> TwoHeadModel:
        settings = loop.Settings(
            checkpoint=tmp_path / name, minutes=0, steps=steps, batch_seconds=8.0, compiled=False
        )
        trainer = loop.Trainer(
            small_model(SMALL), ("encoder.", "ctc."), losses.ctc_objective, settings
        )
        trainer.resume()
        trainer.run(some_clips, lambda _model: "", lambda _line: None)
        model: TwoHeadModel = trainer.model
        return model

    run(2, "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert state["tally"]["step"] == 2
    run(3, "a.pt")
    assert torch.load(tmp_path / "a.pt", weights_only=True)["tally"]["step"] == 3


def test_both_heads_learn_from_one_batch() -> None:
    model = small_model(SMALL)
    batch = batches.make_batch(some_clips(4), None)
    named = dict(model.named_parameters())
    optimiser = Optimiser(named.items(), eager=("rnnt.",))
    assert optimiser.paces == [1.0, 4.0]
    before = {name: value.detach().clone() for name, value in named.items()}
    first = 0.0
    for _ in range(4):
        loss, _shown = losses.joint_objective(model, batch)
        first = first or float(loss.detach())
        assert optimiser.step(loss, 1e-3)
    assert float(loss.detach()) < first
    moved = {name.split(".")[0] for name, value in named.items() if not value.equal(before[name])}
    assert moved == {"encoder", "ctc", "rnnt"}


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
def test_a_text_does_not_depend_on_its_batch(head: str) -> None:
    recognise = recognisers.torch_recogniser(small_model(SMALL).eval(), head)
    waves = [clip.waveform for clip in some_clips(3)]
    assert recognise(waves) == [recognise([wave])[0] for wave in waves]


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ValueError, match="ctc or rnnt"):
        recognisers.torch_recogniser(small_model(SMALL), "attention")


def test_the_rate_rises_and_falls() -> None:
    schedule = Schedule(1e-3)
    rates = [schedule.rate(p) for p in (0.0, 0.05, 0.5, 1.0)]
    assert rates[0] < rates[2] < rates[1]
    assert rates[3] == pytest.approx(1e-5)


def test_the_mel_bank_is_htk_without_norm() -> None:
    bank = features.mel_bank()
    assert bank.shape == (161, 64)
    assert bank.max() <= 1.0
    assert bank[0].sum() == 0
    warped = features.mel_bank(1.18)
    assert not np.array_equal(bank, warped)
