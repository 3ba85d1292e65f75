"""One recording's speakers: samples in, turns out at the end; only the last 10 s are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glagol.speech.speakers.clustering import Clusters, cluster
from glagol.speech.speakers.features import WINDOW as FEATURE_WINDOW
from glagol.speech.speakers.features import fbank
from glagol.speech.speakers.frames import FRAME, FRAMES, WINDOW, Numbers, Run, count, edge
from glagol.speech.speakers.pieces import Labels, cut
from glagol.speech.speakers.turns import Turn, turns
from glagol.speech.types import SAMPLE_RATE

if TYPE_CHECKING:
    from glagol.runtime.ort import onnxruntime
    from glagol.speech.speakers.config import SpeakersConfig
    from glagol.speech.speakers.types import Bounds

__all__ = ["Diarizer", "Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """Who speaks when in one recording.

    Attributes:
        turns: by start.
        people: how many there are.
        scores: of each person, how much nearer its voice is to itself than to the nearest other,
            0..1 (silhouette by centroids); None where there is one person.
    """

    turns: tuple[Turn, ...]
    people: int
    scores: tuple[float | None, ...]


class Diarizer:
    """Samples of one recording in; who speaks when, once it is over.

    Args:
        segmentation: session of the segmentation network.
        embedding: session of the embedding network.
        config: of the model.
    """

    def __init__(
        self,
        segmentation: onnxruntime.InferenceSession,
        embedding: onnxruntime.InferenceSession,
        config: SpeakersConfig,
    ) -> None:
        self._segmentation = segmentation
        self._embedding = embedding
        self._config = config
        self._labels = Labels(config.step_frames)
        self._windows: list[Numbers] = []
        self._pieces: list[Run] = []
        self._voices: list[Numbers] = []
        self._open = np.zeros(0, np.int8)  # labels that are not cut yet
        self._cut = 0  # frames that are
        self._audio: list[Numbers] = []
        self._start = 0  # sample where `_audio` begins
        self._total = 0

    def push(self, samples: Numbers) -> None:
        """Take the next samples float32 [n] at 16 kHz."""
        self._audio.append(samples)
        self._total += len(samples)
        while self._total >= self._next + WINDOW + self._step:
            self._window(last=False)

    def finish(self, bounds: Bounds) -> Found:
        """The recording is over: find the people and their turns."""
        frames = count(self._total)
        covered = 0
        while frames > covered:
            covered = len(self._windows) * self._config.step_frames + FRAMES
            self._window(last=covered >= frames)
        owners = np.full(frames, -1)
        if not self._pieces:
            return Found((), 0, ())
        people = self._people(bounds)
        for run, owner in zip(self._pieces, people.owners, strict=True):
            owners[run.start : run.end] = owner
        spoken = turns(self._windows, self._config.step_frames, owners, len(people.means))
        return _ordered(spoken, self._scores(people), self._total / SAMPLE_RATE)

    @property
    def _step(self) -> int:
        return self._config.step_frames * FRAME

    @property
    def _next(self) -> int:
        """Sample where the next window begins."""
        return len(self._windows) * self._step

    def _window(self, *, last: bool) -> None:
        """Run the segmentation on the next window, and measure the voices that it settles."""
        samples = self._samples(self._next, self._next + WINDOW)
        scores = self._segmentation.run(("classes",), {"samples": samples[None, None]})[0]
        classes = scores[0].argmax(axis=1).astype(np.uint8)
        self._windows.append(classes)
        self._open = np.concatenate([self._open, self._labels.push(classes, last=last)])
        end = len(self._open)
        if last:
            end = min(end, count(self._total) - self._cut)
            self._open = self._open[:end]
        else:
            end = self._break(end)
        for run in cut(self._open[:end], round(self._config.piece_max_s * SAMPLE_RATE / FRAME)):
            self._measure(Run(run.start + self._cut, run.end + self._cut))
        self._open, self._cut = self._open[end:], self._cut + end
        self._forget(min(self._next, edge(self._cut)))

    def _break(self, end: int) -> int:
        """Where labels can be cut without dividing a piece: after the last change of label.

        Speech of one person that is longer than two pieces is divided.
        """
        changes = np.flatnonzero(np.diff(self._open)) + 1
        longest = round(2 * self._config.piece_max_s * SAMPLE_RATE / FRAME)
        at = int(changes[-1]) if len(changes) else 0
        return at if end - at < longest else end

    def _measure(self, run: Run) -> None:
        """Embed a piece of the recording, if it is long enough."""
        if len(run) * FRAME < self._config.embedded_min_s * SAMPLE_RATE:
            return
        samples = self._samples(max(0, edge(run.start)), min(self._total, edge(run.end)))
        if len(samples) < 2 * FEATURE_WINDOW:
            return
        voice = self._embedding.run(("embedding",), {"features": fbank(samples)[None]})[0][0]
        voice = voice.astype(np.float64)
        length = float(np.sqrt(np.square(voice).sum()))
        if length > 0:
            self._pieces.append(run)
            self._voices.append(voice / length)

    def _people(self, bounds: Bounds) -> Clusters:
        """Cluster the long pieces, and give the short ones to the nearest person."""
        voices = np.array(self._voices)
        lengths = np.array([len(run) * FRAME / SAMPLE_RATE for run in self._pieces])
        long = lengths >= self._config.piece_min_s
        long = long if long.any() else lengths > 0
        share_s = self._config.cluster_min_share * float(lengths.sum())
        found = cluster(
            voices[long],
            lengths[long],
            threshold=self._config.threshold,
            least_s=min(self._config.cluster_min_s, share_s),
            bounds=bounds,
        )
        owners = np.einsum("ik,jk->ij", voices, found.means).argmax(axis=1)
        owners[long] = found.owners
        return Clusters(owners, found.means)

    def _scores(self, people: Clusters) -> list[float | None]:
        """The silhouette of each person, by distances to the people's means."""
        if len(people.means) == 1:
            return [None]
        voices = np.array(self._voices)
        lengths = np.array([len(run) for run in self._pieces], float)
        distances = 1.0 - np.einsum("ik,jk->ij", voices, people.means)
        rows = np.arange(len(voices))
        own = distances[rows, people.owners]
        distances[rows, people.owners] = np.inf
        other = distances.min(axis=1)
        score = (other - own) / np.maximum(np.maximum(other, own), 1e-9)
        found: list[float | None] = []
        for person in range(len(people.means)):
            mine = people.owners == person
            mean = float(np.average(score[mine], weights=lengths[mine])) if mine.any() else 0.0
            found.append(round(max(0.0, mean), 3))
        return found

    def _samples(self, start: int, end: int) -> Numbers:
        """Samples [start, end) of the recording, zeros behind its end."""
        if len(self._audio) > 1:
            self._audio = [np.concatenate(self._audio)]
        held = self._audio[0] if self._audio else np.zeros(0, np.float32)
        found = held[max(0, start - self._start) : max(0, end - self._start)]
        return np.pad(found, (0, end - start - len(found)))

    def _forget(self, start: int) -> None:
        """Drop the audio before a sample."""
        if start > self._start and self._audio:
            self._audio = [self._audio[0][start - self._start :].copy()]
            self._start = start


def _ordered(spoken: list[Turn], scores: list[float | None], end: float) -> Found:
    """People numbered by their first turn; those that have none are left out."""
    order = list(dict.fromkeys(turn.person for turn in spoken))
    number = {person: at for at, person in enumerate(order)}
    kept = [Turn(t.start, min(t.end, round(end, 3)), number[t.person]) for t in spoken]
    return Found(tuple(kept), len(order), tuple(scores[person] for person in order))
