"""Packs made of the embedded portrait under the mesh teacher, and of a short video of it."""

import json

import cv2
import numpy as np
import pytest

from liveface import weights
from liveface.errors import FaceError, RecipeError, SignalError
from liveface.metrics import psnr
from liveface.motion.idle import IdleMotion
from liveface.render.liveface.controls import Controls, tracked_lips
from liveface.render.liveface.paste import cut_patch
from liveface.render.liveface.regions import REGIONS
from liveface.render.liveface.rig import LIPS, Rig
from liveface.render.mesh import MeshRenderer
from liveface.signals.face import FaceTracker
from liveface.signals.image import read_image
from liveface.sinks import VideoSink
from liveface.train.avatar.canvas import Cutter, Shoulders
from liveface.train.avatar.capture import Sighting, check_recording, judge, require
from liveface.train.avatar.make import PackOptions, make_pack
from liveface.train.avatar.pack import CONTROLS, Pack
from liveface.train.avatar.sources import Taught, Videos, packing_rate, programme, snippets
from liveface.train.avatar.sweeps import SWEEPS, Key, join, sweep
from liveface.train.avatar.teachers import teacher, teachers
from liveface.train.decoder_data import unlinked
from liveface.types import ARKIT_INDEX, Frame, Motion

SIZE = (360, 640)


@pytest.fixture(scope="module")
def photo():
    return read_image(weights.path("portrait.jpg"))


@pytest.fixture(scope="module")
def speaking():
    """Sixty frames in which mouth, lids and head move."""
    blink = dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight"), 1.0)
    keys = [Key({"jawOpen": 0.6}, (0.05, 0.1, 0, 0, 0, 0)), Key({"mouthPucker": 0.6}), Key(blink)]
    return join(keys * 5)[:60]


@pytest.fixture(scope="module")
def taught(photo, speaking, tmp_path_factory):
    source = Taught.of(
        "portrait", photo, teacher("mesh", photo, SIZE), [(speaking[:30], False), (speaking[30:42], True)]
    )
    return make_pack(source, tmp_path_factory.mktemp("taught") / "pack", PackOptions(canvases=4))


@pytest.fixture(scope="module")
def clip(photo, speaking, tmp_path_factory):
    """A video of the mesh renderer, 2.4 s."""
    file = tmp_path_factory.mktemp("clip") / "person.mp4"
    renderer = MeshRenderer(photo, SIZE)
    state, motion = renderer.start(), Motion.concat([speaking, speaking[:12]])
    with VideoSink(file, SIZE, 30, None) as sink:
        for frame in renderer.step(state, motion)[1]:
            sink.write(frame, None)
    return file


def test_a_photo_becomes_a_pack(taught):
    assert len(taught) == 43
    assert taught.held.sum() == 12
    assert taught.info["teacher"] == "mesh"
    assert taught.info["rejection_rate"] == 0
    for name, region in REGIONS.items():
        assert taught.truth(name).shape == (43, region.size[1], region.size[0], 3)
        assert taught.base(name).dtype == np.uint8
    assert {name: taught.controls[name].shape[1] for name in CONTROLS} == CONTROLS
    assert len(taught.frames) == len(taught.bases) == len(taught.frames_at) == 12 + 4


def test_the_base_of_the_reference_is_the_reference(taught):
    assert taught.frames_at[0] == 0
    assert psnr(taught.frames[0], taught.bases[0]) > 44
    assert np.abs(taught.head[0]).max() < 0.02


def test_labels_follow_what_was_asked(taught, speaking):
    asked = speaking.coefficient("jawOpen")[:30]
    measured = taught.expression[1:31, ARKIT_INDEX["jawOpen"]]
    assert np.corrcoef(asked, measured)[0, 1] > 0.9
    asked = speaking.head[:30, 1]
    assert np.corrcoef(asked, taught.head[1:31, 1])[0, 1] > 0.9
    blinks = taught.expression[1:31, ARKIT_INDEX["eyeBlinkLeft"]]
    assert blinks[speaking.coefficient("eyeBlinkLeft")[:30] > 0.9].min() > 0.5


def test_what_is_stored_can_be_drawn_again(taught):
    at = 20
    posed = taught.rig.pose(taught.motion(at), taught.shoulders[at])
    for name in REGIONS:
        assert np.allclose(posed.boxes[name], taught.boxes[name][at], atol=1e-3)
    cut = cut_patch(taught.rig.base(posed), posed.boxes["mouth"], "mouth")
    assert psnr(cut, taught.base("mouth")[at]) > 50
    _, made = Controls(taught.rig).step(Controls(taught.rig).start(), taught.motion(at), posed)
    assert np.allclose(made["landmarks"], taught.controls["landmarks"][at], atol=1e-3)


def test_neighbours_in_time_are_of_one_take(taught):
    jumps = np.diff(taught.time)
    assert (jumps[np.diff(taught.held.astype(int)) != 0] > 1).all()
    assert (np.diff(taught.time[taught.held]) == 1).all()


