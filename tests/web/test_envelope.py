"""What one server of ours says about its error is the same error at another one."""

from __future__ import annotations

import pytest

from glagol.core.errors import CODES
from glagol.web import envelope


@pytest.mark.parametrize("code", CODES)
def test_an_error_crosses_servers(code: str) -> None:
    """Family, code, message and remedy survive; the request's id belongs to the other server."""
    body = envelope.failure(envelope.ErrorBody(code, "no room", "make room", "r1"))
    error = envelope.received(body).error()
    assert type(error) is CODES[code].family
    assert error.args == (code, "no room", "make room")


def test_an_error_of_a_later_release_keeps_its_message() -> None:
    """A code that this release has not makes no error here, but what it says can be shown."""
    received = envelope.received(b'{"error":{"code":"sun_down","message":"dark","new":1},"v":2}')
    assert (received.error(), received.message) == (None, "dark")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error":null}', b'{"error":{"code":7}}', b"\xff"]
)
def test_another_body_says_nothing(body: bytes) -> None:
    """A proxy's page, say: no error, and no exception either."""
    assert envelope.received(body) == envelope.Received()
