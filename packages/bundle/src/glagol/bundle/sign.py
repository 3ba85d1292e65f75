"""Signatures and sealing by stock tools: `ssh-keygen -Y` (Ed25519) and `age`.

Both forms of a bundle have one identity: the id of the plain tar inside. A signature is over
SHA256SUMS and Ed25519 is deterministic, so a rebuilder without the key takes the published
SHA256SUMS.sig and gets the very same tar.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from glagol.bundle.errors import REMEDIES, error
from glagol.bundle.verify import CHUNK, NAMESPACE, SUMS, BundleError, Progress
from glagol.bundle.write import Written, write_file
from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def sign(sums: bytes, key: Path) -> bytes:
    """Sign SHA256SUMS with an OpenSSH private key.

    Returns:
        The armoured signature, the same bytes each time for an Ed25519 key.

    Raises:
        HostError: `bundle_tool`, ssh-keygen is missing or refuses the key.
    """
    _need("ssh-keygen")
    command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE]
    done = subprocess.run(command, input=sums, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        text = done.stderr.decode(errors="replace").strip()
        raise error("bundle_tool", f"ssh-keygen could not sign {SUMS}: {text}", "check the key")
    return done.stdout


def seal(path: Path, recipients: Path, stream: Any = None) -> Written:
    """Encrypt a finished file with `age -R RECIPIENTS` to PATH.age.

    Returns:
        The sealed file. Its bytes differ each time; what is inside does not.

    Raises:
        InputError: `bundle_not_found`.
        HostError: `bundle_tool`, age is missing or refuses the recipients; `disk_full`.
    """
    _need("age")
    if not path.is_file():
        raise error("bundle_not_found", f"there is no {path}", "check the path")
    progress = Progress("seal", path.stat().st_size, stream)

    def blocks() -> Iterator[bytes]:
        with _run(["age", "-R", str(recipients), str(path)]) as output:
            while data := output.read(CHUNK):
                progress.add(len(data))
                yield data

    return write_file(path.with_name(path.name + ".age"), blocks())


@contextmanager
def opened(path: Path, identity: Path) -> Iterator[BinaryIO]:
    """The plain tar inside a sealed file, as a stream.

    Raises:
        HostError: `bundle_tool`, age is missing or the identity does not open it.
    """
    _need("age")
    with _run(["age", "-d", "-i", str(identity), str(path)]) as output:
        yield output


@contextmanager
def _run(command: list[str]) -> Iterator[BinaryIO]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = cast("BinaryIO", process.stdout), cast("BinaryIO", process.stderr)
    try:
        try:
            yield output
        except (BundleError, IntegrityError):
            output.close()
            _check(command[0], process, errors)  # why the bytes ended says more than that they did
            raise
        output.close()
        _check(command[0], process, errors)
    finally:
        process.kill()
        process.communicate()


def _check(tool: str, process: subprocess.Popen[bytes], errors: BinaryIO) -> None:
    text = errors.read().decode(errors="replace").strip()
    if process.wait() > 0:  # negative: ended by SIGPIPE when the reader stopped
        first = text.partition("\n")[0]
        if "decrypt" in text or "EOF" in text:
            raise error("bundle_altered", f"the sealed file is damaged: {first}", "copy it again")
        raise error("bundle_tool", f"{tool} failed: {first}", "check the keys and the file")


def _need(tool: str) -> None:
    if shutil.which(tool) is None:
        raise error("bundle_tool", f"{tool} is not installed", REMEDIES["bundle_tool"])
