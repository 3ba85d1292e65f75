"""The entry of GigaAM in the table of engine families: name, parameters, how it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glagol.speech.engines.gigaam.config import Config, traits_of
from glagol.speech.engines.gigaam.engine import Acoustic

if TYPE_CHECKING:
    from glagol.registry.manifest.types import Model
    from glagol.registry.registry import OpenModel
    from glagol.runtime.options import Runtime
    from glagol.speech.engines.base import Traits
    from glagol.speech.types import Array

__all__ = ["FAMILY"]


@dataclass(frozen=True, slots=True)
class _Gigaam:
    """GigaAM: Conformer encoders with a CTC or a transducer head."""

    name: str = "gigaam"
    config: Any = Config
    int8_kernels: bool = True

    def describe(self, model: Model) -> Traits:
        """As `glagol.speech.engines.base.Family`; raises what `traits_of` raises."""
        return traits_of(model)

    def load(self, opened: OpenModel, runtime: Runtime) -> Acoustic:
        """As `glagol.speech.engines.base.Family`; raises what `Acoustic` raises."""
        return Acoustic(
            opened,
            device=runtime.device,
            threads=runtime.threads,
            memory_bytes=runtime.memory_bytes,
            kernels=runtime.kernels,
        )

    def judge(self, opened: OpenModel, directions: dict[str, Array]) -> None:
        """As `glagol.speech.engines.base.Family`; raises what `smoke.smoke` raises."""
        from glagol.speech.engines.gigaam import smoke

        smoke.smoke(opened, directions)


FAMILY = _Gigaam()
