"""What dies in the jail costs one recording, and nothing of the jail outlives its owner."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glagol.core.errors import GlagolError, HostError
from glagol.speech.audio.jail import spawner
from glagol.speech.audio.jail.pool import Jail
from glagol.speech.audio.jail.source import JailedSource
from speech import jails, made

LONG = made.wav(made.tone(30.0))
OWNER = """
import io, sys, time
from speech import jails, made
jail = jails.started()
source = jail.open(io.BytesIO(made.wav(made.tone(30.0))), max_seconds=60.0)
print(jail.zygote, jails.child_of(source), *jails.spares(jail), flush=True)
time.sleep(600)
"""


def opened(jail: Jail) -> JailedSource:
    """A recording that will take a while."""
    return jail.open(io.BytesIO(LONG), max_seconds=60.0)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, "decoder_lost"),
        (signal.SIGSEGV, "audio_refused"),
        (signal.SIGXCPU, "audio_refused"),
    ],
)
def test_a_dead_child_is_an_error_of_its_recording(number: int, code: str) -> None:
    """By what ended it; another recording, open at the same time, is not touched."""
    jail = jails.started()
    one, other = opened(jail), opened(jail)
    jails.signalled(jails.child_of(one), number)
    with pytest.raises(GlagolError) as caught:
        list(one)
    assert caught.value.code == code
    assert sum(map(len, other)) == 30 * made.RATE
    assert jail.children == 0
    jail.close()


def test_children_that_die_while_they_wait_are_replaced() -> None:
    """Killed before they had a recording: no recording fails for it."""
    jail = jails.started()
    for _ in range(5):
        for pid in jails.spares(jail):
            jails.signalled(pid, signal.SIGKILL)
        with opened(jail) as source:
            assert sum(map(len, source)) == 30 * made.RATE
    jail.close()


def test_a_dead_zygote_is_started_again() -> None:
    """Its children die with it; what was open fails as lost, what comes next is decoded."""
    jail = jails.started()
    source = opened(jail)
    child, waiting = jails.child_of(source), jails.spares(jail)
    assert jail.zygote is not None
    jails.signalled(jail.zygote, signal.SIGKILL)
    with pytest.raises(HostError) as caught:
        list(source)
    assert caught.value.code == "decoder_lost"
    with opened(jail) as source:
        assert sum(map(len, source)) == 30 * made.RATE
    assert jail.restarts == 1
    jails.until(lambda: not any(map(jails.alive, [child, *waiting])))
    jail.close()


def test_a_zygote_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, it brings no child: the recording that waits fails, the next one is decoded."""
    jail = jails.started()
    jails.spares(jail)
    for spare in list(jail._spawner._spares):
        jail._spawner.release(spare)
    jail._spawner._spares.clear()
    assert jail.zygote is not None
    jails.signalled(jail.zygote, signal.SIGSTOP)
    monkeypatch.setattr(spawner, "CHILD_S", 0.3)
    with pytest.raises(HostError) as caught:
        opened(jail)
    assert caught.value.code == "decoder_lost"
    monkeypatch.setattr(spawner, "CHILD_S", jails.PATIENCE_S)
    with opened(jail) as source:
        assert sum(map(len, source)) == 30 * made.RATE
    jail.close()


def test_nothing_outlives_the_owner() -> None:
    """kill -9 of the process that has the jail: zygote and children are gone, at work or not."""
    paths = os.pathsep.join(p for p in sys.path if p)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    )
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    assert len(pids) == 4
    assert all(map(jails.alive, pids))
    owner.kill()
    owner.wait()
    jails.until(lambda: not any(map(jails.alive, pids)))
    owner.stdout.close()


def test_signals_to_the_group_do_not_end_it() -> None:
    """A service manager signals every process: a server that drains still needs its children."""
    jail = jails.started()
    with opened(jail) as source:
        for pid in (jail.zygote or 0, jails.child_of(source)):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                jails.signalled(pid, number)
        assert sum(map(len, source)) == 30 * made.RATE
    assert jail.restarts == 0
    jail.close()


def test_descriptors_and_children_do_not_pile_up() -> None:
    """After twenty recordings, read or left, the process has as many descriptors as before."""
    jail = jails.started()
    opened(jail).close()
    jails.spares(jail)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for turn in range(20):
        source = opened(jail)
        if turn % 2:
            next(source)
        source.close()
    jails.spares(jail)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    zygote = Path(f"/proc/{jail.zygote}/task/{jail.zygote}/children")
    jails.until(lambda: len(zygote.read_text().split()) == 2)
    jail.close()
