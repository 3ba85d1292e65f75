"""The two synthesisers: espeak-ng (many voices) and festival (one Russian speaker)."""

from __future__ import annotations

import os
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from glagol.forge.nano.speech.clips import SAMPLE_RATE, Pcm

DEFAULT_VOICE = ""
"""espeak-ng's plain Russian voice."""

_HELD_OUT = "f3 m4 m7 klatt4 anika belinda victor Hugo steph2 quincy"
HELD_OUT_VOICES = tuple(_HELD_OUT.split())
"""Voice variants that no training clip uses."""

_VARIANTS = (
    "f1 f2 f4 f5 m1 m2 m3 m5 m6 m8 klatt klatt2 klatt3 klatt5 Alex Alicia Andrea Andy Annie "
    "Denis Diogo Gene Gene2 Henrique Jacky Lee Marco Mario Michael Mike Nguyen RicishayMax "
    "RicishayMax2 Storm adam antonio aunty benjamin boris caleb david ed edward edward2 grandma "
    "grandpa gustave iven iven2 iven4 john linda marcelo max michel miguel norbert pablo paul "
    "pedro rob robert sandro shelby steph travis zac whisperf"
)
SEEN_VOICES = (DEFAULT_VOICE, DEFAULT_VOICE, DEFAULT_VOICE, *_VARIANTS.split())
"""Voice variants of training; the plain voice is drawn three times as often."""

_ESPEAK_HEADER_BYTES = 44
_FESTIVAL_VOICE = "(voice_msu_ru_nsh_clunits)"
_CLIPS_PER_PROCESS = 1500


@dataclass(frozen=True)
class Manner:
    """How espeak-ng speaks: variant name, words per minute, pitch 0 to 99."""

    voice: str
    speed: int = 165
    pitch: int = 50


def trim(samples: Pcm, margin: int = 1600, threshold: int = 200) -> Pcm:
    """Cut silence at both ends of [n] down to a margin (samples); all silence gives no sample."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > threshold)
    if not len(loud):
        return samples[:0]
    return samples[max(0, int(loud[0]) - margin) : int(loud[-1]) + margin]


def espeak(text: str, manner: Manner) -> Pcm:
    """Speak a text with espeak-ng, int16 [n]; an empty array when it says nothing.

    Raises OSError when espeak-ng is not installed.
    """
    voice = f"ru+{manner.voice}" if manner.voice else "ru"
    options = ["-v", voice, "-s", str(manner.speed), "-p", str(manner.pitch), "--stdout"]
    spoken = subprocess.run(["espeak-ng", *options, "--", text], capture_output=True, check=False)
    raw = np.frombuffer(spoken.stdout[_ESPEAK_HEADER_BYTES:], dtype="<i2").astype(np.float32)
    if not len(raw):
        return np.zeros(0, np.int16)
    resampled = resample_poly(raw, 320, 441)
    return trim(np.clip(resampled, -32767, 32767).astype(np.int16))


class Festival:
    """A festival process that is asked for clips one by one and restarted when it fails."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="festival-")
        self._process: subprocess.Popen[bytes] | None = None
        self._spoken = 0

    def close(self) -> None:
        """End the process and remove its folder."""
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["festival", "--pipe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        self._process = process
        self._command(process, _FESTIVAL_VOICE)
        return process

    @staticmethod
    def _command(process: subprocess.Popen[bytes], command: str) -> None:
        if process.stdin is None or process.stdout is None:
            raise BrokenPipeError("festival was started without pipes")
        mark = '\n(format t "\\nREADY\\n")(fflush nil)\n'
        process.stdin.write((command + mark).encode())
        process.stdin.flush()
        for line in process.stdout:
            if line.strip() == b"READY":
                return
        raise EOFError("festival ended")

    def speak(self, text: str, stretch: float = 1.0) -> Pcm:
        """Speak a text, slower with a larger stretch, int16 [n]; empty when festival fails.

        Some sentences crash festival: they are lost, and the next call starts it anew.
        """
        if self._process is not None and self._spoken % _CLIPS_PER_PROCESS == 0:
            self._stop()  # the process grows by half a megabyte a clip
        self._spoken += 1
        target = Path(self._folder.name) / "clip.wav"
        target.unlink(missing_ok=True)
        plain = text.replace('"', "").replace("\\", "")
        try:
            process = self._process or self._start()
            self._command(process, f"(Parameter.set 'Duration_Stretch {stretch:.2f})")
            utterance = f'(utt.synth (Utterance Text "{plain}"))'
            self._command(process, f'(utt.save.wave {utterance} "{target}" \'riff)')
        except (EOFError, BrokenPipeError):
            self._stop()
            return np.zeros(0, np.int16)
        return _read_wave(target)


def _read_wave(path: Path) -> Pcm:
    try:
        with wave.open(str(path)) as file:
            if file.getframerate() != SAMPLE_RATE:
                return np.zeros(0, np.int16)
            return trim(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
    except (OSError, wave.Error, EOFError):
        return np.zeros(0, np.int16)
