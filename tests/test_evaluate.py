"""Evaluation: perfect when nothing differs, worse for the first frame repeated, on the embedded portrait in motion."""

import json
from pathlib import Path

import numpy as np
import pytest

from liveface import evaluate as ev
from liveface import weights
from liveface.bench import lively
from liveface.errors import SignalError
from liveface.motion.files import save_motion
from liveface.session import animate
from liveface.signals.image import read_image
from liveface.signals.media import read_video

FRAMES = 36


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The embedded portrait talking and turning, a video of little more than a second."""
    folder = tmp_path_factory.mktemp("evaluate")
    save_motion(lively(75)[20 : 20 + FRAMES], folder / "motion.lfm")
    animate(weights.path("portrait.jpg"), folder / "motion.lfm", folder / "clip.mp4", size=(256, 256))
    return folder / "clip.mp4"


@pytest.fixture(scope="module")
def reel(clip) -> tuple[ev.Reel, tuple[np.ndarray, np.ndarray]]:
    return ev.reenact(clip, "mesh", 1.0, (180, 320))


def test_a_reel_pairs_every_true_picture_with_a_made_one(reel):
    film, faces = reel
    assert len(film.true) == len(film.made) == 30
    assert all(picture.shape == (320, 180, 3) for picture in film.true + film.made)
    assert faces[0].shape == faces[1].shape == (30, 478, 3)
    assert np.isfinite(faces[0]).all()


def test_the_first_made_picture_is_the_photo(reel):
    film, _ = reel
    assert ev.psnr(film.made[0][film.inside], film.true[0][film.inside]) > 30


def test_what_is_the_same_is_perfect(reel):
    film, faces = reel
    same = ev.Reel(film.name, film.true, film.true, film.inside, film.fps, 1.0)
    made = ev.judge(same, (faces[0], faces[0]))["made"]
    assert made["psnr_db"] == 100
    assert made["ssim"] == pytest.approx(1, abs=1e-4)
    for key in ("mouth_error", "eye_error", "lip_gap_error", "lid_gap_error", "blink_error"):
        assert made[key] == 0
    assert made["head_deg"] < 0.3


def test_the_product_beats_the_first_frame_repeated(reel):
    scores = ev.judge(*reel)
    made, still = scores["made"], scores["baseline"]
    assert made["mouth_ssim"] > still["mouth_ssim"]
    assert made["mouth_error"] < still["mouth_error"]
    assert made["head_deg"] < 0.6 * still["head_deg"]
    assert made["lip_gap_error"] < still["lip_gap_error"]
    assert made["blink_error"] < still["blink_error"]
    assert scores["lost"] == 0


def test_the_baseline_is_the_first_frame_repeated(reel):
    film, faces = reel
    still = ev.Reel(film.name, film.true, [film.true[0]] * 30, film.inside, film.fps, 1.0)
    scores = ev.judge(still, (faces[0], np.repeat(faces[0][:1], 30, 0)))
    for key in ("psnr_db", "mouth_ssim", "mouth_error", "blink_error"):
        assert scores["made"][key] == pytest.approx(scores["baseline"][key])
    assert scores["made"]["head_deg"] == pytest.approx(scores["baseline"]["head_deg"], abs=0.3)


def test_only_the_clips_own_picture_counts(clip):
    photo = read_image(weights.path("portrait.jpg"))[:200, :200]
    to_canvas = np.array([[0.9, 0, 10], [0, 0.9, 20]], np.float32)
    rows, columns = ev.inside(to_canvas, photo, (180, 320))
    assert (columns.start, columns.stop) == (18, 180)  # 10 - 0.45 is the picture's edge, eight pixels are left out
    assert (rows.start, rows.stop) == (28, 191)
    assert next(iter(read_video(clip))).pixels.shape == (256, 256, 3)


def test_own_clips_end_in_a_table_a_file_and_a_sheet(clip, tmp_path):
    told = []
    report = ev.evaluate(
        clips=[clip],
        seconds=0.6,
        size=(180, 320),
        out=tmp_path / "results" / "evaluate.json",
        sheets=tmp_path / "sheets",
        progress=lambda *step: told.append(step),
    )
    assert json.loads((tmp_path / "results" / "evaluate.json").read_text("utf-8")) == report
    assert told[0] == ("evaluate clip", 0, 1)
    assert (tmp_path / "sheets" / "clip.png").stat().st_size > 10_000
    row = report["video"]["clips"]["clip"]
    assert row["frames"] == 18
    assert report["video"]["mean"]["made"]["psnr_db"] == row["made"]["psnr_db"]
    assert {"date", "cpu", "cores", "commit", "python", "libraries"} <= report["machine"].keys()
    assert set(report["columns"]) >= set(row["made"])
    text = ev.table(report)
    assert "clip" in text
    assert f"{row['made']['psnr_db']:.1f} ({row['baseline']['psnr_db']:.1f})" in text


def test_speech_of_a_clip_with_sound(tmp_path):
    animate(weights.path("portrait.jpg"), weights.path("speech.flac"), tmp_path / "said.mp4", size=(180, 320))
    points = ev.tracked([frame.pixels for frame in read_video(tmp_path / "said.mp4")])
    scores = ev.speech_scores(tmp_path / "said.mp4", points, 30)
    assert scores["speech"]["best_correlation"] > 0.5
    assert scores["speech"]["best_correlation"] > scores["shuffled"]["correlation"]


def test_missing_clips_are_named(tmp_path, monkeypatch):
    with pytest.raises(SignalError, match=r"liveportrait__d6\.mp4.*LIVEFACE_DATA"):
        ev.evaluate(tmp_path)
    monkeypatch.setenv("LIVEFACE_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(SignalError, match="elsewhere"):
        ev.evaluate()


def test_a_clip_that_is_no_video_is_refused(tmp_path):
    with pytest.raises(SignalError, match="no video"):
        ev.evaluate(clips=[weights.path("portrait.jpg")])


def test_speech_is_measured_where_the_recordings_lie(tmp_path):
    with pytest.raises(SignalError, match="held-out talking clips"):
        ev.evaluate_speech(tmp_path)