def test_a_video_becomes_a_pack(clip, tmp_path):
    told = []
    pack = make_pack(
        Videos.of(clip), tmp_path / "pack", PackOptions(canvases=3), lambda stage, share: told.append((stage, share))
    )
    assert pack.fps == 30
    assert pack.held.sum() == 30  # a whole second at least
    assert pack.time[pack.held].min() - pack.time[~pack.held].max() > 1
    assert {stage for stage, _ in told} == {"looking", "cutting"}
    assert any("30 s" in words for words in pack.info["capture"])
    middle = int(np.argmin(np.abs(pack.head[:, :3]).sum(1)))
    assert psnr(pack.truth("eyes")[middle], pack.base("eyes")[middle]) > 25


def test_most_frames_are_chosen_for_what_they_add(clip, tmp_path):
    pack = make_pack(Videos.of(clip), tmp_path / "pack", PackOptions(most=24, canvases=0, refine=False))
    learned = ~pack.held
    assert learned.sum() == 24
    assert pack.expression[learned, ARKIT_INDEX["jawOpen"]].max() > 0.3


def test_a_damaged_pack_is_refused(taught, tmp_path):
    with pytest.raises(RecipeError, match="not a usable pack"):
        Pack.open(tmp_path)
    info = dict(taught.info, version=99)
    (tmp_path / "pack.json").write_text(json.dumps(info))
    with pytest.raises(RecipeError, match="version 99"):
        Pack.open(tmp_path)


def test_a_source_without_a_face(tmp_path):
    file = tmp_path / "grey.mp4"
    with VideoSink(file, (128, 128), 30, None) as sink:
        for index in range(60):
            sink.write(Frame(np.full((128, 128, 3), 100, np.uint8), index), None)
    with pytest.raises(SignalError, match="no face was found"):
        make_pack(Videos.of(file), tmp_path / "pack")
    with pytest.raises(SignalError, match="expected a video of one person"):
        Videos.of(weights.path("portrait.jpg"))


def test_teachers_by_name(photo):
    assert "mesh" in teachers()
    with pytest.raises(RecipeError, match="no teacher 'cat'"):
        teacher("cat", photo, SIZE)
    with pytest.raises(FaceError):
        teacher("mesh", np.zeros((200, 200, 3), np.uint8), SIZE)


