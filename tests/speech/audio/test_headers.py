"""Headers whose numbers are wrong, one at a time: what they state is read, or left aside."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from glagol.core.errors import InputError
from glagol.speech.audio.budget import WatchedFile
from glagol.speech.audio.decode import decode
from glagol.speech.audio.promises.read import stated
from speech import made

FORMS = (
    ("wav", "pcm_s16le"),
    ("w64", "pcm_s16le"),
    ("aiff", "pcm_s16be"),
    ("caf", "pcm_s16le"),
    ("au", "pcm_s16be"),
    ("flac", "flac"),
    ("ogg", "libopus"),
    ("mp3", "libmp3lame"),
    ("mov", "aac"),
    ("asf", "aac"),
    ("avi", "pcm_s16le"),
    ("matroska", "libopus"),
    ("mpegts", "mp2"),
)
WRONG = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0")
HEADER_BYTES = 160


@pytest.mark.parametrize(("form", "codec"), FORMS)
def test_no_number_of_a_header_breaks_its_reader(form: str, codec: str) -> None:
    """Of a file that is whole, one that is cut, and one with as much behind it."""
    whole = made.encoded(made.tone(0.3, 48_000), 48_000, form, codec)
    for at in range(0, HEADER_BYTES, 2):
        for wrong in WRONG:
            data = whole[:at] + wrong + whole[at + len(wrong) :]
            for file in (data, data[: len(data) // 2], data + data):
                with contextlib.suppress(InputError):
                    stated(WatchedFile(io.BytesIO(file)))


@pytest.mark.parametrize("odd", [b"LIST\5\0\0\0INFOx", b"note\1\0\0\0."])
def test_a_chunk_of_odd_size_without_padding_hides_no_sound(odd: bytes) -> None:
    """RIFF wants a byte behind it, and some recorders write none."""
    whole = made.wav(made.tone(1.0))
    found = _samples(whole[:36] + odd + whole[36:])
    assert np.array_equal(found, _samples(whole))


def test_a_wav_file_behind_another_is_decoded() -> None:
    """As `cat` joins them; the second header is some milliseconds of sound at the most."""
    found = _samples(made.wav(made.tone(1.0)) + made.wav(made.tone(1.0)))
    assert abs(len(found) / made.RATE - 2.0) < 0.01


def _samples(data: bytes) -> made.Samples:
    return np.concatenate(list(decode(io.BytesIO(data), max_seconds=60.0)))
