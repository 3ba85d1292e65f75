"""Relative links between the resources of one server, which work behind any proxy prefix.

A proxy may serve this server below a path (`https://example/speech/v1/jobs`) that the server does
not know. Its links are therefore relative to the requested address, and the client resolves them
(RFC 3986, section 5.2).
"""

from __future__ import annotations

import posixpath

from glagol.web.access.refusal import plain

__all__ = ["relative"]


def relative(path: str, base: str) -> str:
    """The relative link to `path` in the response to a request for `base`.

    Args:
        path: Absolute path of a resource of this server, without a slash at its end.
        base: The path of the request.
    """
    folder = plain(base) if base.endswith("/") else posixpath.dirname(plain(base))
    way = posixpath.relpath(posixpath.dirname(path), folder)
    return posixpath.normpath(f"{way}/{posixpath.basename(path)}")
