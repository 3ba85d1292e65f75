"""Many recordings in one call: which are found, what is written, and how a run resumes."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

import sounds
from cli.running import Result
from glagol.cli.batch.inputs import collected
from glagol.cli.batch.targets import Existing, Job, planned
from glagol.cli.batch.work import Tally, carried_out
from glagol.cli.progress import Bars
from glagol.core.errors import InputError
from glagol.registry.registry import Registry
from glagol.speech import Recognizer
from homes import ROOT

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def expected(home: Path) -> str:
    """What the engine itself says about the recording."""
    recognizer = Recognizer.open(Registry.load(home))
    return recognizer.transcribe(io.BytesIO(sounds.clip())).text


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder of recordings with one below, a hidden one, and files that are none."""
    folder = tmp_path / "архив"
    (folder / "июль").mkdir(parents=True)
    for name in ("b.wav", "a.WAV", ".hidden.wav", "июль/c.wav"):
        (folder / name).write_bytes(sounds.silence(1))
    (folder / "notes.txt").write_text("no recording")
    return folder


def names(*arguments: Path | str, recursive: bool = False) -> list[str]:
    """Names of the recordings that are found."""
    found = collected([str(argument) for argument in arguments], recursive=recursive)
    return [Path(each.name).name for each in found]


def test_a_folder_means_its_recordings_by_name(archive: Path) -> None:
    """Hidden files and others are left out; -r goes below; nothing is taken twice."""
    assert names(archive) == ["a.WAV", "b.wav"]
    assert names(archive, recursive=True) == ["a.WAV", "b.wav", "c.wav"]
    assert names(archive / "b.wav", archive) == ["b.wav", "a.WAV"]
    assert names(f"{archive}/*.wav", archive) == ["b.wav", "a.WAV"]
    assert names(f"{archive}/**/*.wav") == ["b.wav", "c.wav"]
    assert names(archive / "b.wav", archive / "b.wav") == ["b.wav", "b.wav"]


def test_a_name_that_exists_is_no_pattern(archive: Path) -> None:
    """Brackets are common in names of recordings."""
    (archive / "call [1].wav").write_bytes(b"")
    assert names(archive / "call [1].wav") == ["call [1].wav"]


def test_what_finds_nothing_is_an_error(archive: Path) -> None:
    """A folder without a recording, with the way to look deeper, and a pattern without a match."""
    (archive / "empty").mkdir()
    for name, words in ((archive / "empty", "holds no recording"), (f"{archive}/x*", "nothing is")):
        with pytest.raises(InputError, match=words) as caught:
            names(name)
        assert caught.value.code == "audio_not_found"
    with pytest.raises(InputError) as caught:
        names(archive / "empty")
    assert "-r" in caught.value.remedy


def test_results_mirror_the_folders_and_keep_apart(archive: Path, tmp_path: Path) -> None:
    """Recordings that differ in their suffix alone keep it."""
    shutil.copy(archive / "b.wav", archive / "b.mp3")
    inputs = collected([str(archive)], recursive=True)
    jobs = planned(inputs, ["srt", "txt"], tmp_path / "out", Existing.REFUSE)
    written = [str(path.relative_to(tmp_path / "out")) for job in jobs for _, path in job.targets]
    assert written == [
        *("a.srt", "a.txt", "b.mp3.srt", "b.mp3.txt", "b.wav.srt", "b.wav.txt"),
        *("июль/c.srt", "июль/c.txt"),
    ]
    with pytest.raises(InputError, match="several results"):
        planned(inputs, ["text", "txt"], tmp_path / "out", Existing.REFUSE)


def test_one_result_may_have_its_own_name(glagol: Run, home: Path, archive: Path) -> None:
    """Its suffix says the format; a folder is one whatever it is called."""
    sound = archive / "b.wav"
    assert glagol("transcribe", "--home", home, "-q", "-o", archive / "x.srt", sound).status == 0
    assert (archive / "x.srt").is_file()
    (archive / "v1.srt").mkdir()
    assert glagol("transcribe", "--home", home, "-q", "-o", archive / "v1.srt", sound).status == 0
    assert (archive / "v1.srt" / "b.txt").is_file()


def test_several_formats_of_a_folder(
    glagol: Run, home: Path, archive: Path, recording: Path, expected: str
) -> None:
    """Each recording once through the model, every format beside the other, and a tally."""
    shutil.copy(recording, archive / "speech.wav")
    out = archive / "out"
    asked = ("transcribe", "--home", home, "-r", "-f", "txt,docx", "-f", "md", "-o", out, archive)
    result = glagol(*asked, "--timestamps")
    assert result.status == 0, result.err
    assert (out / "speech.txt").read_text() == f"[00:00:00] {expected}\n"
    assert (out / "speech.md").read_text() == f"**\\[00:00:00\\]** {expected}\n"
    with zipfile.ZipFile(out / "speech.docx") as document:
        assert expected in document.read("word/document.xml").decode()
    assert len(list(out.rglob("*.*"))) == 12
    last = result.err.splitlines()[-1]
    assert last.startswith("glagol: 4 of 4 recordings transcribed: 14 s of audio in ")


