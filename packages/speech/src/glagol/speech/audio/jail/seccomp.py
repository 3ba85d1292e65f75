"""The system calls that a child may make: an allow-list for the kernel's filter (seccomp, BPF).

What is not listed fails with EPERM. No memory becomes executable, nothing is opened, sockets are
neither made nor connected, no process or thread begins, no other process is touched. Numbers are
those of the kernel's tables: arch/x86/entry/syscalls/syscall_64.tbl for x86_64 and
include/uapi/asm-generic/unistd.h for aarch64.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["TABLES", "install", "program"]

_NAMES = [
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "lseek",
    "close",
    "poll",
    "ppoll",
    "select",
    "fcntl",
    "brk",
    "mmap",
    "mprotect",
    "munmap",
    "mremap",
    "madvise",
    "futex",
    "sched_yield",
    "sched_getaffinity",
    "getpid",
    "gettid",
    "getcpu",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "restart_syscall",
    "getrandom",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "getrusage",
    "sendto",
    "sendmsg",
    "recvfrom",
    "recvmsg",
    "exit",
    "exit_group",
    "rseq",
    "set_robust_list",
]

_X86_64: Mapping[str, int] = {
    "read": 0, "write": 1, "close": 3, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "readv": 19, "writev": 20, "select": 23, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "exit": 60, "fcntl": 72, "gettimeofday": 96, "getrusage": 98,
    "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204,
    "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
    "exit_group": 231, "ppoll": 271, "set_robust_list": 273, "getcpu": 309, "getrandom": 318,
    "rseq": 334,
}  # fmt: skip
_AARCH64: Mapping[str, int] = {
    "fcntl": 25, "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66,
    "pread64": 67, "ppoll": 73, "exit": 93, "exit_group": 94, "futex": 98, "set_robust_list": 99,
    "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
    "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132,
    "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "getrusage": 165,
    "getcpu": 168, "gettimeofday": 169, "getpid": 172, "gettid": 178, "sendto": 206,
    "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216,
    "mmap": 222, "mprotect": 226, "madvise": 233, "getrandom": 278, "rseq": 293,
}  # fmt: skip
TABLES: Mapping[str, tuple[int, Mapping[str, int]]] = MappingProxyType(
    {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}
)
"""By `platform.machine()`: the kernel's AUDIT_ARCH and the numbers of system calls."""

_EXECUTABLE = ("mmap", "mprotect")
_PROT_EXEC = 4
# of linux/bpf_common.h and linux/seccomp.h
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _THIRD_AT = 0, 4, 16 + 2 * 8
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


def program(machine: str, names: Iterable[str] = _NAMES) -> bytes | None:
    """The filter for a machine, as an array of `struct sock_filter`; None for an unknown one."""
    if machine not in TABLES:
        return None
    arch, numbers = TABLES[machine]
    refused = _ERRNO | errno.EPERM
    out = [(_LOAD, 0, 0, _ARCH_AT), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL)]
    out.append((_LOAD, 0, 0, _NUMBER_AT))
    for name in names:
        if name not in numbers:
            continue  # the machine has a newer call in its place
        if name in _EXECUTABLE:
            out.append((_EQUAL, 0, 4, numbers[name]))
            out.append((_LOAD, 0, 0, _THIRD_AT))
            out.append((_ANY_BIT, 0, 1, _PROT_EXEC))
            out.append((_RETURN, 0, 0, refused))
        else:
            out.append((_EQUAL, 0, 1, numbers[name]))
        out.append((_RETURN, 0, 0, _ALLOW))
    out.append((_RETURN, 0, 0, refused))
    return b"".join(struct.pack("HBBI", *each) for each in out)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(libc: ctypes.CDLL) -> bool:
    """Filter the calls of this thread from now on; PR_SET_NO_NEW_PRIVS must be set.

    Returns:
        Whether the kernel does it.
    """
    code = program(platform.machine())
    if code is None or sys.byteorder != "little":
        return False
    buffer = ctypes.create_string_buffer(code, len(code))
    whole = _Program(len(code) // 8, ctypes.addressof(buffer))
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(whole), 0, 0) == 0)
