import numpy as np
import pytest

from liveface.render.mobileportrait.crop import RESOLUTION, HeadCrop, head_crop


def face(centre: tuple[float, float], height: float) -> np.ndarray:
    """Points that fill an oval face."""
    random = np.random.default_rng(0)
    angle, radius = random.uniform(0, 2 * np.pi, 478), np.sqrt(random.uniform(0, 1, 478)) / 2
    points = np.stack([0.8 * radius * np.cos(angle), radius * np.sin(angle), 0.1 * radius], 1) * height
    points[10], points[152] = (0, -height / 2, 0), (0, height / 2, 0)
    points[:, :2] += centre
    return points.astype(np.float32)


@pytest.mark.parametrize(
    ("size", "height"), [((360, 640), 256), ((360, 640), 350), ((384, 672), 269), ((512, 512), 205)]
)
def test_usual_heads_are_not_resampled(size, height):
    crop = head_crop(face((size[0] / 2, 0.46 * size[1]), height), size)
    picture = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    square = crop.cut(picture)
    assert crop.exact
    assert square.shape == (RESOLUTION, RESOLUTION, 3)
    back = np.zeros_like(picture)
    crop.paste(square, back)
    changed = back.any(2)
    assert changed.mean() > 0.4
    assert (back[changed] == picture[changed]).all()


@pytest.mark.parametrize(("size", "height"), [((360, 640), 256), ((128, 224), 90), ((1080, 1920), 760)])
def test_points_and_pixels_agree(size, height):
    points = face((0.45 * size[0], 0.5 * size[1]), height)
    crop = head_crop(points, size)
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    square = crop.cut(np.stack([x, y], 2))
    at = np.array([[100.0, 150.0], [200.0, 220.0]], np.float32)  # pixels of the square, inside the canvas
    canvas = at @ crop.to_canvas[:, :2].T + crop.to_canvas[:, 2]
    for (column, row), place in zip(at.astype(int), canvas, strict=True):
        assert np.allclose(square[row, column], place, atol=0.6)
    assert np.allclose(crop.points(canvas), at, atol=1e-3)


@pytest.mark.parametrize("size", [(360, 640), (128, 224), (512, 512)])
@pytest.mark.parametrize("share", [0.4, 0.56])
def test_square_holds_the_lower_face_with_room_for_the_jaw(size, share):
    points = face((0.5 * size[0], 0.46 * size[1]), share * size[1])
    moved = head_crop(points, size).points(points)
    assert moved[152, 1] < RESOLUTION * 0.93
    eyes_and_mouth = moved[np.abs(moved[:, 1] - moved[152, 1]) < 0.7 * np.ptp(moved[:, 1])]
    assert (eyes_and_mouth[:, :2] >= 0).all()


def test_square_stays_on_the_canvas_where_it_fits():
    crop = head_crop(face((50, 60), 200), (600, 700))
    assert min(crop.corner) >= 0
    crop = head_crop(face((580, 690), 200), (600, 700))
    assert crop.corner[0] + crop.side <= 600
    assert crop.corner[1] + crop.side <= 700


def test_scaled_square_comes_back_in_place():
    crop = HeadCrop((10, 20), 96, 192, (200, 200))
    y, x = np.mgrid[:200, :200].astype(np.float32)
    picture = np.stack([x, y], 2)
    back = picture.copy()
    crop.paste(crop.cut(picture), back)
    assert np.abs(back - picture).max() < 0.6
