"""Carry an archive through readers and recognisers: what goes where, and what if one dies.

The driver holds names and words of the recordings in work, never sound. A recording is done when
its row is in a file of the target; if its reader is lost before, it is done again.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from glagol.archive.actors.crew import Gate, LostError
from glagol.archive.actors.wire import Cut, Opened, Recognised, Written, answer, encode
from glagol.archive.parts import RECORDINGS_AT, part_names
from glagol.archive.rows import failed_row
from glagol.core.errors import CODES, GlagolError, HostError
from glagol.core.executors import call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import Executor

    from glagol.archive.actors.crew import Crew, Member
    from glagol.archive.ledger import Ledger
    from glagol.archive.parts import Parts
    from glagol.archive.places import Place
    from glagol.archive.sources import Source
    from glagol.speech.engines.base import Hypothesis, Request

__all__ = ["Flow", "Tally"]

T = TypeVar("T")

TRIES: Final = 3
"""How often a recording is begun whose actors die, before it counts as dead."""

WINDOWS: Final = 2
"""Windows in one call of a recogniser."""


@dataclass(slots=True)
class Tally:
    """How far a run is.

    Attributes:
        listed: recordings that were found, and whether these are all.
        skipped: those that were done before.
        done: those that were transcribed.
        copied: those whose bytes another recording had.
        failed: those that could not be.
        audio_s: seconds of sound that were recognised.
        bytes_listed: size of the recordings to do that were found.
        bytes_done: of those that ended.
        status: exit status of the first failure.
    """

    listed: int = 0
    complete: bool = False
    skipped: int = 0
    done: int = 0
    copied: int = 0
    failed: int = 0
    audio_s: float = 0.0
    bytes_listed: int = 0
    bytes_done: int = 0
    status: int = 0


class _FatalError(Exception):
    """The run cannot continue: the target takes nothing, or a model is not what it should be."""

    def __init__(self, error: GlagolError) -> None:
        super().__init__(error)
        self.error = error


@dataclass(slots=True)
class _Channel:
    """What the windows of one channel need of those before them."""

    session: str
    request: Request | None
    member: Member | None = None


@dataclass(slots=True)
class Flow:
    """One run.

    Attributes:
        readers: open, cut, join and write.
        recognisers: recognise windows.
        independent: the request under which windows are from the first on; None if they are not.
        ledger: what is done.
        target: where results go.
        recordings: reads the table of the target.
        failures: writes the table of what could not be done.
        formats: names of files that each recording needs.
        tell: is given every change of the tally, and a failure with its recording.
        tally: how far it is.
    """

    readers: Crew
    recognisers: Crew
    independent: Request | None
    ledger: Ledger
    target: Place
    recordings: Parts
    failures: Parts
    formats: frozenset[str]
    tell: Callable[[Tally, Source | None, GlagolError | None], None]
    tally: Tally = field(default_factory=Tally)
    _places: Gate = field(init=False)
    _tickets: Gate = field(init=False)
    _working: dict[str, str] = field(default_factory=dict)
    _later: list[Source] = field(default_factory=list)
    _sessions: int = 0

    def __post_init__(self) -> None:
        """Recordings and sound in work are bounded by the actors."""
        self._places = Gate(self.readers.places)
        self._tickets = Gate(2 * self.recognisers.places)

    async def run(self, sources: Iterator[Source]) -> None:
        """Transcribe everything that is not done.

        Args:
            sources: in the order in which they should begin.

        Raises:
            GlagolError: what ends the whole run: the target takes nothing, there is no room for
                actors any more, the sources cannot be listed, a model is altered.
        """
        try:
            await self._all(sources)
            while self._later:
                again, self._later = self._later, []
                await self._all(iter(again))
            self.failures.flush()
        except _FatalError as fatal:
            raise fatal.error from fatal
        except BaseExceptionGroup as group:
            first = _first(group)
            raise (first.error if isinstance(first, _FatalError) else first) from group

    async def _all(self, sources: Iterator[Source]) -> None:
        """Do every recording; what has to wait for others is in `_later`."""
        again = bool(self.tally.complete)
        with ThreadPoolExecutor(1, "listing") as listing:
            await self._begun(sources, listing, again=again)
        for member in list(self.readers.members):
            try:
                self._saved(member, await self._read(member, Written, "flush"))
            except LostError:
                continue
            except GlagolError as error:
                raise _FatalError(error) from error

    async def _begun(self, sources: Iterator[Source], listing: Executor, *, again: bool) -> None:
        """Begin each recording when there is a place for it, and wait for all."""
        async with asyncio.TaskGroup() as group:
            while (source := await call(listing, _following, sources)) is not None:
                if not again and not self._wanted(source):
                    continue
                await self._places.enter(0.0)
                group.create_task(self._recording(source))
            self.tally.complete = True

    def _wanted(self, source: Source) -> bool:
        """Whether a recording is to do; one that is listed twice is done once."""
        if not self.ledger.first(source.name):
            return False
        self.tally.listed += 1
        if self.ledger.unchanged(source, self.formats):
            self.tally.skipped += 1
            self.tell(self.tally, None, None)
            return False
        self.tally.bytes_listed += source.size_bytes
        return True

    async def _recording(self, source: Source) -> None:
        """Do one recording."""
        try:
            for _ in range(TRIES):
                try:
                    async with self.readers.place(-float(source.size_bytes)) as member:
                        await self._attempt(member, source)
                    return
                except LostError:
                    continue
            raise HostError(
                "attempts_exhausted",
                f"its actors died {TRIES} times",
                "look whether it needs more memory than a machine has",
            )
        except GlagolError as error:
            self._failed(source, error)
        finally:
            self._places.leave()

    async def _attempt(self, member: Member, source: Source) -> None:
        if self.ledger.unchanged(source, self.formats):  # it was written before its reader died
            self._ended(source, member, Written(), copied=False)
            return
        opened = await self._read(member, Opened, "open", encode(source))
        joined = False
        try:
            if self._working.setdefault(opened.sha256, source.name) != source.name:
                self._later.append(source)  # the same bytes are in work: their row will do
                return
            same = self.ledger.same_audio(opened.sha256)
            if same is None:
                found = await self._hypotheses(member, source)
                made = self._read(member, Written, "join", source.name, encode(found))
            else:
                made = self._read(member, Written, "reuse", source.name, same.part, same.path)
            written = await self._written(made)
            if member.gone:
                raise LostError
            joined = True
            member.unsaved[source.name] = source
            self._ended(source, member, written, copied=same is not None)
        except BaseException:
            self._working = {k: v for k, v in self._working.items() if v != source.name}
            raise
        finally:
            if not joined:
                await self._closed(member, source)

    async def _written(self, made: Awaitable[Written]) -> Written:
        """What was written; a target that takes nothing ends the run."""
        try:
            return await made
        except HostError as error:
            raise _FatalError(error) from error

    async def _closed(self, member: Member, source: Source) -> None:
        with suppress(LostError):  # the next call finds out
            await member.actor.ask("close", source.name)

    async def _hypotheses(self, member: Member, source: Source) -> list[Hypothesis]:
        """The hypotheses of all windows, in their order."""
        rank = -float(source.size_bytes)
        channels: dict[int, _Channel] = {}
        calls: list[asyncio.Task[tuple[Hypothesis, ...]]] = []
        try:
            async with asyncio.TaskGroup() as group:
                last = False
                while not last:
                    await self._tickets.enter(rank)
                    try:
                        cut, sound = await self._cut(member, source)
                    except BaseException:
                        self._tickets.leave()
                        raise
                    last = cut.last
                    if not cut.channels:
                        self._tickets.leave()
                        continue
                    channel = self._channel(channels, cut.channels[0])
                    if channel.request is None and calls:
                        await asyncio.wait(calls)  # its windows depend on those before them
                    work = self._recognised(channel, sound, cut.seconds, rank)
                    calls.append(group.create_task(work))
        except BaseExceptionGroup as failed:
            raise _first(failed) from failed
        finally:
            for channel in channels.values():
                if channel.member is not None:
                    with suppress(LostError):
                        await channel.member.actor.ask("forget", channel.session)
        return [hypothesis for each in calls for hypothesis in each.result()]

    def _channel(self, channels: dict[int, _Channel], number: int) -> _Channel:
        """The state of a channel of one attempt."""
        if number not in channels:
            self._sessions += 1
            channels[number] = _Channel(str(self._sessions), self.independent)
        return channels[number]

    async def _cut(self, member: Member, source: Source) -> tuple[Cut, Any]:
        """The next windows: of one call, which has one request, so that channels may differ."""
        most = 1 if self.independent is None else WINDOWS
        try:
            data, sound = await member.actor.cut(source.name, most)
        except LostError:
            await self._lost(member)
            raise
        return answer(data, Cut), sound

    async def _recognised(
        self, channel: _Channel, sound: Any, seconds: float, rank: float
    ) -> tuple[Hypothesis, ...]:
        """The hypotheses of some windows; a recogniser that dies is replaced, and asked again."""
        try:
            for left in reversed(range(TRIES)):
                async with self.recognisers.place(rank, channel.member) as member:
                    if channel.request is None:
                        channel.member = member
                    try:
                        data = await member.actor.ask(
                            "recognise", sound, encode(channel.request), channel.session
                        )
                    except LostError:
                        await self._replaced(self.recognisers, member)
                        if left and channel.request is not None:
                            continue
                        raise  # its state is lost: the recording is begun again
                found = answer(data, Recognised)
                channel.request = found.independent
                channel.member = None if channel.request else member
                self.tally.audio_s += seconds
                self.tell(self.tally, None, None)
                return found.hypotheses
            raise AssertionError("the last try returns or raises")
        except GlagolError as error:
            raise _FatalError(error) from error
        finally:
            self._tickets.leave()

    async def _read(self, member: Member, kind: type[T], method: str, *args: Any) -> T:
        """Ask a reader; if it dies, what it had not saved is done again."""
        try:
            data = await member.actor.ask(method, *args)
        except LostError:
            await self._lost(member)
            raise
        return answer(data, kind)

    async def _lost(self, member: Member) -> None:
        """Replace a reader; what is not in the target is done again."""
        unsaved, member.unsaved = member.unsaved, {}
        await self._replaced(self.readers, member)
        for part in part_names(self.target, RECORDINGS_AT):
            if not self.ledger.knows(part):
                self.ledger.take(part, self.recordings.keys(part))
        for source in unsaved.values():
            self._working = {k: v for k, v in self._working.items() if v != source.name}
            if not self.ledger.unchanged(source, self.formats):
                self._later.append(source)
                self.tally.done -= 1
                self.tally.bytes_done -= source.size_bytes

    async def _replaced(self, crew: Crew, member: Member) -> None:
        try:
            await crew.replace(member)
        except GlagolError as error:
            raise _FatalError(error) from error

    def _ended(self, source: Source, member: Member, written: Written, *, copied: bool) -> None:
        self.tally.copied += copied
        self.tally.done += not copied
        self.tally.bytes_done += source.size_bytes
        self._saved(member, written)
        self.tell(self.tally, None, None)

    def _saved(self, member: Member, written: Written) -> None:
        """Rows are in the target: their recordings are done."""
        for part in written.parts:
            self.ledger.take(part.name, part.keys)
            for key in part.keys:
                member.unsaved.pop(key["path"], None)
                self._working.pop(key["audio_sha256"], None)

    def _failed(self, source: Source, error: GlagolError) -> None:
        self.tally.failed += 1
        self.tally.bytes_done += source.size_bytes
        self.tally.status = self.tally.status or CODES[error.code].exit_status
        try:
            self.failures.add(failed_row(source, error), 0.0)
        except GlagolError as full:
            raise _FatalError(full) from full
        self.tell(self.tally, source, error)


def _following(sources: Iterator[Source]) -> Source | None:
    """The next source; what they cannot be listed for ends the run."""
    try:
        return next(sources, None)
    except GlagolError as error:
        raise _FatalError(error) from error


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error of a group; what ends the run before what does not."""
    found: list[BaseException] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
        else:
            found.append(error)
    fatal = [error for error in found if isinstance(error, _FatalError)]
    return fatal[0] if fatal else found[0]
