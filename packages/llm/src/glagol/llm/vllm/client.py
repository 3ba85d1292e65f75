"""Client of the vLLM process for the server's own calls: the known prompt and summaries.

Requests of clients are forwarded elsewhere (`glagol.llm.proxy.forward`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypedDict, TypeVar

import httpx
import msgspec

from glagol.core.errors import GlagolError, HostError, InputError, LimitError

__all__ = ["Answer", "Message", "Upstream", "connect", "unavailable"]

ANSWER_S: Final = 600.0  # the longest silence of vLLM while it works on one request
CONNECT_S: Final = 5.0
_BAD_REQUEST, _SERVER_ERRORS = 400, 500
# A model that can think aloud is asked not to; templates without the switch ignore it.
_TEMPLATE: Final = {"enable_thinking": False}
_T = TypeVar("_T")


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said.

    Attributes:
        text: The whole completion.
        finish_reason: "stop", or "length" when `max_tokens` or the context ended it.
        prompt_tokens: Tokens of the prompt, chat template included.
        completion_tokens: Tokens of `text`.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Upstream:
    """The model, as the server itself asks it.

    Args:
        client: Connected to vLLM, see `connect`.
        model: The served model's id.
        max_context: Tokens that prompt and completion may have together.
    """

    def __init__(self, client: httpx.AsyncClient, model: str, max_context: int) -> None:
        self.client = client
        self.model = model
        self.max_context = max_context

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """One completion of a chat.

        Args:
            messages: The turns so far, at least one.
            max_tokens: Most tokens of the completion, 1 or more.
            schema: JSON Schema that the text must follow; None leaves it free. A text that was
                cut ("length") may still be incomplete JSON.
            temperature: 0 takes the likeliest token.
            seed: Of the sampling, where there is any.

        Returns:
            The completion.

        Raises:
            LimitError: `prompt_too_long`.
            HostError: `llm_unavailable`, vLLM does not answer; `llm_output_invalid`, its answer
                is not a completion.
            InputError: `request_invalid`, vLLM refuses the request.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "chat_template_kwargs": _TEMPLATE,
        }
        if schema is not None:
            form = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        answer = _decoded(await self._post("/v1/chat/completions", body), _Chat)
        choice = answer.choices[0]
        return Answer(
            choice.message.content or "",
            choice.finish_reason or "",
            answer.usage.prompt_tokens,
            answer.usage.completion_tokens,
        )

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that `chat` makes of `messages`, chat template included.

        Raises:
            HostError: `llm_unavailable` or `llm_output_invalid`.
            InputError: `request_invalid`, vLLM refuses the request.
        """
        body = {
            "model": self.model,
            "messages": messages,
            "add_generation_prompt": True,
            "chat_template_kwargs": _TEMPLATE,
        }
        return _decoded(await self._post("/tokenize", body), _Tokens).count

    async def version(self) -> str:
        """VLLM's version.

        Raises:
            HostError: `llm_unavailable` or `llm_output_invalid`.
        """
        try:
            answer = await self.client.get("/version")
        except httpx.TransportError as error:
            raise unavailable(f"it left the connection ({type(error).__name__})") from error
        return _decoded(answer.content, _Version).version

    async def _post(self, path: str, body: Mapping[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self.client.post(
                path, content=msgspec.json.encode(body), headers=headers
            )
        except httpx.TransportError as error:
            raise unavailable(f"it left the connection ({type(error).__name__})") from error
        if answer.status_code < _BAD_REQUEST:
            return answer.content
        raise _refusal(answer)


def connect(socket: str, key: str) -> httpx.AsyncClient:
    """A pool of connections to vLLM.

    Args:
        socket: Path of its Unix socket.
        key: The secret that it was started with.
    """
    return httpx.AsyncClient(
        base_url="http://vllm",
        transport=httpx.AsyncHTTPTransport(
            uds=socket, limits=httpx.Limits(max_connections=None, max_keepalive_connections=64)
        ),
        headers={"Authorization": f"Bearer {key}"},
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        trust_env=False,
    )


def unavailable(why: str) -> HostError:
    """The error of a request that vLLM could not answer.

    Args:
        why: What happened, as the end of a sentence.
    """
    return HostError(
        "llm_unavailable",
        f"the language model's process does not answer: {why}",
        "send the request again; GET /ready says how the process is",
    )


class _Text(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Text
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int


class _Chat(msgspec.Struct, frozen=True):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: _Usage


class _Tokens(msgspec.Struct, frozen=True):
    count: int


class _Version(msgspec.Struct, frozen=True):
    version: str


class _Reason(msgspec.Struct, frozen=True):
    message: str = ""


class _Refused(msgspec.Struct, frozen=True):
    error: _Reason


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise HostError(
            "llm_output_invalid",
            f"vLLM's answer does not have the form of its version: {error}",
            "use the vLLM that lock/llm-cuda.txt names",
        ) from error


def _refusal(answer: httpx.Response) -> GlagolError:
    try:
        reason = msgspec.json.decode(answer.content, type=_Refused).error.message
    except msgspec.DecodeError:
        reason = f"status {answer.status_code}"
    if answer.status_code >= _SERVER_ERRORS:
        return unavailable(f"it failed with status {answer.status_code}")
    if "maximum context length" in reason:
        return LimitError("prompt_too_long", reason, "send a shorter prompt or ask for less")
    return InputError(
        "request_invalid", f"vLLM refuses the request: {reason}", "change the request"
    )
