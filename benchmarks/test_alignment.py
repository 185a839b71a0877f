"""The arithmetic of aligned mean maps."""

import numpy as np
import pytest

from benchmarks.alignment import agreement, similarity


def test_landmarks_are_laid_on_others_by_turn_scale_and_shift():
    points = np.array([[1.0, 1.0], [3.0, 1.0], [1.0, 4.0], [3.0, 4.0]])
    turned = 2 * points @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + [5.0, -7.0]
    laid = similarity(points, turned)
    assert points @ laid[:, :2].T + laid[:, 2] == pytest.approx(turned)
    assert np.linalg.det(laid[:, :2]) == pytest.approx(4.0), "never mirrored"


def test_equal_maps_agree_and_what_lies_outside_counts_for_nothing():
    one = np.arange(36.0).reshape(6, 6)
    cut = one.copy()
    cut[:2] = np.nan
    assert agreement(np.array([one, one, cut]), slice(None)) == pytest.approx(1.0)
    assert agreement(np.array([one, -one]), slice(1, 5)) == pytest.approx(-1.0)
