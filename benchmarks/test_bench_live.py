"""The Live benchmark's own arithmetic; its timings are not tested."""

import base64

import pytest

from benchmarks.live import Rounds, goals, named, row
from maskexplain.web.live import frame_name


def test_a_row_gives_the_median_turn_and_all_delays_percentiles():
    turns = [Rounds(20.0, (10.0, 20.0)), Rounds(30.0, (30.0,)), Rounds(22.0, ())]
    assert row("x", turns).split() == ["x", "22.0", "(20.0-30.0)", "20", "29"]


def test_goals_are_reached_or_missed():
    fast, slow = [Rounds(25.0, ())], [Rounds(15.0, ())]
    crowd = [Rounds(6.0, (30.0, 900.0)), Rounds(5.0, (40.0,))]
    assert [line.split()[-1] for line in goals(fast, fast, crowd)] == ["reached"] * 4
    late = [*crowd, Rounds(4.0, (1001.0,))]
    assert [line.split()[-1] for line in goals(slow, fast, late)] == ["missed"] * 4


@pytest.mark.parametrize("length", [256, 257, 258, 10])
def test_a_frame_is_known_by_its_address(length):
    """As the browser reads it off the data URL."""
    frame = bytes(i % 251 for i in range(length))
    body = base64.b64encode(frame).decode()
    name = frame_name(frame)
    assert f'"{name}"' in named(frame)
    assert name == f"{length}:{body[-(76 + (4 if length % 3 else 0)) :]}"
