"""Read the data that a pickle describes without unpickling it.

A pickle is a program for a small stack machine. The standard library's machine imports the names
that a program asks for and calls them; this one knows a table of names, none of which it imports,
and builds plain data. There is no way from a program to code: calls go to the functions of the
table alone, attributes are never set, no object of Python's own is reachable.

Only operations that describe data are implemented; the rest of the protocol is refused by name.
Everything that grows has a limit. Source of the operations: ``pickletools`` of the standard
library; of the approach: torch/_weights_only_unpickler.py.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from glagol.core.errors import IntegrityError

PROGRAM_BYTES_MAX: Final = 16 << 20
STEPS_MAX: Final = 1_000_000
"""Operations of one program; a checkpoint of v3 takes about 20 000."""

_SHOWN_MAX = 120
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"})
_NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
_CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NOTHING = frozenset({"PROTO", "FRAME"})


def refused(what: str) -> IntegrityError:
    """The error of everything that is wrong with a checkpoint: code ``checkpoint_refused``."""
    return IntegrityError(
        "checkpoint_refused",
        f"the checkpoint is not read: {what}",
        "get the file again from upstream; a checkpoint that is more than tensors and settings "
        "must be converted to safetensors by a person who trusts it",
    )


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a pickle, ``module name``; it is never imported."""

    text: str


@dataclass(slots=True, eq=False)
class Record:
    """An object of a foreign class: the name of the class and the state it was given."""

    kind: str
    state: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """What a program may ask for; keys are ``module name`` with one space between.

    Attributes:
        calls: functions that a program may call, by their name in the program.
        records: classes of which a program may make objects; they become ``Record``.
        names: names that may be mentioned, never called.
        stored: turns the reference to something outside the program into a value.
    """

    calls: Mapping[str, Callable[..., object]]
    records: frozenset[str]
    names: frozenset[str]
    stored: Callable[[object], object]


def read(program: bytes | memoryview, table: Table) -> object:
    """Return the value that a pickle describes.

    Dictionaries, lists, tuples, strings, numbers, ``None``, ``Name``, ``Record`` and whatever the
    functions of ``table`` return; the value may contain itself.

    Args:
        program: the pickle, protocols 2 to 5.
        table: what it may ask for.

    Raises:
        IntegrityError: ``checkpoint_refused``: another name is asked for (the message says which),
            an operation that is not data, a broken program, or one beyond the limits.
    """
    if len(program) > PROGRAM_BYTES_MAX:
        raise refused(f"a description of {len(program)} bytes, the limit is {PROGRAM_BYTES_MAX}")
    machine = _Machine(table)
    try:
        for number, (operation, argument, _) in enumerate(pickletools.genops(bytes(program))):
            if number >= STEPS_MAX:
                raise refused(f"a description of more than {STEPS_MAX} steps")
            if operation.name == "STOP":
                break
            machine.step(operation.name, argument)
        return machine.result()
    # The first two: broken bytes. The rest: operands missing, or of the wrong kind.
    except (ValueError, OverflowError, IndexError, KeyError, TypeError) as error:
        raise refused(f"its description is broken ({error})"[:_SHOWN_MAX]) from error


