"""CUDA options for ONNX Runtime, and the check that it applied them.

Nothing here was run on a GPU yet; the options are ONNX Runtime's documented ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glagol.runtime.ort import onnxruntime

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

RECORD = "session.record_ep_graph_assignment_info"
"""Session entry without which `strays` has nothing to read."""

BOOKKEEPING = frozenset(
    {
        *("Shape", "Gather", "Range", "Less", "Cast", "Identity", "Constant"),
        *("Add", "Sub", "Mul", "Div", "Concat", "Slice", "Squeeze", "Unsqueeze", "Reshape"),
    }
)
"""Operators that compute lengths and shapes, which ONNX Runtime keeps on the CPU on purpose."""


def cuda_options(memory_bytes: int) -> dict[str, str]:
    """Options of the CUDA provider.

    No TF32, so that the parts in float32 are float32; convolutions by cuDNN's heuristic, since a
    search by stopwatch would choose anew with every start.

    Args:
        memory_bytes: most that its arena may take of the card; 0 for no limit.
    """
    options = {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    return options | ({"gpu_mem_limit": str(memory_bytes)} if memory_bytes else {})


def strays(session: onnxruntime.InferenceSession) -> dict[str, int]:
    """Operators, by name and number, that do real work on another provider than CUDA."""
    found: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name == CUDA:
            continue
        for node in part.get_nodes():
            if node.op_type not in BOOKKEEPING:
                found[node.op_type] = found.get(node.op_type, 0) + 1
    return dict(sorted(found.items()))
