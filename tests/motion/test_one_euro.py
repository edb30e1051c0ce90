"""One-Euro: still values stay still, fast moves pass."""

from __future__ import annotations

import numpy as np

from liveface.motion.one_euro import OneEuro


def test_constant_stays_constant() -> None:
    smooth = OneEuro(30, 2.0, 1.0)
    for _ in range(5):
        np.testing.assert_allclose(smooth.step(np.array([0.3, 0.7], np.float32)), [0.3, 0.7], rtol=1e-6)


def test_noise_shrinks_and_a_jump_passes() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (200, 1)).astype(np.float32)
    smooth = OneEuro(30, 1.0, 10.0)
    out = np.concatenate([smooth.step(value) for value in noise])
    assert out[20:].std() < 0.6 * noise[20:].std()
    for _ in range(3):
        reached = smooth.step(np.ones(1, np.float32))
    assert reached[0] > 0.95
