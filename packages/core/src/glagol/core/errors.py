"""All errors that Glagol raises on purpose, grouped by the person that must act.

    GlagolError
    +-- InputError        the caller's request is wrong: change it (exit 2)
    +-- LimitError        the request is fine but too big or too soon (exit 3)
    +-- IntegrityError    bytes are missing or wrong: an operator replaces them (exit 4)
    +-- HostError         the machine cannot do it: disk, driver, readiness (exit 5)

An error is a stable `code`, a `message` that says what happened to what, and a `remedy` that says
what to do next. `CODES` is the one table of codes: HTTP status, exit status, whether the same
request may succeed later, the parameter at fault. docs/reference/errors.md is made from it.
Anything else that escapes is a bug (exit 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EXIT_BUG = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count


class GlagolError(Exception):
    """Base class of the four families of errors; code raises a family, never this class.

    Args:
        code: a key of `CODES` that belongs to the raised family.
        message: what happened, naming the file, field or limit.
        remedy: what the reader of the message should do.

    Raises:
        AssertionError: the code is unknown or belongs to another family: a bug of the raising code.
    """

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(code, message, remedy)  # all three, so that errors survive pickling
        if code not in CODES or not isinstance(self, CODES[code].family):
            raise AssertionError(f"{type(self).__name__} cannot carry the code {code!r}")
        self.code = code
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message


class InputError(GlagolError):
    """The caller's request is wrong; the same request fails again. Exit status 2."""


class LimitError(GlagolError):
    """A limit stopped a well-formed request; a smaller or later one may succeed. Exit status 3."""


class IntegrityError(GlagolError):
    """Bytes are missing or wrong; never retried, an operator must replace them. Exit status 4."""


class HostError(GlagolError):
    """The machine failed: disk, driver, or not ready yet. Exit status 5."""


@dataclass(frozen=True, slots=True)
class Code:
    """Properties of one error code: for HTTP, for shells and for the documentation.

    Attributes:
        http_status: status of the HTTP answer, 400..599.
        exit_status: status of the process, 2..5.
        family: the exception class that carries the code.
        summary: one line for documentation.
        retry: the same request may succeed later; the HTTP answer has Retry-After.
        parameter: the field of the request that is at fault, where the code alone says so.
    """

    http_status: int
    exit_status: int
    family: type[GlagolError]
    summary: str
    retry: bool = False
    parameter: str | None = None


def _input(http_status: int, summary: str, parameter: str | None = None) -> Code:
    return Code(http_status, 2, InputError, summary, parameter=parameter)


def _audio(http_status: int, summary: str) -> Code:
    return _input(http_status, summary, "file")


def _limit(
    http_status: int, summary: str, *, retry: bool = False, parameter: str | None = None
) -> Code:
    return Code(http_status, 3, LimitError, summary, retry, parameter)


def _integrity(http_status: int, summary: str) -> Code:
    return Code(http_status, 4, IntegrityError, summary)


def _host(http_status: int, summary: str, *, retry: bool = False) -> Code:
    return Code(http_status, 5, HostError, summary, retry)


