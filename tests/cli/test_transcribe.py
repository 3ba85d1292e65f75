"""`glagol transcribe`: results, names, errors and what an interruption leaves."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

import sounds
from cli.running import Result
from glagol.cli.batch.work import _settle
from glagol.core.errors import HostError
from glagol.core.files import write_atomic
from glagol.registry.registry import Registry
from glagol.speech import Recognizer
from glagol.speech.types import Transcript
from homes import MODEL, OTHER, altered

Run = Callable[..., Result]
PACKAGES = Path(__file__).resolve().parents[2] / "packages"


@pytest.fixture(scope="module")
def expected(home: Path) -> str:
    """What the engine itself says about the recording."""
    recognizer = Recognizer.open(Registry.load(home))
    return recognizer.transcribe(io.BytesIO(sounds.clip())).text


def command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "glagol.cli", "transcribe", "--home", str(home), *arguments]


def environment(scratch: Path) -> dict[str, str]:
    """Of a process whose home and temporary directories are ours to look into."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_", "GLAGOL_"))}
    for name in ("HOME", "TMPDIR"):
        (scratch / name).mkdir(parents=True)
        kept[name] = str(scratch / name)
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, PACKAGES.glob("*/src")))}


def test_one_file_is_its_text(glagol: Run, home: Path, recording: Path, expected: str) -> None:
    """Nothing but the text on stdout, nothing on stderr."""
    assert expected
    assert glagol("transcribe", "--home", home, recording) == Result(0, f"{expected}\n", "")


def test_split_channels_are_named_by_their_numbers(
    glagol: Run, home: Path, tmp_path: Path, expected: str
) -> None:
    """A stereo file with speech in the second channel alone."""
    sound, rate = sounds.samples()
    call = tmp_path / "call.wav"
    call.write_bytes(sounds.wav(np.stack([np.zeros_like(sound), sound], axis=1), rate))
    result = glagol("transcribe", "--home", home, "--channel", "split", call)
    assert [line[:4] for line in result.out.splitlines()] == ["[1] "]
    assert result.out.split()[1:] == expected.split()


def test_several_files_are_prefixed_and_keep_their_order(
    glagol: Run, home: Path, recording: Path, expected: str, tmp_path: Path
) -> None:
    """Two at a time give what one at a time gives, in the order of the arguments."""
    quiet = tmp_path / "a.wav"
    quiet.write_bytes(sounds.silence(31))
    names = [recording, quiet, recording]
    one = glagol("transcribe", "--home", home, *names)
    assert one.out == f"{recording}: {expected}\n{quiet}: \n{recording}: {expected}\n"
    assert glagol("transcribe", "--home", home, "--jobs", 2, *names) == one
    lines = glagol("transcribe", "--home", home, "--format", "json", *names).out.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [str(name) for name in names]
    alone = glagol("transcribe", "--home", home, "--format", "json", recording).out
    assert json.loads(lines[0])["data"] == json.loads(alone)


def test_a_bad_file_does_not_stop_the_others(
    glagol: Run, home: Path, recording: Path, expected: str, tmp_path: Path
) -> None:
    """Each error has code and remedy; the exit status is that of the first."""
    names: list[Path] = []
    for name, (data, _) in sounds.BAD.items():
        names.append(tmp_path / f"{name}.wav")
        names[-1].write_bytes(data)
    names += [tmp_path / "nowhere.wav"]
    result = glagol("transcribe", "--home", home, *names, recording)
    assert result.status == 2
    assert result.out == f"{recording}: {expected}\n"
    codes = [
        *(code for _, code in sounds.BAD.values()),
        "audio_not_found",
    ]
    said = [line for line in result.err.splitlines() if not line.startswith("  what to do: ")]
    assert len(said) * 2 == len(result.err.splitlines())
    for line, path, code in zip(said, names, codes, strict=True):
        assert line.startswith(f"glagol: {path}: ")
        assert line.endswith(f"[{code}]")


def test_what_a_recording_lacks_is_said(
    glagol: Run, home: Path, expected: str, tmp_path: Path
) -> None:
    """On stderr, with text on stdout and status 0; --strict makes an error of it."""
    half = tmp_path / "half.wav"
    half.write_bytes(sounds.truncated())
    result = glagol("transcribe", "--home", home, half)
    assert result.status == 0
    assert result.out.split()[:5] == expected.split()[:5]
    assert result.err.startswith(f"glagol: {half}: warning: the recording ends early: ")
    assert result.err.endswith(" [audio_truncated]\n")
    refused = glagol("transcribe", "--home", home, "--strict", half)
    assert (refused.status, refused.out) == (2, "")
    assert "[audio_truncated]" in refused.err
    assert glagol("transcribe", "--home", home, "--track", 1, half).status == 2


def test_other_rates_and_channels(glagol: Run, home: Path, tmp_path: Path) -> None:
    """8 kHz, 96 kHz and seven channels are transcribed."""
    for rate, channels in ((8_000, 1), (96_000, 1), (16_000, 7)):
        path = tmp_path / f"{rate}.wav"
        path.write_bytes(sounds.resampled(rate, channels))
        result = glagol("transcribe", "--home", home, path)
        assert result.status == 0, result.err
        assert len(result.out.split()) >= 2


def test_gigabytes_are_refused_unread(glagol: Run, home: Path, tmp_path: Path) -> None:
    """A sparse file of zeros, and one whose header says 17 hours: refused at once."""
    wav = sounds.silence(1)[:40] + (2_000_000_000).to_bytes(4, "little")
    for name, head, size, code, status in (
        ("zeros", b"", 3 << 30, "audio_unreadable", 2),
        ("hours", wav, 2_000_000_044, "audio_too_long", 3),
    ):
        path = tmp_path / f"{name}.wav"
        path.write_bytes(head)
        os.truncate(path, size)
        before = time.process_time()
        result = glagol("transcribe", "--home", home, path)
        assert code in result.err
        assert result.status == status
        assert time.process_time() - before < 2.0, "gigabytes were read"


