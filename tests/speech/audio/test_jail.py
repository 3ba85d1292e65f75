"""A child decodes as this process would, and can do nothing else."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import socket
import struct
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from glagol.core.errors import HostError, InputError
from glagol.speech.audio.jail import sandbox, zygote
from glagol.speech.audio.jail.channel import ChildEnd, ParentEnd, pair
from glagol.speech.audio.jail.escape import escape
from glagol.speech.audio.jail.limits import Limits
from glagol.speech.audio.jail.pool import Jail
from glagol.speech.audio.jail.wire import Escapes, Task, decoded
from glagol.speech.audio.streaming import container
from speech import jails, made
from speech.audio import variations

CANCEL_S = 2.0  # half a second is promised; the machine may be busy


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    """One for all tests that do not break it; nothing is left at work."""
    found = jails.started()
    yield found
    zygote = found.zygote
    assert found.children == 0
    found.close()
    assert zygote is not None
    assert not jails.exists(zygote)


def stereo() -> made.Samples:
    """A tone, and the same more softly."""
    return made.tone(2.5, 48_000)[:, None] * np.array([1.0, 0.25], np.float32)


@pytest.mark.parametrize(
    ("form", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libopus"),
     ("ipod", "aac"), ("matroska", "alac"), ("matroska", "wavpack"), ("matroska", "tta"),
     ("mpegts", "mp2"), ("matroska", "ac3")],
)  # fmt: skip
def test_samples_are_those_of_this_process(jail: Jail, form: str, codec: str) -> None:
    """To the bit: nothing that a decoder needs is refused by the filter of system calls."""
    data = made.encoded(made.tone(2.5, 48_000), 48_000, form, codec)
    assert jails.same(jails.outcome(jail.open, data), jails.in_process(data))


def test_channels_are_kept_apart(jail: Jail) -> None:
    """[n, 2] as in this process, and one channel is [n, 1]."""
    for samples in (stereo(), stereo()[:, :1]):
        data = made.wav(samples, 48_000)
        found = jails.outcome(jail.open, data, split=True)
        assert jails.same(found, jails.in_process(data, split=True))
        assert found[3].shape[1] == samples.shape[1]


def test_errors_are_those_of_this_process(jail: Jail) -> None:
    """Code and message, of an error at once and of one in the middle."""
    whole = made.wav(made.tone(1.0))
    for data in (b"", b"no audio" * 100, made.wav(made.tone(0.01)), whole[:20]):
        found = jails.outcome(jail.open, data)
        assert found == jails.in_process(data)
        assert len(found) == 2


def test_warnings_are_those_of_this_process(jail: Jail) -> None:
    """A recording that ends too early gives its sound, and says what is missing."""
    data = made.wav(made.tone(1.0))[:-8000]
    found = jails.outcome(jail.open, data)
    assert jails.same(found, jails.in_process(data))
    assert [notice.code for notice in found[2]] == ["audio_truncated"]


def test_damaged_recordings_are_those_of_this_process(jail: Jail) -> None:
    """Samples, notices and errors: what mends a recording asks for no file, and so no module."""
    opus = bytearray(made.encoded(made.tone(4.0, 48_000), 48_000, "ogg", "libopus"))
    page = opus.rindex(b"OggS", 0, len(opus) * 2 // 3)
    opus[page + 27 + opus[page + 26]] ^= 0x80  # the first byte of a packet, which all have alike
    found = jails.outcome(jail.open, bytes(opus))
    assert jails.same(found, jails.in_process(bytes(opus)))
    assert [notice.code for notice in found[2]] == ["audio_damaged"]
    for make in variations.cases(44, 7):
        case = make()
        found = jails.outcome(jail.open, case.data, track=case.track)
        assert jails.same(found, jails.in_process(case.data, track=case.track)), case.name


def test_a_long_recording_is_refused_by_both(jail: Jail) -> None:
    """By its header, and by what comes out."""
    for data in (made.wav(made.tone(61.0)), made.encoded(made.tone(61.0), 16_000, "adts", "aac")):
        assert jails.outcome(jail.open, data)[0] == "audio_too_long"


def test_a_stream_is_decoded_as_it_arrives(jail: Jail) -> None:
    """The samples of this process; the first come before the last byte was asked for."""
    data = made.encoded(made.tone(8.0, 48_000), 48_000, "webm", "libopus")
    file, asked = io.BytesIO(data), []

    def read(size: int) -> bytes:
        asked.append(size)
        return file.read(min(size, 4000))

    blocks = jail.stream(read)
    first = next(blocks)
    assert file.tell() < len(data)
    found = np.concatenate([first, *blocks])
    assert np.array_equal(found, np.concatenate(list(container(io.BytesIO(data).read))))
    with pytest.raises(InputError, match="not an Ogg or WebM"):
        list(jail.stream(io.BytesIO(b"nothing" * 999).read))


def test_the_position_of_the_file_is_not_moved(jail: Jail, tmp_path: Path) -> None:
    """The child has a descriptor of its own, for reading only."""
    path = tmp_path / "recording"
    path.write_bytes(made.wav(made.tone(30.0)))
    with path.open("r+b") as file, jail.open(file, max_seconds=60.0) as source:
        file.seek(7)
        assert sum(map(len, source)) == 30 * made.RATE
        assert file.tell() == 7
    with tempfile.TemporaryFile() as unnamed:
        unnamed.write(path.read_bytes())
        with jail.open(unnamed, max_seconds=60.0) as source:
            link = str(Path(f"/proc/{jails.child_of(source)}/fd/4").readlink())
            flags = Path(f"/proc/{jails.child_of(source)}/fdinfo/4").read_text()
        assert "deleted" in link
        assert int(flags.partition("flags:")[2].split()[0], 8) & os.O_ACCMODE == os.O_RDONLY


def test_a_child_has_nothing_but_its_recording(jail: Jail) -> None:
    """Its descriptors, its environment and its threads; the zygote has no engine loaded."""
    with jail.open(io.BytesIO(made.wav(made.tone(30.0))), max_seconds=60.0) as source:
        own = Path(f"/proc/{jails.child_of(source)}")
        assert sorted(int(path.name) for path in (own / "fd").iterdir()) == [0, 1, 2, 3, 4]
        names = {v.partition(b"=")[0] for v in (own / "environ").read_bytes().split(b"\0") if v}
        assert names <= {b"LANG", b"LD_LIBRARY_PATH", b"OMP_NUM_THREADS", b"OPENBLAS_NUM_THREADS"}
        assert len(list((own / "task").iterdir())) == 1
    zygote = Path(f"/proc/{jail.zygote}")
    assert len(list((zygote / "task").iterdir())) == 1
    assert "onnxruntime" not in (zygote / "maps").read_text()


def attempts(port: int, shut: Callable[[], object] = lambda: None) -> dict[str, int]:
    """What the same attempts bring in a process of ours, after `shut`."""
    parent, child = pair()
    with io.BytesIO() as nothing, tempfile.TemporaryFile() as file:
        del nothing
        pid = os.fork()
        if pid == 0:
            try:
                shut()
                escape(ChildEnd(child), Task("escape", port=port), file.fileno())
            finally:
                os._exit(0)
        child.close()
        end = ParentEnd(parent, pid)
        frame = end.take(jails.PATIENCE_S)
        os.waitpid(pid, 0)
        end.close()
    assert frame is not None
    return decoded(frame[1], Escapes).tried


def test_nothing_gets_out_of_the_jail(jail: Jail) -> None:
    """The real child tries; what is refused to it succeeds in a process without a jail."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        confinement, tried = jail.escapes(port)
        if not confinement.seccomp or not confinement.landlock:
            pytest.skip(f"the kernel has not all of a jail: {confinement}")
        assert len(tried) == 10
        assert not [name for name, number in tried.items() if number == 0]
        free = attempts(port)
    possible = {name for name, number in free.items() if number == 0}
    assert {"read a file", "list a folder", "connect by TCP", "begin a process"} <= possible


