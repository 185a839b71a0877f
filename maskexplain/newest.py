"""Of all that a visitor asks, only the newest is answered: older answers must not come after it."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

VISITORS = 1000  # remembered; counters only


class Newest:
    """Counts each visitor's questions.

    An answer that takes its time asks before every part of it whether its question still is the
    visitor's newest.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: OrderedDict[str, int] = OrderedDict()
        self._count = 0

    def begin(self, visitor: str) -> Callable[[], bool]:
        """A new question of a visitor; the result tells whether it still is their newest."""
        with self._lock:
            self._count += 1
            mine = self._last[visitor] = self._count
            self._last.move_to_end(visitor)
            while len(self._last) > VISITORS:
                self._last.popitem(last=False)
        return lambda: self._last.get(visitor) == mine
