"""Webhooks over real sockets out of a real queue: signed, tried again, given up, replayed."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from standardwebhooks import Webhook

from glagol.jobs.queue import Job, State, Trouble
from glagol.jobs.sqlite.queue import SqliteQueue
from glagol.jobs.webhooks.payload import INLINE_BYTES_MAX, KIND, Delivery, Notice, notify, read
from glagol.jobs.webhooks.send import Outcome, WebhookSettings
from glagol.jobs.webhooks.ssrf import Rules
from glagol.jobs.webhooks.worker import PARKED_S, Deliverer, attempts_of
from jobs.adapters import Turned
from jobs.webhooks.receiver import PATIENCE_S, Receiver, receiver

SECRET = "whsec_" + "c2VjcmV0" * 5
TEXT = "раз два три"


class Post:
    """A queue, its deliverer and a receiver."""

    def __init__(self, turned: Turned, to: Receiver) -> None:
        self.queue, self.to = turned.queue, to
        self._turned, self._skipped_s = turned, 0.0
        self.settings = WebhookSettings((SECRET,), Rules.of(["127.0.0.0/8"], [to.port]), 5.0)
        self.deliverer = Deliverer(self.queue, lambda: self.settings, worker="test", clock=self.now)

    def now(self) -> float:
        """What a sender signs: the true time, and what was skipped."""
        return time.time() + self._skipped_s

    def skip(self, seconds: float) -> None:
        """Time goes by for the queue, which stands still otherwise, and for the sender."""
        self._turned.advance(seconds)
        self._skipped_s += seconds

    def send(self, notice: Notice | None = None, *, attempts: int = 4) -> str:
        """Queue a delivery; its id."""
        new = notify(notice or done(b'{"text":"' + TEXT.encode() + b'"}'), self.to.url,
                     attempts=attempts)  # fmt: skip
        return self.queue.put(new).id

    def until(self, job_id: str, state: State, attempt: int = 1) -> Job:
        """The job, once it is there."""
        until = time.monotonic() + PATIENCE_S
        while True:
            job = self.queue.get(job_id)
            if job.state == state and job.attempt >= attempt:
                return job
            assert time.monotonic() < until, job
            time.sleep(0.01)


def done(result: bytes) -> Notice:
    """A job that was done."""
    return Notice(
        event="transcription.completed",
        job_id="job1",
        owner="alice",
        result=result,
        link="/v1/jobs/job1/result",
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits for a look into the queue to end."""
    monkeypatch.setattr("glagol.jobs.webhooks.worker.WAIT_S", 0.1)


@pytest.fixture
def post(turned: Turned) -> Iterator[Post]:
    """Everything running, on each adapter of the queue."""
    with receiver() as to:
        post = Post(turned, to)
        post.deliverer.start()
        yield post
        post.deliverer.close(0.0)


def test_a_receiver_can_verify_and_read(post: Post) -> None:
    """By the reference verifier; type, time, job and the result itself."""
    job_id = post.send()
    (request,) = post.to.wait(1)
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert body["type"] == "transcription.completed"
    assert body["timestamp"].endswith("Z")
    assert body["data"] == {
        "job": {"id": "job1", "state": "done"},
        "result": {"text": TEXT},
        "result_url": "/v1/jobs/job1/result",
    }
    assert request.path == "/hook?a=b"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == job_id
    job = post.until(job_id, "done")
    assert job.owner == "alice"
    assert [a.outcome for a in attempts_of(job, post.queue.result(job_id))] == ["204"]


def test_a_long_result_goes_by_link() -> None:
    """The limit is that of the result itself; one byte more and only the link is sent."""
    padding = INLINE_BYTES_MAX - len(b'{"text":""}')
    for extra, inline in ((0, True), (1, False)):
        new = notify(done(b'{"text":"' + b"a" * (padding + extra) + b'"}'), "http://x.example/")
        data = json.loads(read(new.payload).body)["data"]
        assert ("result" in data) == inline
        assert data["result_url"] == "/v1/jobs/job1/result"
        assert new.kind == KIND


def test_a_failure_is_sent_with_its_reason() -> None:
    """Code, message and remedy; no result and no link to one."""
    trouble = Trouble("audio_truncated", "it ends", "send it whole")
    new = notify(
        Notice(event="transcription.failed", job_id="j", trouble=trouble), "http://x.example/"
    )
    assert json.loads(read(new.payload).body)["data"] == {
        "job": {"id": "j", "state": "failed"},
        "error": {"code": "audio_truncated", "message": "it ends", "remedy": "send it whole"},
    }


