"""The bytes of every text token, from either published form of the tokenizer.

`*.tiktoken` (openai-whisper) has one line per token: its bytes in base64, and its id. A
`tokenizer.json` (Hugging Face) writes bytes as printable characters, by GPT-2's alphabet. Both give
the same bytes; ids behind the text follow from the size of the vocabulary alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from glagol.forge.checkpoints.safetensors import CheckpointError
from glagol.forge.families.whisper.sizes import Sizes

TIKTOKEN: Final = ".tiktoken"

BYTES_MAX: Final = 16 << 20
"""Of a tokenizer file; the published ones have up to 2.5 MB."""

_PRINTABLE: Final = (*range(33, 127), *range(161, 173), *range(174, 256))
_SPECIAL: Final = ("<|endoftext|>", "<|startoftranscript|>")
_LAST: Final = "<|notimestamps|>"
_AFTER_LAST: Final = 1501
"""Tokens behind `<|notimestamps|>`: 0.00 to 30.00 s by 0.02 s."""


def read_tokens(name: str, data: bytes, sizes: Sizes) -> tuple[bytes, ...]:
    """Return the bytes of the text tokens, by id.

    Args:
        name: of the file; its ending says which form it has.
        data: the file.
        sizes: of the model that the tokenizer must fit.

    Raises:
        CheckpointError: the file is broken, or belongs to another vocabulary.
    """
    if len(data) > BYTES_MAX:
        raise CheckpointError(f"{name} has {len(data)} bytes, the limit is {BYTES_MAX}")
    try:
        found = _ranks(data) if name.endswith(TIKTOKEN) else _pieces(data, sizes)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise CheckpointError(f"{name}: {error}") from error
        raise CheckpointError(f"{name} is no tokenizer: {error}") from error
    texts = tuple(found.get(number) for number in range(sizes.texts))
    absent = [number for number, text in enumerate(texts) if text is None]
    if absent or len(found) != sizes.texts:
        raise CheckpointError(
            f"{name} does not fit: it has {len(found)} text tokens, a model of"
            f" {sizes.vocabulary} tokens has {sizes.texts}"
        )
    whole = tuple(text for text in texts if text is not None)
    if len(set(whole)) != len(whole):
        raise CheckpointError(f"{name}: two tokens have the same bytes")
    if not {bytes([value]) for value in range(256)} <= set(whole):
        raise CheckpointError(f"{name}: not every byte is a token")
    return whole


def write_tokens(tokens: tuple[bytes, ...]) -> bytes:
    """Return `tokens.txt`: one line per text token, its bytes in base64; the line is the id.

    A token without bytes is an empty line, so split the file at newlines and at nothing else.
    """
    return b"".join(base64.b64encode(token) + b"\n" for token in tokens)


def _ranks(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for line in data.splitlines():
        text, _, rank = line.rpartition(b" ")
        number = int(rank)
        if number in found:
            raise CheckpointError(f"the id {number} is there twice")
        found[number] = base64.b64decode(text, validate=True) if text != b"=" else b""
    return found


def _pieces(data: bytes, sizes: Sizes) -> dict[int, bytes]:
    parsed = json.loads(data)
    special = _added(parsed)
    end, last = sizes.texts, sizes.vocabulary - 1 - _AFTER_LAST
    expected = dict(zip(_SPECIAL, (end, end + 1), strict=True)) | {_LAST: last}
    for text, number in expected.items():
        if special.get(text) != number:
            raise CheckpointError(
                f"does not fit: {text} has the id {special.get(text)}, a model of"
                f" {sizes.vocabulary} tokens has it at {number}"
            )
    alphabet = _alphabet()
    found: dict[int, bytes] = {}
    for text, number in parsed["model"]["vocab"].items():
        if text in special:
            continue
        if type(number) is not int or number in found:
            raise CheckpointError(f"the id of {text[:40]!r} is none, or is there twice")
        try:
            found[number] = bytes(alphabet[character] for character in text)
        except KeyError as error:
            raise CheckpointError(f"{error} in {text[:40]!r} stands for no byte") from error
    return found


def _added(parsed: Mapping[str, Any]) -> dict[str, int]:
    return {entry["content"]: entry["id"] for entry in parsed["added_tokens"]}


def _alphabet() -> dict[str, int]:
    """GPT-2's character for each byte: printable ones are themselves, others from U+0100 on."""
    found = {chr(value): value for value in _PRINTABLE}
    others = (value for value in range(256) if value not in _PRINTABLE)
    return found | {chr(256 + index): value for index, value in enumerate(others)}
