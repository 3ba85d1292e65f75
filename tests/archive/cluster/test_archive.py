"""`glagol archive` on a real Ray: the texts of one machine, whatever happens on the way.

Runs by build/test-archive alone: Ray takes seconds to start and has an environment of its own.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import homes
from archive.running import PYTHON, begin, descendants, environment, rows, run
from glagol.archive.actors.environment import STARTING
from glagol.registry.registry import Registry
from glagol.speech.audio.decode import decode
from glagol.speech.output.formats import FORMATS
from glagol.speech.pipeline.recognizer import Recognizer

RATE = 16_000
PROGRESS = re.compile(r"glagol: \d+ (of \d+ )?recordings, ")
"""A line that comes each minute."""

CLIPS = [homes.ROOT / "models/gigaam-nano/golden/clip.flac"]
CLIPS += [homes.ROOT / "models/whisper-base/golden/clip.flac"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the embedded models."""
    return homes.make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech of two people in many lengths, one long; twins, and files that are no sound."""
    folder = tmp_path_factory.mktemp("recordings")
    opened = [decode(io.BytesIO(path.read_bytes()), max_seconds=60) for path in CLIPS]
    sounds = [np.concatenate(list(blocks)) for blocks in opened]
    random = np.random.default_rng(21)
    for number in range(12):
        count = 30 if number == 5 else 1 + number % 3
        parts = []
        for each in range(count):
            parts += [sounds[(number + each) % 2], np.zeros(random.integers(RATE), np.float32)]
        write(folder / f"{number % 3}/{number:02}.wav", np.concatenate(parts))
    shutil.copy(folder / "0/00.wav", folder / "twin.wav")
    (folder / "empty.wav").touch()
    (folder / "noise.mp3").write_bytes(bytes(range(256)) * 20)
    return folder


def write(path: Path, samples: np.ndarray) -> None:
    """A 16-bit mono WAV file of float32 [n]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def expected(home: Path, recordings: Path) -> dict[str, bytes]:
    """The JSON file of every recording, as one recogniser in this process writes it."""
    import hashlib

    recognizer = Recognizer.open(Registry.load(home))
    found = {}
    for path in sorted(recordings.rglob("*.wav")):
        data = path.read_bytes()
        if data:
            digest = hashlib.sha256(data).hexdigest()
            transcript = recognizer.transcribe(io.BytesIO(data), audio_sha256=digest)
            name = f"{path.relative_to(recordings)}.json"
            found[name] = FORMATS["json"].write(transcript) + b"\n"
    return found


def files(target: Path) -> dict[str, bytes]:
    """What was written for each recording."""
    folder = target / "files"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def check(recordings: Path, expected: dict[str, bytes]) -> Callable[[Path], None]:
    """That a target holds every recording once, with the right bytes, and what failed."""

    def checked(target: Path) -> None:
        found = rows(target)
        assert [row["path"] for row in found] == sorted(
            str(recordings / name.removesuffix(".json")) for name in expected
        )
        assert files(target) == expected
        assert [(Path(row["path"]).name, row["code"]) for row in rows(target, "failed")] == [
            ("empty.wav", "audio_empty"),
            ("noise.mp3", "audio_unreadable"),
        ]

    return checked


def test_the_texts_are_those_of_one_machine(
    home: Path, recordings: Path, tmp_path: Path, check: Callable[[Path], None]
) -> None:
    """With one actor and with two; only failures and the tally are printed; twins are read once."""
    for actors in ("1", "2"):
        target = tmp_path / actors
        result = run(home, str(recordings), "--to", str(target), "--actors", actors, "-f", "json")
        assert result.status == 2, result.err
        check(target)
        *before, last = result.err.splitlines()
        shown = [line for line in before if not PROGRESS.match(line)]
        assert len(shown) == 2 * 2, result.err  # a failure has two lines
        assert re.match(r"glagol: 15 of 15 recordings, 1 copied, 2 failed, ", last)
    again = run(home, str(recordings), "--to", str(target), "--actors", "1", "-f", "json")
    assert again.status == 2
    assert "[output_exists]" in again.err


def test_a_resumed_run_does_what_is_missing(
    home: Path, recordings: Path, tmp_path: Path, check: Callable[[Path], None]
) -> None:
    """Moved and touched files are not recognised again; a path has one row, whatever happened."""
    folder, target = tmp_path / "in", tmp_path / "out"
    shutil.copytree(recordings, folder)
    command = (home, str(folder), "--to", str(target), "--actors", "1", "--resume", "-f", "json")
    (folder / "2/05.wav").unlink()
    assert run(*command).status == 2
    before = {row["path"]: row["text"] for row in rows(target)}
    (folder / "0/00.wav").rename(folder / "0/moved.wav")
    os.utime(folder / "1/01.wav")
    shutil.copy(folder / "2/02.wav", folder / "1/04.wav")
    (folder / "empty.wav").write_bytes((folder / "0/03.wav").read_bytes())
    result = run(*command)
    assert "3 copied" not in result.err
    assert re.search(r"5 of 5 recordings, 4 copied, 9 skipped, 1 failed, 0.00 h", result.err)
    after = {row["path"]: row["text"] for row in rows(target)}
    assert after[str(folder / "0/moved.wav")] == before[str(folder / "0/00.wav")]
    assert after[str(folder / "1/04.wav")] == before[str(folder / "2/02.wav")]
    assert after[str(folder / "empty.wav")] == before[str(folder / "0/03.wav")]
    assert len(rows(target)) == len(after) == len(before) + 2
    assert [Path(row["path"]).name for row in rows(target, "failed")] == ["noise.mp3"]
    other = run(*command, "-m", homes.OTHER)
    assert re.search(r"14 of 14 recordings, \d copied, 1 failed", other.err), other.err
    assert {row["model"] for row in rows(target)} == {homes.MODEL, homes.OTHER}
    del check


