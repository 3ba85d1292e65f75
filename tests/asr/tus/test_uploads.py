"""Resumable uploads: the store alone, the protocol, and a server that is killed in the middle."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sounds
from asr.process import PATIENCE_S, Server, start
from glagol.asr.tus import reservations, routes
from glagol.asr.tus.store import EXPIRES_S, UploadInfo, Uploads
from glagol.core.errors import CODES, GlagolError, InputError, LimitError

TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}
GIB = 1 << 30


def store(folder: Path, quota: int = GIB, limit: int = GIB) -> Uploads:
    return Uploads(folder, limit, lambda: quota)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.binary(max_size=60),
                       st.sampled_from(["continue", "restart", "confirm", "undo"])),
             min_size=1, max_size=8)
)  # fmt: skip
def test_the_digest_is_that_of_the_bytes_whatever_happens(
    tmp_path: Path, parts: list[tuple[bytes, str]]
) -> None:
    """Parts that are taken back do not count; a new process reads again what is there."""
    whole = b"".join(data for data, event in parts if event != "undo")
    uploads = store(tmp_path / "uploads")
    upload_id = uploads.create(UploadInfo(len(whole)))
    offset = 0
    for data, event in parts:
        if event == "restart":
            uploads = store(tmp_path / "uploads")
        room = event == "undo" and len(whole) - offset < len(data)
        checked = event in {"confirm", "undo"}
        with uploads.writer(upload_id, "", offset, whole=checked) as writer:
            if not room:
                writer.write(data)
            if checked:
                assert store(tmp_path / "uploads").look(upload_id, "")[1] == offset
            if event == "confirm":
                writer.confirm()
        assert uploads.look(upload_id, "")[1] == offset + len(data) * (event != "undo")
        offset = uploads.look(upload_id, "")[1]
    if not whole:
        return
    for again in (uploads, store(tmp_path / "uploads")):
        found = again.finished(upload_id, "")
        with found.file:
            assert found.file.read() == whole
        assert found.sha256 == hashlib.sha256(whole).hexdigest()
        assert found.size_bytes == len(whole)


def code(call: object, *arguments: object) -> str:
    with pytest.raises(GlagolError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_what_the_store_refuses(tmp_path: Path) -> None:
    uploads = store(tmp_path, quota=1000, limit=600)
    assert code(uploads.create, UploadInfo(601)) == "upload_too_large"
    first = uploads.create(UploadInfo(600, owner="ivan"))
    # room is reserved when the upload is created
    assert code(uploads.create, UploadInfo(401)) == "spool_full"
    assert code(uploads.look, first, "") == "upload_unknown"  # another owner's
    assert code(uploads.look, "../../etc/passwd", "ivan") == "upload_unknown"
    assert code(uploads.finished, first, "ivan") == "upload_state"
    with pytest.raises(InputError, match="0 bytes are there, not 1"):
        uploads.writer(first, "ivan", 1).__enter__()
    with uploads.writer(first, "ivan", 0) as writer:
        with pytest.raises(InputError, match="another request"):
            store(tmp_path).writer(first, "ivan", 0).__enter__()  # another process, even
        with pytest.raises(LimitError):
            writer.write(b"x" * 601)
    uploads.drop(first)
    assert code(uploads.look, first, "ivan") == "upload_unknown"
    assert not list(tmp_path.iterdir())
    uploads.create(UploadInfo(1000 - 400))


def test_an_unused_upload_expires(tmp_path: Path) -> None:
    """A store looks for such uploads when it begins its first one, then once a minute."""
    old = store(tmp_path, quota=10).create(UploadInfo(10))
    for path in tmp_path.iterdir():
        os.utime(path, (1, time.time() - EXPIRES_S - 1))
    uploads = store(tmp_path, quota=10)
    new = uploads.create(UploadInfo(10))  # its room is free again
    assert {path.name for path in tmp_path.iterdir()} == {new, f"{new}.json"}
    assert code(uploads.look, old, "") == "upload_unknown"


def test_uploads_are_shared(tmp_path: Path) -> None:
    """By bytes and by number, an upload of nothing counts; the share is free when they are gone."""
    gib = 1 << 30
    uploads = store(tmp_path, quota=32 * gib, limit=2 * gib)
    # three quarters of seven eighths of 16
    mine = [uploads.create(UploadInfo(2 * gib), "@192.0.2.1") for _ in range(10)]
    assert code(uploads.create, UploadInfo(2 * gib), "@192.0.2.1") == "share_used"
    uploads.create(UploadInfo(2 * gib), "@192.0.2.2")
    for each in mine:
        uploads.drop(each)
    assert uploads.create(UploadInfo(2 * gib), "@192.0.2.1")


def test_uploads_of_nothing_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They leave room for other owners, and another process does not forget them."""
    monkeypatch.setattr(reservations, "UPLOADS_MAX", 64)
    uploads = store(tmp_path, quota=1 << 30)
    for _ in range(42):
        uploads.create(UploadInfo(0, owner="mallory"))
    with pytest.raises(LimitError, match="your share of uploads is used up: 42"):
        uploads.create(UploadInfo(0, owner="mallory"))
    again = store(tmp_path, quota=1 << 30)
    assert code(again.create, UploadInfo(0, owner="mallory")) == "share_used"
    again.create(UploadInfo(5, owner="alice"))


