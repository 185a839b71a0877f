"""Calibration: errors by hand, a temperature found again, thresholds that keep their promise."""

import pytest
import torch

from maskexplain.models.network import divide_by_temperature
from maskexplain.results.scores import (
    BINS,
    at_threshold,
    calibration,
    choose_threshold,
    fit_temperature,
)


def logits_of(confidences: list[float]) -> torch.Tensor:
    """Logits N x 3 that answer class 0 with these confidences."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p, (1 - p) / 2, (1 - p) / 2], 1).log()


def test_error_by_hand():
    found = calibration(logits_of([0.9, 0.9, 0.6, 0.6]), torch.tensor([0, 1, 0, 0]), 1.0)
    assert found.error == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)
    assert found.error == pytest.approx(found.raw_error)
    filled = [b for b in found.bins if b.answers]
    assert len(found.bins) == BINS and [b.answers for b in filled] == [2, 2]
    assert (filled[1].low, filled[1].high) == (13 / 15, 14 / 15)
    assert (filled[1].confidence, filled[1].accuracy) == pytest.approx((0.9, 0.5))


def test_a_confidence_of_one_lies_in_the_last_bin():
    sure = calibration(torch.tensor([[100.0, 0, 0]]), torch.tensor([0]), 1.0)
    assert sure.bins[-1].answers == 1 and sure.error == pytest.approx(0)


def drawn(count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn with the chances that these logits stand for."""
    torch.manual_seed(0)
    logits = torch.randn(count, 3) * 2
    return logits, torch.multinomial(logits.softmax(1), 1).squeeze(1)


def test_temperature_is_found_again_and_lowers_the_error():
    logits, labels = drawn()
    temperature = fit_temperature(logits * 3, labels)
    assert temperature == pytest.approx(3, rel=0.06)
    after = calibration(logits * 3 / temperature, labels, temperature)
    assert after.error < 0.03 < after.raw_error


def test_temperature_of_separable_answers_stays_bounded():
    logits = torch.eye(3) * 5
    assert 0.05 <= fit_temperature(logits, torch.arange(3)) < 0.5


def test_dividing_the_network_divides_its_logits(seed_model):
    x = torch.randn(2, 3, 64, 64)
    before = seed_model.network(x)
    divide_by_temperature(seed_model.network, 2.5)
    after = seed_model.network(x)
    divide_by_temperature(seed_model.network, 1 / 2.5)  # the fixture is shared
    assert torch.allclose(after, before / 2.5, atol=1e-6)


def test_threshold_keeps_the_promised_accuracy():
    logits, labels = drawn()
    threshold = choose_threshold(logits, labels, wanted=0.95)
    sure = at_threshold(logits, labels, threshold)
    assert sure.accuracy >= 0.95 > sure.accuracy_below
    assert 0 < sure.coverage < 1 and sure.answered == round(sure.coverage * sure.pictures)
    looser = at_threshold(logits, labels, threshold - 0.1)
    assert looser.answered > sure.answered and looser.accuracy < sure.accuracy


def test_threshold_where_all_or_nothing_is_right():
    logits = logits_of([0.9, 0.8, 0.7])
    assert choose_threshold(logits, torch.zeros(3, dtype=torch.long)) == 0
    assert choose_threshold(logits, torch.ones(3, dtype=torch.long)) == pytest.approx(0.9)
    assert choose_threshold(logits[:0], torch.zeros(0, dtype=torch.long)) == 1
