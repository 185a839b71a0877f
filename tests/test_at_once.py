"""Several pieces of work at once: in order, each with its context, and no longer than one reads."""

import time
from threading import Event

import pytest

from maskexplain.models import threads as wanted
from maskexplain.models.threads import at_once


def test_results_come_in_the_items_order_whoever_is_ready_first():
    second_done = Event()

    def work(item: int) -> int:
        if item == 1:
            assert second_done.wait(10), "both are at work at the same time"
        else:
            second_done.set()
        return 10 * item

    assert list(at_once(work, [1, 2])) == [10, 20]


def test_what_work_raises_is_raised_and_the_rest_never_begins():
    begun, hold = [], Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("zero")
        hold.wait(10)

    with pytest.raises(ValueError, match="zero"):
        list(at_once(work, range(500)))
    hold.set()
    time.sleep(0.5)  # for whatever would go on
    assert 0 in begun and len(begun) < 100


def test_work_knows_whether_somebody_waits():
    with wanted.unless(lambda: True), pytest.raises(wanted.Abandoned):
        list(at_once(lambda item: wanted.check(), [1, 2]))
    assert list(at_once(lambda item: wanted.check(), [1])) == [None], "nothing is left of it"
