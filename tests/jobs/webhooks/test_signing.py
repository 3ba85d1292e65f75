"""Signatures that the reference verifier accepts, and only for the bytes that were sent."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from glagol.jobs.webhooks import signing

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()


def now_s() -> int:
    """The verifier takes what is at most five minutes old: a suite may take longer."""
    return int(datetime.now(UTC).timestamp())


@given(st.dictionaries(st.text(), st.text()), st.text("abc_0", min_size=1))
def test_the_reference_verifier_accepts(content: dict[str, str], message_id: str) -> None:
    """Any body, any id."""
    import json

    body = json.dumps(content, ensure_ascii=False).encode(errors="replace")
    headers = signing.headers([NEW], message_id, now_s(), body)
    assert Webhook(NEW).verify(body, headers) == json.loads(body)


def test_either_secret_verifies_while_they_rotate() -> None:
    """The list holds one signature for each; a third secret verifies nothing."""
    headers = signing.headers([NEW, OLD], "wh_1", now_s(), b"{}")
    for secret in (NEW, OLD):
        Webhook(secret).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(b"{}", headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_everything_that_counts_is_signed(changed: str) -> None:
    """An altered id, time or byte of the body is noticed."""
    now = now_s()
    headers, body = signing.headers([NEW], "wh_1", now, b"{}"), b"{}"
    if changed == "body":
        body = b"{ }"
    else:
        headers[changed] += "1" if changed == "webhook-id" else ""
        headers["webhook-timestamp"] = str(now + (changed == "webhook-timestamp"))
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body, headers)


def test_it_is_the_same_signature_as_the_reference_one() -> None:
    """Byte for byte, for a time in UTC."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(seconds=7)
    theirs = Webhook(NEW).sign("wh_1", at, '{"а":1}')
    assert signing.sign(NEW, "wh_1", int(at.timestamp()), '{"а":1}'.encode()) == theirs