def test_it_is_tried_again_with_the_same_id(post: Post) -> None:
    """After 503, 429 with Retry-After, 408: same id, same bytes, each signed anew."""
    post.to.answers = [(503, {}), (429, {"retry-after": "900"}), (408, {})]
    job_id = post.send(attempts=4)
    for attempt, pause_s in ((1, 5.0), (2, 900.0), (3, 80.0)):
        job = post.until(job_id, "queued", attempt)
        assert job.due_s - job.changed_s == pause_s
        assert job.trouble is not None
        assert job.trouble.code == "webhook_failed"
        post.skip(pause_s + 1)
    done = post.until(job_id, "done", 4)
    attempts = attempts_of(done, post.queue.result(job_id))
    assert [attempt.outcome for attempt in attempts][:2] == ["503", "429"]
    assert len(attempts) == 4, "every try is listed, not the last alone"
    requests = post.to.requests
    assert {r.headers["webhook-id"] for r in requests} == {job_id}
    assert len({r.body for r in requests}) == 1
    assert len({r.headers["webhook-signature"] for r in requests}) == 4


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 422])
def test_other_answers_are_final(post: Post, status: int) -> None:
    """And a redirect is not followed: the place it names gets nothing."""
    with receiver() as elsewhere:
        post.to.answers = [(status, {"location": elsewhere.url})]
        job = post.until(post.send(), "failed")
        assert [a.outcome for a in attempts_of(job, None)] == [str(status)]
        assert len(post.to.requests) == 1
        assert not elsewhere.requests


def test_what_was_given_up_can_be_replayed(post: Post) -> None:
    """After the last attempt it is a dead letter; a replay has its number of tries anew."""
    post.to.answers = [(500, {}), (500, {}), (500, {})]
    job_id = post.send(attempts=2)
    post.until(job_id, "queued", 1)
    post.skip(6)
    post.until(job_id, "failed", 2)
    post.queue.replay(job_id)
    job = post.until(job_id, "queued", 3)
    assert job.due_s - job.changed_s == 5.0, "the schedule begins anew"
    post.skip(6)
    post.until(job_id, "done", 4)
    assert {r.headers["webhook-id"] for r in post.to.requests} == {job_id}


def test_a_private_address_gets_nothing(post: Post) -> None:
    """The guard judges at the last moment too: what was allowed once may be no longer."""
    post.settings = WebhookSettings((SECRET,), Rules.of([], [post.to.port]), 5.0)
    job = post.until(post.send(), "failed")
    assert job.trouble is not None
    assert job.trouble.code == "webhook_refused"
    assert not post.to.requests


def test_nothing_is_sent_unsigned(post: Post) -> None:
    """The operator took the secrets away: it waits until there is one."""
    with_secret, post.settings = post.settings, unsigned(post.settings)
    job_id = post.send()
    post.until(job_id, "queued", 1)
    assert not post.to.requests
    post.settings = with_secret
    post.skip(6)
    post.until(job_id, "done", 2)


def unsigned(settings: WebhookSettings) -> WebhookSettings:
    """The same settings without secrets."""
    return WebhookSettings((), settings.rules, settings.timeout_s)


def test_a_silent_receiver_delays_no_other(post: Post) -> None:
    """It has its timeout; the delivery behind it goes out meanwhile."""
    with receiver() as silent:
        ports = [post.to.port, silent.port]
        post.settings = WebhookSettings((SECRET,), Rules.of(["127.0.0.0/8"], ports), 2.0)
        silent.answers = [(0, {})]
        slow = post.queue.put(notify(done(b"{}"), silent.url)).id
        silent.wait(1)
        post.until(post.send(), "done")
        assert post.queue.get(slow).state == "running"
        job = post.until(slow, "queued")
        assert [a.outcome for a in attempts_of(job, None)] == ["timeout"]


def test_names_that_are_not_found_delay_no_other_delivery(tmp_path: Path) -> None:
    """Ten lookups that hang hold ten threads; there are more."""
    queue, hanging, free = SqliteQueue(tmp_path / "jobs.sqlite"), [], threading.Event()

    async def resolve(host: str, _port: int) -> list[str]:
        if host == "slow.example":
            hanging.append(host)
            await asyncio.to_thread(free.wait, PATIENCE_S)
        return ["127.0.0.1"]

    with receiver() as to:
        settings = WebhookSettings((SECRET,), Rules.of(["127.0.0.0/8"], [to.port]), PATIENCE_S)
        deliverer = Deliverer(queue, lambda: settings, worker="w", resolve=resolve)
        for _ in range(10):
            queue.put(notify(done(b"{}"), f"http://slow.example:{to.port}/"))
        another = msgspec.structs.replace(done(b"{}"), owner="bob")
        queue.put(notify(another, f"http://quick.example:{to.port}/quick"))
        deliverer.start()
        (request,) = to.wait(1)
        assert len(hanging) == 10
        assert request.path == "/quick"
        free.set()
        to.wait(11)
        deliverer.close(5.0)
    queue.close()


