"""Work for somebody who waits: versions at work at once, and an end when nobody waits any more."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# One face's way through a network gains little from a second core; two networks' ways gain all of
# it. Shared by all visitors, so that many of them do not make more threads than there are cores.
_POOL = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="version")


def at_once(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work` of every item, in their order, each yielded when it is ready.

    What `work` raises is raised here; what has not begun by then, or when nobody reads on, never
    begins.
    """
    with _begun(work, items) as futures:
        for future, item in zip(futures, items, strict=True):
            # Who asks does what no thread has begun: nobody waits behind other visitors' work.
            yield work(item) if future.cancel() else future.result()


def all_at_once(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The same where nothing is needed before all is ready: nobody waits while work is left.

    The threads begin with the first items, and who asks with the last ones.
    """
    own: dict[int, Result] = {}
    with _begun(work, items) as futures:
        for index in reversed(range(len(items))):
            if futures[index].cancel():
                own[index] = work(items[index])
        return [own[i] if i in own else future.result() for i, future in enumerate(futures)]


@contextmanager
def _begun(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[list[Future[Result]]]:
    """The items' work in the pool; what has not begun when this is left never begins."""
    # Each thread gets a context of its own: who waits for the result travels with it.
    futures = [_POOL.submit(copy_context().run, work, item) for item in items]
    try:
        yield futures
    finally:
        for future in futures:
            future.cancel()


_left: ContextVar[Callable[[], bool] | None] = ContextVar("left", default=None)


class Abandoned(Exception):
    """Nobody waits for the result any more."""


@contextmanager
def unless(left: Callable[[], bool]) -> Iterator[None]:
    """Within it `check` raises Abandoned as soon as `left` tells that the asker has gone."""
    token = _left.set(left)
    try:
        yield
    finally:
        _left.reset(token)


def check() -> None:
    """Raise Abandoned if nobody waits; called before each piece of costly work."""
    left = _left.get()
    if left is not None and left():
        raise Abandoned
