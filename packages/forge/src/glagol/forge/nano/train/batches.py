"""Batches of like lengths, made ahead of the training step by one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glagol.forge.nano.seeds import array_stream, stream
from glagol.forge.nano.speech import augment, features
from glagol.forge.nano.speech.clips import Clip
from glagol.forge.nano.text.vocabulary import encode

BUCKET = 7680
"""Waveforms are padded to multiples of 0.48 s: oneDNN compiles its kernels per shape."""
_AHEAD = 6


@dataclass(frozen=True)
class Batch:
    """Log-mel [B, 64, L], frames [B], targets [B, U], letters [B]; seconds of audio in it."""

    features: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    seconds: float

    def to(self, device: str) -> Batch:
        """Return the batch with its tensors on a device."""
        return Batch(
            self.features.to(device),
            self.lengths.to(device),
            self.targets.to(device),
            self.target_lengths.to(device),
            self.seconds,
        )


@dataclass(frozen=True)
class Position:
    """A place in the endless row of batches: which pass, which batch of it comes next."""

    epoch: int = 0
    index: int = 0


def stack(waves: list[augment.Wave], bucket: int = BUCKET) -> tuple[Tensor, Tensor]:
    """Return waveforms [B, N] padded with zeros to a multiple of the bucket, and lengths [B]."""
    longest = max(len(wave) for wave in waves)
    stacked = torch.zeros(len(waves), -(-longest // bucket) * bucket)
    for row, wave in zip(stacked, waves, strict=True):
        row[: len(wave)] = torch.from_numpy(wave)
    return stacked, torch.tensor([len(wave) for wave in waves])


def make_batch(clips: list[Clip], draw: np.random.Generator | None) -> Batch:
    """Return a batch, distorted when a generator is given."""
    waves = [clip.waveform for clip in clips]
    if draw is not None:
        others = waves[1:] + waves[:1]
        waves = [augment.distort(one, two, draw) for one, two in zip(waves, others, strict=True)]
    stacked, samples = stack(waves)
    spectra, lengths = features.power(stacked), features.frame_count(samples)
    if draw is None:
        mels = features.log_mel(spectra)
    else:
        augment.shape_spectra(spectra, draw)
        mels = features.log_mel(spectra, augment.draw_warp(draw))
        augment.mask(mels, lengths.tolist(), draw)
    targets = [torch.tensor(encode(clip.text)) for clip in clips]
    return Batch(
        mels,
        lengths,
        torch.nn.utils.rnn.pad_sequence(targets, batch_first=True),
        torch.tensor([len(target) for target in targets]),
        sum(clip.samples for clip in clips) / features.SAMPLE_RATE,
    )


def plan_epoch(clips: list[Clip], seconds: float, seed: int, epoch: int) -> list[list[Clip]]:
    """Shuffle clips into batches of about so many seconds, one batch size per length bucket.

    The few clips that do not fill a last batch of their bucket wait for another pass.
    """
    draw = stream(seed, "epoch", epoch)
    buckets: dict[int, list[Clip]] = {}
    for clip in clips:
        buckets.setdefault(-(-clip.samples // BUCKET), []).append(clip)
    planned = []
    for key in sorted(buckets):
        members = buckets[key]
        draw.shuffle(members)
        size = max(1, int(seconds * features.SAMPLE_RATE / (key * BUCKET)))
        planned += [members[i : i + size] for i in range(0, len(members) - size + 1, size)]
    draw.shuffle(planned)
    return planned


class Loader:
    """Endless batches. Clips are read anew before every pass, so growing shards are seen."""

    def __init__(
        self, read: Callable[[], list[Clip]], seconds: float, seed: int, start: Position
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._seed = seed
        self._start = start
        self._ready: queue.Queue[tuple[Batch, Position] | Exception] = queue.Queue(_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def _planned(self) -> Iterator[tuple[Batch, Position]]:
        position = self._start
        while True:
            batches = plan_epoch(self._read(), self._seconds, self._seed, position.epoch)
            if not batches:
                raise ValueError("there are not enough clips for a single batch")
            for index in range(position.index, len(batches)):
                draw = array_stream(self._seed, "augment", position.epoch, index)
                yield make_batch(batches[index], draw), Position(position.epoch, index + 1)
            position = Position(position.epoch + 1)

    def _put(self, item: tuple[Batch, Position] | Exception) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=1)
            except queue.Full:
                continue
            return True
        return False

    def _work(self) -> None:
        try:
            for item in self._planned():
                if not self._put(item):
                    return
        except Exception as error:  # noqa: BLE001 - handed over to the thread that waits
            self._put(error)

    def take(self) -> tuple[Batch, Position]:
        """Return the next batch and the position after it; raises what the thread raised."""
        item = self._ready.get()
        if isinstance(item, Exception):
            raise item
        return item

    @property
    def waiting(self) -> int:
        """Batches made ahead; zero again and again means that the loader is the brake."""
        return self._ready.qsize()

    def close(self) -> None:
        """Let the thread end."""
        self._stopped.set()
