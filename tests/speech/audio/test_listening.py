"""A listening copy sounds like the recording, at the same times, and a browser can seek in it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import numpy as np
import pytest

from glagol.core.errors import InputError
from glagol.speech.audio.decode import decode
from glagol.speech.audio.jail.pool import Copied, Jail
from speech import jails, made

SECONDS = 7.37


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    """One for all."""
    found = jails.started()
    yield found
    found.close()


def copied(jail: Jail, data: bytes) -> tuple[Copied, bytes]:
    """A copy and its bytes."""
    into = io.BytesIO()
    done = jail.copy(io.BytesIO(data), into, max_seconds=60.0)
    return done, into.getvalue()


def noise(channels: int) -> made.Samples:
    """Bursts of noise that differ by channel, float32 [n, channels] at 16 kHz."""
    chance = np.random.default_rng(1)
    at = np.arange(round(SECONDS * made.RATE))[:, None]
    loud = np.sin(at / made.RATE * 2 * np.pi * (1 + np.arange(channels))) > 0.3
    smooth = np.cumsum(chance.normal(size=(len(at), channels)), axis=0)
    smooth -= np.stack([np.convolve(c, np.ones(200) / 200, "same") for c in smooth.T], axis=1)
    return np.float32(0.03 * smooth * loud).clip(-0.9, 0.9)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_copy_is_the_recording(jail: Jail, channels: int) -> None:
    """Up to two channels stay apart; no word moves by more than a millisecond."""
    samples = noise(channels)
    done, data = copied(jail, made.wav(samples))
    kept = channels if channels < 3 else 1
    assert done.channels == kept
    assert done.seconds == pytest.approx(SECONDS, abs=1e-3)
    found = np.concatenate(list(decode(io.BytesIO(data), max_seconds=60.0, split=True)))
    wanted = samples if channels < 3 else samples.mean(axis=1, keepdims=True)
    assert found.shape[1] == kept
    assert len(found) / made.RATE == pytest.approx(SECONDS, abs=0.05)
    size = min(len(found), len(wanted))
    for one, other in zip(found[:size].T, wanted[:size].T, strict=True):
        both = np.fft.rfft([one, other], 2 * size)
        lag = int(np.fft.irfft(both[0] * both[1].conj()).argmax())
        assert min(lag, 2 * size - lag) <= made.RATE // 1000


def test_a_length_that_fills_the_last_block_is_copied(jail: Jail) -> None:
    """The resampler then ends with no sample: that is no frame."""
    samples = noise(1)[: round(6.12 * made.RATE)]
    for left in range(0, 1600, 160):
        size = len(samples) - left
        assert copied(jail, made.wav(samples[:size]))[0].seconds == pytest.approx(size / made.RATE)


def test_its_index_comes_first(jail: Jail) -> None:
    """`moov` before `mdat`, and room for it at every length; Opus at 16 kHz and 24 kbit/s."""
    for seconds in (0.2, SECONDS, 59.0):
        _, data = copied(jail, made.wav(made.tone(seconds)))
        assert 0 < data.index(b"moov") < data.index(b"mdat")
        with av.open(io.BytesIO(data)) as found:
            assert found.streams.audio[0].codec_context.name == "opus"
            duration = found.streams.audio[0].duration
            assert duration is not None
            assert float(duration * found.streams.audio[0].time_base) == pytest.approx(
                seconds, abs=0.05
            )
    assert len(data) < 59 * 4500 + (1 << 17)


def test_peaks_are_the_extremes_of_each_fiftieth(jail: Jail) -> None:
    """Two bytes each, of the channels' mean."""
    samples = noise(2)
    done, _ = copied(jail, made.wav(samples))
    pairs = np.frombuffer(done.peaks, np.int8).reshape(-1, 2)
    mean = samples.mean(axis=1)
    parts = [mean[at : at + 320] for at in range(0, len(mean), 320)]
    wanted = np.rint([[127 * part.min(), 127 * part.max()] for part in parts])
    assert len(pairs) == len(wanted)
    assert np.abs(pairs - wanted).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_peaks_need_no_copy(jail: Jail, channels: int) -> None:
    """They, the seconds, the channels and the warnings are those that come with a copy."""
    data = made.wav(noise(channels))[:-40_000]
    alone = jail.peaks(io.BytesIO(data), max_seconds=60.0)
    assert alone == copied(jail, data)[0]
    assert [notice.code for notice in alone.warnings] == ["audio_truncated"]


def test_what_is_no_audio_has_no_copy(jail: Jail) -> None:
    """The error of the decoder."""
    with pytest.raises(InputError) as caught:
        copied(jail, b"nothing" * 1000)
    assert caught.value.code == "audio_unreadable"
    assert jail.children == 0