def test_landlock_holds_where_system_calls_are_not_filtered() -> None:
    """Alone it forbids paths, TCP and signals; the filter would hide if it did not."""

    def shut() -> None:
        sandbox.LIBC.prctl(38, 1, 0, 0, 0)
        sandbox._landlock()

    if sandbox.LIBC.syscall(444, 0, 0, 1) < 6:
        pytest.skip("the kernel has not all of a jail: no Landlock 6")
    with socket.create_server(("127.0.0.1", 0)) as server:
        tried = attempts(server.getsockname()[1], shut)
    names = ("read a file", "list a folder", "write a file", "connect by TCP", "signal the parent")
    assert all(tried[name] for name in names)


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_a_child_that_hangs_is_left_at_once(kind: str) -> None:
    """Stopped, it answers nothing; the call ends soon after it is no longer wanted."""
    jail = jails.started()
    for pid in jails.spares(jail):
        jails.signalled(pid, signal.SIGSTOP)
    wave = io.BytesIO(made.wav(made.tone(1.0)))
    began = time.monotonic()

    def cancelled() -> bool:
        return time.monotonic() > began + 0.3

    def first() -> object:
        if kind == "file":
            return jail.open(wave, max_seconds=9.0, cancelled=cancelled)
        return next(jail.stream(wave.read, cancelled=cancelled))

    with pytest.raises(HostError) as caught:
        first()
    assert caught.value.code == "cancelled"
    assert time.monotonic() < began + 0.3 + CANCEL_S
    assert jail.children == 0
    jail.close()


