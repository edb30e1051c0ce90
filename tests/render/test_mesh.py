"""The mesh renderer on the embedded portrait: what it draws is tracked again and must say what was asked for."""

import itertools

import numpy as np
import pytest

from liveface import weights
from liveface.errors import FaceError, MotionMismatch, SignalError
from liveface.render.head import ease_turn
from liveface.render.mesh import MeshRenderer
from liveface.render.topology import EYE_LOWER, EYE_UPPER, IRIS, LIP_LOWER, LIP_UPPER
from liveface.signals.face import FaceTracker
from liveface.signals.image import read_image
from liveface.types import ARKIT_INDEX, Motion, MotionSpec, Renderer


@pytest.fixture(scope="module")
def renderer():
    return MeshRenderer(read_image(weights.path("portrait.jpg")))


@pytest.fixture(scope="module")
def rest(renderer):
    return draw(renderer)


def draw(renderer, head=(0, 0, 0, 0, 0, 0), gaze=(0, 0, 0, 0), **coefficients):
    """One frame `[H, W, 3]`; a coefficient without a side is set on both."""
    expression = np.zeros((1, 52), np.float32)
    for name, value in coefficients.items():
        for key in (name, f"{name}Left", f"{name}Right"):
            if key in ARKIT_INDEX:
                expression[0, ARKIT_INDEX[key]] = value
    motion = Motion(expression, np.array([head], np.float32), np.array([gaze], np.float32))
    return renderer.step(renderer.start(), motion)[1][0].pixels


def track(pixels):
    return FaceTracker(static=True).track(pixels).points


def gap(points, upper, lower):
    """Mean distance between facing points in percent of the distance between the outer eye corners."""
    return 100 * np.linalg.norm(points[upper, :2] - points[lower, :2], axis=1).mean() / eyes_apart(points)


def eyes_apart(points):
    return np.linalg.norm(points[33, :2] - points[263, :2])


def test_it_is_a_renderer(renderer):
    assert isinstance(renderer, Renderer)


def test_rest_is_the_photo(renderer, rest):
    photo = renderer.canvas.shrink(renderer.canvas.texture).astype(int)
    low, high = (
        renderer.canvas.points[:468, :2].min(0).astype(int),
        renderer.canvas.points[:468, :2].max(0).astype(int),
    )
    face = np.s_[low[1] : high[1], low[0] : high[0]]
    assert np.abs(rest[face] - photo[face]).mean() < 1.0
    assert np.abs(rest - photo).mean() < 1.0


def test_jaw_opens_the_mouth(renderer, rest):
    points, before = track(draw(renderer, jawOpen=0.3)), track(rest)
    middle = slice(2, 7)
    assert gap(before, LIP_UPPER[middle], LIP_LOWER[middle]) < 3
    assert gap(points, LIP_UPPER[middle], LIP_LOWER[middle]) > 4
    assert points[152, 1] > before[152, 1] + 1  # the chin goes down


def test_lips_stay_shut_when_the_jaw_drops_behind_them(renderer):
    points = track(draw(renderer, jawOpen=0.2, mouthClose=0.2))
    assert gap(points, LIP_UPPER[2:7], LIP_LOWER[2:7]) < 5


def test_blink_closes_both_eyes(renderer, rest):
    shut, before = track(draw(renderer, eyeBlink=1.0)), track(rest)
    for eye in (0, 1):
        open_gap = gap(before, EYE_UPPER[eye], EYE_LOWER[eye])
        assert gap(shut, EYE_UPPER[eye], EYE_LOWER[eye]) < 0.62 * open_gap


def test_one_eye_winks(renderer, rest):
    points, before = track(draw(renderer, eyeBlinkLeft=1.0)), track(rest)
    right_of_image, left_of_image = (gap(points, EYE_UPPER[eye], EYE_LOWER[eye]) for eye in (1, 0))
    assert right_of_image < 0.7 * left_of_image  # the person's left eye stands at the image's right
    assert left_of_image > 0.85 * gap(before, EYE_UPPER[0], EYE_LOWER[0])


@pytest.mark.parametrize(("gaze", "axis", "sign"), [((0, 0.3), 0, 1), ((0, -0.3), 0, -1), ((0.25, 0), 1, 1)])
def test_irises_follow_gaze(renderer, rest, gaze, axis, sign):
    moved = track(draw(renderer, gaze=gaze * 2)) - track(rest)
    for eye in (0, 1):
        corners = (33, 133) if eye == 0 else (362, 263)
        shift = moved[IRIS[eye], axis].mean() - moved[list(corners), axis].mean()
        assert sign * shift > 0.8  # pixels


@pytest.mark.parametrize(("head", "axis", "sign"), [((0, 0.25, 0), 0, 1), ((0, -0.25, 0), 0, -1), ((0.2, 0, 0), 1, 1)])
def test_head_turns_the_way_it_was_asked(renderer, rest, head, axis, sign):
    moved = track(draw(renderer, head=(*head, 0, 0, 0))) - track(rest)
    assert sign * (moved[1, axis] - moved[[127, 356], axis].mean()) > 5  # the nose against the temples, pixels


