"""A bounded queue of work, fair to its owners: who has much to do does not keep out who has little."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")

FIRST_SECONDS = 10.0  # that a piece of work is taken to need before any has been seen
NEWEST_SHARE = 0.3  # of the newest duration in the mean


class FullError(Exception):
    """The queue takes no more work, of this owner or at all.

    Attributes:
        retry_seconds: After which a place is likely to be free.
    """

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"the queue is full; a place is likely to be free in {retry_seconds} s")
        self.retry_seconds = retry_seconds


class FairQueue(Generic[Result]):
    """Threads that do work of several owners in turn: one piece of each, then the next of each.

    Args:
        threads: Pieces done at once.
        waiting: Most pieces that wait in all.
        per_owner: Most pieces of one owner that wait.

    >>> queue = FairQueue(threads=1, waiting=8, per_owner=2)
    >>> queue.submit(lambda: 7, owner="a").result()
    7
    """

    def __init__(self, *, threads: int, waiting: int, per_owner: int) -> None:
        self._threads, self._most, self._per_owner = threads, waiting, per_owner
        self._waiting: OrderedDict[Hashable, deque[tuple[Future[Result], Callable[[], Result]]]] = OrderedDict()
        self._running = 0
        self._seconds = FIRST_SECONDS
        self._change = threading.Condition()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"analysis-{number}", daemon=True).start()

    def submit(self, work: Callable[[], Result], *, owner: Hashable) -> Future[Result]:
        """Queue a piece of work.

        Raises:
            FullError: If there is no place for it.
        """
        with self._change:
            self._drop_cancelled()
            count = sum(map(len, self._waiting.values()))
            if count >= self._most or len(self._waiting.get(owner, ())) >= self._per_owner:
                raise FullError(self._wait_seconds(count))
            future: Future[Result] = Future()
            self._waiting.setdefault(owner, deque()).append((future, work))
            self._change.notify()
            return future

    def place(self, future: Future[Result]) -> int:
        """Return how many pieces are done before this one, and itself; 0 once it does not wait."""
        with self._change:
            self._drop_cancelled()
            queues = [list(queue) for queue in self._waiting.values()]
            rounds = range(max(map(len, queues), default=0))
            order = [queue[turn][0] for turn in rounds for queue in queues if turn < len(queue)]
            return order.index(future) + 1 if future in order else 0

    def retry_seconds(self) -> int:
        """Return the seconds after which work that is queued now is likely to begin."""
        with self._change:
            return self._wait_seconds(sum(map(len, self._waiting.values())))

    def _wait_seconds(self, count: int) -> int:
        return max(1, round(self._seconds * (count + self._running) / self._threads))

    def _drop_cancelled(self) -> None:
        for owner in list(self._waiting):
            left = deque(entry for entry in self._waiting[owner] if not entry[0].cancelled())
            if left:
                self._waiting[owner] = left
            else:
                del self._waiting[owner]

    def _next(self) -> tuple[Future[Result], Callable[[], Result]]:
        with self._change:
            while not self._waiting:
                self._change.wait()
            owner, queue = self._waiting.popitem(last=False)
            entry = queue.popleft()
            if queue:
                self._waiting[owner] = queue  # behind all others
            self._running += 1
            return entry

    def _work(self) -> None:
        while True:
            future, work = self._next()
            began = time.monotonic()
            try:
                if future.set_running_or_notify_cancel():
                    _settle(future, work)
                    took = time.monotonic() - began
                    self._seconds += NEWEST_SHARE * (took - self._seconds)
            finally:
                del future, work  # a clip is not kept until the next one comes
                with self._change:
                    self._running -= 1


def _settle(future: Future[Result], work: Callable[[], Result]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
