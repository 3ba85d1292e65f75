"""Every error has a family, a stable code, and a place in one table."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from glagol.core import errors, errors_page
from glagol.core.errors import (
    CODES,
    GlagolError,
    HostError,
    InputError,
    IntegrityError,
    LimitError,
)

FAMILIES = {InputError: 2, LimitError: 3, IntegrityError: 4, HostError: 5}


def test_docstring_shows_every_family() -> None:
    """The tree that a reader sees first is the tree that exists."""
    assert set(GlagolError.__subclasses__()) == set(FAMILIES)
    for family in (GlagolError, *FAMILIES):
        assert family.__name__ in errors.__doc__


@pytest.mark.parametrize("code", CODES)
def test_code_is_whole(code: str) -> None:
    """Exit status follows the family; HTTP status is an error; the summary is there."""
    entry = CODES[code]
    assert entry.exit_status == FAMILIES[entry.family]
    assert 400 <= entry.http_status <= 599
    assert entry.summary
    assert "|" not in entry.summary, "it is a cell of a table"
    assert code == code.lower()


def test_codes_say_what_a_client_does_next() -> None:
    """What is full or not ready may be asked again; audio at fault is the field `file`."""
    assert {code for code, entry in CODES.items() if entry.retry} == {
        *("queue_full", "busy", "llm_unavailable", "not_ready", "queue_unreachable"),
        *("spool_full", "rate_limited", "share_used", "upstream_unreachable", "decoder_lost"),
    }
    about_the_file = {code for code, entry in CODES.items() if entry.parameter == "file"}
    of_recordings = {code for code in CODES if code.startswith("audio_")}
    assert about_the_file == of_recordings | {"channels_cancel", "silent", "upload_too_large"}


def test_reference_is_the_table() -> None:
    """docs/reference/errors.md is what the table gives now, and has a row for each code."""
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "errors.md"
    text = page.read_text(encoding="utf-8")
    assert text == errors_page.page(), (
        "run build/python dev -m glagol.core.errors_page > docs/reference/errors.md"
    )
    assert all(f"| `{code}` | {row.http_status} |" in text for code, row in CODES.items())


def test_codes_are_stable() -> None:
    """Clients match on these words: adding is fine here, renaming is a breaking change."""
    assert sorted(CODES) == sorted(
        [
            *("audio_not_found", "audio_empty", "audio_unreadable", "audio_truncated"),
            *("audio_damaged", "audio_gap", "channels_cancel", "silent"),
            *("audio_without_sound", "audio_not_finite", "audio_too_short", "option_invalid"),
            *("model_unknown", "setting_invalid", "not_found", "request_invalid"),
            *("audio_too_long", "upload_too_large", "queue_full", "busy"),
            *("share_used", "body_too_slow", "speakers_missing"),
            *("manifest_invalid", "manifest_too_new", "state_too_new", "state_damaged"),
            *("artifact_missing", "artifact_altered", "artifact_unpinned", "checkpoint_refused"),
            *("provider_missing", "disk_full", "not_ready", "cancelled", "host_io"),
            *("bundle_not_found", "bundle_source", "bundle_target", "bundle_downgrade"),
            *("bundle_no_previous", "bundle_invalid", "bundle_too_new", "bundle_altered"),
            *("bundle_missing", "bundle_added", "bundle_unsigned", "bundle_signature"),
            *("bundle_base", "bundle_licence", "bundle_platform", "bundle_rejected", "bundle_tool"),
            *("key_missing", "key_refused", "forbidden", "rate_limited", "spool_full"),
            *("job_unknown", "job_expired", "job_state", "idempotency_conflict"),
            *("webhook_refused", "audit_altered", "queue_unreachable", "attempts_exhausted"),
            *("prompt_too_long", "text_empty", "llm_unavailable", "llm_output_invalid"),
            *("output_exists", "audio_refused", "decoder_lost", "upstream_unreachable"),
            *("recording_unknown", "recording_state", "folder_unknown", "range_invalid"),
            *("import_invalid", "edit_invalid", "edit_conflict", "edits_altered"),
            *("vram_too_small", "webhook_failed"),
            *("audio_changed", "cluster_unreachable", "cluster_release", "cluster_small"),
            *("host_not_allowed", "origin_not_allowed"),
            *("upload_unknown", "upload_state", "upload_checksum", "upload_version"),
        ]
    )


def test_error_carries_its_parts() -> None:
    """str() is the message alone; the remedy is separate."""
    error = InputError("model_unknown", "no model 'x'", "use y")
    assert (str(error), error.code, error.remedy) == ("no model 'x'", "model_unknown", "use y")


def test_error_survives_pickling() -> None:
    """Worker processes hand errors over."""
    error = pickle.loads(pickle.dumps(HostError("disk_full", "no room", "make room")))  # noqa: S301
    assert isinstance(error, HostError)
    assert (error.code, error.message, error.remedy) == ("disk_full", "no room", "make room")


@pytest.mark.parametrize(
    ("family", "code"),
    [(InputError, "disk_full"), (HostError, "no_such_code"), (GlagolError, "disk_full")],
)
def test_wrong_code_is_a_bug(family: type[GlagolError], code: str) -> None:
    """A code of another family, an unknown code, or the bare base class."""
    with pytest.raises(AssertionError, match=code):
        family(code, "message", "remedy")
