"""Forward vLLM's log lines to our log without any prompt.

Lines from before vLLM is ready are logged whole: no prompt exists yet. Afterwards the process that
serves HTTP handles prompts and puts callers' values into its messages, so only level and place of
its lines are logged, and lines without vLLM's prefix (tracebacks, other libraries) are dropped.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import Final

from glagol.core import journal

__all__ = ["Lines"]

TAIL: Final = 40
MESSAGE_CHARACTERS_MAX: Final = 400
_LINE: Final = re.compile(
    r"\((?P<process>\S+) pid=\d+\) (?P<level>[A-Z]+) \d\d-\d\d [\d:]+"
    r" \[(?P<place>[^\]]+)\] ?(?P<text>.*)"
)
_LEVELS: Final = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.DEBUG,  # its every step; ours are logged at info
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.ERROR,
}
# what vLLM says when the card is too small (v1/worker, v1/core/kv_cache_utils.py)
_TOO_SMALL: Final = re.compile(
    r"less than desired (GPU|CPU)? ?memory utilization|No available memory for the cache blocks"
    r"|larger than the (available KV cache memory|maximum number of tokens)|out of memory",
    re.IGNORECASE,
)


class Lines:
    """Logs the lines of one vLLM process.

    Attributes:
        serving: Whether requests may be there.
    """

    def __init__(self) -> None:
        self.serving = False
        self._tail: deque[str] = deque(maxlen=TAIL)

    def tell(self, line: str) -> None:
        """Log one line, as far as it may be."""
        found = _LINE.match(line)
        if not self.serving:
            self._tail.append(found["text"] if found else line)
        if found is None:
            if line.strip() and not self.serving:
                journal.write("vllm", level=logging.DEBUG, message=line[:MESSAGE_CHARACTERS_MAX])
            return
        withheld = self.serving and found["process"].startswith("APIServer")
        journal.write(
            "vllm",
            level=_LEVELS.get(found["level"], logging.WARNING),
            process=found["process"],
            place=found["place"],
            message=None if withheld else found["text"][:MESSAGE_CHARACTERS_MAX],
        )

    def too_small(self) -> str | None:
        """The line that says that memory is too small; None when none does."""
        return next((line for line in self._tail if _TOO_SMALL.search(line)), None)

    def last_error(self) -> str:
        """The line that most likely says why the start failed; empty when there is none."""
        errors = [line for line in self._tail if re.match(r"\s*[\w.]*(Error|Exception)\b", line)]
        return (errors or [""])[0].strip()[:MESSAGE_CHARACTERS_MAX]
