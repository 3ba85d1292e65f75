"""The authored graph: numbers of the published implementation, padding, precision, limits.

Tolerances: fp32 within 1e-5 of upstream, relative to the largest value; fp16 within 3e-3, int8
within 5e-2 on random weights. Padding, batch mates and threads change no bit of an fp32 result, nor
of an fp16 one where, as here, the products are computed in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from forge import seeded
from forge.golden.cases import CASES, Case, waveform
from forge.running import exact_int8, relative_error, run, session
from glagol.forge.families.gigaam.architecture import Precision
from glagol.forge.families.gigaam.build import build

GOLDEN = Path(__file__).parent.parent / "golden"
FP32_TOLERANCE, FP16_TOLERANCE, INT8_TOLERANCE = 1e-5, 3e-3, 5e-2
by_head = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@cache
def artifacts(case: Case, precision: Precision) -> Mapping[str, bytes]:
    """Build a case once."""
    weights = seeded.weights(case.sizes, case.seed)
    return build(weights, seeded.config(case.sizes), precision, case.sizes.head)


@by_head
@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [
        ("fp32", FP32_TOLERANCE),
        ("fp16", FP16_TOLERANCE),
        pytest.param("int8", INT8_TOLERANCE, marks=exact_int8),
    ],
)
def test_upstream_parity(case: Case, precision: str, tolerance: float) -> None:
    """A batch of unequal lengths gives upstream's numbers on every valid frame."""
    golden = np.load(GOLDEN / f"upstream_{case.name}.npz")
    output, ends = run(session(artifacts(case, precision)), case.features(), case.lengths)
    assert np.array_equal(ends, golden["lengths"])
    for row, end in enumerate(ends):
        assert relative_error(output[row, :end], golden["output"][row, :end]) < tolerance


@by_head
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_clip_is_the_same_alone(case: Case, precision: str) -> None:
    """Bit for bit: batch mates, padding and what lies in the padding do not matter."""
    opened = session(artifacts(case, precision))
    features = case.features()
    for row, length in enumerate(case.lengths):
        features[row, length:] = (np.nan, np.inf, 7.0)[row % 3]
    together, ends = run(opened, features, case.lengths)
    for row, (length, end) in enumerate(zip(case.lengths, ends, strict=True)):
        alone, _ = run(opened, features[row : row + 1, :length], (length,))
        assert alone.shape[1] == end == (length - 1) // 4 + 1
        assert np.array_equal(alone[0], together[row, :end])


@by_head
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_threads_do_not_matter(case: Case, precision: str) -> None:
    """Bit for bit: one thread or two, the first run or the second."""
    one, two = (session(artifacts(case, precision), threads=n) for n in (1, 2))
    features, lengths = case.features()[:1], case.lengths[:1]
    expected, _ = run(one, features, lengths)
    assert np.array_equal(run(two, features, lengths)[0], expected)
    assert np.array_equal(run(one, features, lengths)[0], expected)


def test_an_empty_clip_spoils_nothing() -> None:
    """A row of length 0 has no frames and leaves its neighbour alone."""
    case = CASES[0]
    opened = session(artifacts(case, "fp32"))
    features = case.features()[:2]
    both, ends = run(opened, features, (case.lengths[0], 0))
    alone, _ = run(opened, features[:1], case.lengths[:1])
    assert ends.tolist() == [51, 0]
    assert np.array_equal(both[0], alone[0])


def test_ctc_output_is_log_probabilities() -> None:
    """Every frame sums to one."""
    case = CASES[0]
    output, _ = run(session(artifacts(case, "int8")), case.features()[:1], case.lengths[:1])
    assert np.exp(output).sum(axis=-1) == pytest.approx(np.ones(output.shape[:2]), abs=1e-5)


def test_longer_than_the_table_is_refused() -> None:
    """The rotary table ends at max_frames; one frame more is an error, never a wrap."""
    sizes = seeded.architecture(max_frames=20)
    made = build(seeded.weights(sizes, 1), seeded.config(sizes), "fp32", "ctc")
    opened = session(made)
    run(opened, seeded.features(80, 1, 64, 0), (80,))
    with pytest.raises(Exception, match="Updating cos_cache"):
        run(opened, seeded.features(81, 1, 64, 0), (81,))


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 40, "heads": 2, "hidden": 80, "kernel": 3, "subsampling_kernel": 3},
        {"width": 32, "heads": 1, "hidden": 64, "layers": 1, "kernel": 9, "features": 80},
        {"width": 24, "heads": 6, "hidden": 24, "kernel": 1, "subsampling_kernel": 7},
    ],
)
def test_any_size_agrees_with_the_reference(changes: dict[str, int]) -> None:
    """Depth, width, heads, kernels: the torch reference gives the same numbers."""
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("glagol.forge.families.gigaam.reference")
    sizes = seeded.architecture(**changes)
    weights = seeded.weights(sizes, 3)
    model = reference.CtcModel(
        reference.EncoderConfig(
            feat_in=sizes.features,
            n_layers=sizes.layers,
            d_model=sizes.width,
            n_heads=sizes.heads,
            ff_expansion_factor=sizes.hidden // sizes.width,
            conv_kernel_size=sizes.kernel,
            subs_kernel_size=sizes.subsampling_kernel,
        ),
        sizes.classes,
    ).eval()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=True)
    lengths = (77, 76, 33)
    features = seeded.features(77, 3, sizes.features, 4)
    with torch.no_grad():
        expected, _ = model(torch.from_numpy(features).transpose(1, 2), torch.tensor(lengths))
    cases: tuple[tuple[Precision, float], ...] = (
        ("fp32", FP32_TOLERANCE),
        ("fp16", FP16_TOLERANCE),
    )
    for precision, tolerance in cases:
        made = build(weights, seeded.config(sizes), precision, "ctc")
        output, ends = run(session(made), features, lengths)
        for row, end in enumerate(ends):
            assert relative_error(output[row, :end], expected[row, :end].numpy()) < tolerance


def test_front_end_buffers_give_upstream_features() -> None:
    """Window and mel matrix of an artifact give upstream's log-mel, digital silence included."""
    golden = np.load(GOLDEN / "upstream_mel.npz")
    from glagol.forge.checkpoints.safetensors import Tensors

    head = Tensors(artifacts(CASES[0], "fp32")["head.safetensors"])
    assert head["window"] == pytest.approx(golden["window"], abs=2e-7)
    assert head["mel"] == pytest.approx(golden["mel"], abs=2e-7)
    wave = waveform()
    frames = np.lib.stride_tricks.sliding_window_view(wave, 320)[::160] * head["window"]
    power = np.abs(np.fft.rfft(frames.astype(np.float64), axis=1)) ** 2
    log_mel = np.log(np.clip(power @ head["mel"], 1e-9, 1e9))
    assert len(log_mel) == golden["frames"][0]
    assert log_mel == pytest.approx(golden["log_mel"], abs=2e-3)
