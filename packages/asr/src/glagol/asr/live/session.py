"""The thread of one live stream: bytes to samples, samples to finals and guesses.

It cuts the audio itself, which costs little, and asks the engine's quick lane for the words of
each chunk. Guesses are only offered to the engine: they run while it has nothing else to do and are
given up in the middle when it has, so they lengthen nobody's wait.
"""

from __future__ import annotations

import io
from concurrent.futures import CancelledError
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from glagol.asr.inference.scheduler import Job
from glagol.asr.live import messages
from glagol.core.errors import HostError, InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from glagol.asr.inference.pool import Engine
    from glagol.asr.inference.scheduler import Stop
    from glagol.asr.live.bridge import Feed, Outbox
    from glagol.speech.pipeline.hearing import Hearing
    from glagol.speech.pipeline.live import Live
    from glagol.speech.pipeline.transcriber import Transcriber
    from glagol.speech.types import Array, Options, Segment, Transcript, Word

__all__ = ["Listening"]

GUESS_EVERY_S: Final = 0.3
LOOK_S: Final = 0.2
"""How often a thread that waits for the engine looks whether the client has left."""


@dataclass(slots=True)
class Listening:
    """One stream.

    Attributes:
        engine: Whose model it uses.
        start: What the client asked for.
        options: The same for the recogniser.
        model: Manifest id.
        feed: The bytes.
        outbox: The messages.
        left: Set when nobody waits for the stream any more.
        wait_s: The longest wait for the model so far.
        work_s: Seconds of the model so far, guesses not counted.
    """

    engine: Engine
    start: messages.Start
    options: Options
    model: str
    feed: Feed
    outbox: Outbox
    left: Event
    wait_s: float = 0.0
    work_s: float = 0.0
    _guess: Job | None = None
    _guessed_at: int = 0
    _shown: str = ""

    def run(self) -> Transcript:
        """Listen until the audio is over; all messages but the first and the last are put.

        Returns:
            What was covered and what made it; it has no segments.

        Raises:
            GlagolError: The stream failed.
        """
        from glagol.speech.types import SAMPLE_RATE

        limit = self.options.max_audio_s
        try:
            live = self._begun()
            for block in self._blocks():
                for segment in live.push(block):
                    self._final(segment)
                if live.total > limit * SAMPLE_RATE:
                    raise LimitError(
                        "audio_too_long",
                        f"a stream may last {limit:g} s",
                        "begin a new stream, or ask the operator to raise the limit",
                    )
                self._offer(live)
            if not live.total:
                raise InputError("audio_empty", "no sound was sent", "send audio, then finish")
            for segment in live.finish():
                self._final(segment)
            return live.transcript(audio_sha256=self.feed.sha256)
        finally:
            self._drop()
            self.outbox.close()

    def _begun(self) -> Live:
        recognizer: Transcriber = self._asked(lambda found: found)
        live: Live = recognizer.live(
            options=self.options,
            hear=lambda samples, start: self._hear(live.hearing, samples, start),
        )
        return live

    def _blocks(self) -> Iterator[Array]:
        from glagol.speech.audio import streaming

        if self.start.encoding == "pcm_s16le":
            return streaming.pcm(self.feed.read, rate=self.start.rate, channels=self.start.channels)
        return streaming.container(self.feed.read)

    def _hear(self, hearing: Hearing, samples: Array, start: int) -> list[Word]:
        """The words of a chunk, by the engine's quick lane."""
        self._drop()
        words: list[Word] = self._asked(lambda _: hearing(samples, start))
        return words

    def _asked(self, work: Callable[[Transcriber], Any]) -> Any:
        job = self._job(work)
        self.engine.put(job)
        while True:
            try:
                found, _ = job.done.result(LOOK_S)
                break
            except TimeoutError:
                if self.left.is_set():
                    job.cancel()
            except CancelledError:
                raise HostError("cancelled", "the client left", "begin a new stream") from None
        self.wait_s = max(self.wait_s, job.wait_s)
        self.work_s += job.work_s
        return found

    def _job(self, work: Callable[[Transcriber], Any], stop: Stop | None = None) -> Job:
        return Job(
            file=io.BytesIO(),
            audio_sha256="",
            model=self.model,
            options=self.options,
            render=lambda _: b"",
            work=work,
            admitted=True,
            stop=stop or Event(),
        )

    def _final(self, segment: Segment) -> None:
        self._drop()
        self._shown = ""
        self.outbox.put(messages.final(segment))

    def _offer(self, live: Live) -> None:
        """Let the engine guess what is being said, if it has the time and so have we."""
        from glagol.runtime.session import Interrupt
        from glagol.speech.types import SAMPLE_RATE

        late = self.feed.waiting > 0
        due = live.total - self._guessed_at >= GUESS_EVERY_S * SAMPLE_RATE
        if late or not due or not self.start.partials or self._guess is not None:
            return
        sketch = live.open()
        if sketch is None:
            return
        stop, age = Interrupt(), self.outbox.age
        job = self._job(
            lambda recognizer: [
                sketch.segment(recognizer.begin(self.options)(sketch.samples, sketch.start, stop))
            ],
            stop,
        )
        self._guess = job
        job.done.add_done_callback(lambda done: self._guessed(job, done, age))
        if self.engine.offer(job):
            self._guessed_at = live.total
        else:
            self._guess = None

    def _guessed(self, job: Job, done: Future[Any], age: int) -> None:
        """Show a guess; called in whatever thread ended it."""
        if self._guess is job:
            self._guess = None
        if done.cancelled() or done.exception() is not None:
            return
        (segment,), _ = done.result()
        if segment is not None and segment.text != self._shown:
            self._shown = segment.text
            self.outbox.put_guess(messages.partial(segment), age)

    def _drop(self) -> None:
        """Give a guess up: what is known now is better."""
        guess, self._guess = self._guess, None
        if guess is not None:
            guess.cancel()
