"""Summarise transcripts of any length by map and reduce, with exact coverage.

1. The transcript is cut into pieces that fit a prompt (`pieces`), each segment owned by one.
2. Map: the model takes notes on each piece, in a form that vLLM enforces and `notes` checks.
3. Reduce: notes are merged, again as many as fit a prompt, until one is left. The model
   cites notes; which segments support an item is then computed, not said by the model.

Every answer's `finish_reason` is checked. A piece whose answer was cut ("length") is asked again in
two halves; an answer that breaks its schema is asked once again with the error. Coverage is counted
from the pieces that were answered. Nothing here logs or raises with text of the transcript or of
the model.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from glagol.core.errors import LimitError
from glagol.llm.summarize import quoting
from glagol.llm.summarize.chunking import Counting, Limits, Piece, Segment, cut, halves
from glagol.llm.summarize.notes import KINDS, Item, Notes, Shape, Tally, invalid, read, schema
from glagol.llm.summarize.prompts import Instructions, Language, instructions, language_of
from glagol.llm.summarize.report import Citations, Coverage, Point, Report, Span

if TYPE_CHECKING:
    from glagol.llm.summarize.transcripts import Transcript
    from glagol.llm.vllm.client import Answer, Message

__all__ = ["Model", "Options", "Progress", "Summarizer"]

REPAIR_TOKENS: Final = 512  # what asking again may add: under 400 bytes, whatever the tokens
HALVINGS_MAX: Final = 3  # of one piece whose answers do not end
_SAMPLE: Final = 4000  # characters that a language is guessed from
_T = TypeVar("_T")


class Model(Protocol):
    """What is asked of the language model; `glagol.llm.vllm.client.Upstream` is one."""

    max_context: int

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """One completion."""

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that `chat` would make."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a summary is made; equal options and equal answers give equal summaries.

    Attributes:
        max_tokens: Of one answer; 0 takes a quarter of the context, 2048 at most.
        context_share: Part of a prompt that the end of the piece before may take, 0..0.5.
        concurrency: Answers waited for at a time.
        temperature: 0 takes the likeliest token.
        seed: Of the sampling, where there is any.
        shape: Of one answer; None fits it to `max_tokens`.
    """

    max_tokens: int = 0
    context_share: float = 0.1
    concurrency: int = 4
    temperature: float = 0.0
    seed: int = 0
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a summary is: answered prompts and, as known by now, all; `step` is map or reduce."""

    step: str
    done: int
    total: int


@dataclass(slots=True)
class _Work:
    """One summary under way."""

    language: Language
    prompts: Instructions
    on_progress: Callable[[Progress], None]
    tally: Tally = field(default_factory=Tally)
    step: str = "map"
    done: int = 0
    total: int = 0

    def expect(self, more: int) -> None:
        self.total += more
        self.on_progress(Progress(self.step, self.done, self.total))

    def answered(self) -> None:
        self.done += 1
        self.on_progress(Progress(self.step, self.done, self.total))


@dataclass(frozen=True, slots=True)
class _Prompt:
    """How one kind of step asks.

    Attributes:
        system: The system prompt.
        show: A piece as text.
        support: The segment ids behind each label of a piece that may be cited.
    """

    system: str
    show: Callable[[Piece], str]
    support: Callable[[Piece], Mapping[str, tuple[str, ...]]]


class _CutError(Exception):
    """An answer that `max_tokens` ended."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Summarizer:
    """Summaries by one model.

    Args:
        model: Asked for every step.
        options: The same for all summaries.
        about: What goes into every provenance: model, artifacts, vllm version.
    """

    def __init__(
        self, model: Model, options: Options = Options(), about: Mapping[str, Any] | None = None
    ) -> None:
        self._model = model
        self._options = options
        self._about = dict(about or {})
        self._max_tokens = options.max_tokens or min(2048, model.max_context // 4)
        self._shape = options.shape or Shape.fitting(self._max_tokens)
        self._places = asyncio.Semaphore(options.concurrency)

    async def run(
        self,
        transcript: Transcript,
        *,
        language: Language | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> Report:
        """Summarise a transcript; cancelling the task ends every request to the model.

        Args:
            transcript: Any length.
            language: Of the summary; None takes the transcript's, or guesses from its letters.
            on_progress: Called when a prompt was answered, or more became known to be needed.

        Returns:
            The summary with its coverage and provenance.

        Raises:
            LimitError: `prompt_too_long`, the context is too short even for a small piece.
            HostError: `llm_unavailable`; `llm_output_invalid`, an answer had not its form twice,
                or did not end however small the piece.
        """
        language = language or _known(transcript.language) or language_of(_beginning(transcript))
        work = _Work(language, instructions(language), on_progress)
        taking = _Prompt(work.prompts.map, quoting.transcript, _own_ids)
        room = round(self._options.context_share * self._prompt_tokens)
        pieces = await self._cut(taking, transcript.segments, room)
        work.expect(len(pieces))
        mapped = await _all(self._asked(work, taking, piece) for piece in pieces)
        answered = [pair for pairs in mapped for pair in pairs]
        reduced = await self._reduce(work, [notes for _, notes in answered])
        return self._report(work, transcript, [piece for piece, _ in answered], reduced)

    @property
    def _prompt_tokens(self) -> int:
        return self._model.max_context - self._max_tokens - REPAIR_TOKENS

    async def _cut(
        self, prompt: _Prompt, segments: Sequence[Segment], context: int = 0
    ) -> tuple[Piece, ...]:
        async def count(text: str) -> int:
            return await self._model.count_tokens(_messages(prompt.system, text))

        return await _counted(
            cut(segments, prompt.show, Limits(self._prompt_tokens, context)), count
        )

    async def _reduce(self, work: _Work, notes: list[Notes]) -> Notes:
        """One level after the other, each with fewer notes than the one before."""
        work.step = "reduce"
        while len(notes) > 1:
            entries, support = _entries(notes)
            prompt = _Prompt(work.prompts.reduce, quoting.notes, partial(_cited, support))
            groups = await self._cut(prompt, entries)
            work.expect(len(groups))
            answers = await _all(self._asked(work, prompt, group) for group in groups)
            fewer = [found for pairs in answers for _, found in pairs]
            if len(fewer) >= len(notes):
                raise LimitError(
                    "prompt_too_long",
                    f"notes on {len(notes)} pieces cannot be brought together: too few fit into"
                    f" the model's context of {self._model.max_context} tokens",
                    "let the model have a longer context, or ask for shorter answers",
                )
            notes = fewer
        return notes[0]

    async def _asked(
        self, work: _Work, prompt: _Prompt, piece: Piece, depth: int = 0
    ) -> list[tuple[Piece, Notes]]:
        """Notes on a piece, or on its halves when the answer did not end."""
        try:
            found = await self._answer(work, prompt, piece)
        except _CutError as error:
            parts = halves(piece) if depth < HALVINGS_MAX else None
            if parts is None:
                why = f"it does not end within {self._max_tokens} tokens"
                raise invalid(why, error.text) from None
        else:
            return [(piece, found)]
        finally:
            work.answered()
        work.expect(len(parts))
        answers = await _all(self._asked(work, prompt, part, depth + 1) for part in parts)
        return [pair for pairs in answers for pair in pairs]

    async def _answer(self, work: _Work, prompt: _Prompt, piece: Piece) -> Notes:
        """Notes on a piece.

        Raises:
            _CutError: the answer did not end.
            HostError: `llm_output_invalid`, it had not its form twice.
        """
        support = prompt.support(piece)
        form = schema(list(support), self._shape)
        asked = text = prompt.show(piece)
        error = ""
        for _ in range(2):
            async with self._places:
                answer = await self._model.chat(
                    _messages(prompt.system, asked),
                    max_tokens=self._max_tokens,
                    schema=form,
                    temperature=self._options.temperature,
                    seed=self._options.seed,
                )
            if answer.finish_reason == "length":
                raise _CutError(answer.text)
            try:
                if answer.finish_reason != "stop":
                    raise ValueError("it was not ended by the model")
                return read(answer.text, support, self._shape, work.tally)
            except ValueError as fault:
                error = str(fault)
                asked = work.prompts.repaired(text, error)
        raise invalid(error, answer.text)

    def _report(
        self, work: _Work, transcript: Transcript, pieces: Sequence[Piece], notes: Notes
    ) -> Report:
        owned = {segment.id: segment for piece in pieces for segment in piece.owned}
        points = {kind: [_point(item, owned) for item in notes.items[kind]] for kind in KINDS}
        tally = work.tally
        return Report(
            summary=notes.summary,
            **points,
            language=work.language,
            coverage=_coverage(transcript, pieces),
            citations=Citations(tally.given, tally.dropped, tally.unsupported),
            provenance={
                **self._about,
                "prompts": work.prompts.sha256,
                "transcript_sha256": _sha256(transcript.text),
                "settings": {
                    "temperature": self._options.temperature,
                    "seed": self._options.seed,
                    "max_tokens": self._max_tokens,
                    "context_tokens": self._model.max_context,
                    "context_share": self._options.context_share,
                    "shape": asdict(self._shape),
                },
            },
        )


def _messages(system: str, text: str) -> list[Message]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def _known(language: str | None) -> Language | None:
    name = (language or "").partition("-")[0].lower()
    return "ru" if name == "ru" else "en" if name == "en" else None


def _beginning(transcript: Transcript) -> str:
    """Enough of a transcript to tell its language by."""
    return "".join(segment.text[:_SAMPLE] for segment in transcript.segments[:_SAMPLE])[:_SAMPLE]


def _own_ids(piece: Piece) -> Mapping[str, tuple[str, ...]]:
    return {name: (name,) for name in piece.ids}


def _cited(support: Mapping[str, tuple[str, ...]], piece: Piece) -> Mapping[str, tuple[str, ...]]:
    whole = {name: name.partition(".")[0] for name in piece.ids}  # a long note may be cut
    return {name: support[note] for name, note in whole.items() if note in support}


def _entries(notes: Sequence[Notes]) -> tuple[list[Segment], dict[str, tuple[str, ...]]]:
    """Notes as labelled lines in order, and the segment ids behind each label but the accounts'."""
    entries: list[Segment] = []
    support: dict[str, tuple[str, ...]] = {}
    for number, one in enumerate(notes, 1):
        entries.append(Segment(f"p{number}", one.summary))
        for kind in KINDS:
            for item in one.items[kind]:
                label = f"{kind[0]}{len(support) + 1}"
                entries.append(Segment(label, item.text))
                support[label] = item.ids
    return entries, support


def _point(item: Item, owned: Mapping[str, Segment]) -> Point:
    spans = [Span(name, owned[name].start, owned[name].end) for name in item.ids]
    return Point(item.text, spans)


def _coverage(transcript: Transcript, pieces: Sequence[Piece]) -> Coverage:
    """What the answered pieces own, counted.

    Raises:
        AssertionError: they do not own the transcript exactly once, a bug of this package.
    """
    owned = [segment for piece in pieces for segment in piece.owned]
    ids = [segment.id for segment in owned]
    if "".join(segment.text for segment in owned) != transcript.text or len({*ids}) < len(ids):
        raise AssertionError("the pieces are not the transcript")
    whole = {name.partition(".")[0] for name in ids}
    return Coverage(len(transcript.segments), len(whole), len(pieces), _sha256("\n".join(ids)))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


async def _counted(asking: Counting[_T], count: Callable[[str], Awaitable[int]]) -> _T:
    """`pieces.counted` with a function that must be waited for."""
    try:
        prompt = next(asking)
        while True:
            prompt = asking.send(await count(prompt))
    except StopIteration as stop:
        value: _T = stop.value
        return value


async def _all(steps: Any) -> list[Any]:
    """Every result in order; the first error ends the other steps and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step) for step in steps]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
