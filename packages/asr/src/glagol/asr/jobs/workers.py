"""The threads of a process for the durable queue: runners, maintenance, webhook delivery."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from glagol.asr.jobs.maintenance import Janitor
from glagol.asr.jobs.runner import Runner
from glagol.jobs.webhooks.send import WebhookSettings
from glagol.jobs.webhooks.ssrf import Rules
from glagol.jobs.webhooks.worker import Deliverer

if TYPE_CHECKING:
    from glagol.asr.inference.pool import InferencePool
    from glagol.asr.jobs.payload import Work
    from glagol.asr.jobs.service import Jobs
    from glagol.asr.settings import Settings
    from glagol.speech.audio.jail.pool import Jail
    from glagol.speech.types import Options

__all__ = ["JobThreads"]


class JobThreads:
    """All these threads; a server has one object, and so has a worker.

    Args:
        jobs: The queue.
        engine: The inference workers; each has one runner.
        jail: Opens recordings in child processes.
        settings: Settings of the process.
    """

    def __init__(self, jobs: Jobs, engine: InferencePool, jail: Jail, settings: Settings) -> None:
        worker = f"{socket.gethostname()}-{os.getpid()}"

        def options(work: Work) -> Options:
            from glagol.speech.types import Options

            asked = Options(
                language=work.language,
                word_timestamps=work.word_timestamps,
                short_audio_s=settings.short_audio_s,
                max_audio_s=settings.max_audio_s,
                channel=work.channel,
                track=work.track,
                strict=work.strict,
                speakers=work.speakers,
            )
            return work.engine.added(asked)

        def webhook_settings() -> WebhookSettings:
            webhooks = jobs.policy().webhooks
            rules = Rules.of(webhooks.allow, webhooks.ports)
            return WebhookSettings(webhooks.secrets, rules, settings.webhook_timeout_s)

        self._jobs = jobs
        self._runners = [
            Runner(jobs, engine, jail, options, worker=worker) for _ in range(engine.workers)
        ]
        self._janitor = Janitor(jobs, worker=worker)
        self._deliverer = Deliverer(
            jobs.queue,
            webhook_settings,
            worker=worker,
            on_try=jobs.delivered,
            alone=settings.owner_share,
        )

    def start(self) -> None:
        """Start all threads."""
        for runner in self._runners:
            runner.start()
        self._janitor.start()
        self._deliverer.start()

    def stop(self) -> None:
        """Claim no more jobs and deliveries; end event streams. Returns at once."""
        self._jobs.closing.set()
        self._deliverer.stop()
        self._janitor.stop()
        for runner in self._runners:
            runner.stop()

    def close(self, patience_s: float) -> None:
        """Wait at most `patience_s` until the threads have ended, then close the queue.

        Call it after the engine is closed: then each job is done or was given back. Deliveries
        that are still in flight are given back.
        """
        self.stop()
        end = time.monotonic() + patience_s
        for runner in self._runners:
            runner.join(max(0.0, end - time.monotonic()))
        self._deliverer.close(max(0.0, end - time.monotonic()))
        self._janitor.join(max(0.0, end - time.monotonic()))
        self._jobs.queue.close()