def test_the_cutter_is_the_canvas_cut(photo):
    small = cv2.resize(photo, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    rig = Rig.of(small)
    assert psnr(Cutter(rig.canvas)(small), rig.canvas.cut(small)) > 45
    assert psnr(Cutter(rig.canvas)(small), rig.reference) > 35  # which was stored as JPEG


@pytest.mark.parametrize("shift", [(3, 0), (0, -5), (-7, 4)])
def test_shoulders_are_followed(photo, shift):
    rig = Rig.of(photo)
    still = rig.reference
    follow = Shoulders(still, rig.canvas.shrink(rig.matte), rig.points[152, :2], rig.eye_px)
    moved = cv2.warpAffine(
        still, np.array([[1, 0, shift[0]], [0, 1, shift[1]]], float), SIZE, borderMode=cv2.BORDER_REPLICATE
    )
    assert np.allclose(follow(moved) * rig.eye_px, shift, atol=1.0)
    assert np.allclose(follow(still) * rig.eye_px, 0, atol=0.1)


def test_tracked_lips_are_the_pose_where_points_agree(taught):
    posed = taught.rig.pose(Motion.rest())
    points = np.zeros((478, 2), np.float32)
    points[LIPS] = posed.lips
    made = tracked_lips(taught.rig, posed, points, Motion.rest())
    _, controls = Controls(taught.rig).step(Controls(taught.rig).start(), Motion.rest(), posed)
    assert np.allclose(made, controls["landmarks"], atol=1e-4)


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps_are_motion(name):
    motion = sweep(name, 3)
    assert 150 < len(motion) < 500
    assert motion.expression.min() >= 0
    assert motion.expression.max() <= 1
    steps = np.abs(np.diff(motion.expression, axis=0)).max()
    assert steps < 0.75  # nothing jumps
    assert sweep(name, 3).expression.tobytes() == motion.expression.tobytes()
    assert np.abs(motion.head[:, :3]).max() <= 0.33


def test_sweeps_cover_the_controls():
    together = Motion.concat([sweep(name) for name in SWEEPS])
    for name in ("jawOpen", "mouthPucker", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp", "mouthSmileLeft"):
        assert together.coefficient(name).max() > 0.5
    lids = together.coefficient("eyeBlinkLeft") - together.coefficient("eyeBlinkRight")
    assert lids.min() < -0.8
    assert lids.max() > 0.8  # winks
    assert np.ptp(together.gaze[:, 1]) > 0.4
    assert (np.ptp(together.head[:, :3], axis=0) > 0.3).all()


def test_a_programme_holds_out_the_end_of_the_speech():
    parts = programme(600, seed=1)
    total = sum(len(motion) for motion, _ in parts)
    held = sum(len(motion) for motion, out in parts if out)
    assert abs(total - 600) < 40
    assert 0.1 < held / total < 0.2
    assert all(not out for _, out in parts[: len(SWEEPS)])
    few = snippets(parts, 5, 6, seed=2)
    assert [len(motion) for motion, _ in few] == [6] * 5
    assert [out for _, out in few] == [False] * 4 + [True]


def test_a_programme_with_a_driver(clip):
    parts = programme(300, drivers=[clip], sweeps=())
    assert parts[0][0].coefficient("jawOpen").max() > 0.2


@pytest.mark.parametrize(
    ("own", "read"), [(25, 25), (30, 30), (60, 30), (50, 25), (29.97, 29.97), (120, 30), (float("nan"), 30)]
)
def test_packing_rate(own, read):
    assert packing_rate(own) == pytest.approx(read)


@pytest.fixture(scope="module")
def looks(photo):
    """Pictures and faces of a recording that has nothing wrong."""
    motion = IdleMotion(3, head=2.0).run(40)
    motion.expression[::3, ARKIT_INDEX["jawOpen"]] = 0.7
    motion.expression[::7, ARKIT_INDEX["eyeBlinkLeft"]] = motion.expression[::7, ARKIT_INDEX["eyeBlinkRight"]] = 1
    motion.head[:, 1] = np.linspace(-0.2, 0.2, 40)
    renderer, tracker = MeshRenderer(photo, SIZE), FaceTracker()
    frames = [frame.pixels for frame in renderer.step(renderer.start(), motion)[1]]
    return [(pixels, tracker.track(pixels)) for pixels in frames]


def sighting(looks, picture=None, others=(False,) * 5, **change):
    """A recording of a minute, perhaps with something changed."""
    seen = Sighting(**{"rate_fps": 30.0, "duration_s": 60.0, "size": SIZE, **change})
    for pixels, face in looks:
        seen.see(pixels if picture is None else picture(pixels), face)
    seen.others = list(others)
    return seen


def names(findings):
    return {finding.name for finding in findings}


def test_a_good_recording_is_not_complained_about(looks):
    assert names(judge(sighting(looks))) <= {"no blink"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("length", {"duration_s": 5.0}),
        ("length", {"duration_s": 1200.0}),
        ("rate", {"rate_fps": 12.0}),
        ("dark", {"picture": lambda p: p // 8}),
        ("bright", {"picture": lambda p: 255 - (255 - p) // 8}),
        ("blurred", {"picture": lambda p: cv2.GaussianBlur(p, (0, 0), 9)}),
        ("second face", {"others": [True, False, False, False]}),
    ],
)
def test_what_is_wrong_is_named(looks, name, change):
    found = {finding.name: finding for finding in judge(sighting(looks, **change))}
    assert name in found
    assert "expected" in found[name].words


def test_shut_mouths_still_heads_and_borders(looks):
    seen = sighting(looks)
    rest = seen.points[1]
    seen.points = [rest] * len(seen.points)
    seen.turned = [0.0] * len(seen.turned)
    assert {"no blink", "still"} <= names(judge(seen))
    shut = rest.copy()
    shut[[14, 87, 317, 178, 402, 88, 318]] = shut[[13, 82, 312, 81, 311, 80, 310]]
    seen.points = [shut] * len(seen.points)
    grave = [finding for finding in judge(seen) if finding.grave]
    assert names(grave) == {"shut mouth"}
    with pytest.raises(SignalError, match="cannot become an avatar: the mouth opens"):
        require(grave, "me.mp4")
    seen.points = [rest - [rest[:, 0].mean(), 0, 0]] * len(seen.points)
    assert "cut off" in names(judge(seen))
    seen.points = [None] * 30 + [rest] * 10
    assert "lost" in names(judge(seen))
    seen.points = [rest * 0.2] * 40
    assert "small" in names(judge(seen))


def test_a_moving_background(looks):
    rng = np.random.default_rng(0)
    assert "background" in names(
        judge(sighting(looks, picture=lambda p: np.clip(p * rng.uniform(0.6, 1.0), 0, 255).astype(np.uint8)))
    )


def test_a_file_is_looked_through(clip):
    found = check_recording(clip)
    assert "length" in names(found)
    assert not any(finding.grave for finding in found)


def test_a_blink_alone_looks_like_a_tracked_blink():
    row = np.zeros(18, np.float32)
    row[:2], row[2:6], row[8], row[10], row[16] = (0.0, 1.0), 0.2, -0.12, 0.6, 0.3
    assert np.array_equal(unlinked(row)[[4, 5, 8, 10, 16]], row[[4, 5, 8, 10, 16]])  # one eye is open
    assert unlinked(row)[2:4].tolist() == [0, 0]  # the gaze of the shut one cannot be seen
    row[1] = 0
    shut = unlinked(row)
    assert shut[8] == 0
    assert shut[10] == row[10]  # a squint of that size is meant
    assert shut[16] == row[16]
