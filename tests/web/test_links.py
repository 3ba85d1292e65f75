"""Links hold behind any proxy: what an answer says leads to the path that was meant."""

from __future__ import annotations

from urllib.parse import urljoin

from hypothesis import given
from hypothesis import strategies as st

from glagol.web.access.refusal import plain
from glagol.web.links import relative

PART = st.text("abcdef0123456789", min_size=1, max_size=8)
PATH = st.lists(PART, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
PREFIX = st.one_of(st.just(""), PATH)


@given(PREFIX, PATH, PATH, st.booleans())
def test_a_client_arrives_below_any_prefix(prefix: str, base: str, path: str, slash: bool) -> None:
    """Resolved as browsers do, from an address with a slash at its end, too."""
    link = relative(path, base + "/" * slash)
    assert not link.startswith("/")
    asked = f"https://example{prefix}{base}{'/' * slash}"
    assert plain(urljoin(asked, link).removeprefix("https://example")) == prefix + path
