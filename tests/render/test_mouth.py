"""The mouth interior: when it paints, where, and how steadily."""

import cv2
import numpy as np
import pytest

from liveface.errors import FaceError
from liveface.motion.face_model import FaceModel
from liveface.render.mouth import MouthInterior
from liveface.render.patch import (
    HEIGHT,
    INNER,
    OUTER,
    WIDTH,
    Lock,
    assemble,
    chain,
    cut,
    eye_distance,
    hole_mask,
    lend_depth,
    mouth_shows,
    move,
    paint_rows,
    patch_affine,
)
from liveface.types import ARKIT_INDEX

SIZE = (360, 640)
PX_PER_CM = 16.0


def face(jaw=0.0, turn=0.0):
    """Points of an average face on the canvas, with its jaw open and its head turned."""
    expression = np.zeros(52, np.float32)
    expression[ARKIT_INDEX["jawOpen"]] = jaw
    model = FaceModel.load()
    points = model.points(np.zeros(len(model.identity), np.float32), expression)
    cos, sin = np.cos(turn), np.sin(turn)
    points = points @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32).T
    points = points * PX_PER_CM
    points[:, :2] += np.array(SIZE) / 2
    return points.astype(np.float32)


def picture(points, inside):
    """Skin, lips and something between them."""
    out = np.full((SIZE[1], SIZE[0], 3), (205, 165, 145), np.uint8)
    for ring, colour in ((OUTER, (175, 95, 95)), (INNER, inside)):
        mask = hole_mask(points[ring, :2], 0, SIZE) > 128
        out[mask] = colour
    return out


@pytest.fixture(scope="module")
def shut():
    points = face()
    return MouthInterior(picture(points, (175, 95, 95)), points), points


def test_a_shut_mouth_is_left_alone(shut):
    mouth, points = shut
    canvas = picture(points, (175, 95, 95))
    before = canvas.copy()
    mouth.paint(canvas, points, 0.0)
    assert mouth.shut
    assert not mouth.own
    assert np.array_equal(canvas, before)


def test_an_open_mouth_is_painted_inside_the_lips_only(shut):
    mouth, _ = shut
    points = face(0.3)
    canvas = picture(points, (0, 255, 0))
    before = canvas.copy()
    mouth.paint(canvas, points, 0.3)
    changed = (canvas != before).any(2)
    far = hole_mask(points[INNER, :2], 4.0, SIZE) == 0
    deep = hole_mask(mouth.ring(points), 0, SIZE) == 255
    assert not changed[far].any()
    assert changed[deep].mean() > 0.95
    assert canvas[deep].astype(int)[:, 1].max() < 255


def test_opening_grows_smoothly_from_nothing(shut):
    mouth, _ = shut
    last, steps = None, []
    for jaw in np.linspace(0, 0.12, 13):
        points = face(float(jaw))
        canvas = picture(points, (175, 95, 95))
        before = canvas.astype(int)
        mouth.paint(canvas, points, float(jaw))
        amount = np.abs(canvas - before).sum() / 255 / eye_distance(points) ** 2
        if last is not None:
            steps.append(amount - last)
        last = amount
    assert last > 0
    assert max(steps) < 0.6 * last


def test_painting_depends_on_its_arguments_alone(shut):
    mouth, _ = shut
    points = face(0.25)
    first, second = picture(points, (90, 30, 30)), picture(points, (90, 30, 30))
    mouth.paint(first, points, 0.25)
    mouth.paint(picture(face(0.4), (90, 30, 30)), face(0.4), 0.4)
    mouth.paint(second, points, 0.25)
    assert np.array_equal(first, second)


def test_the_photos_own_teeth_are_found_and_kept():
    points = face(0.25)
    own = MouthInterior(picture(points, (225, 220, 205)), points)
    assert own.own
    canvas = picture(points, (60, 25, 25))
    own.paint(canvas, points, 0.25)
    deep = hole_mask(points[INNER, :2], 0, SIZE) == 255
    dark = MouthInterior(picture(points, (50, 15, 15)), points)
    assert not dark.own
    assert not dark.shut
    other = picture(points, (60, 25, 25))
    dark.paint(other, points, 0.25)
    assert canvas[deep].mean() > other[deep].mean() + 10


@pytest.mark.parametrize("shift", [(-170, 0), (170, 0), (0, 300), (900, 0)])
def test_a_mouth_at_or_beyond_the_border_is_no_error(shut, shift):
    mouth, _ = shut
    points = face(0.3)
    points[:, :2] += shift
    mouth.paint(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), points, 0.3)


def test_points_without_depth_and_too_few_points():
    points = face(0.2)
    MouthInterior(picture(points, (60, 20, 20)), points[:, :2]).paint(picture(points, (0, 0, 0)), points[:, :2], 0.2)
    with pytest.raises(FaceError, match="expected 478"):
        MouthInterior(picture(points, (60, 20, 20)), points[:468])


