"""Open models: how many exist at a time, which jobs wait for one, and how that is booked."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest

from asr.inference.house import DEFAULT, OPEN_AT_A_TIME, PATIENCE_S, House, job, made, until
from glagol.asr.inference.scheduler import OVERTAKES_MAX
from glagol.asr.inference.tasks import Call
from glagol.core.errors import HostError, LimitError


@pytest.mark.parametrize("workers", [1, 2])
def test_six_long_jobs_on_six_models_never_have_more_than_two_open(workers: int) -> None:
    """Those that find no room wait, all of them end, and quick jobs of open models go before."""
    house = House()
    pool = made(house, workers)
    jobs = [job(f"m{at}", "long", 5) for at in range(6)]
    for each in jobs:
        pool.put(each)
    until(lambda: len(house.opened) == OPEN_AT_A_TIME)
    quick = job(DEFAULT)
    pool.put(quick)
    house.gate.set()
    quick.done.result(PATIENCE_S)
    for each in jobs:
        each.done.result(PATIENCE_S)
    assert house.most == OPEN_AT_A_TIME
    assert sorted(house.opened) == [f"m{at}" for at in range(6)]
    assert sorted(house.worked) == sorted([f"m{at}" for at in range(6)] * 5 + [DEFAULT])
    pool.close(PATIENCE_S)


@pytest.mark.parametrize("begun", [True, False])
def test_failed_jobs_do_not_keep_their_model(begun: bool) -> None:
    """Neither a job's own error nor that of a load holds a model, though both are kept."""
    house = House()
    pool = made(house)
    house.gate.set()
    house.fault = ValueError("broken")
    if not begun:
        house.doors["m1"] = threading.Event()
        house.doors["m1"].set()
    broken = job("m1")
    pool.put(broken)
    error = broken.done.exception(PATIENCE_S)
    assert isinstance(error, ValueError)
    house.fault = None
    for name in ("m2", "m3"):
        other = job(name)
        pool.put(other)
        other.done.result(PATIENCE_S)
    assert house.most == OPEN_AT_A_TIME
    pool.close(PATIENCE_S)


def test_a_job_that_waits_for_room_is_skipped_but_not_for_ever() -> None:
    """Jobs of the open models go before it; a stream of them is interrupted in its favour."""
    house = House()
    pool = made(house, 1)
    first = job("m1", "long", 1)
    pool.put(first)
    until(lambda: "m1" in house.opened and pool.queue.taken)
    waits = job("m2")
    pool.put(waits)
    stream = [job("m1") for _ in range(30)]
    default = [job(DEFAULT) for _ in range(3)]
    for each in (*stream, *default):
        pool.put(each)
    house.gate.set()
    for each in (waits, *stream, *default):
        each.done.result(PATIENCE_S)
    turn = house.worked.index("m2")
    assert 1 < turn < 1 + len(stream)
    assert house.most == OPEN_AT_A_TIME
    pool.close(PATIENCE_S)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_load_delays_only_the_jobs_of_its_model(workers: int) -> None:
    """A job of the open model is done meanwhile; the load counts as waiting and not as work."""
    house, now = House(), [0.0]
    house.gate.set()
    house.doors["m1"] = threading.Event()
    pool = made(house, workers, lambda: now[0])
    slow = job("m1")
    pool.put(slow)
    assert house.at_the_door.wait(PATIENCE_S)
    quick = job(DEFAULT)
    pool.put(quick)
    quick.done.result(PATIENCE_S)
    assert (quick.wait_s, quick.work_s) == (0.0, 0.0)
    now[0] = 100.0
    house.doors["m1"].set()
    slow.done.result(PATIENCE_S)
    assert (slow.wait_s, slow.work_s) == (100.0, 0.0)
    assert pool.retry_after_s() == 1
    pool.close(PATIENCE_S)


def test_a_failed_load_fails_its_jobs_and_is_tried_again() -> None:
    """All that wait for it get the error; the next job opens the model."""
    house = House()
    house.gate.set()
    house.doors["m1"] = threading.Event()
    pool = made(house)
    waiting = [job("m1"), job("m1", "long")]
    for each in waiting:
        pool.put(each)
    assert house.at_the_door.wait(PATIENCE_S)
    house.fault = HostError("host_io", "no disk", "find it")
    house.doors["m1"].set()
    for each in waiting:
        with pytest.raises(HostError, match="no disk"):
            each.done.result(PATIENCE_S)
        assert each.file.closed
    house.fault = None
    again = job("m1")
    pool.put(again)
    again.done.result(PATIENCE_S)
    assert house.opened == [DEFAULT, "m1", "m1"]
    pool.close(PATIENCE_S)


