"""The portrait pack on the embedded portrait and on drawn squares: no data is needed."""

from dataclasses import fields

import numpy as np
import pytest

from liveface import weights
from liveface.errors import RecipeError
from liveface.motion.face_model import FaceModel
from liveface.signals.image import read_image
from liveface.train.portrait_data import PortraitPack, mirrored, relit, set_aside, swapped, window
from liveface.train.portrait_drawn import Bank, Enrolled, of_portrait, teaches
from liveface.train.portrait_pairs import Track, lips_apart, onward, pairs, shots
from liveface.train.portrait_store import NUMBERS, SampleRecord, ShardWriter, SourceRecord, finished
from liveface.types import ARKIT_INDEX, Motion

SIDE = 64


def square(seed: int, *shape: int) -> np.ndarray:
    """A smooth picture, as JPEG keeps it."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [127 + 100 * np.sin(3 * x + seed + k) * np.cos(2 * y + k) for k in range(3 if shape else 1)]
    return np.dstack(waves).astype(np.uint8).reshape(SIDE, SIDE, *shape)


def face() -> np.ndarray:
    """Points of the average face in the square."""
    points = FaceModel.load().mean * 3
    points[:, :2] += SIDE / 2
    return points.astype(np.float32)


def write(folder, people=("ann", "dan", "eve"), kind="video", groups=("open",), per=4):
    writer = ShardWriter(folder, f"{kind}-0", {"groups": list(groups)})
    for seed, person in enumerate(people):
        source = writer.add_source(
            SourceRecord(
                square(seed, 3), square(seed + 9, 3), square(seed), [square(seed + k, 3) for k in range(4)], face()
            ),
            person,
        )
        for at in range(per):
            numbers = dict.fromkeys(NUMBERS, 1.0) | {"opening": 0.1 * at}
            pictures = (square(at, 3), square(at + 1, 3), square(at), square(at + 2), square(3))
            record = SampleRecord(*pictures, face(), face() + 1, numbers)
            writer.add(record, source, kind)
    writer.close([f"{person}:0" for person in people])


@pytest.fixture
def pack(tmp_path):
    write(tmp_path)
    write(tmp_path, ("LP_d18", "ann"), "cycle", ("permissive",))
    return PortraitPack.open(tmp_path)


def test_pictures_and_points_come_back(pack):
    assert len(pack) == 20
    sample = pack.sample(5)
    assert (sample.kind, sample.person, sample.index) == ("video", "dan", 5) or pack.table["kind"][5] == "cycle"
    at = int(np.flatnonzero((pack.table["person"] == "dan") & np.isclose(pack.table["opening"], 0.1))[0])
    sample = pack.sample(at)
    assert np.abs(sample.base.astype(int) - square(1, 3)).mean() < 3
    assert np.abs(sample.truth.astype(int) - square(2, 3)).mean() < 3
    assert np.abs(sample.source.astype(int) - square(1, 3)).mean() < 3
    assert sample.views.shape == (4, SIDE, SIDE, 3)
    assert sample.valid.shape == sample.truth_matte.shape == (SIDE, SIDE)
    assert np.array_equal(sample.truth_points, face() + 1)


def test_groups_are_kept_apart(pack, tmp_path):
    assert len(PortraitPack.open(tmp_path, ("open",))) == 12
    assert finished(tmp_path, "video-") == {"ann:0", "dan:0", "eve:0"}
    with pytest.raises(RecipeError, match="portrait_pack"):
        PortraitPack.open(tmp_path / "nowhere")


def test_people_set_aside_are_never_drawn(pack):
    assert set_aside("LP_d18")
    drawn = pack.draw(60, np.random.default_rng(0), views=False)
    assert "LP_d18" not in {sample.person for sample in drawn}
    assert {sample.kind for sample in drawn} == {"video", "cycle"}
    tuning = pack.tuning(3)
    assert {sample.person for sample in tuning} == {"LP_d18"}
    assert [sample.index for sample in tuning] == [sample.index for sample in pack.tuning(3)]


def test_mirror_is_its_own_inverse(pack):
    sample = pack.sample(0)
    turned = mirrored(sample)
    assert np.array_equal(turned.base, sample.base[:, ::-1])
    assert np.array_equal(turned.views[0], sample.views[1, :, ::-1])
    back = mirrored(turned)
    for item in fields(sample):
        one, two = getattr(back, item.name), getattr(sample, item.name)
        assert np.allclose(one, two, atol=1e-4) if item.name.endswith("points") else np.array_equal(one, two), item.name


def test_mirrored_points_stay_on_their_feature():
    order = swapped()
    assert sorted(order.tolist()) == list(range(478))
    assert np.array_equal(order[order], np.arange(478))
    assert (order[33], order[61], order[468], order[152]) == (263, 291, 473, 152)


def test_light_changes_all_pictures_alike(pack):
    sample = pack.sample(0)
    lit = relit(sample, np.random.default_rng(3))
    assert not np.array_equal(lit.base, sample.base)
    same = np.zeros((256, 3), int) - 1
    for name in ("base", "truth", "source", "plate"):
        before, after = getattr(sample, name), getattr(lit, name)
        for band in range(3):
            known = same[before[..., band], band]
            assert ((known < 0) | (known == after[..., band])).all()
            same[before[..., band], band] = after[..., band]
    assert np.array_equal(lit.matte, sample.matte)


def test_windows_lie_inside_on_the_grid(pack):
    random = np.random.default_rng(0)
    corners = np.array([window(pack.sample(0), 32, random) for _ in range(50)])
    assert corners.min() >= 0
    assert corners.max() <= SIDE - 32
    assert not (corners % 8).any()
    assert len(np.unique(corners, axis=0)) > 5


def track(frames=80):
    """A still head that opens its mouth in the middle and leaps aside at frame 60."""
    points = np.repeat(face()[None], frames, 0)
    points[30:40, [14, 87, 317], 1] += 4
    points[60:, :, 0] += 30
    seen = np.ones(frames, bool)
    motion = Motion(np.zeros((frames, 52)), np.zeros((frames, 6)), np.zeros((frames, 4)))
    return Track(points, seen, shots(points, seen), motion, motion, 25.0)


def test_pairs_stay_within_a_shot_and_seek_change():
    clip = track()
    assert clip.shot[59] != clip.shot[60]
    assert len(np.unique(clip.shot)) == 2
    found = pairs(clip, 4, 6, np.random.default_rng(0))
    assert found
    for source, others in found:
        assert len({source, *others}) == 7
        assert (clip.shot[others] == clip.shot[source]).all()
    opening = lips_apart(clip.points)
    early = [others for source, others in found if source < 28]
    assert early
    assert all(opening[others].max() > opening[0] + 0.05 for others in early)


def test_the_first_frame_is_the_photo():
    random = np.random.default_rng(0)
    photo, frame = (Motion(random.random((1, 52)), random.random((1, 6)), random.random((1, 4))) for _ in range(2))
    still = onward(photo, frame, frame)
    assert np.allclose(still.expression, photo.expression)
    assert not still.head.any()
    assert not still.gaze.any()


def test_a_portrait_comes_back_to_itself():
    pixels = read_image(weights.path("portrait.jpg"))
    expression = np.zeros((9, 52), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0.1, 0.4, 9)
    bank = Bank.of([Motion(expression, np.zeros((9, 6)), np.zeros((9, 4)))], 9, np.random.default_rng(0))
    drawn = of_portrait(pixels, bank, 1, np.random.default_rng(1), FaceModel.load())
    assert drawn
    source, samples = drawn[0]
    assert source.picture.shape == source.plate.shape == (384, 384, 3)
    assert len(samples) == 1
    sample = samples[0]
    before = np.abs(source.picture.astype(int) - sample.truth)[100:300, 100:300].mean()
    after = np.abs(sample.base.astype(int) - sample.truth)[100:300, 100:300].mean()
    assert after < 0.8 * before
    assert sample.numbers["face_error"] < 4
    assert teaches(sample, "cycle")
    elsewhere = SampleRecord(*(getattr(sample, item.name) for item in fields(sample)[:-1]),
                             sample.numbers | {"face_error": 30.0})  # fmt: skip
    assert not teaches(elsewhere, "cycle")


def test_a_photo_driven_by_itself_is_itself():
    pixels = read_image(weights.path("portrait.jpg"))
    photo = Enrolled(pixels)
    tracked = photo.canvas.points.copy()
    tracked[:, :2] -= photo.canvas.to_canvas[:, 2]
    sample = photo.sample(photo.rest, pixels, tracked / photo.canvas.to_canvas[0, 0])
    inside = sample.valid > 0
    assert np.abs(sample.base.astype(int) - sample.truth)[inside].mean() < 1.5
    assert sample.numbers["face_error"] < 0.5
    assert sample.numbers["turn"] == pytest.approx(0, abs=1e-3)
