"""Decoding: every format, rate and number of channels; every kind of bad file by its code."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable

import av
import numpy as np
import pytest

from glagol.core.errors import GlagolError, InputError, LimitError
from glagol.speech.audio.decode import decode
from speech import made


def samples_of(data: bytes) -> made.Samples:
    """Decode everything."""
    return np.concatenate([np.zeros(0, np.float32), *decode(io.BytesIO(data), max_seconds=60.0)])


def loudness(samples: made.Samples) -> float:
    """Root mean square of the middle, away from codec edges."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return float(np.sqrt(np.square(middle).mean()))


FORMATS = [
    ("wav", "pcm_s16le", 16_000),
    ("wav", "pcm_s24le", 44_100),
    ("wav", "pcm_u8", 8_000),
    ("wav", "pcm_f32le", 96_000),
    ("wav", "pcm_mulaw", 8_000),
    ("flac", "flac", 48_000),
    ("mp3", "libmp3lame", 44_100),
    ("ogg", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("ipod", "aac", 44_100),
    ("adts", "aac", 22_050),
]


@pytest.mark.parametrize(("container", "codec", "rate"), FORMATS)
def test_every_format_gives_the_same_sound(container: str, codec: str, rate: int) -> None:
    original = made.tone(2.0, rate)
    samples = samples_of(made.encoded(original, rate, container, codec))
    assert samples.dtype == np.float32
    assert len(samples) / made.RATE == pytest.approx(2.0, abs=0.11)  # AAC pads with its delay
    assert loudness(samples) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    spectrum = np.abs(np.fft.rfft(samples[:16_000] * np.hanning(16_000)))
    assert abs(int(spectrum.argmax()) - 440) <= 1


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_channels_are_averaged(channels: int) -> None:
    mono = made.tone(1.0)
    weights = np.linspace(0.2, 1.0, channels, dtype=np.float32)
    samples = samples_of(made.wav(mono[:, None] * weights))
    assert np.abs(samples - mono * weights.mean()).max() < 1e-3


@pytest.mark.parametrize("rate", [8_000, 11_025, 96_000])
def test_rates_become_sixteen_kilohertz(rate: int) -> None:
    samples = samples_of(made.wav(made.tone(1.5, rate), rate))
    expected = made.tone(1.5)
    assert abs(len(samples) - len(expected)) <= 2
    size = min(len(samples), len(expected)) - 800
    assert np.abs(samples[800:size] - expected[800:size]).max() < 5e-3


def test_sixteen_bit_wav_at_sixteen_kilohertz_is_exact() -> None:
    original = made.tone(1.0)
    stored = (original * 32767).astype(np.int16).astype(np.float32) / 32768
    assert np.array_equal(samples_of(made.wav(original)), stored)


def nothing() -> bytes:
    return b""


def words_named_wav() -> bytes:
    return "это текст, а не звук\n".encode() * 200


def header_only() -> bytes:
    return made.wav(np.zeros(0, np.float32))


def half_a_wav() -> bytes:
    data = made.wav(made.tone(2.0))
    return data[: len(data) // 2]


def half_a_flac() -> bytes:
    data = made.encoded(made.tone(3.0), 16_000, "flac", "flac")
    return data[: len(data) // 2]


def half_an_mp3() -> bytes:
    data = made.encoded(made.tone(3.0, 44_100), 44_100, "mp3", "libmp3lame")
    return data[: len(data) // 2]


def half_an_ogg() -> bytes:
    data = made.encoded(made.tone(3.0, 48_000), 48_000, "ogg", "libopus")
    return data[: len(data) * 2 // 3]


def half_an_m4a() -> bytes:
    data = made.encoded(made.tone(3.0, 44_100), 44_100, "ipod", "aac")
    return data[: len(data) // 2]


def half_a_webm() -> bytes:
    data = made.encoded(made.tone(3.0, 48_000), 48_000, "webm", "libopus")
    return data[: len(data) // 2]


def not_a_number() -> bytes:
    samples = made.tone(1.0)
    samples[7_000:] = np.nan
    return made.float_wav(samples)


def infinity() -> bytes:
    return made.float_wav(np.full(16_000, np.inf, np.float32))


def blink() -> bytes:
    return made.wav(made.tone(0.05))


def playlist() -> bytes:
    return b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


BAD: list[tuple[Callable[[], bytes], str]] = [
    (nothing, "audio_empty"),
    (words_named_wav, "audio_unreadable"),
    (playlist, "audio_unreadable"),
    (header_only, "audio_empty"),
    (half_an_m4a, "audio_truncated"),
    (made.silent_video, "audio_without_sound"),
    (not_a_number, "audio_not_finite"),
    (infinity, "audio_not_finite"),
    (blink, "audio_too_short"),
]


@pytest.mark.parametrize(("make", "code"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_bad_files_are_refused_by_name(
    make: Callable[[], bytes], code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught:
        samples_of(make())
    assert caught.value.code == code
    assert caught.value.message
    assert caught.value.remedy
    assert capfd.readouterr().err == ""  # FFmpeg keeps its opinions to itself


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e38])
def test_some_samples_that_are_no_numbers_are_silence_and_reported(wrong: float) -> None:
    samples = made.tone(2.0)
    samples[16_000:16_800] = wrong
    source = decode(io.BytesIO(made.float_wav(samples)), max_seconds=60.0)
    found = np.concatenate(list(source))
    assert len(found) == 32_000
    assert np.abs(found[16_100:16_700]).max() < 0.01
    (notice,) = source.warnings
    assert (notice.code, notice.missing_s) == ("audio_damaged", 0.05)
    assert notice.at_s == pytest.approx(1.0, abs=0.001)


CUT: list[tuple[Callable[[], bytes], float, float | None]] = [
    (half_a_wav, 1.0, 1.0),
    (half_a_flac, 0.86, 2.14),
    (half_an_mp3, 1.5, 1.5),
    (half_an_ogg, 2.0, None),
    (half_a_webm, 1.5, 1.5),
]


@pytest.mark.parametrize(("make", "there", "missing"), CUT, ids=[row[0].__name__ for row in CUT])
def test_a_cut_file_is_decoded_and_its_loss_is_reported(
    make: Callable[[], bytes], there: float, missing: float | None
) -> None:
    source = decode(io.BytesIO(make()), max_seconds=60.0)
    seconds = sum(map(len, source)) / made.RATE
    assert seconds == pytest.approx(there, abs=0.15)
    (notice,) = source.warnings
    assert notice.code == "audio_truncated"
    assert notice.at_s == pytest.approx(seconds, abs=0.001)
    assert notice.missing_s == (missing if missing is None else pytest.approx(missing, abs=0.15))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_wav_headers_of_streams_are_believed(size: int) -> None:
    data = bytearray(made.wav(made.tone(1.0)))
    data[40:44] = size.to_bytes(4, "little")
    data[4:8] = (size + 36 & 0xFFFFFFFF).to_bytes(4, "little")
    assert len(samples_of(bytes(data))) == 16_000


def test_name_of_the_file_does_not_matter() -> None:
    file = io.BytesIO(made.wav(made.tone(1.0)))
    file.name = "song.mp3"
    assert sum(map(len, decode(file, max_seconds=5))) == 16_000


def test_file_is_read_from_its_start_and_left_open() -> None:
    file = io.BytesIO(made.wav(made.tone(1.0)))
    file.seek(500)
    assert sum(map(len, decode(file, max_seconds=5))) == 16_000
    assert not file.closed


def test_declared_length_refuses_long_audio_before_decoding() -> None:
    with pytest.raises(LimitError, match=r"2\.0 s") as caught:
        decode(io.BytesIO(made.wav(made.tone(2.0))), max_seconds=1.0)
    assert caught.value.code == "audio_too_long"


def test_undeclared_length_is_stopped_at_the_limit() -> None:
    data = made.encoded(made.tone(5.0, 22_050), 22_050, "adts", "aac")
    blocks = decode(io.BytesIO(data), max_seconds=2.0)
    assert blocks.declared_s is None
    seen: list[made.Samples] = []
    with pytest.raises(LimitError) as caught:
        seen.extend(blocks)
    assert caught.value.code == "audio_too_long"
    assert sum(map(len, seen)) <= 2.0 * made.RATE


def test_blocks_are_about_a_second() -> None:
    lengths = [
        len(b) for b in decode(io.BytesIO(made.wav(made.tone(9.5, 44_100), 44_100)), max_seconds=20)
    ]
    assert max(lengths) <= 1.2 * made.RATE
    assert sum(lengths) == pytest.approx(9.5 * made.RATE, abs=2)


def test_full_scale_is_not_exceeded() -> None:
    samples = samples_of(made.float_wav(made.tone(1.0) * 1e6))
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0


def test_damage_inside_an_mp3_is_skipped() -> None:
    data = bytearray(made.encoded(made.tone(4.0, 44_100), 44_100, "mp3", "libmp3lame"))
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    assert len(samples_of(bytes(data))) / made.RATE == pytest.approx(4.0, abs=0.5)


def test_errors_name_the_place() -> None:
    with pytest.raises(GlagolError, match=r"near 0\.44 s"):
        samples_of(not_a_number())
    source = decode(io.BytesIO(half_a_wav()), max_seconds=60.0)
    assert list(source)
    assert "promises 64000 bytes of sound, 31978 are there" in source.warnings[0].message


def test_plain_samples_take_few_steps_and_compressed_ones_in_disguise_are_found() -> None:
    """FFmpeg's own packets of 60 ms, and its search in 2500 of them, take most of the time."""
    steps = 0

    def step() -> bool:
        nonlocal steps
        steps += 1
        return False

    whole = io.BytesIO(made.wav(made.tone(60.0)))
    assert sum(map(len, decode(whole, max_seconds=100.0, cancelled=step))) == 60 * made.RATE
    assert steps < 200
    ac3 = made.encoded(made.tone(3.0, 48_000), 48_000, "ac3", "ac3", bit_rate=192_000)
    silence = made.wav(np.zeros((len(ac3) // 4, 2), np.float32), 48_000)
    disguised = silence[: -(len(ac3) // 4 * 4)] + ac3[: len(ac3) // 4 * 4]
    assert len(samples_of(disguised)) / made.RATE == pytest.approx(3.0, abs=0.1)


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import sys, time; a = time.perf_counter(); import glagol.speech; "
        "b = time.perf_counter(); "
        "assert not {'torch', 'litestar', 'silero_vad'} & set(sys.modules); "
        "print(f'import of glagol.speech: {b - a:.3f} s')"
    )
    path = [p for p in sys.path if "packages" in p]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    print(ran.stdout.strip())  # noqa: T201 - printed, not judged


@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("ogg", "libopus")])
def test_eight_channels_in_planes_are_read_to_the_last(container: str, codec: str) -> None:
    """The one loud channel keeps its number; no plane behind the last is read."""
    tone = made.tone(1.0, 48_000)
    for sounding in (0, 6):
        planes = np.zeros((8, len(tone)), np.float32)
        planes[sounding] = tone
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=48_000, layout="7.1")
            for start in range(0, len(tone), 960):
                packed = planes[:, start : start + 960].T.reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(packed.copy(), "flt", "7.1")
                frame.sample_rate, frame.pts = 48_000, start
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        blocks = np.concatenate([*decode(file, max_seconds=9.0, split=True)])
        assert blocks.shape[1] == 8
        assert np.abs(blocks).max(axis=0).argmax() == sounding