def test_roll_and_shift(renderer, rest):
    rolled = track(draw(renderer, head=(0, 0, 0.15, 0, 0, 0)))
    across = rolled[263] - rolled[33]
    assert np.arctan2(across[1], across[0]) == pytest.approx(0.15, abs=0.05)
    moved = track(draw(renderer, head=(0, 0, 0, 1.0, 0, 0))) - track(rest)
    assert moved[:468, 0].mean() > 10  # a centimetre to the image's right


def test_background_does_not_move(renderer, rest):
    turned = draw(renderer, head=(0.1, 0.25, 0.05, 0.5, 0.3, 0), jawOpen=0.3)
    for corner in (np.s_[:60, :40], np.s_[:60, -40:]):
        assert np.array_equal(turned[corner], rest[corner])


def test_no_holes_or_jumps_over_a_sweep(renderer):
    """Small steps of motion make small steps of picture: nothing flickers or tears."""
    angles = np.linspace(-0.3, 0.3, 25)
    frames = [draw(renderer, head=(0.3 * a, a, 0.2 * a, 0, 0, 0), jawOpen=0.5 * (a + 0.3)) for a in angles]
    steps = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
    assert max(steps) < 3 * np.median(steps)


def test_one_by_one_equals_all_at_once(renderer):
    rng = np.random.default_rng(1)
    motion = Motion(
        rng.uniform(0, 0.4, (4, 52)).astype(np.float32),
        rng.uniform(-0.2, 0.2, (4, 6)).astype(np.float32),
        rng.uniform(-0.2, 0.2, (4, 4)).astype(np.float32),
    )
    together = renderer.step(renderer.start(), motion)[1]
    state, apart = renderer.start(), []
    for part in motion:
        state, frames = renderer.step(state, part)
        apart += frames
    assert [frame.index for frame in apart] == [0, 1, 2, 3]
    for one, other in zip(together, apart, strict=True):
        assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("size", [(384, 672), (256, 256), (640, 360)])
def test_other_sizes(size):
    small = MeshRenderer(read_image(weights.path("portrait.jpg")), size)
    assert draw(small, jawOpen=0.3).shape == (size[1], size[0], 3)


def test_bad_input_gets_a_sentence(renderer):
    photo = read_image(weights.path("portrait.jpg"))
    with pytest.raises(SignalError, match="even sides"):
        MeshRenderer(photo, (361, 640))
    with pytest.raises(FaceError, match="no face"):
        MeshRenderer(np.full((300, 300, 3), 128, np.uint8))
    foreign = MotionSpec("other", ("a", "b"), 30)
    zeros = np.zeros((1, 6), np.float32)
    motion = Motion(zeros[:, :2], zeros, zeros[:, :4], foreign)
    with pytest.raises(MotionMismatch, match="arkit52"):
        renderer.step(renderer.start(), motion)


def test_turns_ease_towards_the_limit():
    assert ease_turn(np.array([0.1, -0.2, 0.0])) == pytest.approx([0.1, -0.2, 0.0])
    wide = ease_turn(np.array([0.6, 1.5, -3.0]))
    assert (np.abs(wide) < 0.43).all()
    assert wide[1] > wide[0] > 0.28


def test_points_are_where_the_picture_has_them(renderer):
    motion = Motion(renderer.photo.expression, np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32))
    assert np.allclose(renderer.points(motion)[:, :2], renderer.canvas.points[:, :2], atol=0.5)
    expression = motion.expression.copy()
    expression[0, ARKIT_INDEX["jawOpen"]] = 0.5
    moved = Motion(expression, np.array([[0.05, 0.15, 0.05, 0, 0, 0]], np.float32), np.full((1, 4), 0.25, np.float32))
    seen = track(renderer.step(renderer.start(), moved)[1][0].pixels)
    told = renderer.points(moved)
    away = np.linalg.norm(told[:, :2] - seen[:, :2], axis=1) / eyes_apart(told)
    assert away[:468].mean() < 0.04
    shift = told[468] - renderer.canvas.points[468] - (told[133] - renderer.canvas.points[133])
    assert shift[:2].min() > 0.01 * eyes_apart(told)  # the iris went right and down within the eye


def test_a_frame_with_what_is_known_of_it(renderer):
    motion = Motion(
        np.full((1, 52), 0.1, np.float32), np.array([[0.05, -0.1, 0, 0.5, 0, 0]], np.float32),
        np.full((1, 4), 0.1, np.float32),
    )  # fmt: skip
    drawn = renderer.draw(motion)
    np.testing.assert_array_equal(drawn.pixels, renderer.step(renderer.start(), motion)[1][0].pixels)
    np.testing.assert_array_equal(drawn.points, renderer.points(motion))
    np.testing.assert_array_equal(drawn.matte, renderer.matte(renderer.start(), motion))