def begun(client: httpx.Client, length: int, **headers: str) -> str:
    answer = client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(length), **headers})
    assert answer.status_code == 201, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"
    return urljoin(answer.url.path, answer.headers["location"])


def sent(
    client: httpx.Client, url: str, offset: int, data: bytes, **headers: str
) -> httpx.Response:
    own = {**BODY, "Upload-Offset": str(offset), **headers}
    return client.patch(url, headers=own, content=data)


def test_an_upload_in_parts_is_transcribed(server: Server) -> None:
    """Sync and as a job, from query and form, equal to the file sent at once."""
    data = sounds.clip()
    half = len(data) // 2
    with server.client() as client:
        abilities = client.options("/v1/uploads")
        assert abilities.status_code == 204
        assert "creation" in abilities.headers["tus-extension"]
        url = begun(client, len(data), **{"Upload-Metadata": "filename Y2xpcA=="})
        assert sent(client, url, 0, data[:half]).headers["upload-offset"] == str(half)
        state = client.head(url, headers=TUS)
        assert state.headers["upload-offset"] == str(half)
        assert state.headers["upload-length"] == str(len(data))
        assert state.headers["upload-metadata"] == "filename Y2xpcA=="
        early = client.post("/v1/transcribe", params={"upload": url.rpartition("/")[2]})
        assert early.json()["error"]["code"] == "upload_state"
        digest = base64.b64encode(hashlib.sha256(data[half:]).digest()).decode()
        wrong = sent(client, url, half, data[half:], **{"Upload-Checksum": f"sha1 {digest}"})
        assert wrong.status_code == CODES["upload_checksum"].http_status
        right = sent(client, url, half, data[half:], **{"Upload-Checksum": f"sha256 {digest}"})
        assert right.status_code == 204, right.text

        name = {"upload": url.rpartition("/")[2]}
        expected = client.put("/v1/transcribe", content=data)
        assert expected.status_code == 200
        for answer in (
            client.post("/v1/transcribe", params=name),
            client.put("/v1/transcribe", params=name),
            client.post("/v1/transcribe", files={"upload": (None, name["upload"])}),
        ):
            assert answer.content == expected.content
        both = client.post("/v1/transcribe", files={"file": data, "upload": (None, name["upload"])})
        assert both.json()["error"]["code"] == "option_invalid"
        options = {"format": (None, "srt")}
        assert "-->" in client.post("/v1/transcribe", params=name, files=options).text
        later, named = {"async": "true"}, {"upload": (None, name["upload"])}
        for job in (
            client.post("/v1/transcribe", params={**name, **later}),
            client.post("/v1/transcribe", params=later, files=named),
            client.post("/v1/transcribe", files={**named, "async": (None, "true")}),
        ):
            assert job.status_code == 202, job.text
            result = f"/v1/{job.headers['location']}/result"
            until = time.monotonic() + PATIENCE_S
            while (answer := client.get(result)).status_code != 200:
                assert time.monotonic() < until, answer.text
                time.sleep(0.05)
            assert answer.json()["data"]["text"] == expected.json()["data"]["text"]
        assert client.delete(url, headers=TUS).status_code == 204
        gone = client.post("/v1/transcribe", params=name)
        assert gone.json()["error"]["code"] == "upload_unknown"


