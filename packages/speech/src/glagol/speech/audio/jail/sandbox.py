"""Shuts a process in: no file, no network, no program, little memory, little processor time.

rlimits are always set. Landlock (no path at all, no TCP, no signal to others) and a filter of
system calls are put into force where the kernel has them; a container or an old kernel may not.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from glagol.speech.audio.jail import seccomp
from glagol.speech.audio.jail.wire import Confinement

if TYPE_CHECKING:
    from glagol.speech.audio.jail.limits import Limits

__all__ = ["confine", "die_with_parent"]

DESCRIPTORS_MAX = 8
LAST_S = 5
MAPPED_BYTES = 256 << 20
"""Address space beyond private memory: of the recording's mapping, where a library makes one."""

# linux/prctl.h, linux/landlock.h; Landlock's calls have one number on every machine
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CREATE_RULESET, _RESTRICT_SELF, _VERSION = 444, 446, 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""By version: how many rights to files there are; later ones have no more."""


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.syscall.argtypes = [ctypes.c_long] * 4
    libc.syscall.restype = ctypes.c_long
    return libc


LIBC = _libc()


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the thread that made it ends.

    Args:
        parent: its process; if it has ended already, this process ends now.
    """
    LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def confine(limits: Limits) -> Confinement:
    """Shut this process in for good; what it has open stays open.

    Args:
        limits: its memory and processor time.

    Returns:
        What is in force.
    """
    bounded = _rlimits(limits)
    if LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return Confinement(0, seccomp=False, rlimits=bounded)
    landlock = _landlock()
    return Confinement(landlock, seccomp.install(LIBC), bounded)


def _rlimits(limits: Limits) -> bool:
    wanted = {
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: DESCRIPTORS_MAX,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
    }
    done = True
    try:
        used, private = _memory()
    except OSError:  # /proc is not there
        done = False
    else:
        wanted[resource.RLIMIT_DATA] = private + limits.memory_bytes
        wanted[resource.RLIMIT_AS] = used + limits.memory_bytes + MAPPED_BYTES
    for which, value in wanted.items():
        hard = resource.getrlimit(which)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(which, (bound, bound))
        except (OSError, ValueError):
            done = False
    return _bound_time(limits.cpu_s) and done


def _bound_time(seconds: int) -> bool:
    """SIGXCPU at the limit, which says what it was; SIGKILL a moment later."""
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + LAST_S))
    except (OSError, ValueError):  # there is a lower one
        return False
    return True


def _memory() -> tuple[int, int]:
    """Bytes of address space, and of those that are private."""
    fields = Path("/proc/self/statm").read_text().split()
    page = resource.getpagesize()
    return int(fields[0]) * page, int(fields[5]) * page


def _landlock() -> int:
    """Forbid every path, TCP and signals to others; the version of the interface, 0 for none."""
    version = int(LIBC.syscall(_CREATE_RULESET, 0, 0, _VERSION))
    if version < 1:
        return 0
    handled = [(1 << _FILE_RIGHTS.get(version, 16)) - 1]
    if version >= 4:
        handled.append(0b11)  # bind and connect of TCP
    if version >= 6:
        handled.append(0b11)  # abstract sockets and signals of other processes
    attributes = (ctypes.c_uint64 * len(handled))(*handled)
    size = ctypes.sizeof(attributes)
    rules = int(LIBC.syscall(_CREATE_RULESET, ctypes.addressof(attributes), size, 0))
    if rules < 0:
        return 0
    try:
        return version if LIBC.syscall(_RESTRICT_SELF, rules, 0, 0) == 0 else 0
    finally:
        os.close(rules)
