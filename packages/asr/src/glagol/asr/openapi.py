"""The parts of the OpenAPI document that handlers which read the body by hand cannot declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)

from glagol.asr.wire import Format

__all__ = ["FormOperation", "RawOperation"]

_OPTIONS: Final = {
    "model": Schema(type=OpenAPIType.STRING, description="Model id or alias"),
    "language": Schema(type=OpenAPIType.STRING, description="BCP 47 tag"),
    "word_timestamps": Schema(type=OpenAPIType.BOOLEAN, default=True),
    "format": Schema(type=OpenAPIType.STRING, enum=list(get_args(Format)), default="json"),
}
_BINARY: Final = Schema(
    type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="Audio or video"
)


def _query() -> list[Parameter | Reference]:
    return [Parameter(name=name, param_in="query", schema=of) for name, of in _OPTIONS.items()]


def _form_body() -> RequestBody:
    form = Schema(
        type=OpenAPIType.OBJECT, properties={"file": _BINARY, **_OPTIONS}, required=["file"]
    )
    return RequestBody(content={"multipart/form-data": OpenAPIMediaType(schema=form)})


def _raw_body() -> RequestBody:
    return RequestBody(content={"application/octet-stream": OpenAPIMediaType(schema=_BINARY)})


@dataclass
class FormOperation(Operation):
    """POST: the audio and its options as a form."""

    def __post_init__(self) -> None:
        self.parameters, self.request_body = _query(), _form_body()


@dataclass
class RawOperation(Operation):
    """PUT: the audio as the body, its options in the query."""

    def __post_init__(self) -> None:
        self.parameters, self.request_body = _query(), _raw_body()