@pytest.mark.parametrize(
    ("code", "method", "path", "headers"),
    [
        ("upload_version", "POST", "", {"Upload-Length": "5"}),
        ("upload_version", "PATCH", "/{id}", {"Tus-Resumable": "0.2.2"}),
        ("request_invalid", "POST", "", TUS),
        ("request_invalid", "POST", "", {**TUS, "Upload-Length": "-1"}),
        ("request_invalid", "POST", "", {**TUS, "Upload-Length": "9" * 40}),
        ("request_invalid", "PATCH", "/{id}", {**TUS, "Upload-Offset": "0"}),
        ("request_invalid", "PATCH", "/{id}", BODY),
        ("request_invalid", "PATCH", "/{id}",
         {**BODY, "Upload-Offset": "0", "Upload-Checksum": "crc x"}),
        ("upload_state", "PATCH", "/{id}", {**BODY, "Upload-Offset": "3"}),
        ("upload_unknown", "PATCH", "/" + "0" * 32, {**BODY, "Upload-Offset": "0"}),
        ("upload_unknown", "DELETE", "/passwd", TUS),
        ("upload_too_large", "POST", "", {**TUS, "Upload-Length": str(1 << 50)}),
        ("upload_too_large", "PATCH", "/{id}", {**BODY, "Upload-Offset": "0"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(
    server: Server, code: str, method: str, path: str, headers: dict[str, str]
) -> None:
    with server.client() as client:
        url = begun(client, 5)
        where = "/v1/uploads" + path.replace("{id}", url.rpartition("/")[2])
        answer = client.request(method, where, headers=headers, content=b"more than five bytes")
        assert answer.json()["error"]["code"] == code, answer.text
        assert answer.status_code == CODES[code].http_status
        assert client.head(url, headers=TUS).headers["upload-offset"] == "0"
        assert client.delete(url, headers=TUS).status_code == 204


def half_sent(server: Server, url: str, data: bytes, announced: int, **more: str) -> socket.socket:
    """A request that announces more than it sends, and stays open."""
    where = urlsplit(server.url)
    connection = socket.create_connection((where.hostname or "", where.port or 0))
    head = [f"PATCH {url} HTTP/1.1", "Host: localhost", "Upload-Offset: 0"]
    head += [f"Content-Length: {announced}"]
    head += [f"{name}: {value}" for name, value in {**BODY, **more}.items()]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + data)
    return connection


@pytest.mark.slow
def test_a_killed_server_resumes_its_uploads(home: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of two bodies: what came counts, but of one with a checksum nothing.

    Then each upload has the digest of its file, as if nothing had happened.
    """
    data = sounds.long_speech(120)
    assert len(data) > 3 << 20
    checksum = f"sha256 {base64.b64encode(hashlib.sha256(data).digest()).decode()}"
    server = start(home, tmp_path / "first", wait=False, ASR_STATE=str(tmp_path / "state"))
    with server.client() as client:
        url, checked = begun(client, len(data)), begun(client, len(data))
    part = data[: 5 << 19]
    wrong = part[: 1 << 19] + b"\xff" + part[(1 << 19) + 1 :]  # the checksum would have shown it
    with (
        half_sent(server, url, part, len(data)),
        half_sent(server, checked, wrong, len(data), **{"Upload-Checksum": checksum}),
    ):
        until = time.monotonic() + PATIENCE_S
        for each in (url, checked):
            file = tmp_path / "state/uploads" / each.rpartition("/")[2]
            while file.stat().st_size < 1 << 20:
                assert time.monotonic() < until
                time.sleep(0.01)
        server.process.kill()
        server.process.wait()
    server = start(home, tmp_path / "second", ASR_STATE=str(tmp_path / "state"))
    with server.client() as client:
        offset = int(client.head(url, headers=TUS).headers["upload-offset"])
        assert 1 << 20 <= offset < len(data)
        assert sent(client, url, offset, data[offset:]).status_code == 204
        assert client.head(checked, headers=TUS).headers["upload-offset"] == "0"
        again = sent(client, checked, 0, data, **{"Upload-Checksum": checksum})
        assert again.status_code == 204, again.text
        name = {"upload": url.rpartition("/")[2], "format": "json"}
        answer = client.post("/v1/transcribe", params=name).json()["data"]
    assert answer["provenance"]["audio_sha256"] == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "state/uploads" / checked.rpartition("/")[2]).read_bytes() == data
    assert not [*(tmp_path / "state/uploads").glob("*.unchecked")]
    assert server.stop() == 0


def test_a_checksummed_body_that_is_too_long_leaves_nothing(server: Server) -> None:
    """It is refused in mid-body, after some of it was written."""
    data = os.urandom(3 << 20)
    checksum = f"sha1 {base64.b64encode(hashlib.sha1(data).digest()).decode()}"  # noqa: S324
    with server.client() as client:
        url = begun(client, 2 << 20)
        answer = sent(client, url, 0, data, **{"Upload-Checksum": checksum})
        assert answer.json()["error"]["code"] == "upload_too_large"
        assert client.head(url, headers=TUS).headers["upload-offset"] == "0"
        assert client.delete(url, headers=TUS).status_code == 204


def test_stopping_a_writer_waits_for_its_write() -> None:
    """A write in a thread ends before the cancelled request does, so none runs beside it."""
    written, order = threading.Event(), []

    def write() -> None:
        written.wait(PATIENCE_S)
        order.append("written")

    async def stopped() -> None:
        task = asyncio.create_task(routes._ended(threads, write))
        for _ in range(3):
            await asyncio.sleep(0.01)
            task.cancel()
            assert not task.done()
        written.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        order.append("stopped")

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(stopped())
    assert order == ["written", "stopped"]


def test_a_client_that_comes_again_does_not_wait_for_its_old_connection(server: Server) -> None:
    """Asking for the offset stops a request that still writes, and what had come stays."""
    data = os.urandom(200_000)
    with server.client() as client:
        url = begun(client, len(data))
        with half_sent(server, url, data[:50_000], len(data)):
            for _ in range(5):  # the old request may come in between, and is then the newer one
                offset = int(client.head(url, headers=TUS).headers["upload-offset"])
                assert offset <= 50_000
                answer = sent(client, url, offset, data[offset:])
                if answer.status_code == 204:
                    break
                assert answer.json()["error"]["code"] in {"upload_state", "cancelled"}
            assert answer.headers["upload-offset"] == str(len(data))
        assert client.delete(url, headers=TUS).status_code == 204
