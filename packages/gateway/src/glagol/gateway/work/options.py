"""What a person may choose for the transcription of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from glagol.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Options", "of_words"]

_SPEAKERS: Final[Mapping[str, dict[str, str]]] = {
    "mix": {"channel": "mix"},
    "channels": {"channel": "split"},
    "voices": {"diarize": "true"},
}
"""What the page's one choice of speakers is at asr-server."""

_Word = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[\w./@:+-]*$")]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options, by the names of asr-server's.

    Attributes:
        model: Id or alias; empty for the server's default.
        channel: Channels together, or each alone.
        language: In any form; "auto" lets the model decide.
        diarize: Whether speakers are found by their voices.
        num_speakers: How many people speak, with `diarize`; empty where it is unknown.
    """

    model: _Word = ""
    channel: Literal["mix", "split", ""] = ""
    language: _Word = ""
    diarize: Literal["true", ""] = ""
    num_speakers: Annotated[str, msgspec.Meta(max_length=2, pattern=r"^[0-9]*$")] = ""

    def asked(self) -> dict[str, str]:
        """Those that were chosen."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value}


def of_words(words: Mapping[str, str]) -> Options:
    """The options that a form, a query or an upload's metadata names.

    `speakers` is the page's choice: `mix`, `channels` or `voices`.

    Raises:
        InputError: `option_invalid`.
    """
    words = {**words, **_SPEAKERS.get(words.get("speakers", ""), {})}
    known = {name: words[name] for name in Options.__struct_fields__ if words.get(name)}
    if not known.get("diarize"):  # a form sends the number in any case
        known.pop("num_speakers", None)
    try:
        return msgspec.convert(known, Options)
    except msgspec.ValidationError as error:
        raise InputError(
            "option_invalid", f"the transcription cannot have this option: {error}", "leave it out"
        ) from None
