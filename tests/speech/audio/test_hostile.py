"""No recording can hurt the process that decodes it: memory, steps, rates, codecs, cancelling."""

from __future__ import annotations

import ctypes
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from glagol.core.errors import HostError, InputError, LimitError
from glagol.speech.audio import allowed, budget
from glagol.speech.audio.decode import decode
from glagol.speech.audio.resample import GATHERED_MAX, resampled
from glagol.speech.audio.streaming import container
from glagol.speech.types import Array
from speech import made

EMPTY = 1 << 17
"""Chunks or boxes without content: 1 MiB of them."""


class Counted(io.BytesIO):
    """A file that counts how often it is used."""

    calls = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Count, then read."""
        self.calls += 1
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Count, then seek."""
        self.calls += 1
        return super().seek(offset, whence)


def length(data: bytes) -> int:
    """Samples at 16 kHz of a whole file."""
    return sum(map(len, decode(io.BytesIO(data), max_seconds=60.0)))


def png(side: int) -> bytes:
    """A black square without its checksum; each point takes eight bytes when decoded."""
    deflate, piece = zlib.compressobj(9), bytes(1 << 20)
    first, more = (deflate.compress(piece) + deflate.flush(zlib.Z_FULL_FLUSH) for _ in "12")

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0))
    body = chunk(b"IDAT", first + more * (side * (side * 8 + 1) >> 20))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def flac_with_cover(picture: bytes) -> bytes:
    """A second of sound and a picture."""
    flac = made.encoded(made.tone(1.0), 16_000, "flac", "flac")
    kind = struct.pack(">II", 3, 9) + b"image/png" + bytes(20)
    block = kind + struct.pack(">I", len(picture)) + picture
    info = bytes([flac[4] & 0x7F]) + flac[5:42]
    return b"fLaC" + info + b"\6" + struct.pack(">I", len(block))[1:] + block + flac[42:]


def matroska_with_picture(picture: bytes) -> bytes:
    """A second of sound and a picture, which FFmpeg takes for a track."""

    def element(kind: str, content: bytes) -> bytes:
        return bytes.fromhex(kind) + (1 << 56 | len(content)).to_bytes(8) + content

    name, form = element("466e", b"cover.png"), element("4660", b"image/png")
    attached = element("61a7", name + form + element("465c", picture) + element("46ae", b"\1"))
    data = made.encoded(made.tone(1.0, 48_000), 48_000, "matroska", "libopus")
    segment, cluster = data.index(b"\x18S\x80g") + 4, data.index(b"\x1fC\xb6u")
    unknown_size = b"\1" + b"\xff" * 7
    head = data[:segment] + unknown_size + data[segment + 8 : cluster]
    return head + element("1941a469", attached) + data[cluster:]


def fast_wav() -> bytes:
    """A WAV file that states 2^31 - 1 samples per second."""
    data, rate = bytes(1 << 25), 2**31 - 1
    head = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8)
    body = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of ISO media (ISO/IEC 14496-12 section 4.2)."""
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def indexed_mp4(samples: int = 20_000_000) -> bytes:
    """Some 1.5 KB of MP4 whose tables state so many samples, 24 bytes each in FFmpeg's index."""
    matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    config = bytes.fromhex("0325000100041d401500000000000000000000000005021210060102")
    form = bytes(6) + b"\0\1" + bytes(8) + struct.pack(">HHHHI", 1, 16, 0, 0, 44_100 << 16)
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), box(b"mp4a", form, box(b"esds", bytes(4), config))),
        box(b"stts", struct.pack(">IIII", 0, 1, samples, 1024)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, samples, 1)),
        box(b"stsz", struct.pack(">III", 0, 1, samples)),
        box(b"stco", struct.pack(">III", 0, 1, 48)),
    )
    media = box(
        b"mdia",
        box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 44_100, 220_500, 0, 0)),
        box(b"hdlr", bytes(8), b"soun", bytes(13)),
        box(b"minf", box(b"smhd", bytes(8)), table),
    )
    head = box(b"tkhd", struct.pack(">6I", 0, 0, 0, 1, 0, 5_000), bytes(16), matrix, bytes(8))
    film = struct.pack(">6IHHII", 0, 0, 0, 1_000, 5_000, 1 << 16, 256, 0, 0, 0)
    moov = box(
        b"moov", box(b"mvhd", film, matrix, bytes(24), b"\0\0\0\2"), box(b"trak", head, media)
    )
    return box(b"ftyp", b"M4A \0\0\0\0M4A mp42isom") + box(b"mdat", bytes(1_000)) + moov


