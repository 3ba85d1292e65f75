"""The thread of one live stream: bytes to samples, samples to finals and partials.

It cuts the audio itself, which costs little, and runs each chunk on the engine's quick lane.
Partials are best effort: they run while the engine is idle, and are cancelled when other work
arrives, so they delay no other request.
"""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from glagol.asr.inference.models import forget_frames
from glagol.asr.inference.tasks import Call, value_of
from glagol.asr.live import messages
from glagol.core.errors import HostError, InputError, LimitError
from glagol.speech.output.notices import refuse
from glagol.web.tracing import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from glagol.asr.inference.pool import InferencePool
    from glagol.asr.inference.tasks import Task
    from glagol.asr.live.bridge import Feed, Outbox
    from glagol.speech.audio.findings import Findings
    from glagol.speech.audio.jail.pool import Jail
    from glagol.speech.pipeline.live import Live
    from glagol.speech.pipeline.transcriber import Transcriber
    from glagol.speech.types import Array, Options, Segment, Transcript, Word

__all__ = ["LiveSession"]

T = TypeVar("T")

GUESS_EVERY_S: Final = 0.3
ROOM_S: Final = 60.0
"""How long a stream waits for room for its model; meanwhile its client's leaving may go unseen."""

LOOK_S: Final = 0.2
"""How often a thread that waits for the engine looks whether the client has left."""


