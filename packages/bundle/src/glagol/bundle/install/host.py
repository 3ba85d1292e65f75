"""Facts about the machine of an installation, and the programs that run there.

Programs get a fixed environment, so that no setting of the user's shell changes what is installed
or what a release answers.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glagol.bundle.errors import error
from glagol.core.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glagol.bundle.install.disk import Disk
    from glagol.bundle.install.steps import Environment

PATH = "/usr/local/bin:/usr/bin:/bin"
ANSWER_S = 900
RUNNING = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Host(Protocol):
    """What `apply` asks of the machine; tests put a double in its place."""

    def system(self) -> str:
        """As in `x86_64-linux`."""

    def glibc(self) -> str:
        """`2.36`; empty when it is not glibc."""

    def python(self, wanted: Sequence[str]) -> str:
        """The version that a release would run on: one of `wanted`, else what there is instead."""

    def free_bytes(self, path: Path) -> int:
        """Room on the disk that holds `path`."""

    def environment(self, disk: Disk, release: Path, what: Environment, python: str) -> None:
        """Make an environment of a Python in the release from the wheels in RELEASE/wheels."""

    def answer(self, release: Path, model: str, audio: str) -> str:
        """What the release transcribes."""


class Machine:
    """This machine."""

    def system(self) -> str:
        """As in `x86_64-linux`."""
        return f"{platform.machine()}-{sys.platform}"

    def glibc(self) -> str:
        """`2.36`; empty when it is not glibc."""
        try:
            name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        except (ValueError, OSError):
            return ""
        return version if name == "glibc" else ""

    def python(self, wanted: Sequence[str]) -> str:
        """The running Python if it is wanted, else one on PATH that is, else the running one."""
        order = sorted(wanted, key=lambda version: version != RUNNING)
        return next((version for version in order if _interpreter(version)), RUNNING)

    def free_bytes(self, path: Path) -> int:
        """Room for this user on the disk that holds the first existing parent of `path`."""
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free

    def environment(self, disk: Disk, release: Path, what: Environment, python: str) -> None:
        """Make it with the bundle's own uv, no index, every wheel checked by its hash.

        Raises:
            HostError: `bundle_tool` or `disk_full`.
        """
        scratch = release / "scratch"
        tool = scratch / "uv"
        disk.folder(scratch)
        with zipfile.ZipFile(release / what.uv) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(".data/scripts/uv"))
            disk.file(tool, [wheel.read(name)], 0o755)
        env, python = release / what.folder, str(_interpreter(python) or python)
        quiet = [str(tool), "--quiet", "--offline", "--no-config"]
        _run(
            [*quiet, "venv", "--no-project", "--relocatable", "--python", python, str(env)], scratch
        )
        install = [*quiet, "pip", "install", "--python", str(env / "bin" / "python"), "--no-index"]
        install += ["--find-links", str(release / "wheels"), "--require-hashes", "--no-deps"]
        _run([*install, "--only-binary", ":all:", "-r", str(release / what.lock)], scratch)
        _run([python, str(release / "src" / "build" / "seal.py"), "--compile", str(env)], scratch)
        # Sources are links into the store: byte code goes beside them, they are not touched.
        compiling = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        _run([*compiling, str(release / "src" / "packages")], scratch)
        disk.remove(scratch)

    def answer(self, release: Path, model: str, audio: str) -> str:
        """The transcript of a clip, by the release's own command.

        Raises:
            HostError: `bundle_rejected`, the command failed.
        """
        command = [str(release / "bin" / "glagol"), "transcribe", "--model", model]
        command += ["--format", "text", str(release / audio)]
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, env={"PATH": PATH}, timeout=ANSWER_S
            )
        except (OSError, subprocess.TimeoutExpired) as failed:
            raise rejected(f"the new release does not run: {failed}") from failed
        if done.returncode:
            text = done.stderr.decode(errors="replace").strip()[-2000:]
            raise rejected(f"the new release failed on its clip: {text}")
        return done.stdout.decode(errors="replace")


def _interpreter(version: str) -> Path | None:
    """Where a Python is: the base of the running one, else what `pythonX.Y` on PATH says it is."""
    name = f"python{version}"
    own = Path(sys.base_prefix, "bin", name)
    if version == RUNNING and own.is_file():
        return own
    ask = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    try:  # a name on PATH may be a shim of a version that is not there
        done = subprocess.run([name, "-c", ask], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found, _, path = done.stdout.strip().partition(" ")
    return Path(path) if found == version else None


def rejected(message: str) -> Exception:
    """A release that may not serve."""
    return error(
        "bundle_rejected",
        message,
        "nothing was changed for the release that serves; report this with the message above",
    )


def _run(command: list[str], scratch: Path) -> None:
    settings = {
        "PATH": PATH,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "UV_CACHE_DIR": str(scratch / "cache"),
        "UV_LINK_MODE": "hardlink",
        "UV_PYTHON_DOWNLOADS": "never",
        "PYTHONHASHSEED": "0",
    }
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=settings)
    except OSError as failed:
        raise error("bundle_tool", f"{command[0]}: {failed.strerror}", "install it") from failed
    if done.returncode:
        text = (done.stderr + done.stdout).decode(errors="replace").strip()[-2000:]
        if "os error 28" in text or "No space left" in text:
            raise HostError("disk_full", f"no room for the environment: {text}", "free some space")
        name = Path(command[0]).name
        raise error("bundle_tool", f"{name} failed: {text}", "the running release is untouched")
