"""CUDA options for ONNX Runtime, and the check that it applied them.

This code has not run on a GPU yet; the options are ONNX Runtime's documented ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glagol.runtime.ort import onnxruntime

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"

RECORD = "session.record_ep_graph_assignment_info"
"""Session option that makes ONNX Runtime record what `strays` reads."""

BOOKKEEPING = frozenset(
    {
        *("Shape", "Gather", "Range", "Less", "Cast", "Identity", "Constant"),
        *("Add", "Sub", "Mul", "Div", "Concat", "Slice", "Squeeze", "Unsqueeze", "Reshape"),
    }
)
"""Operators that compute lengths and shapes, which ONNX Runtime keeps on the CPU on purpose."""


def cuda_options(memory_bytes: int) -> dict[str, str]:
    """Options of the CUDA provider.

    TF32 is off, so that float32 parts are computed in float32. cuDNN's heuristic chooses the
    algorithm of a convolution, since a search by measured time may choose another one at each
    start.

    Args:
        memory_bytes: limit of the arena's GPU memory, bytes; 0 for no limit.
    """
    options = {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    return options | ({"gpu_mem_limit": str(memory_bytes)} if memory_bytes else {})


def strays(session: onnxruntime.InferenceSession) -> dict[str, int]:
    """Count the operators, by type, that run on another provider than CUDA.

    Operators of `BOOKKEEPING` do not count.
    """
    found: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name == CUDA:
            continue
        for node in part.get_nodes():
            if node.op_type not in BOOKKEEPING:
                found[node.op_type] = found.get(node.op_type, 0) + 1
    return dict(sorted(found.items()))
