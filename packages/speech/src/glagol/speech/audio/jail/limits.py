"""What a child process that opens one recording may cost."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]

DECODING_SPEED_MIN = 10
"""Times real time of the slowest decoder; measured ones are above 100."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of each child; the kernel holds the first two, the parent the others.

    Attributes:
        memory_bytes: private memory beyond that of a child without a recording.
        cpu_s: seconds of processor time.
        idle_s: seconds that the parent waits for the next piece of sound.
        grace_s: seconds that it waits altogether, beyond the seconds of sound that came.
    """

    memory_bytes: int = 176 << 20
    cpu_s: int = 600
    idle_s: float = 20.0
    grace_s: float = 60.0

    @classmethod
    def for_seconds(cls, audio_s: float) -> Limits:
        """Limits for recordings of at most `audio_s` seconds."""
        return cls(cpu_s=120 + int(audio_s / DECODING_SPEED_MIN))
