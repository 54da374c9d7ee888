"""Whose turn it is among visitors of a server."""

import time

import numpy as np
import pytest

from engine.records import Configuration
from engine.registry.models import get_model
from precompute.live import shares
from precompute.live.calculations import Calculation
from precompute.live.shares import MAX_JOBS_PER_ADDRESS, MAX_JOBS_PER_SESSION, MAX_QUEUE, Shares, guessed, too_many
from precompute.live.tasks import DONE, Job, Task

EMT = get_model("emt")


def task(visitor: str, n_atoms: int = 4, waited: float = 0.0) -> Task:
    cell = Configuration("c", "g", np.full(n_atoms, 29), np.zeros((n_atoms, 3)), np.eye(3), (True,) * 3)
    return Task(EMT, cell, Calculation(), visitor=visitor, queued=time.monotonic() - waited)


def order(mine: Shares, queue: list[Task]) -> list[tuple[str, int]]:
    mine.arrange(queue, guessed)
    return [(one.visitor, one.configuration.n_atoms) for one in queue]


def test_a_newcomer_is_not_behind_forty_jobs_of_another():
    mine = Shares()
    mine.note("busy", 30.0)
    queue = [task("busy") for _ in range(40)] + [task("new")]
    assert order(mine, queue)[0] == ("new", 4)


def test_a_small_structure_comes_before_a_large_one_that_has_not_waited_long():
    queue = [task("a", 900), task("b", 4)]
    assert order(Shares(), queue) == [("b", 4), ("a", 900)]


def test_a_large_structure_has_its_turn_however_many_small_ones_come():
    queue = [task("a", 4), task("b", 900, waited=30.0)]
    assert order(Shares(), queue) == [("b", 900), ("a", 4)]


def test_tasks_of_equals_stay_in_the_order_of_their_coming():
    first, second = task("a"), task("b")
    queue = [first, second]
    Shares().arrange(queue, lambda one: 1.0)
    assert queue == [first, second]


def test_what_somebody_had_is_forgotten_by_half_in_two_minutes(monkeypatch):
    mine = Shares()
    mine.note("a", 8.0)
    now = time.monotonic()
    monkeypatch.setattr(shares.time, "monotonic", lambda: now + shares.HALF_LIFE)
    assert mine.of("a") == pytest.approx(4.0, rel=0.01)
    assert mine.of("b") == 0.0


def job(session: str, address: str, state: str = "queued") -> Job:
    one = task(session)
    one.state = state
    return Job(session, one.configuration, Calculation(), (one,), address=address)


def test_a_session_an_address_and_all_together_have_their_limits():
    of_me = [job("me", "") for _ in range(MAX_JOBS_PER_SESSION)]
    assert "of your predictions" in too_many(of_me, 0, "me", "")
    assert too_many(of_me, 0, "you", "") == ""
    tabs = [job(f"tab-{k}", "192.0.2.1") for k in range(MAX_JOBS_PER_ADDRESS)]
    assert "from your address" in too_many(tabs, 0, "another tab", "192.0.2.1")
    assert too_many(tabs, 0, "another tab", "192.0.2.2") == ""
    assert "waiting already" in too_many([], MAX_QUEUE, "me", "")
    assert too_many([job("me", "", DONE)] * 9, 0, "me", "") == ""