class _Machine:
    """The stack, the marks on it and the numbered memory of one program."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memory: dict[int, Any] = {}

    def result(self) -> object:
        """The one value that is left; ValueError when there is another number of them."""
        if self._below:
            raise ValueError("a mark is left")
        (value,) = self._stack
        return value

    def step(self, name: str, argument: Any) -> None:
        """Carry out one operation."""
        if name in _TEXTS or name in _NUMBERS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memory[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memory[len(self._memory)] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memory[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._stack.append(self._named(argument))
        elif name not in _NOTHING:
            operation = _OPERATIONS.get(name)
            if operation is None:
                raise refused(f"its description uses the operation {name}")
            operation(self)

    def _named(self, argument: str | None) -> Name:
        if argument is None:
            name, module = self._stack.pop(), self._stack.pop()
            argument = f"{_text(module)} {_text(name)}"
        table = self._table
        if not (argument in table.calls or argument in table.records or argument in table.names):
            raise refused(f"it asks for {argument[:_SHOWN_MAX]!r}, which is no part of a model")
        return Name(argument)

    def _marked(self) -> list[Any]:
        """The values above the last mark, which goes away."""
        values = self._stack
        self._stack = self._below.pop()
        return values

    def mark(self) -> None:
        """MARK."""
        self._below.append(self._stack)
        self._stack = []

    def empty_dict(self) -> None:
        """EMPTY_DICT."""
        self._stack.append({})

    def empty_list(self) -> None:
        """EMPTY_LIST."""
        self._stack.append([])

    def tuple0(self) -> None:
        """EMPTY_TUPLE."""
        self._stack.append(())

    def tuple1(self) -> None:
        """TUPLE1."""
        self._stack.append((self._stack.pop(),))

    def tuple2(self) -> None:
        """TUPLE2."""
        second, first = self._stack.pop(), self._stack.pop()
        self._stack.append((first, second))

    def tuple3(self) -> None:
        """TUPLE3."""
        third, second, first = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._stack.append((first, second, third))

    def tuple(self) -> None:
        """TUPLE."""
        values = tuple(self._marked())
        self._stack.append(values)

    def append(self) -> None:
        """APPEND."""
        value = self._stack.pop()
        _list(self._stack[-1]).append(value)

    def appends(self) -> None:
        """APPENDS."""
        values = self._marked()
        _list(self._stack[-1]).extend(values)

    def set_item(self) -> None:
        """SETITEM."""
        value, key = self._stack.pop(), self._stack.pop()
        _dict(self._stack[-1])[_text(key)] = value

    def set_items(self) -> None:
        """SETITEMS."""
        values = self._marked()
        target = _dict(self._stack[-1])
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_text(key)] = value

    def call(self) -> None:
        """REDUCE: a function of the table, with a tuple of arguments."""
        arguments, name = self._stack.pop(), self._stack.pop()
        if not isinstance(name, Name) or name.text not in self._table.calls:
            raise refused(f"it calls {_shown(name)}, which is no function of a model")
        self._stack.append(self._table.calls[name.text](*_tuple(arguments)))

    def make(self) -> None:
        """NEWOBJ: an object of a class of the table without arguments, or one that it calls."""
        arguments, name = self._stack.pop(), self._stack.pop()
        if isinstance(name, Name) and name.text in self._table.calls:
            self._stack.append(self._table.calls[name.text](*_tuple(arguments)))
            return
        if not isinstance(name, Name) or name.text not in self._table.records:
            raise refused(f"it makes an object of {_shown(name)}")
        if _tuple(arguments):
            raise refused(f"it makes an object of {_shown(name)} with arguments")
        self._stack.append(Record(name.text))

    def build(self) -> None:
        """BUILD: the state of a record. That of a dictionary (torch's versions) says nothing."""
        state, target = _dict(self._stack.pop()), self._stack[-1]
        if isinstance(target, Record):
            target.state.update(state)
        else:
            _dict(target)

    def stored(self) -> None:
        """BINPERSID."""
        self._stack.append(self._table.stored(self._stack.pop()))


_OPERATIONS: Mapping[str, Callable[[_Machine], None]] = {
    "MARK": _Machine.mark,
    "EMPTY_DICT": _Machine.empty_dict,
    "EMPTY_LIST": _Machine.empty_list,
    "EMPTY_TUPLE": _Machine.tuple0,
    "TUPLE1": _Machine.tuple1,
    "TUPLE2": _Machine.tuple2,
    "TUPLE3": _Machine.tuple3,
    "TUPLE": _Machine.tuple,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.make,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.stored,
}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a name or key is not a text")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("appends to what is no list")
    return value


def _dict(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("sets an item or state of what is no dictionary")
    return value


def _tuple(value: object) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise TypeError("arguments are no tuple")
    return value


def _shown(value: object) -> str:
    return repr(value.text) if isinstance(value, Name) else f"a {type(value).__name__}"
