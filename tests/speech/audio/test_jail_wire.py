"""The parent believes nothing: whatever a child sends is samples, an error of ours, or refused."""

from __future__ import annotations

import random
import struct
import threading
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from glagol.core.errors import GlagolError, InputError, LimitError
from glagol.speech.audio.jail import seccomp, wire
from glagol.speech.audio.jail.channel import ParentEnd, pair
from glagol.speech.audio.jail.fair import FairThreads
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.source import Answers, JailedSource
from glagol.speech.audio.jail.wire import End, Failure, Kind, Opened
from glagol.speech.types import Notice
from speech import jails


class NoSpawner:
    """Stands for the spawner of a child that is a thread of the test."""

    def ended(self, _: object, __: float) -> int:
        """It broke."""
        return 11

    def release(self, child: ParentEnd) -> None:
        """Close the socket."""
        child.close()


def said(frames: list[tuple[int, bytes]], max_seconds: float = 10.0) -> list[Any]:
    """What a parent gets from a child that sends these frames."""
    parent, child = pair()
    for kind, payload in frames:
        child.sendall(wire.HEADER.pack(kind, len(payload)) + payload)
    child.close()
    answers = Answers(cast("Any", NoSpawner()), ParentEnd(parent, 1), Limits(idle_s=1), None)
    source = JailedSource(answers, max_seconds, split=False)
    return [*source, source.warnings]


def packed(value: object) -> bytes:
    """As a child packs it."""
    return msgspec.msgpack.encode(value)


OPENED = (int(Kind.OPENED), packed(Opened(1.0, 1, [])))
BLOCK = (int(Kind.BLOCK), np.zeros(8, "<f4").tobytes())
END = (int(Kind.END), packed(End([Notice("audio_gap", "a gap\n\x1b[2J", 1.0, 2.0)])))


def test_an_honest_child_is_believed() -> None:
    """Blocks in order, then all warnings; control characters stay out of texts."""
    block, warnings = said([OPENED, BLOCK, END])
    assert block.shape == (8,)
    assert warnings == (Notice("audio_gap", "a gap??[2J", 1.0, 2.0),)


