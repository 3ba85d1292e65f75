"""Open a bundle in any form: tar, unpacked folder, split parts, sealed by age, or a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from glagol.bundle import sign
from glagol.bundle.errors import error, stop
from glagol.bundle.verify import CHUNK, check_parts, folder_members, tar_members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glagol.bundle.verify import Member

PARTS = ".parts.json"


class Joined:
    """Files read one after the other, as one stream."""

    def __init__(self, paths: list[Path]) -> None:
        self._chunks = self._all(paths)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        parts = [self._rest]
        have = len(self._rest)
        while have < size and (data := next(self._chunks, b"")):
            parts.append(data)
            have += len(data)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    @staticmethod
    def _all(paths: list[Path]) -> Iterator[bytes]:
        for path in paths:
            with path.open("rb") as file:
                while data := file.read(CHUNK):
                    yield data


@contextmanager
def opened(place: str, identity: Path | None = None, stream: Any = None) -> Iterator[BinaryIO]:
    """The plain tar at `place`: a file, NAME.parts.json, NAME.age, or `-`.

    Args:
        place: where it lies.
        identity: age identity for a sealed one.
        stream: gets progress lines of the parts.

    Raises:
        InputError: `bundle_not_found`; `option_invalid`, a sealed bundle without an identity.
        BundleError: a part is wrong.
        HostError: `bundle_tool`.
    """
    path = Path(place)
    if place == "-":
        yield sys.stdin.buffer
        return
    if not path.is_file():
        raise error("bundle_not_found", f"there is no bundle at {place}", "check the path")
    if place.endswith(PARTS):
        parts = cast("BinaryIO", Joined(check_parts(path, stop, stream)))
        if place.endswith(".age" + PARTS):
            raise error(
                "option_invalid",
                f"{place} is sealed and split",
                "its parts are right; join them (cat NAME.age.* > NAME.age) and name that file",
            )
        yield parts
    elif path.suffix == ".age":
        if identity is None:
            raise error(
                "option_invalid", f"{place} is sealed", "name the age identity with --identity"
            )
        with sign.opened(path, identity) as sealed:
            yield sealed
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def members(place: str, identity: Path | None = None, stream: Any = None) -> Iterator[Members]:
    """The members of a bundle in any form, an unpacked folder included; as `opened`."""
    if place != "-" and Path(place).is_dir():
        yield folder_members(Path(place))
    else:
        with opened(place, identity, stream) as file:
            yield tar_members(file)


if TYPE_CHECKING:
    Members = Iterator[Member]
