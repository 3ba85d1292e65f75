"""ONNX Runtime sessions from verified bytes.

The graph is given as bytes and the weights as views of the registry's mapping, so no file is opened
by name after it was verified. Measured with 400 MB of int8 weights (ONNX Runtime 1.31, x86-64):
views 0.76 s of CPU and 419 MB of private memory, `add_external_initializers_from_files_in_memory`
1.5 s and 789 MB, a path 0.5 s and 409 MB. The session keeps its own, re-ordered copy of the
weights. While it is made, the pages of the mapping that were read already are given back, else the
process would hold both for a moment: with v3 in fp32 a peak of 0.94 GB and not 1.76 GB.
"""

from __future__ import annotations

import mmap
import threading
import warnings
import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from glagol.core.errors import HostError, InputError, IntegrityError
from glagol.runtime.cuda import CPU, CUDA, RECORD, cuda_options, strays
from glagol.runtime.external_data import external_tensors
from glagol.runtime.kernels import adapt
from glagol.runtime.kernels.choice import operators_of
from glagol.runtime.ort import onnxruntime
from glagol.runtime.tensors import require_finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from glagol.registry.store import Blob

PROVIDERS = {"cpu": CPU, "cuda": CUDA}
ERRORS_ONLY = 3
GIVE_BACK_S = 0.005
"""Seconds between two times that a mapping's pages are given back."""


class Interrupt:
    """Stop one call of a model from another thread, within about a millisecond.

    Implements `set` and `is_set` of `threading.Event`.
    """

    def __init__(self) -> None:
        self.options = onnxruntime.RunOptions()
        self._event = threading.Event()

    def set(self) -> None:
        """Make the call fail, now or when it begins."""
        self._event.set()
        self.options.terminate = True

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._event.is_set()


def open_session(
    blobs: Mapping[str, Blob],
    graph: str,
    *,
    device: str,
    threads: int,
    memory_bytes: int = 0,
    library: str | None = None,
) -> onnxruntime.InferenceSession:
    """Create a session that runs on the asked-for device and nowhere else.

    With CUDA every operator must be placed there but those that compute shapes.

    Args:
        blobs: verified artifacts of the model by path.
        graph: path of the ONNX graph among them.
        device: "cpu" or "cuda".
        threads: intra-op threads; 0 lets ONNX Runtime take one per physical core.
        memory_bytes: most that it may take of a card's memory; 0 for no limit.
        library: operators for the nodes that `glagol.runtime.kernels.adapt` gives to it, if the
            graph asks for them. Where ONNX Runtime cannot open that, the session is as without it,
            and a warning says why; `uses_kernels` returns which it is.

    Returns:
        The session.

    Raises:
        InputError: `option_invalid`, no such device or number of threads.
        HostError: `provider_missing`, ONNX Runtime here cannot use the device.
        IntegrityError: `artifact_missing` or `artifact_altered`: the graph does not fit its files,
            is not one that this ONNX Runtime reads, or has weights that are not finite.
    """
    provider = provider_of(device)
    if threads < 0:
        raise InputError(
            "option_invalid", f"{threads} threads are too few", "use 0 (all) or a positive number"
        )
    model = artifact(blobs, graph)
    tensors = external_tensors(model.data)
    weights = {each.name: each.view(artifact(blobs, each.location).data) for each in tensors}
    adapted = _adapted(library, graph, model.data, weights) if library else None
    make = partial(_session, weights, provider=provider, threads=threads, memory_bytes=memory_bytes)
    session = None
    with _lean(blobs[name].data for name in {each.location for each in tensors}):
        for each in tensors:
            require_finite(weights[each.name], each.name, each.location)
        if library and adapted:
            try:
                session = make(adapted.graph, library=library, unpacked=adapted.factors)
            except Exception as error:  # noqa: BLE001 - what our kernels cannot do falls back
                warnings.warn(f"{graph} is opened without our kernels: {error}", stacklevel=2)
        if session is None:
            try:
                session = make(bytes(model.data))
            except Exception as error:  # its exception classes are private, and derive from this
                raise _refused(graph, provider, error) from error
    if session.get_providers()[0] != provider:
        raise _missing(provider, f"it fell back to {session.get_providers()}")
    if provider == CUDA and (lost := strays(session)):
        raise _missing(provider, f"{graph} would run partly on the CPU: {lost}")
    return session


