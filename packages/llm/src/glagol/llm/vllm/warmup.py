"""The known prompt: once at each start, on the very process that will serve.

A digest says that the weights are right; this says that tokenizer, chat template, kernels and
the grammar of structured outputs work together. Every model can pass: the grammar allows two
answers, and each is JSON without a space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from glagol.core.errors import HostError

if TYPE_CHECKING:
    from glagol.llm.vllm.client import Upstream

__all__ = ["prove"]

_PROMPT: Final = "Столица России - Москва. Верно ли это? Ответь да или нет."
_SCHEMA: Final = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["да", "нет"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
_ANSWERS: Final = frozenset({'{"answer":"да"}', '{"answer":"нет"}'})


async def prove(upstream: Upstream) -> dict[str, str]:
    """Ask the known prompt.

    Returns:
        `known_answer`, which is JSON, and `vllm`, the version.

    Raises:
        HostError: `not_ready`, the answer is none of those that the grammar allows; or
            `llm_unavailable`.
    """
    answer = await upstream.chat(
        [{"role": "user", "content": _PROMPT}], schema=_SCHEMA, max_tokens=64
    )
    if answer.text not in _ANSWERS or answer.finish_reason != "stop":
        raise HostError(
            "not_ready",
            f"the known prompt was answered with {answer.text[:100]!r} ({answer.finish_reason}),"
            " which its grammar does not allow",
            "use the vLLM that lock/llm-cuda.txt names; run: glagol models verify",
        )
    return {"known_answer": answer.text, "vllm": await upstream.version()}