LIES = {
    "no kind": [(99, b"")],
    "a parent's frame": [OPENED, (int(Kind.DATA), b"x")],
    "no opening": [BLOCK],
    "two openings": [OPENED, OPENED],
    "channels": [(int(Kind.OPENED), packed(Opened(1.0, 9, [])))],
    "seconds": [(int(Kind.OPENED), packed(Opened(float("nan"), 1, [])))],
    "no msgpack": [(int(Kind.OPENED), b"\xc1")],
    "depth": [(int(Kind.OPENED), b"\x91" * 200_000)],
    "other types": [(int(Kind.OPENED), packed({"declared_s": "x", "channels": [], "warnings": 1}))],
    "half a sample": [OPENED, (int(Kind.BLOCK), b"\0" * 7)],
    "no sample": [OPENED, (int(Kind.BLOCK), b"")],
    "NaN": [OPENED, (int(Kind.BLOCK), np.array([0, np.nan], np.float32).tobytes())],
    "too loud": [OPENED, (int(Kind.BLOCK), np.array([1e9], np.float32).tobytes())],
    "a code": [OPENED, (int(Kind.END), packed(End([Notice("<b>", "")])))],
    "warnings": [OPENED, (int(Kind.WARNINGS), packed([Notice("a", "")] * 501))],
    "cut off": [OPENED, BLOCK],
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_child_is_refused(name: str) -> None:
    """With one code, whatever it lies about."""
    with pytest.raises(InputError) as caught:
        said(LIES[name])
    assert caught.value.code == "audio_refused"


def test_lengths_are_checked_before_memory_is_taken() -> None:
    """A frame of four gigabytes is refused by its header."""
    with pytest.raises(wire.ViolationError):
        wire.length_of(struct.pack("<BI", Kind.BLOCK, 0xFFFFFFFF))
    with pytest.raises(wire.ViolationError):
        wire.length_of(struct.pack("<BI", Kind.OPENED, 1 << 20))


def test_a_child_cannot_send_without_end() -> None:
    """Samples beyond the limit of seconds are refused, though the child sends more."""
    block = (int(Kind.BLOCK), np.zeros(16_000, "<f4").tobytes())
    with pytest.raises(LimitError) as caught:
        said([OPENED, block, block], max_seconds=1.5)
    assert caught.value.code == "audio_too_long"


def test_a_child_names_errors_of_its_own_kind_only() -> None:
    """A code of another family, or none, is a mistake of ours; lengths are bounded."""
    assert isinstance(wire.raised(Failure("audio_empty", "x" * 9999, "y")), InputError)
    assert len(str(wire.raised(Failure("audio_empty", "x" * 9999, "y")))) <= wire.MESSAGE_CHARS
    for code in ("artifact_altered", "internal", "", "no such"):
        assert not isinstance(wire.raised(Failure(code, "m")), GlagolError)


def test_random_bytes_are_violations() -> None:
    """Of every kind of value: a value or ViolationError, nothing else."""
    chance = random.Random(1)  # noqa: S311
    honest = [packed(Opened(1.0, 1, [])), END[1], packed(Failure("a", "b"))]
    for _ in range(3000):
        data = bytearray(chance.choice(honest))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for form in (Opened, End, Failure, list[Notice]):
            try:
                wire.decoded(data, form)
            except wire.ViolationError:
                continue


def allowed(machine: str, number: int, third: int = 0) -> bool:
    """What the filter says to a system call, by the rules of classic BPF."""
    code = seccomp.program(machine)
    assert code is not None
    arch = seccomp.TABLES[machine][0]
    data = struct.pack("<IIQ6Q", number, arch, 0, 0, 0, third, 0, 0, 0)
    held, at = 0, 0
    while True:
        what, yes, no, value = struct.unpack_from("HBBI", code, 8 * at)
        at += 1
        if what == 0x20:
            held = int.from_bytes(data[value : value + 4], "little")
        elif what == 0x06:
            return bool(value == 0x7FFF0000)
        else:
            at += yes if (held == value if what == 0x15 else held & value) else no


@pytest.mark.parametrize(
    ("machine", "forbidden"),
    [
        ("x86_64", {"open": 2, "openat": 257, "openat2": 437, "socket": 41, "connect": 42,
                    "execve": 59, "clone": 56, "clone3": 435, "fork": 57, "ptrace": 101,
                    "kill": 62, "ftruncate": 77, "pwrite64": 18, "prctl": 157, "io_uring": 425,
                    "x32 read": 0x40000000, "ioctl": 16, "memfd_create": 319}),
        ("aarch64", {"openat": 56, "openat2": 437, "socket": 198, "connect": 203, "execve": 221,
                     "clone": 220, "clone3": 435, "ptrace": 117, "kill": 129, "ftruncate": 46,
                     "pwrite64": 68, "prctl": 167, "io_uring": 425, "ioctl": 29,
                     "memfd_create": 279}),
    ],
)  # fmt: skip
def test_the_filter_of_each_machine(machine: str, forbidden: dict[str, int]) -> None:
    """What opens, connects, runs or touches others is refused; reading and memory are not."""
    assert not [name for name, number in forbidden.items() if allowed(machine, number)]
    numbers = seccomp.TABLES[machine][1]
    assert all(allowed(machine, number) for number in numbers.values())
    for name in ("mmap", "mprotect"):
        assert not allowed(machine, numbers[name], third=0b101)
    assert seccomp.program("riscv64") is None


def test_owners_take_turns() -> None:
    """A call of another owner comes before the tenth of the first, and all are done."""
    order: list[str] = []
    threads, gate = FairThreads(1, "test"), threading.Event()
    first = threads.submit("a", lambda: gate.wait(30))
    done = [threads.submit("a", partial(order.append, f"a{n}")) for n in range(3)]
    done += [threads.submit("b", lambda: order.append("b"))]
    cancelled = threads.submit("c", lambda: order.append("c"))
    assert cancelled.cancel()
    jails.until(lambda: (threads.waiting, threads.busy) == (4, 1))
    gate.set()
    both: list[Future[Any]] = [first, *done]
    for future in both:
        future.result(30)
    assert order == ["a0", "a1", "a2", "b"]
    threads.close()


def test_an_owner_with_one_under_way_waits_for_another() -> None:
    """Of two threads one is busy for `a`: then `b` is next, though `a` asked before."""
    order: list[str] = []
    threads, gate, taken = FairThreads(2, "test"), threading.Event(), threading.Event()
    held = threads.submit("a", lambda: gate.wait(30))
    blocker = threads.submit("c", lambda: taken.wait(30))
    later = [threads.submit("a", lambda: order.append("a"))]
    later += [threads.submit("b", lambda: order.append("b"))]
    taken.set()
    both: list[Future[Any]] = [blocker, *later]
    for future in both:
        future.result(30)
    assert order == ["b", "a"]
    gate.set()
    held.result(30)
    with pytest.raises(ZeroDivisionError):
        threads.submit("a", lambda: 1 / 0).result(30)
    threads.close()
