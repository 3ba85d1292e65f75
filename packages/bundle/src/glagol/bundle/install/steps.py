"""Plan an installation: a pure function from index and target to a list of steps.

The order guarantees two things. The running release serves until `Switch`. All steps before it can
be repeated, so the same command resumes a killed run at any point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from glagol.bundle.install.target import Installed
    from glagol.bundle.verify import Entry


@dataclass(frozen=True, slots=True)
class Take:
    """Read a file of the bundle to its end; put it in the store unless it is there and right."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Check:
    """A file that a delta leaves to its base: it must be in the store, with the right bytes."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Stage:
    """Begin the release folder anew."""


@dataclass(frozen=True, slots=True)
class Link:
    """Give a stored file its name in the release folder."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Environment:
    """Make a Python environment, a folder of the release, from locked wheels, with no index."""

    lock: str
    uv: str
    folder: str = "env"


@dataclass(frozen=True, slots=True)
class Write:
    """Write the launchers, the units and the front files."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The staged release must transcribe the golden clip."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Give the release folder its name."""

    folder: str


@dataclass(frozen=True, slots=True)
class Switch:
    """Make a generation for the release and point `current` at it."""

    folder: str
    generation: int
    stale: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask again through `current`; a wrong answer brings generation `previous` back (0: none)."""

    folder: str
    previous: int


Step: TypeAlias = (
    Take | Check | Stage | Link | Environment | Write | Accept | Publish | Switch | Confirm
)


@dataclass(frozen=True, slots=True)
class InstallState:
    """What the target holds.

    Attributes:
        running: the current release.
        generations: numbers in use.
        published: whether this very release lies there complete.
    """

    running: Installed | None
    generations: tuple[int, ...]
    published: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a bundle brings.

    Attributes:
        id: its identity.
        index: bundle.json.
        files: all files.
        carried: those that this carrier holds; the rest comes from a delta's base.
    """

    id: str
    index: dict[str, Any]
    files: tuple[Entry, ...]
    carried: tuple[Entry, ...]

    @property
    def folder(self) -> str:
        """Name of the release folder."""
        return f"{self.index['name']}-{self.id[:12]}"


def steps(wanted: Wanted, state: InstallState) -> tuple[Step, ...]:
    """What `apply` will do, in order.

    Args:
        wanted: the bundle.
        state: the target.

    Returns:
        The steps. A release that is published already is only switched to; for one that runs
        already the bundle is only read.
    """
    running = state.running
    now = running.generation if running else 0
    carried = {entry.path for entry in wanted.carried}
    kept = [entry for entry in wanted.files if entry.path not in carried]
    found: list[Step] = [*map(Check, kept), *map(Take, wanted.carried)]
    if not state.published:
        environment = wanted.index["environment"]
        linked = [entry for entry in wanted.files if not entry.path.startswith("store/")]
        found += [Stage(), *map(Link, linked), Write()]
        found += [Environment(environment["lock"], environment["uv"])]
        if llm := wanted.index.get("environment_llm"):
            found += [Environment(llm["lock"], environment["uv"], "env-llm")]
        found += [Accept(), Publish(wanted.folder)]
    if running is None or running.folder != wanted.folder:
        stale = tuple(number for number in state.generations if number > now)
        found += [Switch(wanted.folder, now + 1, stale), Confirm(wanted.folder, now)]
    return tuple(found)
