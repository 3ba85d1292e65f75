"""What differs under Windows Subsystem for Linux: its version, Windows' own disks, the driver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

__all__ = ["DRIVER_REMEDY", "facts", "inside", "kernel"]

Fact: TypeAlias = tuple[str, Literal["ok", "warn", "fail"], str, str]

KERNEL: Final = Path("/proc/version")
WINDOWS_DISK: Final = re.compile(r"/mnt/[a-z](/|$)")
DRIVER_REMEDY: Final = (
    "install NVIDIA's driver in Windows and none inside WSL, then `wsl --shutdown`;"
    " /usr/lib/wsl/lib must hold libcuda.so.1"
)


def inside(kernel: str) -> bool:
    """Whether this is WSL, by the text of /proc/version."""
    return "microsoft" in kernel.lower()


def kernel() -> str:
    """The text of /proc/version; empty where there is none."""
    return KERNEL.read_text(encoding="utf-8") if KERNEL.is_file() else ""


def facts(kernel: str, store: Path) -> Iterator[Fact]:
    """What a kernel and a place mean.

    Args:
        kernel: The text of /proc/version.
        store: Where the models are.

    Yields:
        Name of the check, status, what was found, remedy; nothing on any other system.
    """
    if not inside(kernel):
        return
    release = (kernel.split() + ["", "", ""])[2]
    if "wsl2" in release.lower() or "microsoft-standard" in release.lower():
        yield "wsl", "ok", f"WSL2, kernel {release}", ""
    else:
        remedy = "turn the distribution into WSL2: `wsl --set-version NAME 2` in Windows"
        yield "wsl", "fail", f"WSL1, kernel {release}", remedy
    if WINDOWS_DISK.match(str(store)):
        remedy = "keep checkout, store and recordings below your Linux home, not on a Windows disk"
        yield "wsl disk", "warn", f"{store} is on a Windows disk, which is slow", remedy