@pytest.mark.parametrize("keys", [True, False])
def test_receivers_that_never_answer_delay_no_other_owner(tmp_path: Path, *, keys: bool) -> None:
    """45 deliveries of one owner (or to one host) hold a share; what finds no place is put off."""
    queue = SqliteQueue(tmp_path / "jobs.sqlite")

    def owned(owner: str) -> Notice:
        return msgspec.structs.replace(done(b"{}"), owner=owner if keys else "")

    with receiver() as slow, receiver() as quick:
        slow.answers = [(0, {})] * 100
        rules = Rules.of(["127.0.0.0/8"], [slow.port, quick.port])
        deliverer = Deliverer(
            queue, lambda: WebhookSettings((SECRET,), rules, PATIENCE_S), worker="w"
        )
        for _ in range(45):
            queue.put(notify(owned("bob"), slow.url))
        deliverer.start()
        slow.wait(10)
        queue.put(notify(owned("alice"), quick.url))
        began = time.monotonic()
        quick.wait(1)
        assert time.monotonic() - began < PARKED_S
        time.sleep(0.1)
        assert len(slow.requests) == 10  # of 16 places
        deliverer.close(0.1)
        until = time.monotonic() + PATIENCE_S
        while len(waiting := queue.page(kind=KIND, state="queued", limit=200)) < 45:
            assert time.monotonic() < until, f"{len(waiting)} of 45 were given back"
            time.sleep(0.05)
        assert {job.attempts_max - job.attempt for job in waiting} == {10}
    queue.close()


def test_a_bug_in_the_queue_does_not_end_deliveries(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread logs it and continues."""
    with monkeypatch.context() as patched:
        broken = threading.Event()

        def claim(*_: object) -> None:
            broken.set()
            raise KeyError("a bug")

        patched.setattr(post.queue, "claim", claim)
        assert broken.wait(PATIENCE_S)
    post.until(post.send(), "done")


def test_an_endless_answer_is_cut_off(post: Post) -> None:
    """The status is all we want; the body is not read to its end, and not kept."""
    post.to.endless = True
    post.to.answers = [(200, {})]
    job_id = post.send()
    post.until(job_id, "done")
    assert b"xxx" not in (post.queue.result(job_id) or b"")


def test_a_delivery_that_died_under_way_is_sent_again(post: Post) -> None:
    """Another process had it and vanished: after the lease it goes out, with the same id."""
    post.deliverer.close(0.0)
    job_id = post.send()
    assert post.queue.claim("dead", [KIND], 35.0) is not None
    again = Deliverer(post.queue, lambda: post.settings, worker="alive")
    again.start()
    time.sleep(0.3)
    assert not post.to.requests
    post.skip(36)
    post.until(job_id, "done", 2)
    assert post.to.requests[0].headers["webhook-id"] == job_id
    again.close(0.0)


def test_closing_gives_back_what_is_under_way(post: Post) -> None:
    """Its job waits for the next process, and the try does not count."""
    post.to.answers = [(0, {})]
    job_id = post.send()
    post.to.wait(1)
    post.deliverer.close(0.1)
    job = post.until(job_id, "queued")
    assert job.due_s <= job.changed_s


def test_proxies_of_the_environment_are_not_used(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would dial what the guard never saw."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    post.until(post.send(), "done")


def test_the_log_has_neither_text_nor_address(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    """Ids, outcome and attempt only."""
    with caplog.at_level(logging.DEBUG, "glagol"):
        job_id = post.send()
        post.until(job_id, "done")
    (record,) = [r for r in caplog.records if r.name == "glagol"]
    fields: dict[str, object] = record.fields  # type: ignore[attr-defined]
    assert fields == {"delivery": job_id, "job": "job1", "outcome": "204", "attempt": 1}


def test_the_watcher_sees_every_try(tmp_path: Path) -> None:
    """What metrics and traces are made of."""
    seen: list[tuple[str, bool]] = []

    def on_try(delivery: Delivery, outcome: Outcome, began_s: float, ended_s: float) -> None:
        seen.append((delivery.job_id + outcome.said, began_s <= ended_s))

    queue = SqliteQueue(tmp_path / "jobs.sqlite")
    with receiver() as to:
        settings = WebhookSettings((SECRET,), Rules.of(["127.0.0.0/8"], [to.port]), 5.0)
        deliverer = Deliverer(queue, lambda: settings, worker="w", on_try=on_try)
        deliverer.start()
        notice = msgspec.structs.replace(done(b"{}"), traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
        queue.put(notify(notice, to.url))
        (request,) = to.wait(1)
        deliverer.close(5.0)
    assert request.headers["traceparent"] == notice.traceparent
    assert seen == [("job1204", True)]
    queue.close()