MEASURE = """
import io, sys
from pathlib import Path
from glagol.core.errors import InputError
from glagol.speech.audio.decode import decode
from glagol.speech.audio.streaming import container

def memory(line):
    status = Path("/proc/self/status").read_text()
    return int(status.split(line + ":")[1].split()[0])

def opened(way, path):
    data = open(path, "rb")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = memory("VmRSS")
    try:
        for _ in decode(data, max_seconds=60) if way == "file" else container(data.read):
            pass
    except InputError as error:
        return error.code, memory("VmHWM") - before
    return "sound", memory("VmHWM") - before

opened("file", sys.argv[1])  # what every recording needs
for case in sys.argv[2:]:
    print(*opened(*case.split(":", 1)))
"""


def test_no_file_takes_much_memory(tmp_path: Path) -> None:
    """Each takes less than 80 MiB more than a tone; 90 MB to 480 MB without the bounds.

    The picture's 92 MB are less than one piece of memory may have, so only the list of decoders
    keeps it out.
    """
    cover = png(3_400)
    cases = {
        "cover": ("file", flac_with_cover(cover), "sound"),
        "track": ("file", matroska_with_picture(cover), "sound"),
        "live": ("live", matroska_with_picture(cover), "sound"),
        "rate": ("file", fast_wav(), "audio_unreadable"),
        "index": ("file", indexed_mp4(), "audio_truncated"),
    }
    (tmp_path / "tone").write_bytes(made.wav(made.tone(1.0)))
    arguments = []
    for name, (way, data, _) in cases.items():
        (tmp_path / name).write_bytes(data)
        arguments.append(f"{way}:{tmp_path / name}")
    code = f"import sys; sys.path[:0] = {[p for p in sys.path if 'packages' in p]!r}\n{MEASURE}"
    command = [sys.executable, "-c", code, str(tmp_path / "tone"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found = dict(zip(cases, (line.split() for line in ran.stdout.splitlines()), strict=True))
    assert {name: code for name, (code, _) in found.items()} == {n: c[2] for n, c in cases.items()}
    peaks = {name: int(kib) for name, (_, kib) in found.items()}
    assert max(peaks.values()) < 80 * 1024, peaks


HOLLOW: dict[str, bytes] = {
    "wav": b"RIFF\xf0\xff\xff\x7fWAVE" + b"JUNK\0\0\0\0" * EMPTY,
    "rf64": b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + bytes(28) + b"JUNK\0\0\0\0" * EMPTY,
    "mp4": box(b"ftyp", b"M4A \0\0\0\0") + box(b"free") * EMPTY,
    "aiff": b"FORM\x7f\xff\xff\xf0AIFF" + b"JUNK\0\0\0\0" * EMPTY,
}


@pytest.mark.parametrize("name", list(HOLLOW))
def test_a_structure_without_sound_is_given_up(name: str) -> None:
    """The steps are bounded, whether our own code or a demuxer walks."""
    file = Counted(HOLLOW[name])
    with pytest.raises(InputError) as caught:
        decode(file, max_seconds=60.0)
    assert caught.value.code == "audio_unreadable"
    assert file.calls < 1.1 * (budget.CALLS + len(HOLLOW[name]) // budget.BYTES_PER_CALL)


@pytest.mark.parametrize("name", ["wav", "rf64", "mp4"])
def test_cancelling_ends_a_walk_at_once(name: str) -> None:
    """Both walkers look at the flag at each step."""
    file = Counted(HOLLOW[name])
    with pytest.raises(HostError) as caught:
        decode(file, max_seconds=60.0, cancelled=lambda: file.calls > 2_000)
    assert caught.value.code == "cancelled"
    assert file.calls < 2_010


def test_cancelling_ends_the_decoding_before_the_next_packet() -> None:
    """Small files hold long silence: no access to the file is needed to continue."""
    left: list[bool] = []
    data = made.encoded(np.zeros(50 * 48_000, np.float32), 48_000, "flac", "flac")
    assert len(data) < budget.ALLOCATION_BYTES
    blocks = decode(io.BytesIO(data), max_seconds=60.0, cancelled=lambda: bool(left))
    next(blocks)
    left.append(True)
    with pytest.raises(HostError, match="cancelled"):
        next(blocks)


def test_long_silence_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording may have any number of packets, and few bytes in each."""
    monkeypatch.setattr(budget, "CALLS", 100)
    data = made.encoded(np.zeros(30 * 48_000, np.float32), 48_000, "ogg", "libopus")
    assert len(data) / budget.BYTES_PER_CALL < 30 / 0.02 - 200
    assert length(data) == pytest.approx(480_000, abs=1_000)


def test_zeros_behind_the_sound_cost_nothing() -> None:
    """A recorder that allocates ahead leaves zeros; they are not read."""
    file = Counted(made.wav(made.tone(1.0)) + bytes(1 << 20))
    assert sum(map(len, decode(file, max_seconds=60.0))) == 16_000
    assert file.calls < 200


def test_many_fragments_are_no_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fragment takes some twelve steps, and its bytes pay for them."""
    monkeypatch.setattr(budget, "CALLS", 1_000)
    file = io.BytesIO()
    fragments = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
    with av.open(file, "w", format="mp4", options=fragments) as output:
        stream = output.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(made.tone(20.0)[np.newaxis], "fltp", "mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler("fltp", "mono", 16_000, 1_024)
        for block in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    counted = Counted(file.getvalue())
    assert sum(map(len, decode(counted, max_seconds=60.0))) == pytest.approx(320_000, abs=2_048)
    assert counted.calls > 3 * budget.CALLS


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_rates_that_no_recorder_has_are_refused(rate: int) -> None:
    """The message names the rate and what is accepted."""
    data = bytearray(made.wav(made.tone(1.0)))
    data[24:28] = rate.to_bytes(4, "little")
    with pytest.raises(InputError, match=f"{rate} samples per second, 1000 to 768000") as caught:
        length(bytes(data))
    assert caught.value.code == "audio_unreadable"


@pytest.mark.parametrize("rate", [1_000, 768_000])
def test_the_outermost_rates_are_accepted(rate: int) -> None:
    """And become 16 kHz like all others."""
    assert length(made.wav(made.tone(0.5, rate), rate)) == pytest.approx(8_000, abs=40)


@pytest.mark.parametrize(("channels", "rate"), [(65, 16_000), (64, 48_001), (8, 655_350)])
def test_too_many_channels_are_refused(channels: int, rate: int) -> None:
    """By number, and by samples per second in all."""
    with pytest.raises(InputError, match=f"{channels} channels at {rate} Hz") as caught:
        length(made.wav(np.zeros((rate // 8, channels), np.float32), rate))
    assert caught.value.code == "audio_unreadable"
    assert length(made.wav(np.zeros((4_000, 64), np.float32))) == 4_000


def test_a_live_stream_has_the_same_bounds() -> None:
    """Rates and codecs."""
    fast = made.encoded(made.tone(0.1, 1_000_000), 1_000_000, "matroska", "wavpack")
    for read in (lambda: length(fast), lambda: list(container(io.BytesIO(fast).read))):
        with pytest.raises(InputError, match="1000000 samples per second"):
            read()


def test_samples_in_all_are_bounded() -> None:
    """Short recordings may be fast and wide, long ones may not."""
    sound = budget.Sound(3_600.0)
    for _ in range(3_600):
        sound.frame(192_000, 2, 192_000)
    with pytest.raises(LimitError) as caught:
        sound.frame(192_000, 2, 192_000)
    assert caught.value.code == "audio_too_long"
    budget.Sound(1.0).frame(384_000, 8, 384_000)


def test_what_is_gathered_is_counted_in_samples() -> None:
    """A stated rate does not choose how much is kept."""
    taken = 0

    def frames() -> Iterator[tuple[int, Array]]:
        nonlocal taken
        for _ in range(750):
            taken += 1_024
            yield 768_000, np.zeros(1_024, np.float32)

    next(resampled(frames()))
    assert taken <= GATHERED_MAX + 1_024


@pytest.mark.parametrize("read", [length, lambda data: list(container(io.BytesIO(data).read))])
def test_a_codec_that_is_not_on_the_list_is_named(
    read: Callable[[bytes], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which it is, and what to do."""
    data = made.encoded(made.tone(1.0, 48_000), 48_000, "matroska", "alac")
    read(data)
    monkeypatch.setattr("glagol.speech.audio.tracks.DECODERS", {"aac": "phones"})
    with pytest.raises(InputError, match="the codec alac, which is not accepted") as caught:
        read(data)
    assert caught.value.code == "audio_unreadable"


def test_integers_of_sixty_four_bits_are_refused_by_name() -> None:
    """An audio codec that is not on the list, in a common container."""
    with pytest.raises(InputError, match="the codec pcm_s64le"):
        length(made.encoded(made.tone(1.0), 16_000, "wav", "pcm_s64le"))


OTHERS = [
    ("aiff", "pcm_s24be", 16_000),
    ("asf", "wmav1", 44_100),
    ("asf", "wmav2", 44_100),
    ("au", "adpcm_g726le", 8_000),
    ("avi", "adpcm_ms", 22_050),
    ("avi", "mp2", 44_100),
    ("caf", "alac", 44_100),
    ("flv", "adpcm_swf", 22_050),
    ("flv", "nellymoser", 22_050),
    ("3gp", "libopencore_amrnb", 8_000),
    ("amr", "libopencore_amrnb", 8_000),
    ("matroska", "eac3", 48_000),
    ("matroska", "tta", 48_000),
    ("matroska", "wavpack", 48_000),
    ("mov", "adpcm_ima_qt", 44_100),
    ("mov", "pcm_f64be", 48_000),
    ("mpegts", "ac3", 48_000),
    ("vob", "pcm_dvd", 48_000),
    ("w64", "pcm_s16le", 16_000),
    ("wav", "adpcm_ima_wav", 8_000),
    ("wav", "adpcm_yamaha", 8_000),
    ("wav", "g722", 16_000),
    ("wav", "g726", 8_000),
    ("wav", "pcm_alaw", 8_000),
]


@pytest.mark.parametrize(("form", "codec", "rate"), OTHERS)
def test_what_people_have_is_still_read(form: str, codec: str, rate: int) -> None:
    """Beside the common formats of test_audio."""
    bit_rate = 64_000 if codec.startswith("wma") else None
    data = made.encoded(made.tone(1.5, rate), rate, form, codec, bit_rate=bit_rate)
    assert length(data) == pytest.approx(24_000, abs=3_000)


def test_the_decoders_are_those_that_ffmpeg_takes() -> None:
    """Of several decoders for a codec FFmpeg takes one; a table with another refuses the codec."""
    path = av.container.core.__file__
    assert path
    find = ctypes.CDLL(path).avcodec_find_decoder
    find.restype = ctypes.POINTER(ctypes.c_char_p)  # its first field is the name
    for name, why in allowed.DECODERS.items():
        codec = av.Codec(name, "r")
        assert (codec.type, find(codec.id)[0].decode()) == ("audio", name)
        assert why


def test_no_format_opens_other_files() -> None:
    """FFmpeg knows the formats by these names, and none is a list of others."""
    for name, why in allowed.CONTAINERS.items():
        assert av.ContainerFormat(name, "r").name.split(",").count(name) == 1
        assert why
    assert not {"hls", "concat", "dash", "sdp", "image2", "rtsp"} & set(allowed.CONTAINERS)
    assert budget.bound_memory()


def test_junk_behind_frames_is_no_sound() -> None:
    """Random bytes hold what looks like frames, in other rates and channels; none is believed."""
    junk = np.random.default_rng(5).integers(0, 256, 4 << 20, np.uint8).tobytes()
    for form, codec in (("adts", "aac"), ("mp3", "libmp3lame")):
        data = made.encoded(made.tone(1.0, 44_100), 44_100, form, codec)
        whole = length(data)
        assert length(data + junk) == pytest.approx(whole, abs=1_600)
