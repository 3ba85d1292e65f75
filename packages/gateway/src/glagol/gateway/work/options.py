"""What a person may choose for the transcription of a recording."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from glagol.core.errors import InputError

__all__ = ["Options", "of_words"]

_Word = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[\w./@:+-]*$")]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options, by the names of asr-server's.

    Attributes:
        model: Id or alias; empty for the server's default.
        channel: Channels together, or each alone.
        language: In any form; "auto" lets the model decide.
    """

    model: _Word = ""
    channel: Literal["mix", "split", ""] = ""
    language: _Word = ""

    def asked(self) -> dict[str, str]:
        """Those that were chosen."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value}


def of_words(words: dict[str, str]) -> Options:
    """The options that a form, a query or an upload's metadata names.

    Raises:
        InputError: `option_invalid`.
    """
    known = {name: words[name] for name in Options.__struct_fields__ if words.get(name)}
    try:
        return msgspec.convert(known, Options)
    except msgspec.ValidationError as error:
        raise InputError(
            "option_invalid", f"the transcription cannot have this option: {error}", "leave it out"
        ) from None
