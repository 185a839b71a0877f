"""Whether somebody still waits for what is being computed: long work asks, and stops if not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