def _adapted(
    library: str, graph: str, data: memoryview, weights: Mapping[str, npt.NDArray[Any]]
) -> adapt.Adapted | None:
    """The graph with the library's operators; None where it stays as it is, with the reason."""
    try:
        return adapt.adapt(data, weights, operators_of(library))
    except OSError as error:
        warnings.warn(f"{graph} is opened without our kernels: {error}", stacklevel=3)
        return None


def _session(
    weights: Mapping[str, npt.NDArray[Any]],
    data: bytes,
    *,
    provider: str,
    threads: int,
    memory_bytes: int,
    library: str | None = None,
    unpacked: frozenset[str] = frozenset(),
) -> onnxruntime.InferenceSession:
    """Open a session of a graph whose external weights [...] are given by name.

    Our library packs the `unpacked` weights itself. ONNX Runtime gets them by reference, since it
    would keep a second copy otherwise, so the values must live as long as the session.
    """
    options = _options(threads)
    if provider == CUDA:
        options.add_session_config_entry(RECORD, "1")
        options.use_deterministic_compute = True
    if library:
        options.register_custom_ops_library(library)
    values = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy(view) for name, view in weights.items()
    }
    if values:
        options.add_external_initializers([*values], [*values.values()])
    for name in sorted(unpacked & values.keys()):
        options.add_initializer(name, values[name])
    session = onnxruntime.InferenceSession(data, options, providers=_chain(provider, memory_bytes))
    if unpacked:
        weakref.finalize(session, values.clear).atexit = False
    return session


def device_of(session: onnxruntime.InferenceSession) -> str:
    """The device that a session really runs on, "cpu" or "cuda"."""
    first = session.get_providers()[0]
    return next(device for device, provider in PROVIDERS.items() if provider == first)


def uses_kernels(session: onnxruntime.InferenceSession) -> bool:
    """Whether some of a session's nodes are those of the library that it was given."""
    return adapt.OPERATORS in session.get_modelmeta().custom_metadata_map


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    options.enable_mem_pattern = False  # plans memory for one shape; here every chunk has its own
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def provider_of(device: str) -> str:
    """ONNX Runtime's name of the device's provider.

    Raises:
        InputError: `option_invalid`, there is no such device.
        HostError: `provider_missing`, this ONNX Runtime does not have it.
    """
    if device not in PROVIDERS:
        raise InputError(
            "option_invalid", f"there is no device {device!r}", f"use one of {', '.join(PROVIDERS)}"
        )
    provider = PROVIDERS[device]
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise _missing(provider, f"this onnxruntime has {', '.join(available)}")
    return provider


def _chain(provider: str, memory_bytes: int) -> list[str | tuple[str, dict[str, str]]]:
    """The provider, and the CPU for the shape arithmetic that no accelerator takes."""
    return [CPU] if provider == CPU else [(provider, cuda_options(memory_bytes)), CPU]


def artifact(blobs: Mapping[str, Blob], path: str) -> Blob:
    """One file of a model.

    Raises:
        IntegrityError: `artifact_missing`, the manifest entry lacks it.
    """
    if path not in blobs:
        raise IntegrityError(
            "artifact_missing",
            f"{path} is not among the model's artifacts: {', '.join(blobs)}",
            "build the model again and review its manifest entry: glagol models build ID",
        )
    return blobs[path]


@contextmanager
def _lean(files: Iterable[memoryview]) -> Iterator[None]:
    """Release pages of file mappings while a reader goes through them once.

    The kernel loads a dropped page again when it is read.
    """
    known = hasattr(mmap, "MADV_DONTNEED")
    mappings = [data.obj for data in files if known and isinstance(data.obj, mmap.mmap)]
    done = threading.Event()

    def give_back() -> None:
        while True:
            for mapping in mappings:
                mapping.madvise(mmap.MADV_DONTNEED)
            if done.wait(GIVE_BACK_S):
                return

    thread = threading.Thread(target=give_back, name="give-back", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for mapping in mappings:
            mapping.madvise(mmap.MADV_DONTNEED)


def _missing(provider: str, detail: str) -> HostError:
    return HostError(
        "provider_missing",
        f"ONNX Runtime cannot use {provider}: {detail}",
        "choose device cpu, or install onnxruntime-gpu and the driver it needs",
    )


def _refused(graph: str, provider: str, error: Exception) -> HostError | IntegrityError:
    if provider != CPU:
        return _missing(provider, str(error))
    return IntegrityError(
        "artifact_altered",
        f"ONNX Runtime refuses {graph}: {error}",
        "build the model again, with the onnxruntime version of the lock file",
    )
