"""The explanation benchmark's own arithmetic; its timings are not tested."""

import math

import numpy as np
import pytest
from PIL import Image

from benchmarks import explanations as bench
from maskexplain.models.network import build_network


def test_candidates_take_turns_and_each_round_starts_with_another():
    calls = []
    work = {name: lambda name=name: calls.append(name) for name in "abc"}
    timings = bench.interleaved(work, 3, done=lambda: None)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert all(len(timing.readings) == 3 for timing in timings.values())


def test_timing_text():
    assert bench.Timing((0.001, 0.002, 0.003)).text(1000) == "2.0 (1.5-2.5)"


def test_operations_of_the_seed_network():
    network = build_network("seed_cnn", 3).eval().requires_grad_(False)
    operations = bench.count_operations(network)
    linear = 2 * (256 * 8 * 8 * 1024 + 1024 * 512 + 512 * 3)
    # Forward once and the head backward once; 49 more steps of head forward and backward, and
    # the forward of the first.
    assert operations[bench.OURS] - operations[bench.OUR_CAM] == (2 * 50 - 1) * linear


@pytest.mark.parametrize("opener", [bench.captum_cam, bench.pytorch_grad_cam, bench.torch_cam])
def test_other_packages_give_maps_of_the_crops_size(opener):
    try:
        way = opener(build_network("seed_cnn", 3).eval())
    except ImportError as error:
        pytest.skip(str(error))
    assert way(Image.new("RGB", (50, 40), "gray")).shape == (40, 50)


def test_a_package_that_is_not_installed_has_a_reason(monkeypatch):
    def absent(network):
        raise ModuleNotFoundError("No module named 'absent'")

    monkeypatch.setattr(bench, "PEERS", {"absent": absent})
    assert bench.open_peers("v2") == ({}, {"absent": "not installed: No module named 'absent'"})


def test_correlation_of_a_flat_map_is_unknown():
    slope = np.arange(6.0).reshape(2, 3)
    assert bench.correlation(slope, 2 * slope + 1) == pytest.approx(1)
    assert math.isnan(bench.correlation(slope, np.zeros((2, 3))))


def test_goals_say_whether_they_are_reached():
    line = bench.goal("speed-up", [7.0, 5.0], 6.0, at_least=True)
    assert "7 reached" in line and "5 missed" in line
    assert "0.9 reached" in bench.goal("ratio", [0.9], 1.0)
