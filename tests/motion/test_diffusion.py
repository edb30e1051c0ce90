"""Noise levels, and windows that continue each other."""

import numpy as np
import pytest

from liveface.motion.diffusion import WindowDrawer, levels, lowered, next_noise, shares


def test_levels_run_from_noise_to_clean():
    path = levels(8)
    assert path[0] == 1
    assert path[-1] == 0
    assert (np.diff(path) < 0).all()
    signal, noise = shares(path)
    assert np.allclose(signal**2 + noise**2, 1, atol=1e-6)
    assert signal[0] < 1e-3
    assert noise[-1] < 1e-3


def test_one_step_to_clean_gives_what_was_found():
    rng = np.random.default_rng(0)
    noisy, clean = rng.normal(size=(2, 5, 26)).astype(np.float32)
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    assert np.allclose(lowered(noisy, clean, one, zero), clean, atol=1e-3)
    half = lowered(noisy, clean, one, one / 2)
    signal, noise = shares(np.float32(0.5))
    assert np.allclose(half, signal * clean + noise * noisy, atol=1e-2)


def test_noise_keeps_its_size_and_resembles_itself():
    rng, rows = np.random.default_rng(0), []
    for _ in range(4000):
        rows.append(next_noise(rows[-1] if rows else None, rng, (26,)))
    track = np.array(rows)
    assert 0.9 < track.std() < 1.1
    assert 0.85 < (track[1:] * track[:-1]).mean() < 0.95


class Echo:
    """A network that finds the first mel of every frame, wherever it stands, and what is fixed."""

    inputs = {"noisy": ((1, 12, 26), np.float32), "features": ((1, 15 * 4, 3), np.float32)}  # noqa: RUF012

    def __call__(self, features, noisy, level, **_):
        heard = features[:, 3 * 4 :: 4, :1] * np.ones((1, 1, 26), np.float32)
        assert (level[0, :4] == 0).all() or (level > 0).all()
        clean = np.where(level[..., None] > 0, heard, -9.0).astype(np.float32)  # what is fixed must not be asked again
        return {"clean": clean, "codes": 2 * clean}


@pytest.mark.parametrize("frames", [5, 12, 31])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_windows_cover_a_recording_once(frames, guidance):
    features = np.repeat(np.arange(frames, dtype=np.float32), 4)[:, None] * np.ones((1, 3), np.float32)
    drawer = WindowDrawer(Echo(), steps=3, overlap=4, guidance=guidance)
    codes = drawer.run(features, np.zeros(8, np.float32), np.zeros(4, np.float32), np.zeros(160, np.float32))
    assert codes.shape == (frames, 26)
    assert np.allclose(codes, 2 * np.arange(frames)[:, None], atol=1e-3)
