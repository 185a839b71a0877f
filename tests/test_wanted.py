"""Work that nobody waits for any more stops, whatever way to explain it is busy with."""

import pytest

from maskexplain.explain.explain import explain
from maskexplain.models import threads as wanted


def test_without_an_asker_nothing_is_stopped(tiny, crop):
    wanted.check()
    with wanted.unless(lambda: False):
        assert tiny.predict([crop])


@pytest.mark.parametrize("method", ["integrated_gradients", "smooth_gradients", "occlusion"])
def test_an_explanation_ends_when_the_asker_leaves(method, tiny, crop):
    asked: list[int] = []

    def left() -> bool:
        asked.append(1)
        return len(asked) > 1

    with wanted.unless(left), pytest.raises(wanted.Abandoned):
        explain(tiny, crop, method)
        explain(tiny, crop, method)
    assert len(asked) == 2
    assert explain(tiny, crop, method).heatmap.any(), "and the next asker gets an answer"


def test_a_long_batch_ends_too(tiny, crop):
    with wanted.unless(lambda: True), pytest.raises(wanted.Abandoned):
        tiny.predict([crop])
