"""Webhooks from end to end: a real server, a real job, a real receiver, and its owner's view."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

import sounds
from asr.process import Server, start
from glagol.web.access.api_keys import Keyring, Scope, now_utc
from homes import make_home
from jobs.webhooks.receiver import PATIENCE_S, Receiver, receiver

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
URL = "/v1/transcribe"
NAMES: dict[str, tuple[Scope, ...]] = {
    "alice": ("transcribe", "jobs"),
    "bob": ("transcribe", "jobs"),
    "root": ("admin",),
}


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(scope="module")
def clients(
    hook: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, httpx.Client]]:
    """One for each key of a server with webhooks on."""
    folder = tmp_path_factory.mktemp("webhooks")
    state = folder / "state"
    state.mkdir()
    (state / "policy.toml").write_text(
        f'[webhooks]\nsecrets = ["{SECRET}"]\nallow = ["127.0.0.0/8"]\nports = [{hook.port}]\n'
    )
    ring, texts = Keyring(), {}
    for name, scopes in NAMES.items():
        ring, texts[name] = ring.add(name, created=now_utc(), scopes=scopes)
    (state / "keys.json").write_bytes(ring.written())
    server: Server = start(make_home(folder / "home"), folder / "scratch", ASR_STATE=str(state))
    opened = {name: server.client() for name in NAMES}
    for name, client in opened.items():
        client.headers["authorization"] = f"Bearer {texts[name]}"
    yield opened
    for client in opened.values():
        client.close()
    assert server.stop() == 0
    assert hook.url not in server.log.read_text(), "the receiver's address may hold a secret"


def until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """What `look` gives, once it is enough."""
    end = time.monotonic() + PATIENCE_S
    while not enough(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def submit(client: httpx.Client, url: str) -> str:
    answer = client.put(f"{URL}?async=true", params={"webhook_url": url}, content=sounds.clip())
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["id"])


def test_the_receiver_gets_what_the_client_would_get(
    clients: dict[str, httpx.Client], hook: Receiver
) -> None:
    """Verified by the reference; the result is that of the result's route, to the byte."""
    before = len(hook.requests)
    job = submit(clients["alice"], hook.url)
    request = hook.wait(before + 1)[-1]
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert body["type"] == "transcription.completed"
    assert body["data"]["job"] == {"id": job, "state": "done"}
    result = clients["alice"].get(f"/v1/jobs/{job}/result").json()["data"]
    assert body["data"]["result"] == result
    assert body["data"]["result_url"] == f"/v1/jobs/{job}/result"


def test_a_failed_job_sends_a_webhook_too(clients: dict[str, httpx.Client], hook: Receiver) -> None:
    """With the same code that a synchronous request would have got."""
    before = len(hook.requests)
    damaged = sounds.not_finite()
    client = clients["alice"]
    answer = client.put(f"{URL}?async=true", params={"webhook_url": hook.url}, content=damaged)
    assert answer.status_code == 202, answer.text
    body = json.loads(hook.wait(before + 1)[-1].body)
    assert body["type"] == "transcription.failed"
    assert body["data"]["error"]["code"] == client.put(URL, content=damaged).json()["error"]["code"]


def test_what_was_given_up_is_listed_and_replayed(
    clients: dict[str, httpx.Client], hook: Receiver
) -> None:
    """By its owner and by an administrator; other callers get job_unknown."""
    hook.answers = [(410, {})]
    before = len(hook.requests)
    job = submit(clients["alice"], hook.url)
    first = hook.wait(before + 1)[-1]

    def failed(name: str) -> list[dict[str, Any]]:
        found = clients[name].get("/v1/deliveries?state=failed").json()["data"]["deliveries"]
        return [each for each in found if each["job_id"] == job]

    (seen,) = until(lambda: failed("alice"), bool)
    assert seen["id"] == first.headers["webhook-id"]
    assert seen["event"] == "transcription.completed"
    assert seen["receiver"] == f"http://127.0.0.1:{hook.port}"
    assert [attempt["outcome"] for attempt in seen["attempts"]] == ["410"]
    assert (failed("bob"), failed("root")) == ([], [seen])

    path = f"/v1/deliveries/{seen['id']}"
    assert clients["bob"].get(path).status_code == 404
    assert clients["bob"].post(f"{path}/replay").status_code == 404
    assert clients["alice"].get(f"/v1/deliveries/{job}").status_code == 404, "a job is none"
    assert clients["alice"].get(f"/v1/jobs/{seen['id']}").status_code == 404, "nor the reverse"
    assert clients["root"].post(f"{path}/replay").status_code == 202
    again = hook.wait(before + 2)[-1]
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    assert again.body == first.body
    look = clients["alice"].get
    until(lambda: look(path).json()["data"]["state"], lambda state: state == "done")
    assert clients["alice"].post(f"{path}/replay").status_code == 409


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://169.254.169.254:{port}/", "ftp://x/", "http://a@b/"]
)
def test_a_forbidden_receiver_is_refused_with_the_request(
    clients: dict[str, httpx.Client], hook: Receiver, url: str
) -> None:
    """Before a job is made of it, or the body is read."""
    params = {"webhook_url": url.format(port=hook.port)}
    answer = clients["alice"].put(f"{URL}?async=true", params=params, content=sounds.clip())
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "webhook_refused"