def test_a_child_that_hangs_is_refused_in_time() -> None:
    """After `idle_s`; its process is gone, and so is that of a recording that is not read on."""
    jail = jails.started(Limits(idle_s=0.3))
    source = jail.open(io.BytesIO(made.wav(made.tone(9.0))), max_seconds=9.0)
    pid = jails.child_of(source)
    jails.signalled(pid, signal.SIGSTOP)
    with pytest.raises(InputError) as caught:
        list(source)
    assert caught.value.code == "audio_refused"
    jails.until(lambda: not jails.exists(pid))
    other = jail.open(io.BytesIO(made.wav(made.tone(9.0))), max_seconds=9.0)
    pid = jails.child_of(other)
    other.close()
    jails.until(lambda: not jails.exists(pid))
    jail.close()


def test_a_child_runs_ahead_by_its_buffer_only(jail: Jail) -> None:
    """Two minutes of sound wait in the file, not in memory."""
    data = made.wav(np.zeros(made.RATE * 120, np.float32))
    with jail.open(io.BytesIO(data), max_seconds=9999.0) as source:
        own = Path(f"/proc/{jails.child_of(source)}")
        jails.until(lambda: "S" in (own / "stat").read_text().rpartition(")")[2].split()[0])
        sock = source._answers._child._sock
        waiting = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]
        assert 0 < waiting < 1 << 20
        assert sum(map(len, source)) == 120 * made.RATE


def test_a_child_without_memory_is_an_error_of_its_recording() -> None:
    """Whatever it met, it says so or its end does; the next recording gets a child of its own."""
    jail = jails.started(Limits(memory_bytes=1 << 20))
    data = made.wav(np.zeros((400_000, 8), np.float32), 192_000)
    assert jails.outcome(jail.open, data, split=True)[0] == "audio_refused"
    assert jail.children == 0
    jail.close()


def test_a_child_that_has_worked_for_long_gives_way_when_it_is_waited_for() -> None:
    """One that has used little keeps its turn, whatever the parent says."""
    jail, usual = jails.started(), os.getpriority(os.PRIO_PROCESS, 0)
    long, lean = made.wav(made.tone(300.0, 96_000), 96_000), made.wav(made.tone(120.0))
    with jail.open(io.BytesIO(long), max_seconds=600.0) as source:
        for _ in source:
            pid = jails.child_of(source)
            jail._spawner.give_way(source._answers._child)
            if os.getpriority(os.PRIO_PROCESS, pid) == max(usual, zygote.LOW):
                break
            assert os.getpriority(os.PRIO_PROCESS, pid) == usual
        else:
            pytest.fail("300 s of sound at 96 kHz need more than 0.2 s of work")
    with jail.open(io.BytesIO(lean), max_seconds=600.0) as source:  # its pipe fills: it stays alive
        next(source)
        jail._spawner.give_way(source._answers._child)
        assert os.getpriority(os.PRIO_PROCESS, jails.child_of(source)) == usual
    jail.close()


def test_processor_time_is_bounded() -> None:
    """The kernel ends a child that uses more than it has."""
    jail = jails.started(Limits(cpu_s=1))
    size, rate = 1 << 31, 48_000
    form = struct.pack("<HHIIHH", 1, 8, rate, 16 * rate, 16, 16)
    head = b"RIFF" + (size - 8).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0" + form
    with tempfile.TemporaryFile() as file:
        file.write(head + b"data" + (size - 44).to_bytes(4, "little"))
        file.truncate(size)  # an hour and a half of silence
        with jail.open(file, max_seconds=9e9) as source, pytest.raises(InputError) as caught:
            list(source)
    assert caught.value.code == "audio_refused"
    assert "processor time" in caught.value.message
    jail.close()