def test_the_patch_is_upright_and_centred():
    points = face(0.2)
    spin = np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)
    points[:, :2] = (points[:, :2] - 200) @ spin.T + 200
    moved = move(patch_affine(points), points)
    assert abs(moved[263, 1] - moved[33, 1]) < 1e-3
    assert np.allclose((moved[INNER].min(0) + moved[INNER].max(0)) / 2, [56, 32], atol=0.6)
    assert 60 < np.ptp(moved[OUTER, 0]) < WIDTH
    yawn = move(patch_affine(face(0.95)), face(0.95))
    assert yawn[INNER].min() > 3
    assert (yawn[INNER] < [WIDTH - 3, HEIGHT - 3]).all()


def test_locks_follow_a_rigid_head_and_a_falling_chin():
    points = face(0.1)
    for other in (points, lend_depth(points[:, :2])):
        lock = Lock.of(other)
        upper, lower = lock.affines(points * 1.5 + 7)
        assert np.allclose(upper[:, :2], np.eye(2) * 1.5, atol=0.02)
        assert np.allclose(move(upper, points[13:14]), points[13:14, :2] * 1.5 + 7, atol=2.5)
        assert np.allclose(upper, lower, atol=0.75)
    upper, lower = Lock.of(points).affines(face(0.4))
    drop = move(lower, points[14:15])[0] - move(upper, points[14:15])[0]
    assert 5 < drop[1] < 30
    assert abs(drop[0]) < 1


def test_an_exemplar_stays_on_a_turning_skull():
    points, turned = face(0.2), face(0.2, turn=0.2)
    upper, _ = Lock.of(points).affines(turned)
    teeth = np.array([[SIZE[0] / 2, points[13, 1] + 3]], np.float32)
    depth = points[2, 2] + 0.136 * eye_distance(points)
    angle = np.array([np.cos(0.2), -np.sin(0.2)])
    truth = angle @ [teeth[0, 0] - SIZE[0] / 2, depth] + SIZE[0] / 2
    assert abs(move(upper, teeth)[0, 0] - truth) < 1.5


def test_the_assembled_input_equals_its_slow_twin():
    random = np.random.default_rng(1)
    patch, hole = random.integers(0, 256, (64, 112, 3), np.uint8), random.integers(0, 256, (64, 112), np.uint8)
    textures = tuple(random.integers(0, 256, (64, 112, 4), np.uint8) for _ in range(2))
    rows = tuple(random.integers(0, 256, (64, 112), np.uint8) for _ in range(2))
    got = assemble(patch, hole, textures, rows, np.array([60.0, 20.0], np.float32), 100.0)[0] * 255
    share = hole[:, :, None] / 255
    slow = np.concatenate(
        [patch * (1 - share) + np.array([57, 25, 25]) * share, hole[:, :, None], *textures, np.stack(rows, 2)], 2
    )
    assert got.shape == (64, 112, 16)
    assert np.abs(got[:, :, :14] - slow).max() <= 1.01
    assert np.abs(got[0, :, 14] / 255 - np.clip(0.5 + 0.5 * (np.arange(112) - 60) / 100, 0, 1)).max() < 0.005
    assert np.abs(got[:, 0, 15] / 255 - np.clip((np.arange(64) - 20) / 100, 0, 1)).max() < 0.005


def test_rows_of_teeth_lie_where_lips_part():
    points = face(0.3)
    affine = patch_affine(points)
    upper, lower = paint_rows(points, affine)
    ring = move(affine, points[INNER])
    heights = [np.average(np.arange(64), weights=row.sum(1) + 1e-9) for row in (upper, lower)]
    assert heights[0] < ring[:, 1].mean() < heights[1]
    assert abs(np.average(np.arange(112), weights=upper.sum(0)) - 56) < 2


def test_what_a_mouth_shows():
    points = face(0.3)
    affine = patch_affine(points)
    rings = move(affine, points[INNER]), move(affine, points[OUTER])
    for inside, wanted in (((225, 220, 205), (0, 1)), ((50, 15, 15), (1, 0)), ((172, 93, 93), (0, 0))):
        stored, marks = cut(picture(points, inside), points)
        again = patch_affine(marks)
        assert np.allclose(chain(again, np.eye(2, 3)), again)
        patch = cv2.warpAffine(picture(points, inside), affine, (112, 64))
        shown = mouth_shows(patch, *rings)
        assert np.allclose(shown, wanted, atol=0.2)
        assert stored.shape == (156, 208, 3)
    grey = np.full((64, 112, 3), 120, np.uint8)
    assert mouth_shows(grey, *rings) == (0.0, 0.0)


def test_a_black_and_white_photo_stays_black_and_white():
    points = face()
    grey = cv2.cvtColor(cv2.cvtColor(picture(points, (175, 95, 95)), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    canvas = grey.copy()
    MouthInterior(grey, points).paint(canvas, face(jaw=0.4), 0.4)
    assert not np.array_equal(canvas, grey)
    assert int(np.ptp(canvas.astype(int), axis=2).max()) <= 1
