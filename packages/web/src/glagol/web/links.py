"""Relative links between the resources of one server, which work behind any proxy prefix.

A proxy may serve us below a path of its own (`https://example/speech/v1/jobs`). The server does not
know it, so its links are relative to the requested address (RFC 3986, section
5.2); a client resolves it as browsers do.
"""

from __future__ import annotations

import posixpath

from glagol.web.access.refusal import plain

__all__ = ["relative"]


def relative(path: str, base: str) -> str:
    """The reference to `path` in the answer to a request for `base`.

    Args:
        path: Of a resource of this server, from its root, without a slash at its end.
        base: The path of the request.
    """
    folder = plain(base) if base.endswith("/") else posixpath.dirname(plain(base))
    way = posixpath.relpath(posixpath.dirname(path), folder)
    return posixpath.normpath(f"{way}/{posixpath.basename(path)}")