CODES: Mapping[str, Code] = MappingProxyType(
    {
        "audio_not_found": _audio(404, "the audio file does not exist"),
        "audio_empty": _audio(400, "the audio has no bytes"),
        "audio_unreadable": _audio(415, "the bytes are not audio that can be decoded"),
        "audio_truncated": _audio(422, "the audio ends in the middle"),
        "audio_damaged": _audio(422, "a part of the audio cannot be decoded"),
        "audio_gap": _audio(422, "the audio's time stamps have a gap"),
        "channels_cancel": _audio(422, "the channels cancel each other"),
        "silent": _audio(422, "the audio is silent"),
        "audio_refused": _audio(422, "decoding the audio exceeds a limit or crashes"),
        "audio_without_sound": _audio(422, "the file has no audio stream"),
        "audio_not_finite": _audio(422, "the audio has NaN or infinite samples"),
        "audio_too_short": _audio(422, "the audio is shorter than one frame"),
        "audio_changed": _audio(409, "the audio changes while it is read"),
        "option_invalid": _input(400, "an option is unknown or out of range"),
        "output_exists": _input(409, "a result would overwrite a file that exists"),
        "model_unknown": _input(404, "no model has this id or alias", "model"),
        "setting_invalid": _input(500, "a setting of the process is wrong"),
        "not_found": _input(404, "there is no such resource"),
        "request_invalid": _input(400, "the request does not have the required form"),
        "upload_unknown": _input(404, "there is no such resumable upload"),
        "upload_state": _input(409, "the upload has another offset or is not finished"),
        "upload_checksum": _input(460, "the bytes do not have the checksum that came with them"),
        "upload_version": _input(412, "the request uses another version of the tus protocol"),
        "host_not_allowed": _input(421, "the server does not answer to this host name"),
        "origin_not_allowed": _input(403, "pages of this origin may not use the server"),
        "key_missing": _input(401, "the request needs a key and has none"),
        "key_refused": _input(401, "the key is unknown, revoked or expired"),
        "forbidden": _input(403, "the key may not do this"),
        "job_unknown": _input(404, "there is no such job"),
        "job_expired": _input(410, "the job's result has expired"),
        "recording_unknown": _input(404, "the library has no such recording"),
        "folder_unknown": _input(404, "the library has no such folder"),
        "recording_state": _input(409, "the recording is not in a state that allows this"),
        "range_invalid": _input(416, "the range lies outside the file"),
        "import_invalid": _input(400, "the file is not a transcript that can be imported"),
        "edit_invalid": _input(400, "the edit does not fit the text"),
        "edit_conflict": _input(409, "another person has changed the same segment meanwhile"),
        "edits_altered": _integrity(500, "the machine's text or its edits were altered"),
        "job_state": _input(409, "the job is not in a state that allows this"),
        "idempotency_conflict": _input(409, "this idempotency key came with another request"),
        "webhook_refused": _input(400, "the webhook's address may not be called"),
        "webhook_failed": _host(502, "the webhook's receiver did not take the delivery"),
        "audit_altered": _integrity(500, "the audit log was altered or is incomplete"),
        "rate_limited": _limit(429, "the key's rate or concurrency is used up", retry=True),
        "spool_full": _limit(503, "the spool's quota is used up", retry=True),
        "queue_unreachable": _host(503, "the job queue cannot be reached", retry=True),
        "upstream_unreachable": _host(
            503, "a service behind the gateway does not answer", retry=True
        ),
        "attempts_exhausted": _host(500, "the job failed at its last allowed attempt"),
        "prompt_too_long": _limit(400, "the prompt is longer than the model's context"),
        "text_empty": _input(400, "there is no text to work on"),
        "llm_unavailable": _host(503, "the language model's process does not answer", retry=True),
        "llm_output_invalid": _host(502, "the language model's output does not have its form"),
        "vram_too_small": _host(503, "the models do not fit into the card's memory"),
        "audio_too_long": _limit(413, "the audio is longer than the limit", parameter="file"),
        "upload_too_large": _limit(413, "the upload is larger than the limit", parameter="file"),
        "share_used": _limit(429, "the caller's share of a pool is used up", retry=True),
        "body_too_slow": _limit(408, "the body of the request arrives too slowly"),
        "queue_full": _limit(429, "the queue is full", retry=True),
        "busy": _limit(503, "no capacity right now", retry=True),
        "manifest_invalid": _integrity(500, "manifest.json is not valid"),
        "manifest_too_new": _integrity(500, "manifest.json needs a newer reader"),
        "state_too_new": _integrity(500, "the stored state needs a newer version of Glagol"),
        "state_damaged": _integrity(500, "the stored state cannot be read"),
        "artifact_missing": _integrity(503, "a model file is not in the store"),
        "artifact_altered": _integrity(503, "a model file does not have the pinned digest"),
        "artifact_unpinned": _integrity(503, "the manifest has no digest for a model file yet"),
        "checkpoint_refused": _integrity(503, "a checkpoint is damaged or holds more than tensors"),
        "provider_missing": _host(503, "the requested execution provider is not available"),
        "speakers_missing": _host(409, "the model that finds speakers is not in the store"),
        "decoder_lost": _host(503, "the process that opened the recording was killed", retry=True),
        "disk_full": _host(507, "the disk, a quota or a file size limit is exhausted"),
        "not_ready": _host(503, "the process is still starting or already stopping", retry=True),
        "cluster_unreachable": _host(503, "no cluster answers, or an actor does not start"),
        "cluster_release": _host(409, "a node has another release, or other models"),
        "cluster_small": _host(503, "the cluster has no room for what is asked for"),
        "cancelled": _host(499, "the work was cancelled"),
        "host_io": _host(500, "the operating system refused to read or write"),
        "bundle_not_found": _input(404, "there is no such bundle"),
        "bundle_source": _input(400, "the checkout cannot be packed as it is"),
        "bundle_target": _input(409, "the target folder has files that are not Glagol's"),
        "bundle_downgrade": _input(409, "the bundle is older than the running release"),
        "bundle_no_previous": _input(409, "there is no release to return to"),
        "bundle_invalid": _integrity(500, "the bundle's lists are damaged, or it is not a bundle"),
        "bundle_too_new": _integrity(500, "the bundle needs a newer reader"),
        "bundle_altered": _integrity(500, "a file or part of the bundle has the wrong bytes"),
        "bundle_missing": _integrity(500, "a file or part of the bundle is missing"),
        "bundle_added": _integrity(500, "the bundle holds a file that it does not list"),
        "bundle_unsigned": _integrity(500, "the bundle is not signed"),
        "bundle_signature": _integrity(500, "the bundle's signature is wrong or by an unknown key"),
        "bundle_base": _integrity(500, "the base of the delta is missing or another one"),
        "bundle_licence": _integrity(500, "the licence of a wheel or model is unknown"),
        "bundle_platform": _host(500, "the bundle is for another system, glibc or Python"),
        "bundle_rejected": _host(
            503, "the new release failed its acceptance test; the old one serves"
        ),
        "bundle_tool": _host(500, "a program that the bundle needs is missing or failed"),
    }
)
