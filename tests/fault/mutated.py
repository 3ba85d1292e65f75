"""Damaged recordings by the thousand: `python tests/fault/mutated.py --count N --seed S`.

Real files of every common format are broken at random, then decoded and transcribed like a
request's. Anything but a transcript or an error of the caller's families is a failure, and so is a
file that takes more than 30 s or a process that dies. Prints a summary as JSON.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import homes
import sounds
from glagol.core.errors import InputError, LimitError
from glagol.runtime.options import Runtime
from glagol.speech import Options, Recognizer
from glagol.speech.audio.decode import decode
from glagol.speech.audio.streaming import container
from speech import made

HANG_S = 30.0
MAX_AUDIO_S = 600.0
MEMORY_BYTES = 4 << 30
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0\0\0")


def originals() -> dict[str, bytes]:
    """A second and a half of the bundled clip in every common format."""
    data, rate = sounds.samples()
    clip = data[: 3 * rate // 2]
    at = np.arange(0, len(clip) / rate, 1 / 48_000)
    fine = np.interp(at, np.arange(len(clip)) / rate, clip).astype(np.float32)
    found = {
        "wav": sounds.wav(clip, rate),
        "wav-float": sounds.wav(clip, rate, kind=sounds.FLOAT),
        "wav-stereo": sounds.wav(np.stack([clip, clip[::-1]], axis=1), rate),
    }
    for name, form, codec in (
        ("ogg", "ogg", "libopus"),
        ("webm", "webm", "libopus"),
        ("mp3", "mp3", "libmp3lame"),
        ("flac", "flac", "flac"),
        ("m4a", "mov", "aac"),
        ("aac", "adts", "aac"),
    ):
        found[name] = made.encoded(fine, 48_000, form, codec)
    return found


def broken(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """`data` with one to six things wrong; headers are hit as often as the rest."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        size = len(out)
        if size < 8:
            break
        at = chance.randrange(min(size, 96) if chance.random() < 0.5 else size)
        match chance.randrange(8):
            case 0:
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                out[at : at + 4] = chance.choice(EXTREMES)
            case 2:
                out[at : at + chance.randint(1, 64)] = chance.randbytes(chance.randint(0, 64))
            case 3:
                del out[at : at + chance.randint(1, size // 4 + 1)]
            case 4:
                out[at:at] = out[at : at + chance.randint(1, 512)] * chance.randint(1, 4)
            case 5:
                del out[at:]
            case 6:
                start = chance.randrange(len(other))
                out[at:at] = other[start : start + chance.randint(1, 512)]
            case _:
                out += chance.randbytes(chance.randint(1, 512))
    return bytes(out)


def main() -> int:
    """0 when nothing failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    av.logging.set_level(None)
    recognizer = Recognizer.open(homes.repository(), runtime=Runtime(threads=1))
    files, chance = originals(), random.Random(given.seed)  # noqa: S311
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    ways: dict[str, Callable[[bytes], object]] = {
        "mix": lambda data: list(decode(io.BytesIO(data), max_seconds=MAX_AUDIO_S)),
        "split": lambda data: list(decode(io.BytesIO(data), max_seconds=MAX_AUDIO_S, split=True)),
        "arriving": lambda data: list(container(io.BytesIO(data).read)),
        "transcribe": lambda data: recognizer.transcribe(
            io.BytesIO(data), options=Options(max_audio_s=MAX_AUDIO_S)
        ),
    }
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    slowest_s = 0.0
    for number in range(given.count):
        kind = chance.choice(list(files))
        data = broken(files[kind], files[chance.choice(list(files))], chance)
        way = chance.choice(list(ways))
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        began = time.monotonic()
        try:
            ways[way](data)
            outcomes["transcript or samples"] += 1
        except (InputError, LimitError) as error:
            outcomes[error.code] += 1
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            failures.append(f"{number} {kind} {way}: {type(error).__name__}: {error}")
        faulthandler.cancel_dump_traceback_later()
        slowest_s = max(slowest_s, time.monotonic() - began)
    summary = {
        "files": given.count,
        "seed": given.seed,
        "outcomes": dict(outcomes.most_common()),
        "failures": failures[:20],
        "slowest_s": round(slowest_s, 3),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    json.dump(summary, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
