"""What a caller asks of the engine and its text beside the language, on every route and in jobs.

Each option is refused by name where the model that shall serve cannot do it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, get_args

import msgspec

from glagol.speech.phrases.types import Phrase
from glagol.speech.types import Numbers, Task, WindowRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.speech.engines.base import Traits
    from glagol.speech.types import Options

__all__ = ["NAMES", "NUMBERS", "TASKS", "USUAL", "WINDOWS", "EngineOptions"]

TASKS: Final = get_args(Task)
WINDOWS: Final = get_args(WindowRule)
NUMBERS: Final = get_args(Numbers)
NAMES: Final = ("task", "window", "prompt", "phrases", "numbers", "redact")
"""The options that our own routes take; OpenAI's have a prompt, a temperature and keywords."""


class EngineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """See `glagol.speech.types.Options`, of which these are a part.

    Attributes:
        task: "translate" gives English text.
        window: What the encoder reads; None for the model's own rule.
        prompt: Text that is taken for what was said before.
        temperature: 0..1.
        phrases: That are expected.
        numbers: "digits" writes numbers so.
        redact: Mask numbers of telephones, cards and passports.
    """

    task: Task = "transcribe"
    window: WindowRule | None = None
    prompt: str = ""
    temperature: float = 0.0
    phrases: tuple[Phrase, ...] = ()
    numbers: Numbers = "words"
    redact: bool = False

    def added(self, options: Options) -> Options:
        """The recogniser's options with these."""
        return replace(options, **msgspec.structs.asdict(self))

    def refused(self, traits: Traits) -> Mapping[str, str]:
        """The options that a model does not take, each with what to do instead."""
        from glagol.speech.pipeline.options import refused
        from glagol.speech.types import Options

        return refused(self.added(Options()), traits)


USUAL: Final = EngineOptions()
"""What is asked where nothing is."""
