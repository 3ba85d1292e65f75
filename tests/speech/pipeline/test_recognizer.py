"""Whole files through real models: texts, seams, determinism, coverage, cancelling, memory."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glagol.core.errors import HostError, InputError, LimitError
from glagol.registry.registry import Registry
from glagol.speech import Options, Progress, Recognizer, Segment, Transcript
from glagol.speech.audio.decode import decode
from glagol.speech.output.formats import as_json
from glagol.speech.segmentation.cutter import Cutter
from glagol.speech.segmentation.planner import Chunk
from speech import made

Opener = Callable[..., Recognizer]

SENTENCES = (
    "на повестке у нас двадцать семь вопросов",
    "я согласен но сначала надо обновить график",
    "сегодня хорошая погода и мы пойдем гулять в парк",
    "завтра в десять часов будет новая встреча",
    "устройству указывается прервать работу команды",
    "стив пошел по поверхности озера и достал тарелку",
    "первый отчет надо отправить в понедельник",
    "в этом году мы купили новое оборудование",
    "она открыла окно и посмотрела на улицу",
    "прошу всех прислать замечания до вечера",
)
VOICE_RATE = 22_050


def transcribed(recognizer: Recognizer, data: bytes, **options: Any) -> Transcript:
    return recognizer.transcribe(io.BytesIO(data), options=Options(**options))


def joined(pause: float) -> bytes:
    """Sentences with a pause after each, seconds."""
    gap = np.zeros(round(pause * VOICE_RATE), np.float32)
    parts = [part for text in SENTENCES for part in (made.spoken(text), gap)]
    return made.wav(np.concatenate([gap[: VOICE_RATE // 5], *parts]), VOICE_RATE)


def plan_of(recognizer: Recognizer, data: bytes) -> tuple[list[Chunk], Cutter]:
    cutter = Cutter(recognizer.vad, rule=recognizer.rule, short_s=25.0)
    blocks = decode(io.BytesIO(data), max_seconds=1e5)
    return [piece.chunk for piece in cutter.pieces(blocks) if piece], cutter


def edits(left: Sequence[str], right: Sequence[str]) -> list[list[int]]:
    """Levenshtein's table: [i][j] edits from left[:i] to right[:j]."""
    table = [list(range(len(right) + 1))]
    for i, a in enumerate(left, 1):
        before, row = table[-1], [i]
        for j, b in enumerate(right, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
        table.append(row)
    return table


def distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Words to insert, delete or replace."""
    return edits(left, right)[-1][-1]


def longest_loss(left: str, right: str) -> int:
    """Longest run of letters that one of two aligned texts has and the other lacks."""
    table = edits(left, right)
    i, j, run, longest = len(left), len(right), 0, 0
    while i or j:
        here = table[i][j]
        if i and j and here == table[i - 1][j - 1] + (left[i - 1] != right[j - 1]):
            i, j, run = i - 1, j - 1, 0
            continue
        i, j = (i - 1, j) if i and here == table[i - 1][j] + 1 else (i, j - 1)
        run += 1
        longest = max(longest, run)
    return longest


def assert_same_speech(found: str, expected: str) -> None:
    """Equal up to the model's spelling; a lost or doubled word would be a run of letters."""
    ours, theirs = found.replace(" ", ""), expected.replace(" ", "")
    assert abs(len(ours) - len(theirs)) <= 0.01 * len(theirs)
    assert longest_loss(ours, theirs) <= 2


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_sentence_is_understood(recognizer: Opener, head: str, precision: str) -> None:
    text = SENTENCES[3]
    transcript = transcribed(recognizer(head, precision), made.said(text))
    assert distance(text.split(), transcript.text.split()) <= 2
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    words = [word for segment in transcript.segments for word in segment.words]
    assert 0.2 <= words[0].start <= 0.6
    assert transcript.duration_s - 0.7 <= words[-1].end <= transcript.duration_s
    assert all(left.end <= right.start for left, right in pairwise(words))
    assert all(0.0 < word.confidence <= 1.0 for word in words)
    assert transcript.coverage.decoded_s == transcript.duration_s


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
@pytest.mark.parametrize("pause", [0.5, 2.5])
def test_long_audio_says_what_its_clips_say(recognizer: Opener, head: str, pause: float) -> None:
    """Seams in silence: the same words as one by one, up to a letter here and there."""
    model = recognizer(head)
    alone = [transcribed(model, made.said(text)).text for text in SENTENCES]
    data = joined(pause)
    together = transcribed(model, data)
    chunks, cutter = plan_of(model, data)
    assert len(chunks) >= 2
    assert all(chunk.window == chunk.core for chunk in chunks)
    assert cutter.decoded + cutter.dropped == cutter.total
    expected = " ".join(alone)
    assert_same_speech(together.text, expected)
    if pause > 2:
        assert together.coverage.dropped_s > 0.5 * len(SENTENCES)
        assert len(together.segments) == len(SENTENCES)


@pytest.mark.parametrize("head", ["ctc", "rnnt"])
def test_unbroken_speech_loses_no_word_at_its_cuts(recognizer: Opener, head: str) -> None:
    """Over a minute without a pause: as good as when it is cut where the sentences meet."""
    model = recognizer(head)
    clips = [made.spoken(text) for text in SENTENCES * 3]
    data = made.wav(np.concatenate(clips), VOICE_RATE)
    chunks, cutter = plan_of(model, data)
    cuts = [chunk.core.end for chunk in chunks[:-1]]
    assert cutter.total > 60 * made.RATE
    assert len(cuts) >= 2
    assert all(chunk.window.end > chunk.core.end for chunk in chunks[:-1])

    found = transcribed(model, data)
    oracle = [
        transcribed(model, made.wav(np.concatenate(clips[at : at + 5]), VOICE_RATE)).text
        for at in range(0, len(clips), 5)
    ]
    assert_same_speech(found.text, " ".join(oracle))


def test_same_bytes_for_one_thread_two_threads_and_ten_runs(recognizer: Opener) -> None:
    for head, data in (("ctc", joined(0.5)), ("rnnt", made.said(SENTENCES[0]))):
        expected = as_json(transcribed(recognizer(head), data))
        assert as_json(transcribed(recognizer(head, threads=2), data)) == expected
        runs = 10 if head == "rnnt" else 2
        assert {as_json(transcribed(recognizer(head), data)) for _ in range(runs)} == {expected}


def test_format_of_the_file_does_not_move_the_words(recognizer: Opener) -> None:
    sound = np.pad(made.spoken(SENTENCES[0]), 5_000)
    flac = transcribed(recognizer(), made.encoded(sound, VOICE_RATE, "flac", "flac"))
    mp3 = transcribed(recognizer(), made.encoded(sound, VOICE_RATE, "mp3", "libmp3lame"))
    assert distance(flac.text.split(), mp3.text.split()) <= 2
    assert flac.segments[0].start == pytest.approx(mp3.segments[0].start, abs=0.1)


@pytest.mark.parametrize("seconds", [3.0, 40.0])
def test_silence_is_an_empty_transcript(recognizer: Opener, seconds: float) -> None:
    transcript = transcribed(recognizer(), made.wav(np.zeros(round(seconds * 16_000), np.float32)))
    assert (transcript.text, transcript.segments) == ("", ())
    assert transcript.coverage.decoded_s == 0.0
    assert transcript.coverage.dropped_s == transcript.duration_s == seconds


def test_provenance_is_complete(recognizer: Opener, registry: Registry) -> None:
    short = recognizer().transcribe(io.BytesIO(made.said(SENTENCES[0])), audio_sha256="ab" * 32)
    long = transcribed(recognizer(), joined(0.5))
    found = short.provenance
    opened = registry.open(found.model, found.variant)
    assert dict(found.artifacts) == {path: blob.sha256 for path, blob in opened.blobs.items()}
    assert found.manifest_sha256 == registry.manifest_sha256
    assert (found.variant, found.provider) == ("cpu-fp32", "cpu")
    assert found.audio_sha256 == "ab" * 32
    assert found.vad is None  # short audio was not cut
    assert long.provenance.vad is not None
    assert long.provenance.vad.parameters["threshold"] == 0.5
    assert long.provenance.audio_sha256 is None
    assert len({found.chunk_plan_sha256, long.provenance.chunk_plan_sha256}) == 2


def test_words_are_left_out_on_request(recognizer: Opener) -> None:
    data = made.said(SENTENCES[0])
    full = transcribed(recognizer(), data)
    bare = transcribed(recognizer(), data, word_timestamps=False)
    assert bare.text == full.text
    assert [(s.start, s.end, s.text) for s in bare.segments] == [
        (s.start, s.end, s.text) for s in full.segments
    ]
    assert all(segment.words == () for segment in bare.segments)


def test_segments_stream_and_progress_grows(recognizer: Opener) -> None:
    seen: list[Progress] = []
    stream = recognizer().segments(io.BytesIO(joined(1.2)), on_progress=seen.append)
    arrived: list[tuple[Segment, int]] = []
    while True:
        try:
            arrived.append((next(stream), len(seen)))
        except StopIteration as end:
            whole = end.value
            break
    assert tuple(segment for segment, _ in arrived) == whole.segments
    assert arrived[0][1] < arrived[-1][1]  # the first came before the last chunk was done
    done = [progress.done_s for progress in seen]
    assert done == sorted(done)
    assert len(seen) >= 3
    assert seen[0].total_s == pytest.approx(whole.duration_s, abs=0.01)
    assert done[-1] == pytest.approx(whole.duration_s, abs=0.001)


def test_cancelling_stops_between_chunks(recognizer: Opener) -> None:
    seen: list[Progress] = []
    with pytest.raises(HostError) as caught:
        recognizer().transcribe(
            io.BytesIO(joined(0.5)), on_progress=seen.append, cancelled=lambda: bool(seen)
        )
    assert caught.value.code == "cancelled"
    assert len(seen) == 1


def test_cancelling_stops_while_the_file_is_opened(recognizer: Opener) -> None:
    """Before the first sample a file may be walked for long."""
    hollow = b"RIFF\xf0\xff\xff\x7fWAVE" + b"JUNK\0\0\0\0" * 1_000
    with pytest.raises(HostError) as caught:
        recognizer().transcribe(io.BytesIO(hollow), cancelled=lambda: True)
    assert caught.value.code == "cancelled"


@pytest.mark.parametrize(
    "options",
    [
        Options(language="en"),
        Options(short_audio_s=-1.0),
        Options(max_audio_s=0.0),
        Options(max_audio_s=float("nan")),
    ],
)
def test_wrong_options_cost_no_work(recognizer: Opener, options: Options) -> None:
    with pytest.raises(InputError) as caught:
        recognizer().transcribe(io.BytesIO(b""), options=options)
    assert caught.value.code == "option_invalid"


def test_limit_of_length_is_the_options(recognizer: Opener) -> None:
    with pytest.raises(LimitError):
        transcribed(recognizer(), made.said(SENTENCES[0]), max_audio_s=1.0)


MEMORY = """
import sys
from pathlib import Path
from glagol.registry.registry import Registry
from glagol.runtime.options import Runtime
from glagol.speech import Recognizer
registry, options = Registry.load(Path(sys.argv[1])), Runtime(threads=1)
recognizer = Recognizer.open(registry, model=sys.argv[2], runtime=options)
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024
grown = []
for name in sys.argv[3:]:
    with open(name, "rb") as file:
        transcript = recognizer.transcribe(file)
    grown.append(peak())
assert transcript.text
print(*grown)
"""


@pytest.mark.slow
def test_ten_minutes_need_no_more_memory_than_one(registry: Registry, tmp_path: Path) -> None:
    """Peak RSS of a process, MiB; the audio alone would be 38 MiB as floats."""
    minute = np.frombuffer(joined(1.8)[44:], np.int16)
    names = []
    for minutes in (1, 10):
        names.append(tmp_path / f"{minutes}.wav")
        samples = np.resize(minute, minutes * 60 * VOICE_RATE).astype(np.float32) / np.float32(
            32768
        )
        names[-1].write_bytes(made.wav(samples, VOICE_RATE))
    home = registry.store.root.parent
    model = registry.manifest.defaults.asr
    paths = [path for path in sys.path if "packages" in path]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{MEMORY}"]
        + [str(home), model, *map(str, names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    one, ten = map(int, ran.stdout.split())
    assert one <= 350
    assert ten - one <= 24


def test_the_measure_of_this_file_sees_a_lost_word() -> None:
    assert longest_loss("намыпойдемвпарк", "намыпойдемвпарк") == 0
    assert longest_loss("намыпойдемьвпарг", "намыпойдемвпарк") == 1
    assert longest_loss("намывпарк", "намыпойдемвпарк") == 6
    assert longest_loss("намыпойдемпойдемвпарк", "намыпойдемвпарк") == 6
