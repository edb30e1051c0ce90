"""The window joins the canvas without a border, and bends as a plain warp would."""

import numpy as np
import pytest

from liveface.render.mobileportrait.crop import RESOLUTION, HeadCrop
from liveface.render.mobileportrait.sizes import MOTION_GRID
from liveface.render.mobileportrait.window import FADE, STRIDE, Window, place_window

SIZE = (192, 224)
EXACT = HeadCrop((-12, 100), RESOLUTION, RESOLUTION, (360, 640))
SCALED = {
    "smaller": HeadCrop((40, 60), 192, RESOLUTION, (360, 640)),
    "larger": HeadCrop((30, 100), 600, RESOLUTION, (720, 1280)),
}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(params=[(96, 72), (0, 0), (192, 156)])
def window(request):
    return Window(EXACT, request.param, SIZE)


def test_without_flow_the_window_is_cut_out(window):
    square = noise(RESOLUTION, RESOLUTION, 3)
    bent = window.bend(square, np.zeros((MOTION_GRID, MOTION_GRID, 2), np.float32))
    np.testing.assert_array_equal(bent, window.cut(square))


def test_bending_is_a_plain_look_up(window):
    rows, columns = np.mgrid[:RESOLUTION, :RESOLUTION].astype(np.float32)
    square = np.dstack([columns / 2, rows / 2, columns * 0]).astype(np.uint8)
    flow = np.zeros((MOTION_GRID, MOTION_GRID, 2), np.float32)
    flow[..., 0], flow[..., 1] = 20, -12
    inner = np.s_[FADE + 12 : -FADE - 12, FADE + 12 : -FADE - 12]
    bent, there = window.bend(square, flow)[inner].astype(int), window.cut(square)[inner].astype(int)
    assert np.abs(bent[..., :2] - there[..., :2] - (10, -6)).max() <= 1


def test_nothing_made_leaves_the_canvas_alone(window):
    canvas = noise(640, 360, 3)
    before = canvas.copy()
    square = EXACT.cut(canvas)
    window.paste(window.cut(square).copy(), square, canvas)
    assert np.abs(canvas.astype(int) - before).max() <= 1  # the rims are blended in whole levels


def test_what_is_made_fills_the_window_and_fades_at_its_border():
    window, canvas = Window(EXACT, (96, 72), SIZE), np.zeros((640, 360, 3), np.uint8)
    window.paste(np.full((*SIZE[::-1], 3), 200, np.uint8), EXACT.cut(canvas), canvas)
    left, top = 96 - 12, 72 + 100
    shown = canvas[top : top + SIZE[1], left : left + SIZE[0], 0]
    assert (shown[FADE:-FADE, FADE:-FADE] == 200).all()
    assert max(shown[0].max(), shown[-1].max(), shown[:, 0].max(), shown[:, -1].max()) <= 2
    assert np.abs(np.diff(shown.astype(int), axis=0)).max() < 200 * 2 / FADE
    canvas[top : top + SIZE[1], left : left + SIZE[0]] = 0
    assert not canvas.any()


def test_at_the_canvas_own_border_nothing_fades():
    window, canvas = Window(EXACT, (0, 72), SIZE), np.zeros((640, 360, 3), np.uint8)
    window.paste(np.full((*SIZE[::-1], 3), 200, np.uint8), EXACT.cut(canvas), canvas)
    assert (canvas[72 + 100 + FADE : 72 + 100 + SIZE[1] - FADE, 0] == 200).all()


@pytest.mark.parametrize("name", SCALED)
def test_a_scaled_square_keeps_the_canvas_own_detail(name):
    crop = SCALED[name]
    window, canvas = Window(crop, (96, 72), SIZE), noise(*crop.size[::-1], 3) // 2 + 50
    before, square = canvas.copy(), crop.cut(canvas)
    window.paste(window.cut(square).copy(), square, canvas)
    np.testing.assert_array_equal(canvas, before)
    window.paste(np.clip(window.cut(square).astype(int) + 20, 0, 255).astype(np.uint8), square, canvas)
    middle = np.round(crop.to_canvas @ (96 + SIZE[0] / 2, 72 + SIZE[1] / 2, 1)).astype(int)
    spot = np.s_[middle[1] - 15 : middle[1] + 15, middle[0] - 15 : middle[0] + 15]
    assert np.abs(canvas[spot].astype(int) - before[spot] - 20).max() <= 1


@pytest.mark.parametrize("at", [(60, 200), (180, 330), (300, 600)])
def test_a_window_stands_on_cells_of_both_grids_inside_its_square(at):
    points = np.random.default_rng(1).uniform(-60, 60, (478, 3)) + np.array([*at, 0])
    window = place_window(EXACT, points.astype(np.float32), SIZE)
    for start, length in zip(window.corner, SIZE, strict=True):
        assert start % STRIDE == 0
        assert 0 <= start <= RESOLUTION - length
