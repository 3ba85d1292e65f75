"""The entry of Whisper in the table of engine families: name, parameters, how it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glagol.speech.engines.whisper.config import Config, traits_of
from glagol.speech.engines.whisper.engine import Whisper

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import OpenModel
    from glagol.runtime.options import Runtime
    from glagol.speech.engines.base import Traits
    from glagol.speech.types import Array

__all__ = ["FAMILY"]


@dataclass(frozen=True, slots=True)
class _Whisper:
    """Whisper: an attention encoder and decoder for many languages."""

    name: str = "whisper"
    config: Any = Config
    int8_kernels: bool = False

    def describe(self, model: Model) -> Traits:
        """As `glagol.speech.engines.base.Family`; raises what `traits_of` raises."""
        return traits_of(model)

    def load(self, opened: OpenModel, runtime: Runtime) -> Whisper:
        """As `glagol.speech.engines.base.Family`; raises what `Whisper` raises."""
        return Whisper(opened, runtime)

    def judge(self, opened: OpenModel, directions: dict[str, Array]) -> None:
        """As `glagol.speech.engines.base.Family`; raises what `smoke.smoke` raises."""
        from glagol.speech.engines.whisper import smoke

        smoke.smoke(opened, directions)


FAMILY = _Whisper()
