"""Messages between the spawner and the zygote."""

from __future__ import annotations

import struct
from typing import Final

__all__ = [
    "BORN",
    "ENDED",
    "GIVE_WAY",
    "HURRY",
    "KILL",
    "LATER",
    "NOTE",
    "ORDER",
    "TO_CHILD",
]

NOTE: Final = struct.Struct("<cii")
"""Of the zygote: what, process id, and for an end its wait status."""

BORN: Final = b"b"
"""With the parent's end of its socket; the process id is -1 where it could not be made."""

ENDED: Final = b"e"

ORDER: Final = b"+"
"""To the zygote: one more child."""

LATER: Final = b"~"
"""To the zygote: one more child in a moment, when the processor has done what it does now."""

HURRY: Final = b"!"
"""To the zygote: the moment is over."""

TO_CHILD: Final = struct.Struct("<ci")
"""To the zygote: KILL or GIVE_WAY, and the process id of a child."""

KILL: Final = b"k"

GIVE_WAY: Final = b"w"
"""The child is waited for: if it has used much processor time, others go first from now on."""
