"""The parts of the OpenAPI document about jobs that handlers cannot declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Reference, Schema

from glagol.asr.jobs import schemas
from glagol.jobs.queue import State
from glagol.speech.output.formats import FORMATS
from glagol.web import errors

if TYPE_CHECKING:
    import msgspec

__all__ = ["EventsOperation", "JobsOperation", "ResultOperation", "responses"]

_ERRORS: Final = {
    400: "An option is wrong",
    404: "There is no such job",
    409: "The job is in a state that does not allow this",
    410: "The job was kept as long as promised, and is gone",
    503: "The queue cannot be reached, or this server keeps no jobs",
}


@dataclass
class JobsOperation(Operation):
    """The list: its filter and its pages."""

    def __post_init__(self) -> None:
        self.parameters = [
            _query("state", Schema(type=OpenAPIType.STRING, enum=list(get_args(State)))),
            _query("before", Schema(type=OpenAPIType.STRING, description="`next` of a page")),
            _query("limit", Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=200, default=50)),
        ]


@dataclass
class ResultOperation(Operation):
    """The result: its format."""

    def __post_init__(self) -> None:
        form = Schema(
            type=OpenAPIType.STRING,
            enum=list(FORMATS),
            description="Default: what the request that made the job said",
        )
        self.parameters = [*(self.parameters or []), _query("format", form)]


@dataclass
class EventsOperation(Operation):
    """Parameters of the events route: where to resume."""

    def __post_init__(self) -> None:
        last = Parameter(
            name="Last-Event-ID", param_in="header", schema=Schema(type=OpenAPIType.STRING)
        )
        self.parameters = [*(self.parameters or []), last]


def responses(
    answer: type[msgspec.Struct] | None = schemas.JobEnvelope, status: int = 200
) -> dict[int, ResponseSpec]:
    """What a route of jobs answers, by status.

    Args:
        answer: The envelope of a success; None when it is no JSON.
        status: Of a success.
    """
    found = errors.responses(_ERRORS)
    if answer is not None:
        found[status] = ResponseSpec(answer, description="As asked", generate_examples=False)
    return found


def _query(name: str, schema: Schema) -> Parameter | Reference:
    return Parameter(name=name, param_in="query", schema=schema)