def test_a_cancelled_job_gives_its_room_back() -> None:
    """A job that is cancelled while it waits for its model lets another one load."""
    house = House()
    house.gate.set()
    house.doors["m1"] = threading.Event()
    pool = made(house)
    given_up, other = job("m1"), job("m2")
    pool.put(given_up)
    assert house.at_the_door.wait(PATIENCE_S)
    pool.put(other)
    given_up.cancel()
    house.doors["m1"].set()
    other.done.result(PATIENCE_S)
    assert house.worked == ["m2"]
    assert house.most == OPEN_AT_A_TIME
    pool.close(PATIENCE_S)


def test_phases_are_when_things_happened() -> None:
    """Two long jobs on one thread take turns: so do their spans, and no two overlap."""
    house = House()
    pool = made(house, 1)
    pair = [job(DEFAULT, "long", 3) for _ in range(2)]
    before_ns = time.time_ns()
    for each in pair:
        pool.put(each)
    house.gate.set()
    for each in pair:
        each.done.result(PATIENCE_S)
    after_ns = time.time_ns()
    first, second = ([*each.timeline.phases()] for each in pair)
    for queue, *work in (first, second):
        assert queue.name == "queue"
        assert {phase.name for phase in work} == {"work"}
        assert before_ns <= queue.start_ns <= queue.end_ns == work[0].start_ns
    turns = sorted((*first[1:], *second[1:]), key=lambda phase: phase.start_ns)
    assert len(first) > 2
    alone = job(DEFAULT, "long", 20)
    pool.put(alone)
    alone.done.result(PATIENCE_S)
    assert [phase.name for phase in alone.timeline.phases()] == ["queue", "work"]
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(turns))
    assert turns[-1].end_ns <= after_ns
    pool.close(PATIENCE_S)


def test_a_load_is_a_phase_of_the_wait() -> None:
    """A job that waits for its model has a `load` inside its `queue`; the next one has none."""
    house = House()
    house.gate.set()
    pool = made(house)
    waits = job("m1")
    pool.put(waits)
    waits.done.result(PATIENCE_S)
    queue, load, work = waits.timeline.phases()
    assert [queue.name, load.name, work.name] == ["queue", "load", "work"]
    assert queue.start_ns <= load.start_ns <= load.end_ns <= queue.end_ns == work.start_ns
    later = job("m1")
    pool.put(later)
    later.done.result(PATIENCE_S)
    assert [phase.name for phase in later.timeline.phases()] == ["queue", "work"]
    pool.close(PATIENCE_S)


def test_tasks_that_find_no_room_shut_no_other_model_out() -> None:
    """While a job keeps the second model, those for a third one wait and take no place."""
    house = House()
    pool = made(house, 1)
    kept = job("m1", "long", 3)
    pool.put(kept)
    until(lambda: "m1" in house.opened and pool.queue.taken)
    roomless = [job("m2") for _ in range(pool.queue.limit)]
    for each in roomless:
        pool.put(each)
    for name in (DEFAULT, "m1"):
        pool.admit(name)
    with pytest.raises(LimitError) as caught:
        pool.admit("m2")
    assert caught.value.code == "queue_full"
    house.gate.set()
    for each in (kept, *roomless):
        each.done.result(PATIENCE_S)
    pool.close(PATIENCE_S)


def test_a_cancelled_task_lets_those_run_that_it_held_back() -> None:
    """One that waited for room is cancelled: tasks of the open model behind it have their turn."""
    house = House()
    pool = made(house, 1)
    keeps = Call(model="m1", work=lambda _: None, admitted=True, keeps_model=True)
    pool.put(keeps)
    keeps.done.result(PATIENCE_S)
    house.gate.set()
    waits = job("m2")
    pool.put(waits)
    others = [job("m1") for _ in range(OVERTAKES_MAX + 1)]
    for each in others:
        pool.put(each)
    for each in others[:-1]:
        each.done.result(PATIENCE_S)
    assert not others[-1].done.done()
    waits.cancel()
    others[-1].done.result(PATIENCE_S)
    pool.release(keeps)
    pool.close(PATIENCE_S)