def test_output_files_are_whole_and_named_after_their_input(
    glagol: Run, home: Path, recording: Path, expected: str, tmp_path: Path
) -> None:
    """Every format; the folder is made; what was written is said; no stray files."""
    folder = tmp_path / "расшифровки" / "сегодня"
    for form, extension in [("text", "txt"), *((x, x) for x in ("json", "tsv", "srt", "vtt"))]:
        result = glagol(
            "transcribe", "--home", home, "--output-dir", folder, "--format", form, recording
        )
        written = folder / f"Запись № 1.{extension}"
        assert result == Result(0, "", f"glagol: {recording} -> {written}\n")
        assert expected.split(maxsplit=1)[0] in written.read_text(encoding="utf-8")
    (folder / "Запись № 1.txt").write_text("older")
    again = ("transcribe", "--home", home, "--quiet", "--output-dir", folder, recording)
    refused = glagol(*again)
    assert refused.status == 2
    assert "[output_exists]" in refused.err
    assert (folder / "Запись № 1.txt").read_text() == "older"
    assert glagol(*again, "--force") == Result(0, "", "")
    assert (folder / "Запись № 1.txt").read_text(encoding="utf-8") == f"{expected}\n"
    assert len(list(folder.iterdir())) == 5


def test_what_cannot_end_well_is_refused_first(
    glagol: Run, home: Path, recording: Path, tmp_path: Path
) -> None:
    """Before any model is opened: names that collide, subtitles mixed, stdin twice, no home."""
    twin = tmp_path / "other" / recording.name
    for arguments, words in (
        (["--output-dir", tmp_path, recording, twin], "several inputs would be written to"),
        (["--format", "srt", recording, twin], "several srt files"),
        (["-", "-"], "- is given twice"),
        (["--model", "no-such-model", recording], "use one of the known ids"),
        (["--variant", "cpu-fp8", recording], "cpu-int8"),
    ):
        result = glagol("transcribe", "--home", home, *arguments)
        assert result.status == 2
        assert words in result.err
        assert result.out == ""
    nowhere = glagol("transcribe", "--home", tmp_path / "empty", recording)
    assert nowhere.status == 2
    assert "manifest.json" in nowhere.err
    assert glagol("transcribe", "--home", home, "--format", "doc", recording).status == 2


def test_wrong_and_missing_model_files_are_refused(
    glagol: Run, own_home: Path, recording: Path
) -> None:
    """A flipped bit, then no file: exit 4, file, digests and remedy named."""
    assert glagol("transcribe", "--home", own_home, "--model", OTHER, recording).status == 0
    path = altered(own_home)
    result = glagol("transcribe", "--home", own_home, recording)
    assert result.status == 4
    assert result.out == ""
    assert "encoder.data" in result.err
    assert path.parent.name + path.name in result.err
    assert f"glagol models fetch {MODEL}" in result.err
    path.unlink()
    result = glagol("transcribe", "--home", own_home, recording)
    assert result.status == 4
    assert "artifact_missing" in result.err


def test_a_pipe_is_a_file_and_nothing_is_left_behind(
    home: Path, recording: Path, expected: str, tmp_path: Path
) -> None:
    """Standard input that cannot seek; afterwards HOME and TMPDIR are as empty as before."""
    variables = environment(tmp_path / "scratch")
    done = subprocess.run(
        command(home, "-"),
        input=recording.read_bytes(),
        capture_output=True,
        env={**variables, "LC_ALL": "C"},
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert done.stdout.decode() == f"{expected}\n"
    left = [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    assert not left, "a library keeps records or calls home"


def test_ctrl_c_leaves_nothing_half_written(home: Path, recording: Path, tmp_path: Path) -> None:
    """Exit 130 after the current chunk; the finished file is whole, the other is not there."""
    long = tmp_path / "long.wav"
    long.write_bytes(sounds.long_speech(3000))
    folder = tmp_path / "out"
    process = subprocess.Popen(
        command(home, "--output-dir", str(folder), str(recording), str(long)),
        stderr=subprocess.PIPE,
        env=environment(tmp_path / "scratch"),
    )
    while not list(folder.glob("*.txt")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err.decode()
    assert b"Traceback" not in err
    assert [path.name for path in folder.iterdir()] == [f"{recording.stem}.txt"]


def test_ctrl_c_waits_for_the_running_work_before_it_is_raised() -> None:
    """Raised inside the lock of a future it would leave that locked, and the worker hanging."""
    result: Future[Transcript] = Future()
    stop = threading.Event()

    def work() -> None:
        while signal.getsignal(signal.SIGINT) == before:  # until it waits
            time.sleep(0.005)
        signal.raise_signal(signal.SIGINT)
        stop.wait(10)
        time.sleep(0.05)
        result.set_exception(HostError("cancelled", "stopped", ""))

    before = signal.getsignal(signal.SIGINT)
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    with pytest.raises(KeyboardInterrupt):
        _settle(result, stop)
    assert result.done()
    worker.join(10)
    assert not worker.is_alive()
    assert signal.getsignal(signal.SIGINT) == before


def test_a_write_that_stops_midway_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name always means a whole file, and no temporary one stays."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"older")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"newer")
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    with pytest.raises(HostError):
        write_atomic(path / "inside a file", b"x")
