"""Several pieces of work at once: in order, each with its context, and no longer than one reads."""

import time
from threading import Event

import pytest

from maskexplain.models import threads as wanted
from maskexplain.models.threads import all_at_once, at_once


def test_results_come_in_the_items_order_whoever_is_ready_first():
    second_done = Event()

    def work(item: int) -> int:
        if item == 1:
            assert second_done.wait(10), "both are at work at the same time"
        else:
            second_done.set()
        return 10 * item

    assert list(at_once(work, [1, 2])) == [10, 20]


@pytest.mark.parametrize(
    ("of_all", "bad"), [(lambda *how: [*at_once(*how)], 0), (all_at_once, 499)]
)
def test_what_work_raises_is_raised_and_the_rest_never_begins(of_all, bad):
    """Who asks does the first one that no thread has begun, or the last one."""
    begun, hold = [], Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == bad:
            raise ValueError("the bad one")
        hold.wait(10)

    with pytest.raises(ValueError, match="the bad one"):
        of_all(work, range(500))
    hold.set()
    time.sleep(0.5)  # for whatever would go on
    assert bad in begun and len(begun) < 100


def test_work_knows_whether_somebody_waits():
    with wanted.unless(lambda: True), pytest.raises(wanted.Abandoned):
        list(at_once(lambda item: wanted.check(), [1, 2]))
    assert list(at_once(lambda item: wanted.check(), [1])) == [None], "nothing is left of it"


def test_who_asks_works_on_until_all_is_done():
    """Nested, too, as a version's pictures are within the versions: nothing waits for itself."""

    def inner(item: int) -> int:
        time.sleep(0.01)
        return item * item

    def outer(item: int) -> list[int]:
        return all_at_once(inner, range(item, item + 5))

    found = all_at_once(outer, range(20))
    assert found == [[n * n for n in range(item, item + 5)] for item in range(20)]
    assert all_at_once(inner, []) == []
