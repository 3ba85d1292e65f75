"""Recordings made to hurt a server: small on the wire, large to what opens them.

Covers and rates are those of tests/speech/audio/test_hostile.py.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from speech.audio import test_hostile as made_hostile

MIB = 1 << 20


def recordings(more: Path | None = None) -> dict[str, Callable[[], bytes]]:
    """What makes each.

    Args:
        more: a folder with others; its files are taken as they are.
    """
    found: dict[str, Callable[[], bytes]] = {
        "cover of 2 GB, FLAC": lambda: made_hostile.flac_with_cover(made_hostile.png(15_500)),
        "cover of 2 GB, Matroska": lambda: made_hostile.matroska_with_picture(
            made_hostile.png(15_500)
        ),
        "empty chunks, WAV": lambda: b"RIFF\xf0\xff\xff\x7fWAVE" + b"JUNK\0\0\0\0" * (3 * MIB),
        "empty boxes, MP4": lambda: b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08free" * (3 * MIB),
        "rate of 2 GHz, WAV": made_hostile.fast_wav,
        "index of 480 MB, MP4": made_hostile.indexed_mp4,
        "16 MHz, WavPack": lambda: silent("matroska", "wavpack", "s16p", 16_000_000, "mono"),
        "655 kHz in 8 channels, FLAC": lambda: silent("flac", "flac", "s16", 655_350, "7.1"),
    }
    if more is not None:
        for path in sorted(more.iterdir()):
            if path.is_file() and path.suffix != ".tsv":
                found[path.name] = path.read_bytes
    return found


def silent(form: str, codec: str, samples: str, rate: int, layout: str) -> bytes:
    """105 million samples of silence for each channel, packed."""
    file, size = io.BytesIO(), 1 << 18
    with av.open(file, "w", format=form) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = layout
        channels = stream.codec_context.layout.nb_channels
        shape = (channels, size) if samples.endswith("p") else (1, size * channels)
        for turn in range(400):
            frame = av.AudioFrame.from_ndarray(np.zeros(shape, np.int16), samples, layout)
            frame.sample_rate, frame.pts = rate, turn * size
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return file.getvalue()


def children_of(pid: int) -> list[int]:
    """Process ids of a process's children."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(word) for task in tasks for word in (task / "children").read_text().split()]
    except OSError:
        return []


def memory_bytes(pid: int, field: str = "Pss") -> int:
    """Proportional share of a process's memory; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(text.partition(f"\n{field}:")[2].split()[0]) * 1024