@dataclass(slots=True)
class LiveSession:
    """One stream; `run` is called once, in a thread of its own.

    Its model stays leased until the end of `run`: what cuts the audio belongs to it. A guess ends
    in another thread, so `_lock` guards `_guess` and `_shown`; it is held for assignments and
    `Outbox.put_guess`, and nothing is cancelled under it.

    Attributes:
        engine: Whose model it uses.
        start: What the client asked for.
        options: The same for the recogniser.
        model: Manifest id.
        feed: The bytes.
        outbox: The messages.
        left: Set when the client has left, or the stream failed.
        jail: What opens containers.
        wait_s: The longest wait for the model so far.
        work_s: Seconds of the model so far, guesses not counted.
        timeline: Where the phases of its calls are written down, those of guesses not.
    """

    engine: InferencePool
    start: messages.Start
    options: Options
    model: str
    feed: Feed
    outbox: Outbox
    left: Event
    jail: Jail
    wait_s: float = 0.0
    work_s: float = 0.0
    timeline: Timeline = field(default_factory=Timeline)
    _lock: Lock = field(default_factory=Lock)
    _live: Live | None = None
    _guess: Task[Any] | None = None
    _guessed_at: int = 0
    _shown: str = ""

    def run(self) -> Transcript:
        """Listen until the audio is over; all messages but the first and the last are put.

        Returns:
            What was covered and what made it; it has no segments.

        Raises:
            GlagolError: The stream failed.
        """
        kept = self._call(self._begin, keeps_model=True)
        end = time.monotonic() + ROOM_S
        try:
            self._asked(kept, lambda: kept.slot is None and time.monotonic() > end)
            return self._listened()
        except Exception as error:
            forget_frames(error)
            raise
        finally:
            self._drop()
            self._live = None
            self.engine.release(kept)
            self.outbox.close()

    def _begin(self, recognizer: Transcriber) -> None:
        self._live = recognizer.live(options=self.options, recognize=self._recognize)

    def _listened(self) -> Transcript:
        """Transcribe all blocks of the stream; returns the transcript."""
        from glagol.speech.audio.findings import Findings
        from glagol.speech.types import SAMPLE_RATE

        limit, live = self.options.max_audio_s, self._live
        if live is None:
            raise AssertionError("a stream begins with a model")
        findings = Findings()
        for block in self._blocks(findings):
            for segment in live.push(block):
                self._final(segment)
            if live.total > limit * SAMPLE_RATE:
                raise LimitError(
                    "audio_too_long",
                    f"a stream may last {limit:g} s",
                    "begin a new stream, or ask the operator to raise the limit",
                )
            self._offer(live)
            self._check(findings)
        self._check(findings)
        if not live.total:
            raise InputError("audio_empty", "no sound was sent", "send audio, then finish")
        for segment in live.finish():
            self._final(segment)
        return live.transcript(audio_sha256=self.feed.sha256, warnings=findings.notices())

    def _blocks(self, findings: Findings) -> Iterator[Array]:
        from glagol.speech.audio import streaming

        read, start = self.feed.read, self.start
        if start.encoding == "pcm_s16le":
            return streaming.pcm(read, rate=start.rate, channels=start.channels, findings=findings)
        return self.jail.stream(
            read, track=start.track, findings=findings, cancelled=self.left.is_set
        )

    def _check(self, findings: Findings) -> None:
        """End a stream with missing sound, if the client asked for `strict`."""
        if self.options.strict:
            refuse(findings.notices())

    def _recognize(self, samples: Array, start: int) -> list[Word]:
        """The words of a chunk, by the engine's quick lane."""
        self._drop()
        live = self._live
        if live is None:
            raise AssertionError("a stream that ended transcribes nothing")
        return self._asked(self._call(lambda _: live.decoder(samples, start)))

    def _asked(self, call: Call[T], late: Callable[[], bool] = lambda: False) -> T:
        """The value of a call, unless the client leaves first or it is too `late` for it.

        Raises:
            HostError: `cancelled`.
            LimitError: `busy`, it was too late.
        """
        self.engine.put(call)
        try:
            value = value_of(call, LOOK_S, lambda: self.left.is_set() or late())
        except CancelledError:
            if not self.left.is_set():
                raise LimitError(
                    "busy",
                    f"there was no room for the model {self.model} within {ROOM_S:g} s",
                    "try again later, or use the default model",
                ) from None
            raise HostError("cancelled", "the client disconnected", "begin a new stream") from None
        self.wait_s = max(self.wait_s, call.wait_s)
        self.work_s += call.work_s
        return value

    def _call(self, work: Callable[[Transcriber], T], *, keeps_model: bool = False) -> Call[T]:
        return Call(
            model=self.model,
            work=work,
            admitted=True,
            keeps_model=keeps_model,
            timeline=self.timeline,
        )

    def _final(self, segment: Segment) -> None:
        self._drop()
        self.outbox.put(messages.final(segment))
        with self._lock:  # only now: until the final is put, an old guess may still be shown
            self._shown = ""

    def _offer(self, live: Live) -> None:
        """Offer a partial to the engine, if none is in flight."""
        from glagol.runtime.session import Interrupt
        from glagol.speech.types import SAMPLE_RATE

        late = self.feed.waiting > 0
        due = live.total - self._guessed_at >= GUESS_EVERY_S * SAMPLE_RATE
        shown = self.start.partials and not self.options.redact  # half a number would be shown
        if late or not due or not shown or self._guess is not None:
            return  # another thread only ever takes `_guess` away: then the next block offers
        unfinished = live.open()
        if unfinished is None:
            return
        stop, age = Interrupt(), self.outbox.age
        call = Call(
            model=self.model,
            work=lambda found: unfinished.segment(
                found.begin(self.options)(unfinished.samples, unfinished.start, stop)
            ),
            admitted=True,
            stop=stop,
        )
        with self._lock:
            self._guess = call
        call.done.add_done_callback(lambda done: self._guessed(done, age))
        if self.engine.offer(call):
            self._guessed_at = live.total
        else:
            with self._lock:
                self._guess = None

    def _guessed(self, done: Future[Segment | None], age: int) -> None:
        """Show a partial; called in the thread that computed it."""
        with self._lock:
            if self._guess is not None and self._guess.done is done:
                self._guess = None
            if done.cancelled() or done.exception() is not None:
                return
            segment = done.result()
            if segment is None or segment.text == self._shown:
                return
            if self.outbox.put_guess(messages.partial(segment), age):
                self._shown = segment.text

    def _drop(self) -> None:
        """Cancel a partial, which is out of date."""
        with self._lock:
            guess, self._guess = self._guess, None
        if guess is not None:
            guess.cancel()
