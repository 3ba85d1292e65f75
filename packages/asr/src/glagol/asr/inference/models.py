"""Leases of open models, at most `limit` at a time.

A task leases its model before its first turn and releases it at its end. Each model is loaded in a
thread of its own, so a load delays only the tasks of that model. When there is no room, the least
recently leased model without a lease is closed, and then the new one is opened; the default model
stays. The limit counts models that exist, not cache entries: a leased model cannot be closed, and a
closed one has no reference left.

One lock, `changed`, guards the models and the lanes of `glagol.asr.inference.scheduler`. Nothing
slow happens under it: models are opened and closed, and hooks are called, without it.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from glagol.core.errors import GlagolError

if TYPE_CHECKING:
    from glagol.speech.pipeline.transcriber import Transcriber

__all__ = ["OPEN_MODELS_MAX", "OpenModels", "Opened", "Slot", "forget_frames", "fresh"]

OPEN_MODELS_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Opened:
    """A model in service.

    Attributes:
        recognizer: What transcribes.
        report: What `/ready` says about it.
    """

    recognizer: Transcriber
    report: dict[str, Any]


@dataclass(slots=True, eq=False)
class Slot:
    """The place of one model: loading, open, or failed.

    Attributes:
        model: Model id.
        leases: Tasks that hold it.
        opened: The model, while it is open.
        error: Why it could not be opened.
        load_ns: When its load began and ended, Unix nanoseconds; 0 for what has not happened.
    """

    model: str
    leases: int = 0
    opened: Opened | None = None
    error: Exception | None = None
    load_ns: tuple[int, int] = (0, 0)

    @property
    def ready(self) -> bool:
        """Whether the load has ended, with success or not."""
        return self.opened is not None or self.error is not None

    def recognizer(self) -> Transcriber:
        """The open model's recognizer.

        Raises:
            Exception: The model could not be opened.
        """
        if self.error is not None:
            raise _again(self.error)
        if self.opened is None:
            raise AssertionError(f"{self.model} is used before it is open")
        return self.opened.recognizer


class OpenModels:
    """The models of one process.

    Args:
        default: Id of the model that is never closed; if it cannot be opened, it stays failed.
        open_model: Opens and proves a model by id; called by the loading threads.
        limit: Models that may exist at a time, the default one included.

    Attributes:
        changed: Guards everything here; its owner's lanes use it, too.
        on_load: Called without the lock when a load is over.
    """

    def __init__(
        self, default: str, open_model: Callable[[str], Opened], limit: int = OPEN_MODELS_MAX
    ) -> None:
        self.default = default
        self.changed = threading.Condition()
        self.on_load: Callable[[], None] = lambda: None
        self._open_model = open_model
        self._limit = limit
        self._slots: OrderedDict[str, Slot] = OrderedDict()
        self._loads: SimpleQueue[tuple[Slot, Slot | None] | None] = SimpleQueue()
        self.threads = [
            threading.Thread(target=self._run, name=f"loading-{number}", daemon=True)
            for number in range(limit)
        ]

    def start(self) -> None:
        """Start to load the default model, which keeps a permanent lease."""
        with self.changed:
            self.lease(self.default)
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """End the loading threads after the requested loads. Returns immediately."""
        for _ in self.threads:
            self._loads.put(None)

    def lease(self, model: str) -> Slot | None:
        """Take a lease, and begin to load the model if it is not there; call it with the lock.

        Returns:
            The slot, which may still be loading; None while there is no room for the model.
        """
        slot = self._slots.get(model)
        if slot is None:
            victim = None
            if sum(other.error is None for other in self._slots.values()) >= self._limit:
                victim = self._victim()
                if victim is None:
                    return None
                del self._slots[victim.model]
            slot = self._slots[model] = Slot(model)
            self._loads.put((slot, victim))
        self._slots.move_to_end(model)
        slot.leases += 1
        return slot

    def release(self, slot: Slot) -> None:
        """Give a lease back; call it with the lock."""
        slot.leases -= 1

    def is_ready(self, model: str) -> bool:
        """Whether the load of `model` is over, well or not."""
        with self.changed:
            slot = self._slots.get(model)
            return slot is not None and slot.ready

    def trouble(self) -> Exception | None:
        """Why the default model cannot be used; None while it loads, and once it is open."""
        with self.changed:
            slot = self._slots.get(self.default)
            return slot.error if slot else None

    def report(self) -> dict[str, Any]:
        """What `/ready` says about the default model; empty while it is not open."""
        with self.changed:
            slot = self._slots.get(self.default)
            return slot.opened.report if slot and slot.opened else {}

    def encoded(self) -> dict[str, tuple[int, int]]:
        """Calls of the encoder, and windows in them, by the id of each open model."""
        with self.changed:  # no reference to a model may leave: it would not be closed in time
            return {
                model: (slot.opened.recognizer.tally.calls, slot.opened.recognizer.tally.windows)
                for model, slot in self._slots.items()
                if slot.opened is not None
            }

    def _victim(self) -> Slot | None:
        """The model to be closed next: open, held by no task, leased longest ago."""
        free = (s for s in self._slots.values() if s.opened and not s.leases)
        return next(free, None)

    def _run(self) -> None:
        while (load := self._loads.get()) is not None:
            self._load(*load)

    def _load(self, slot: Slot, victim: Slot | None) -> None:
        """Close `victim`, which is the last reference to its model, then open the model."""
        if victim is not None:
            victim.opened = None
        began_ns = time.time_ns()
        opened, failure = None, None
        try:
            opened = self._open_model(slot.model)
        except Exception as error:  # noqa: BLE001 - handed to the tasks that wait for the model
            forget_frames(error)
            failure = _again(error)
        with self.changed:
            slot.load_ns = (began_ns, time.time_ns())
            slot.opened, slot.error = opened, failure
            if failure is not None and slot.model != self.default:
                del self._slots[slot.model]
        self.on_load()


def fresh(error: GlagolError) -> GlagolError:
    """A copy of the error without a traceback, since a repeated raise would let that grow."""
    return type(error)(error.code, error.message, error.remedy)


def _again(error: Exception) -> Exception:
    """The error to raise again; an unexpected one keeps its traceback for the log."""
    return fresh(error) if isinstance(error, GlagolError) else error


def forget_frames(error: BaseException) -> None:
    """Clear the local variables in the tracebacks of `error`; they would keep a model alive."""
    for found in (error, error.__cause__, error.__context__):
        if found is not None:
            traceback.clear_frames(found.__traceback__)