def test_a_second_run_refuses_skips_or_writes_anew(glagol: Run, home: Path, archive: Path) -> None:
    """Nothing is overwritten unasked; only what lacks a result is done."""
    out = archive / "out"
    asked = ("transcribe", "--home", home, "-o", out, archive)
    assert glagol(*asked).status == 0
    refused = glagol(*asked)
    assert (refused.status, "--skip-existing" in refused.err) == (2, True)
    (out / "b.txt").unlink()
    (out / "a.txt").write_text("edited by hand")
    rest = glagol(*asked, "--skip-existing")
    assert rest.status == 0
    assert "1 of 2 recordings transcribed, 1 skipped" in rest.err
    assert (out / "a.txt").read_text() == "edited by hand"
    assert "nothing to do" in glagol(*asked, "--skip-existing").err
    assert glagol(*asked, "--force").status == 0
    assert (out / "a.txt").read_text() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "x", "--output-dir", "y"],
        ["-o", "x", "--force", "--skip-existing"],
        ["--skip-existing"],
        ["-f", "txt,md"],
        ["-f", "odt"],
        ["-f", "srt", "-o", "x", "--timestamps"],
    ],
)
def test_options_that_contradict_are_refused(
    glagol: Run, home: Path, recording: Path, arguments: list[str]
) -> None:
    """Before a model is opened, and with the options named."""
    result = glagol("transcribe", "--home", home, *arguments, recording)
    assert result.status == 2
    assert not Path("x").exists()


def test_an_interrupted_run_resumes_where_it_was(home: Path, tmp_path: Path) -> None:
    """Ctrl-C says how far it came; --skip-existing does the rest, and no result twice."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "000.wav").write_bytes(sounds.silence(1))
    for number in range(1, 40):
        (folder / f"{number:03}.wav").hardlink_to(folder / "000.wav")
    (folder / "002z long.wav").write_bytes(sounds.long_speech(3000))
    sources = os.pathsep.join(map(str, (ROOT / "packages").glob("*/src")))
    command = [
        sys.executable,
        "-m",
        "glagol.cli",
        "transcribe",
        "--home",
        str(home),
        "-o",
        str(out),
    ]
    command += [str(folder), "--skip-existing"]
    environment = {**os.environ, "PYTHONPATH": sources}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while not (out / "002.txt").is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted: 3 of 41 recordings transcribed, 38 left" in err
    assert "--skip-existing" in err
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (folder / "002z long.wav").write_bytes(sounds.silence(1))
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=True)
    assert "38 of 41 recordings transcribed, 3 skipped" in done.stderr
    assert len(list(out.iterdir())) == 41
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert after.items() >= before.items()


def test_only_a_few_results_wait_for_their_turn() -> None:
    """A thousand recordings are not a thousand transcripts in memory."""
    jobs = [Job(each) for each in collected([f"{n}.wav" for n in range(1000)], recursive=False)]
    started, delivered, ahead = [0], [0], [0]

    def work(job: Job, cancelled: Callable[[], bool]) -> object:
        started[0] += 1
        ahead[0] = max(ahead[0], started[0] - delivered[0])
        return SimpleNamespace(duration_s=1.0)

    def deliver(job: Job, result: Future[object]) -> int:
        result.result()
        delivered[0] += 1
        return 0

    tally = Tally(len(jobs))
    with Bars(sys.stderr) as bars:
        carried_out(jobs, work, deliver, tally, at_once=2, bars=bars)  # type: ignore[arg-type]
    assert (tally.done, tally.left) == (1000, 0)
    assert ahead[0] <= 6


@pytest.mark.parametrize(
    ("asked", "offered"),
    [("gigaam-nan", "gigaam-nano or"), ("gigam-v3-ctc", "gigaam-v3-ctc"), ("zzz", "use one of")],
)
def test_an_unknown_model_offers_the_nearest_names(
    glagol: Run, home: Path, recording: Path, asked: str, offered: str
) -> None:
    """Those that begin so, then those that look alike; every id where nothing does."""
    result = glagol("transcribe", "--home", home, "-m", asked, recording)
    assert result.status == 2
    assert f"what to do: {'' if asked == 'zzz' else 'did you mean '}{offered}" in result.err
