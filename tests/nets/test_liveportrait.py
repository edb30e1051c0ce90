"""The renderer around LivePortrait's networks, with networks of the same build but small."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from liveface import weights
from liveface.errors import MotionMismatch, SignalError
from liveface.nets.liveportrait import build
from liveface.nets.liveportrait.size import TINY
from liveface.signals.face import find_face
from liveface.signals.image import read_image
from liveface.torch_renderers.liveportrait.bench import measure, multiply_adds
from liveface.torch_renderers.liveportrait.crop import BOX, Square, axis, face_square, mean_square, openness
from liveface.torch_renderers.liveportrait.drive import (
    ABSOLUTE,
    LENGTH,
    LIP_POINTS,
    Driving,
    Seen,
    driven,
    face_volume,
    friendliness,
    parse_driving,
)
from liveface.torch_renderers.liveportrait.engine import Engine, cut_square
from liveface.torch_renderers.liveportrait.renderer import LivePortraitRenderer, Watcher, soft_mask
from liveface.types import ARKIT_INDEX, Motion


def tiny_networks(seed=0):
    """Untrained networks that put keypoints into the picture."""
    torch.manual_seed(seed)
    made = build.build(TINY)
    with torch.no_grad():
        made.motion.detector.fc_scale.bias.fill_(1)
        made.motion.detector.fc_kp.bias.uniform_(-0.5, 0.5)
        for angle in ("pitch", "yaw", "roll"):
            getattr(made.motion.detector, f"fc_{angle}").weight.mul_(8)
    return build.load({name: getattr(made, name).state_dict() for name in build.NETWORKS}, TINY)


@pytest.fixture(scope="module")
def photo():
    return read_image(weights.path("portrait.jpg"))


@pytest.fixture(scope="module")
def engine():
    return Engine(tiny_networks(), "cpu")


@pytest.fixture(scope="module")
def renderer(photo, engine):
    return LivePortraitRenderer(photo, (180, 320), engine=engine)


def seen(seed, opened=0.2):
    rng = np.random.default_rng(seed)
    turn = cv2.Rodrigues(rng.normal(0, 0.3, 3))[0].astype(np.float32)
    points = rng.normal(0, 0.4, (21, 3)).astype(np.float32)
    shape = rng.normal(0, 0.05, (21, 3)).astype(np.float32)
    shift = np.array([*rng.normal(0, 0.1, 2), 0], np.float32)
    return Seen(turn, shape, float(rng.uniform(0.8, 1.2)), shift, points, np.full(3, opened, np.float32))


def watched(*rows):
    """Motion of a driver whose pictures were looked at."""
    return replace(Motion.rest(len(rows)), watched=np.stack([[*row.flat(), *rows[0].flat()] for row in rows]))


def spoken(frames=3):
    motion = Motion.rest(frames)
    motion.expression[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0, 0.7, frames)
    motion.head[:, 1] = np.linspace(0, 0.2, frames)
    return motion


MOTIONS = [spoken(), watched(seen(1), seen(2), seen(3))]


def pictures(renderer, *motions):
    state, made = renderer.start(), []
    for motion in motions:
        state, frames = renderer.step(state, motion)
        made += frames
    return made


@pytest.mark.parametrize("motion", MOTIONS, ids=["acted", "watched"])
def test_one_by_one_equals_all_at_once(renderer, motion):
    whole = pictures(renderer, motion)
    single = pictures(renderer, *motion)
    assert [frame.index for frame in whole] == [0, 1, 2]
    assert whole[0].pixels.shape == (320, 180, 3)
    for one, other in zip(whole, single, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
    assert not np.array_equal(whole[0].pixels, whole[2].pixels)


@pytest.mark.parametrize("motion", MOTIONS, ids=["acted", "watched"])
def test_start_forgets_and_later_motion_changes_nothing_before(renderer, motion):
    first = pictures(renderer, motion[:2])
    longer = pictures(renderer, motion)
    assert all(np.array_equal(one.pixels, two.pixels) for one, two in zip(first, longer[:2], strict=True))


def test_only_the_square_is_drawn_anew(renderer):
    frame = pictures(renderer, spoken(1))[0].pixels
    changed = np.abs(frame.astype(int) - renderer._still).max(2) > 0
    matrix = renderer.square.to_crop(1)
    rows, columns = np.nonzero(changed)
    inside = np.column_stack([columns + 0.5, rows + 0.5]) @ matrix[:2, :2].T + matrix[:2, 2]
    assert changed.any()
    assert inside.min() > -0.02
    assert inside.max() < 1.02


class Mirror(Engine):
    """Draws the very crop it was shown, at twice the size, whatever the keypoints."""

    def appearance(self, crop):
        return torch.from_numpy(crop)

    def draw(self, volume, source, driving):
        return cv2.resize(volume.numpy(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("turned", [0, 25])
def test_what_is_cut_and_pasted_back_lies_where_it_was(photo, turned):
    networks = tiny_networks()
    networks = replace(networks, size=replace(TINY, picture=256))  # only the mirror and the motion extractor run
    height, width = photo.shape[:2]
    about = cv2.getRotationMatrix2D((width / 2, height / 2), turned, 0.9)
    picture = cv2.warpAffine(photo, about, (width, height), borderMode=cv2.BORDER_REFLECT)
    renderer = LivePortraitRenderer(picture, (180, 320), engine=Mirror(networks, "cpu"))
    still = renderer._still.astype(float)
    frame = pictures(renderer, spoken(1))[0].pixels
    error = np.square(frame - still).mean()
    assert 10 * np.log10(255**2 / error) > 36  # resampled twice
    moved = np.square(np.roll(frame, 1, 1) - still)[:, 2:-2].mean()
    assert error < 0.25 * moved  # one pixel aside would be far worse
    assert abs(np.degrees(renderer.square.angle) + turned) < 8


def test_a_driver_like_the_photo_moves_nothing(renderer):
    still = renderer._source
    bare = LivePortraitRenderer.keypoints
    assert np.isfinite(renderer.move(watched(still))).all()
    free = replace(renderer._driving, stitch=False, shut=False)
    renderer_free = _with(renderer, free)
    assert np.allclose(bare(renderer_free, still, still), still.place(), atol=1e-6)
    assert np.allclose(bare(_with(renderer, replace(free, strength=0.0)), still, seen(4)), still.place(), atol=1e-6)


def _with(renderer, driving):
    """The same renderer, driven in another way."""
    other = object.__new__(LivePortraitRenderer)
    other.__dict__.update(renderer.__dict__)
    other._driving = driving
    other._shut = other._shutting()
    return other


def test_without_a_face_the_photo_stays(renderer):
    blank = replace(Motion.rest(1), watched=np.full((1, 2 * LENGTH), np.nan, np.float32))
    assert np.array_equal(renderer.move(blank), renderer._source.place())


@pytest.mark.parametrize("text", ["eyes", "lips", "eyes,lips,absolute", "friendly,absolute", "no-stitch", "region:lip"])
def test_every_way_of_driving_moves_keypoints_its_own_way(renderer, text):
    usual = renderer.keypoints(seen(1), seen(2, 0.5))
    other = _with(renderer, parse_driving(text)).keypoints(seen(1), seen(2, 0.5))
    assert other.shape == (21, 3)
    assert not np.allclose(usual, other)


def test_other_motion_and_backgrounds_are_refused(renderer):
    motion = Motion.rest(1)
    with pytest.raises(MotionMismatch):
        renderer.step(
            renderer.start(), replace(motion, spec=replace(motion.spec, expression=motion.spec.expression[::-1]))
        )
    with pytest.raises(SignalError, match="background"):
        _ = renderer.plate


def test_watcher_sees_a_turned_head_and_keeps_what_it_saw_last(photo, engine):
    face, _ = find_face(photo, None)
    watcher = Watcher(engine)
    assert np.isnan(watcher.look(photo, None)).all()
    watcher.meet([face] * 3)
    row = watcher.look(photo, face)
    assert np.array_equal(row[:LENGTH], row[LENGTH:])
    assert np.array_equal(watcher.look(np.zeros_like(photo), None), row)
    later = watcher.look(photo[:, ::-1].copy(), face)
    assert np.array_equal(later[LENGTH:], row[LENGTH:])
    assert not np.array_equal(later[:LENGTH], row[:LENGTH])
    assert np.array_equal(Seen.of(row[:LENGTH]).flat(), row[:LENGTH])
    assert np.allclose(Seen.of(row[:LENGTH]).open[:2], openness(face.points)[0])


def test_square_follows_the_face_and_levels_when_asked(photo):
    face, _ = find_face(photo, None)
    points = face.points[:, :2]
    square = face_square(points, 2.3, -0.125)
    turn = np.array([[0, -1], [1, 0]])  # a quarter, clockwise as seen
    turned = face_square(points @ turn.T, 2.3, -0.125)
    assert turned.side == pytest.approx(square.side, rel=1e-5)
    assert np.allclose(turned.centre, turn @ square.centre, atol=1e-2)
    assert np.isclose((turned.angle - square.angle) % (2 * np.pi), np.pi / 2, atol=1e-5)
    assert face_square(points, 2.3, -0.125, upright=False).angle == 0
    assert np.allclose(mean_square([square, turned, square]).centre, square.centre)
    corners = square.to_crop(512)[:2, :2] @ points[list(BOX)].T + square.to_crop(512)[:2, 2:]
    assert np.ptp(corners, axis=1).max() == pytest.approx(512 / 2.3, rel=1e-3)
    assert np.allclose((corners.min(1) + corners.max(1))[1] / 2, 512 * (0.5 + 0.125), atol=1)
    eyes, lips = axis(points)
    assert lips[1] > eyes[1]
    assert cut_square(photo, square, 64).shape == (64, 64, 3)


def test_a_square_beyond_the_picture_goes_on_with_its_border():
    picture = np.full((40, 40, 3), 77, np.uint8)
    assert (cut_square(picture, Square(np.array([0.0, 0.0]), 90.0, 0.3), 32) == 77).all()


def test_relative_driving_adds_what_changed():
    source, first = seen(1), seen(2)
    same = driven(source, first, first, Driving())
    assert np.allclose(same.place(), source.place(), atol=1e-5)
    now = replace(first, shift=first.shift + np.float32([0.1, 0, 9]), expression=first.expression + np.float32(0.01))
    moved = driven(source, first, now, Driving())
    assert np.allclose(moved.shift - source.shift, [0.1, 0, 0], atol=1e-6)
    assert np.allclose(moved.expression - source.expression, 0.01, atol=1e-6)
    lips = driven(source, first, now, Driving(region="lip"))
    changed = (lips.expression != source.expression).any(1)
    assert tuple(np.nonzero(changed)[0]) == LIP_POINTS
    assert np.array_equal(lips.rotation, source.rotation)
    pose = driven(source, first, seen(3), Driving(region="pose"))
    assert np.array_equal(pose.expression, source.expression)
    assert not np.allclose(pose.rotation, source.rotation)


def test_absolute_driving_keeps_the_shape_of_the_face():
    source, now = seen(1), seen(3)
    moved = driven(source, seen(2), now, Driving(mode="absolute"))
    assert np.array_equal(moved.rotation, now.rotation)
    assert moved.scale == source.scale
    assert np.array_equal(moved.expression[ABSOLUTE], now.expression[ABSOLUTE])
    assert np.array_equal(moved.expression[~ABSOLUTE], source.expression[~ABSOLUTE])
    assert 0 < (~ABSOLUTE).sum() < 63


def test_volume_is_that_of_the_convex_hull():
    for seed in range(5):
        points = seen(seed).place()
        assert face_volume(points) == pytest.approx(ConvexHull(points).volume, rel=1e-5)
    assert friendliness(points, 2 * points) == pytest.approx(8**-0.5, rel=1e-5)
    assert friendliness(points, points * np.float32([1, 1, 0])) == 1.0


def test_mask_is_whole_inside_and_nothing_at_the_border():
    mask = soft_mask(128)
    assert mask[64, 64] == 1
    assert mask[0].max() < 0.02
    assert np.allclose(mask, mask[::-1, ::-1])
    assert (np.diff(mask[64, :64]) >= 0).all()


@pytest.mark.parametrize(
    ("text", "driving"),
    [
        ("", Driving()),
        ("absolute,eyes, no-stitch", Driving(mode="absolute", eyes=True, stitch=False)),
        ("region:lip,strength:0.5,friendly,no-shut", Driving(region="lip", strength=0.5, friendly=True, shut=False)),
    ],
)
def test_words_of_driving(text, driving):
    assert parse_driving(text) == driving


@pytest.mark.parametrize("text", ["sideways", "region:nose", "strength:9", "strength:much", "eyes:3", "no-region"])
def test_other_words_of_driving_are_refused(text):
    with pytest.raises(SignalError):
        parse_driving(text)


def test_multiply_adds_are_those_of_the_layers():
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(800, 5))
    count = multiply_adds(layers, lambda: layers(torch.zeros(1, 3, 10, 10)))
    assert count == pytest.approx((3 * 9 * 8 * 100 + 800 * 5) / 1e9)


def test_a_frame_costs_what_its_networks_cost():
    rows = measure("cpu", repeats=1, size=TINY)["rows"]
    frame, once = rows.pop("a frame"), rows.pop("appearance, once a photo")
    assert frame["gmac"] == pytest.approx(sum(row["gmac"] for row in rows.values()))
    assert rows["warping and decoder"]["gmac"] > once["gmac"] > 0
