"""The queue is bounded and fair."""

from __future__ import annotations

import threading

import pytest

from extractors.workers.fair_queue import FairQueue, FullError

PATIENCE = 20.0


@pytest.fixture
def held():
    """A queue whose one thread waits; `go` lets it continue, `order` notes what was done."""

    class Held:
        queue = FairQueue(threads=1, waiting=6, per_owner=4)
        go, began, order = threading.Event(), threading.Event(), []

        def add(self, name, owner):
            return self.queue.submit(lambda: self.order.append(name), owner=owner)

    made = Held()
    made.queue.submit(lambda: (made.began.set(), made.go.wait(PATIENCE)), owner="first")
    assert made.began.wait(PATIENCE)
    yield made
    made.go.set()


def test_owners_take_turns(held):
    futures = [held.add(f"a{n}", "a") for n in range(3)] + [held.add("b0", "b"), held.add("c0", "c")]
    assert [held.queue.place(future) for future in futures] == [1, 4, 5, 2, 3]
    held.go.set()
    for future in futures:
        future.result(PATIENCE)
    assert held.order == ["a0", "b0", "c0", "a1", "a2"]
    assert held.queue.place(futures[0]) == 0


def test_places_are_bounded_per_owner_and_in_all(held):
    kept = [held.add(n, "a") for n in range(4)]
    with pytest.raises(FullError) as full:
        held.add(4, "a")
    assert full.value.retry_seconds > 0
    held.add(5, "b")
    held.add(6, "c")
    with pytest.raises(FullError):
        held.add(7, "d")
    kept[0].cancel()
    last = held.add(8, "d")
    held.go.set()
    last.result(PATIENCE)
    assert 0 not in held.order


def test_an_error_belongs_to_its_piece_of_work(held):
    failed = held.queue.submit(lambda: 1 / 0, owner="a")
    done = held.add("after", "a")
    held.go.set()
    with pytest.raises(ZeroDivisionError):
        failed.result(PATIENCE)
    done.result(PATIENCE)
