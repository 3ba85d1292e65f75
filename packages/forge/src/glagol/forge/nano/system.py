"""What the recipe needs from the operating system, and a plain message when it is absent."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

HUNSPELL_AFFIXES = Path("/usr/share/hunspell/ru_RU.aff")
HUNSPELL_WORDS = Path("/usr/share/hunspell/ru_RU.dic")
FORTUNES = Path("/usr/share/games/fortunes/ru")
MANUALS = Path("/usr/share/man/ru")
GIMP_HELP = Path("/usr/share/gimp/2.0/help/ru")
FESTIVAL_VOICE = Path("/usr/share/festival/voices/russian/msu_ru_nsh_clunits")


@dataclass(frozen=True)
class Requirement:
    """One Debian package and the program or path that proves its presence."""

    package: str
    program: str = ""
    path: Path | None = None

    def present(self) -> bool:
        """Tell whether the program is on PATH or the path exists."""
        if self.program:
            return shutil.which(self.program) is not None
        return self.path is not None and self.path.exists()


WORDS = (Requirement("hunspell-ru", path=HUNSPELL_WORDS),)
TEXT = (
    Requirement("fortunes-ru", path=FORTUNES),
    Requirement("manpages-ru", path=MANUALS),
    Requirement("gimp-help-ru", path=GIMP_HELP),
)
SPEECH = (
    Requirement("espeak-ng", program="espeak-ng"),
    Requirement("festival", program="festival"),
    Requirement("festvox-ru", path=FESTIVAL_VOICE),
)
COMPILER = (Requirement("g++", program="g++"),)


class MissingPackagesError(RuntimeError):
    """Some packages of the operating system are absent; the message names the remedy."""


def require(requirements: tuple[Requirement, ...]) -> None:
    """Return when all are present. Raises MissingPackagesError naming those that are not."""
    missing = [item.package for item in requirements if not item.present()]
    if missing:
        names = " ".join(missing)
        raise MissingPackagesError(
            f"the recipe needs Debian packages that are absent: {names}\n"
            f"remedy: apt-get install --no-install-recommends {names}"
        )
