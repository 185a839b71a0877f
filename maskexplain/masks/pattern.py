"""The pattern printed on the cloth."""

import numpy as np

from .style import Pattern


def pattern_weight(
    name: Pattern, s: np.ndarray, t: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Weight (0..1) of the pattern's colour at cloth coordinates."""
    x, y = 0.85 * s, 1.3 * t
    pitch, angle = rng.uniform(0.12, 0.26), rng.uniform(-0.4, 0.4) + rng.choice([0, np.pi / 2])
    u = (x * np.cos(angle) + y * np.sin(angle)) / pitch
    v = (y * np.cos(angle) - x * np.sin(angle)) / pitch
    if name == "stripes":
        return (np.sin(2 * np.pi * u) > rng.uniform(-0.2, 0.6)) * 1.0
    if name == "checks":
        return ((np.sin(2 * np.pi * u) > 0) + 1.0 * (np.sin(2 * np.pi * v) > 0)) / 2
    if name == "dots":
        row = np.round(v)
        near = (u + row % 2 / 2) % 1 - 0.5
        return (np.hypot(near, v - row) < rng.uniform(0.22, 0.32)) * 1.0
    if name == "leaves":
        waves = rng.normal(0, 1, (6, 2)) * 4
        field = sum(np.sin(a * u + b * v + 7 * a) for a, b in waves)
        return (field > rng.uniform(0.3, 1.2)) * 1.0
    if name == "emblem":
        lines = (np.abs(x - 0.1) < 0.3) & (np.abs(y - 0.7) < 0.13)
        return (lines & (np.sin(x * 70) + np.sin(x * 113) + np.sin(y * 48) > 0.2)) * 1.0
    return np.zeros_like(s)
