"""Start arguments of vLLM: directory of verified files, command line, environment.

vLLM reads a model from a directory. It gets a new directory of links to blobs of the store, made
after every byte was verified. A blob is named by its digest and never written in place, so a link
leads to the verified bytes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.llm.vllm.process import Child

if TYPE_CHECKING:
    from glagol.llm.settings import Settings
    from glagol.registry.manifest.types import Model, Variant
    from glagol.registry.registry import Registry

__all__ = ["Launch", "Served", "command", "environment", "interpreter", "lay_out", "served"]

SOCKET_BYTES_MAX: Final = 107  # unix(7)
_LONGEST_SOCKET: Final = "0" * 36  # vLLM names those between its own processes by a UUID
_STRUCTURED: Final = '{"backend":"xgrammar","disable_any_whitespace":true}'
_OURS: Final = ("ASR_", "LLM_", "GLAGOL_", "PYTHON", "HF_", "VLLM_API_KEY", "VLLM_LOGGING_")
_SWITCHES: Final = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "NO_COLOR": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "INFO",  # below it, vLLM logs prompts
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True, slots=True)
class Served:
    """Which model this server serves.

    Attributes:
        model: Its entry of the manifest.
        variant: The build for the chosen device.
    """

    model: Model
    variant: Variant

    @property
    def names(self) -> tuple[str, ...]:
        """What a request may call it, its id first."""
        return (self.model.id, *self.model.aliases)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file, by name."""
        return {artifact.path: artifact.sha256 for artifact in self.variant.artifacts}


def served(registry: Registry, name: str, device: str) -> Served:
    """The model of a name and its first build for the device.

    Raises:
        InputError: `model_unknown`.
        IntegrityError: `artifact_unpinned`, there is no build for the device with digests.
    """
    model = registry.model(name)
    for variant in model.variants:
        if variant.provider == device and variant.artifacts:
            return Served(model, variant)
    raise IntegrityError(
        "artifact_unpinned",
        f"{model.id} has no build for {device} with digests in the manifest",
        f"choose another LLM_DEVICE, or run `glagol models fetch {model.id} --record` on a"
        " connected machine and review the diff",
    )


def lay_out(registry: Registry, what: Served, folder: Path) -> None:
    """Verify every byte of the model, then make `folder` with links to its files.

    Args:
        registry: Opens and verifies.
        what: The model.
        folder: Must not exist; afterwards it is read-only.

    Raises:
        IntegrityError: `artifact_missing` or `artifact_altered`.
        HostError: `host_io`.
    """
    opened = registry.open(what.model.id, what.variant.id)
    try:
        folder.mkdir()
        for path, blob in opened.blobs.items():
            link = folder / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(registry.store.path_of(blob.sha256).absolute())
        folder.chmod(0o555)
    except OSError as error:
        raise HostError(
            "host_io", f"cannot make {folder}: {error.strerror}", "free space below TMPDIR"
        ) from error


def interpreter(settings: Settings, home: Path) -> Path:
    """Python of vLLM's environment.

    Raises:
        HostError: `llm_unavailable`, there is none.
    """
    env = home / ".env" / "llm-cuda"
    path = Path(settings.python) if settings.python else env / "bin" / "python"
    if not path.is_file():
        raise HostError(
            "llm_unavailable",
            f"vLLM's environment is missing: no {path}",
            "make it with `./just env llm-cuda`, or set LLM_PYTHON to its interpreter",
        )
    return path


def command(
    settings: Settings,
    what: Served,
    python: Path,
    folder: Path,
    socket: Path,
    cache_bytes: int = 0,
) -> list[str]:
    """The command line of vLLM's server.

    Args:
        settings: The operator's.
        what: The model.
        python: Interpreter of vLLM's environment.
        folder: The model's directory.
        socket: Where it shall listen; nothing else reaches it.
        cache_bytes: Size of its KV cache; 0 lets vLLM measure what its share leaves.
    """
    line = [str(python), "-m", "vllm.entrypoints.openai.api_server"]
    line += ["--model", str(folder), "--load-format", "safetensors", "--uds", str(socket)]
    line += ["--served-model-name", *what.names]
    line += ["--max-model-len", str(settings.max_context)]
    line += ["--max-num-seqs", str(settings.max_concurrent)]
    line += ["--gpu-memory-utilization", str(settings.memory)]
    if cache_bytes:  # sizes the cache; the share above then only asks whether there is room
        line += ["--kv-cache-memory-bytes", str(cache_bytes)]
    line += ["--structured-outputs-config", _STRUCTURED, "--seed", "0"]
    line += ["--disable-uvicorn-access-log", "--no-enable-log-requests"]
    if settings.device == "cpu":
        line.append("--enforce-eager")  # compiling would need gcc, and takes longer than it saves
    return line


