"""Comparing renderers: the embedded portrait in motion, drawn by the mesh renderer and by one that is plainly worse."""

import json

import cv2
import numpy as np
import pytest

from liveface import compare as cp
from liveface import photo_scores as ps
from liveface import weights
from liveface.bench import lively
from liveface.evaluate import Reel, tracked
from liveface.motion.files import save_motion
from liveface.render.mesh import MeshRenderer
from liveface.session import animate

SIZE = (180, 320)


class Blurred(MeshRenderer):
    """Draws half of the motion, without detail, and trembles."""

    def step(self, state, motion):
        half = type(motion)(motion.expression / 2, motion.head / 2, motion.gaze, motion.spec)
        state, frames = super().step(state, half)
        soft = []
        for frame in frames:
            pixels = cv2.GaussianBlur(frame.pixels, (0, 0), 3)
            soft.append(type(frame)(np.roll(pixels, frame.index % 2, 1), frame.index, frame.fps))
        return state, soft


def grey(pixels, points):
    """A stand-in for a measure of likeness: the mean colour around the nose."""
    x, y = np.clip(points[1, :2].astype(int), 8, np.array(pixels.shape[1::-1]) - 8)
    colour = pixels[y - 8 : y + 8, x - 8 : x + 8].reshape(-1, 3).mean(0)
    return colour / np.linalg.norm(colour)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    save_motion(lively(75)[20:50], folder / "motion.lfm")
    animate(weights.path("portrait.jpg"), folder / "motion.lfm", folder / "clip.mp4", size=(256, 256))
    return folder / "clip.mp4"


@pytest.fixture(scope="module")
def report(clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    made = {"mesh": MeshRenderer, "blurred": Blurred}
    setting = cp.Setting(0.8, SIZE, grey, {"area": 0.9}, folder / "sheets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cp, "open_renderer", lambda photo, name, size: made[name](photo, size))
        found = cp.compare(
            ["mesh", "blurred"], clips=[clip], portraits=[weights.path("portrait.jpg")], setting=setting,
            out=folder / "out.json",
        )  # fmt: skip
    return found, folder


def test_the_worse_renderer_is_told_from_the_better(report):
    found, _ = report
    good, bad = (found["same"]["mean"][name] for name in ("mesh", "blurred"))
    for key in ("psnr_db", "ssim", "mouth_ssim"):
        assert good[key] > bad[key]
    for key in ("keypoints", "mouth_error", "head_deg"):
        assert good[key] < bad[key]
    assert bad["sharp"] < good["sharp"]
    true = found["same"]["mean"][cp.TRUE]
    assert abs(good["tremble"] - true["tremble"]) < abs(bad["tremble"] - true["tremble"])
    assert found["same"]["wins"]["blurred"]["mouth_ssim"] == [0, 1]
    other = found["other"]["mean"]
    assert other["mesh"]["head"] < other["blurred"]["head"]
    assert other["mesh"]["expression"] < other["blurred"]["expression"]
    assert other["mesh"]["identity"] == pytest.approx(1, abs=0.02)


def test_the_report_is_a_file_a_table_and_sheets(report):
    found, folder = report
    assert json.loads((folder / "out.json").read_text("utf-8")) == json.loads(json.dumps(found))
    assert len(list((folder / "sheets").glob("*.png"))) == 2
    text = cp.table(found)
    assert f"{found['same']['mean']['blurred']['psnr_db']:.2f}" in text
    assert "0 : 1" in text
    assert "area 0.900" in text


def test_what_is_the_same_is_perfect(clip):
    from liveface.signals.media import read_video

    pictures = [frame.pixels for frame in read_video(clip)][:8]
    points = tracked(pictures)
    reel = Reel("same", pictures, pictures, (slice(0, 256), slice(0, 256)), 30, 1.0)
    scores = ps.same_person(reel, points, points, grey)
    assert scores["keypoints"] == 0
    assert scores["sharp"] == pytest.approx(1)
    assert scores["identity"] == pytest.approx(1)
    assert scores["tremble"] == scores["tremble_true"]
    scores = ps.other_person((pictures[0], points[0]), points, pictures, points, 30, grey)
    assert scores["expression"] == scores["lost"] == 0
    assert scores["head"] == pytest.approx(0, abs=0.1)


def test_inner_mouth_counts_only_what_a_shut_photo_opens():
    points = np.zeros((3, 478, 3), np.float32)
    points[:, 33, :2], points[:, 263, :2] = (20, 30), (70, 30)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([45 + 15 * np.cos(angle), 60 + 8 * np.sin(angle)], 1)
    points[:, list(ps.INNER_LIPS), :2] = ring
    points[:, [13, 82, 312], :2], points[:, [14, 87, 317], :2] = (45, 52), (45, 68)
    points[0, [14, 87, 317], :2] = (45, 52)  # the photo's mouth is shut
    true = [np.zeros((90, 90, 3), np.uint8)] * 3
    made = [picture.copy() for picture in true]
    made[2][60, 45] = 255
    whole = (slice(0, 90), slice(0, 90))
    assert ps.inner_mouth(Reel("", true, true, whole, 25, 0), points)["inner_db"] > 70
    assert ps.inner_mouth(Reel("", true, made, whole, 25, 0), points)["inner_db"] < 60
    points[0] = points[1]
    assert ps.inner_mouth(Reel("", true, made, whole, 25, 0), points) == {}