def waited(condition: Callable[[], object], process: subprocess.Popen[str]) -> object:
    """What a condition gives once it holds; the run must not end before."""
    while not (found := condition()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    return found


def test_actors_die_and_nothing_is_lost(
    home: Path, recordings: Path, tmp_path: Path, check: Callable[[Path], None]
) -> None:
    """kill -9 of a recogniser and of the reader in one run: others take their places."""
    target = tmp_path / "out"
    environment(home)
    process = begin(home, str(recordings), "--to", str(target), "--actors", "2", "-f", "json")
    try:
        waited(lambda: files(target), process)
        for kind in ("_RecogniserActor", "_ReaderActor"):

            def actor(kind: str = kind) -> list[int]:
                below = descendants(process.pid)
                return [pid for pid, name in below.items() if f"ray::{kind}" in name]

            pids = waited(actor, process)
            assert isinstance(pids, list)
            os.kill(pids[0], signal.SIGKILL)
        _, err = process.communicate(timeout=600)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 2, err
    check(target)


def test_a_killed_run_is_resumed(
    home: Path, recordings: Path, tmp_path: Path, check: Callable[[Path], None]
) -> None:
    """kill -9 of the driver: nothing of it stays, and the same command does the rest."""
    target = tmp_path / "out"
    environment(home)
    arguments = (str(recordings), "--to", str(target), "--actors", "2", "-f", "json", "--resume")
    process = begin(home, *arguments)
    waited(lambda: files(target), process)
    below = descendants(process.pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 120
    while left := [pid for pid in below if Path(f"/proc/{pid}/cmdline").exists() and alive(pid)]:
        assert time.monotonic() < deadline, [below[pid] for pid in left]
        time.sleep(0.2)
    result = run(home, *arguments)
    assert result.status == 2, result.err
    check(target)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def head(home: Path, release: str = "") -> Iterator[str]:
    """The address of a cluster of one CPU; of another release of Ray if asked."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as at,
        tempfile.TemporaryFile("w+") as complaints,
    ):
        process = subprocess.Popen(  # in /tmp: paths of sockets are short
            [PYTHON, homes.ROOT / "tests/archive/head.py", at, "1", release],
            env=environment(home, RAY_USAGE_STATS_ENABLED="0", **STARTING),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = (line.split() for line in process.stdout)
            address = next((words[1] for words in said if words[:1] == ["address"]), "")
            if not address:
                process.wait()
                complaints.seek(0)
                text = complaints.read()
                if "timed out during startup" in text:
                    pytest.skip("Ray gives its agents 15 s to start: too busy a machine")
                pytest.fail(text)
            yield address
        finally:
            process.communicate()


def test_a_cluster_without_room_is_refused(home: Path, recordings: Path, tmp_path: Path) -> None:
    """One CPU is too few for a recogniser and a reader: an error with both numbers, no waiting."""
    with head(home) as address:
        target = str(tmp_path / "out")
        result = run(home, str(recordings), "--to", target, "--actors", "1", "--address", address)
    assert result.status == 5
    assert "[cluster_small]" in result.err
    assert "the cluster has 1 CPUs" in result.err


def test_a_cluster_of_another_release_is_refused(
    home: Path, recordings: Path, tmp_path: Path
) -> None:
    """Both versions are named."""
    with head(home, "2.1.0") as address:
        target = str(tmp_path / "out")
        result = run(home, str(recordings), "--to", target, "--actors", "1", "--address", address)
    assert result.status == 5
    assert "[cluster_release]" in result.err
    assert re.search(r"the cluster runs Ray 2\.1\.0 .*, this command Ray 2\.\d+\.\d+", result.err)


def test_an_address_where_nothing_answers(home: Path, recordings: Path, tmp_path: Path) -> None:
    """An error, and no cluster of our own instead."""
    target = str(tmp_path / "out")
    nowhere = "127.0.0.1:1"
    result = run(home, str(recordings), "--to", target, "--actors", "1", "--address", nowhere)
    assert result.status == 5
    assert "[cluster_unreachable]" in result.err


def test_a_target_that_takes_nothing_ends_the_run(
    home: Path, recordings: Path, tmp_path: Path
) -> None:
    """A file where the table should be; nothing is claimed to be done."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "recordings").touch()
    result = run(home, str(recordings), "--to", str(target), "--actors", "1")
    assert result.status == 5
    assert "[host_io]" in result.err


def test_lists_and_missing_files(home: Path, recordings: Path, tmp_path: Path) -> None:
    """A parquet list, as another program writes it; what it names and is not there is a failure."""
    environment(home)
    source = tmp_path / "list.parquet"
    names = [str(recordings / "0/00.wav"), "gone.wav", str(recordings / "0/00.wav")]
    code = "import pyarrow, pyarrow.parquet as p, sys\n"
    code += "p.write_table(pyarrow.table({'file': sys.argv[2:]}), sys.argv[1])"
    subprocess.run([PYTHON, "-c", code, str(source), *names], check=True)
    target = tmp_path / "out"
    result = run(home, str(source), "--to", str(target), "--actors", "1", "--column", "file")
    assert result.status == 2
    assert [row["path"] for row in rows(target)] == names[:1]
    assert [row["code"] for row in rows(target, "failed")] == ["audio_not_found"]
