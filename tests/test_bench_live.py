"""The Live benchmark's own arithmetic; its timings are not tested."""

import base64

from benchmarks.live import Rounds, goals, named, row


def test_a_row_gives_the_median_turn_and_all_delays_percentiles():
    turns = [Rounds(20.0, (10.0, 20.0)), Rounds(30.0, (30.0,)), Rounds(22.0, ())]
    assert row("x", turns).split() == ["x", "22.0", "(20.0-30.0)", "20", "29"]


def test_goals_are_reached_or_missed():
    fast, slow = [Rounds(25.0, ())], [Rounds(15.0, ())]
    assert [line.split()[-1] for line in goals(fast, fast)] == ["reached", "reached"]
    assert [line.split()[-1] for line in goals(slow, fast)] == ["missed", "missed"]


def test_a_frame_is_known_by_its_address():
    frame = bytes(range(256))
    url = f"data:image/jpeg;base64,{base64.b64encode(frame).decode()}"
    assert f'"{len(url)}:{url[-80:]}"' in named(frame)