def environment(
    base: Mapping[str, str], key: str, scratch: Path, cache: Path | None
) -> dict[str, str]:
    """The variables of the vLLM process: nothing leaves the machine, nothing of ours gets in.

    Args:
        base: Ours.
        key: What every request must carry; in no command line, so no process list shows it.
        scratch: For its sockets; removed when the server ends.
        cache: For kernels that it compiles, unless `base` names a place; None leaves it to vLLM.
    """
    kept = {name: value for name, value in base.items() if not name.startswith(_OURS)}
    if cache is not None:
        kept.setdefault("XDG_CACHE_HOME", str(cache))
        kept.setdefault("TRITON_CACHE_DIR", str(cache / "triton"))
    return {**kept, **_SWITCHES, "VLLM_API_KEY": key, "VLLM_RPC_BASE_PATH": str(scratch)}


class Launch:
    """Starts vLLM for one model, as often as needed; owns a private directory until `remove`.

    Args:
        settings: The operator's.
        registry: Opens and verifies.
        what: The model.
        home: Beside it lies vLLM's environment, unless the settings say otherwise.
        cache_bytes: Size of vLLM's KV cache by the plan of a shared card; 0 without a plan.

    Attributes:
        socket: Where vLLM listens; only this user can reach it.
        key: What every request to vLLM must carry, besides.

    Raises:
        InputError: `setting_invalid`, the path of TMPDIR is too long for a socket.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        what: Served,
        home: Path,
        cache_bytes: int = 0,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._what = what
        self._home = home
        self._cache_bytes = cache_bytes
        self._scratch = Path(tempfile.mkdtemp(prefix="glagol-llm-"))
        self.socket = self._scratch / "vllm.sock"
        self.key = secrets.token_urlsafe(32)
        if len(os.fsencode(self._scratch / _LONGEST_SOCKET)) > SOCKET_BYTES_MAX:
            self.remove()
            raise InputError(
                "setting_invalid",
                f"paths in {self._scratch} are too long for sockets",
                "set TMPDIR to a shorter path",
            )

    def prepare(self) -> None:
        """Verify the model and lay it out afresh; see `lay_out`.

        Raises:
            IntegrityError: `artifact_missing` or `artifact_altered`.
            HostError: `llm_unavailable` (no vLLM) or `host_io`.
        """
        interpreter(self._settings, self._home)
        self._clear()
        lay_out(self._registry, self._what, self._scratch / "model")

    def line(self) -> list[str]:
        """The command line of vLLM's server.

        Raises:
            HostError: `llm_unavailable`, there is no vLLM.
        """
        python = interpreter(self._settings, self._home)
        folder = self._scratch / "model"
        settings, what = self._settings, self._what
        return command(settings, what, python, folder, self.socket, self._cache_bytes)

    def start(self, on_line: Callable[[str], None]) -> Child:
        """Start the process; `on_line` gets what it writes.

        Raises:
            HostError: It cannot be started.
        """
        self.socket.unlink(missing_ok=True)
        given = environment(os.environ, self.key, self._scratch, self._cache())
        return Child(self._scratch, self.line(), given, on_line)

    def remove(self) -> None:
        """Remove the private directory."""
        self._clear()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _cache(self) -> Path | None:
        """A folder of the state, so that a restarted container need not compile again."""
        if not self._settings.state:
            return None
        folder = Path(self._settings.state) / "cache"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:  # read-only: vLLM finds a place of its own
            return None
        return folder

    def _clear(self) -> None:
        folder = self._scratch / "model"
        if folder.exists():
            folder.chmod(0o755)
            shutil.rmtree(folder)
