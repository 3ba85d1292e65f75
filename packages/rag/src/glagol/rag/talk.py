"""Asks llm-server, or any server with OpenAI's chat route, for one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from glagol.core.errors import HostError

if TYPE_CHECKING:
    from glagol.rag.answers import Talk

__all__ = ["chat"]

TIMEOUT_S: Final = 300.0
TOKENS_MAX: Final = 600
_OK: Final = 200


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message


class _Answer(msgspec.Struct, frozen=True):
    choices: list[_Choice]


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model]


def chat(url: str, key: str = "") -> Talk:
    """What asks the server at `url`; it takes the first model that is served there.

    It raises HostError: `llm_unavailable`, the server does not answer; `llm_output_invalid`, it
    answers something else.
    """

    def talk(instructions: str, question: str) -> str:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        messages = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": question},
        ]
        with httpx.Client(
            base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False
        ) as client:
            served = _asked(client, "GET", "/v1/models", None, _Models)
            if not served.data:
                raise _invalid(url, "no model is served")
            body = {
                "model": served.data[0].id,
                "messages": messages,
                "temperature": 0,
                "max_tokens": TOKENS_MAX,
            }
            said = _asked(client, "POST", "/v1/chat/completions", body, _Answer)
        if not said.choices:
            raise _invalid(url, "there is no choice in the answer")
        return said.choices[0].message.content or ""

    return talk


def _asked(client: httpx.Client, method: str, path: str, body: Any, form: Any) -> Any:
    try:
        answer = client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise HostError(
            "llm_unavailable",
            f"llm-server at {client.base_url} does not answer: {error or type(error).__name__}",
            "start it (glagol serve-llm), or ask without a language model",
        ) from error
    if answer.status_code != _OK:
        raise HostError(
            "llm_unavailable",
            f"llm-server at {client.base_url} answers {answer.status_code}",
            "see its log, or ask without a language model",
        )
    try:
        return msgspec.json.decode(answer.content, type=form)
    except msgspec.DecodeError as error:
        raise _invalid(str(client.base_url), str(error)) from error


def _invalid(url: str, why: str) -> HostError:
    return HostError(
        "llm_output_invalid", f"what {url} answers is not OpenAI's form: {why}", "check the address"
    )
