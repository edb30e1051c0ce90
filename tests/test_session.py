import subprocess
import sys

import numpy as np
import pytest

import liveface
from liveface import weights
from liveface.errors import SignalError
from liveface.motion.files import save_motion
from liveface.session import KEPT_TIMES, Options, Report, Session, Stages
from liveface.types import ARKIT_INDEX, Motion


@pytest.fixture(scope="module")
def session():
    return Session(weights.path("portrait.jpg"), size=(144, 256))


def test_at_most_a_dozen_public_names_all_there():
    assert len(liveface.__all__) <= 12
    for name in liveface.__all__:
        assert getattr(liveface, name) is not None
    assert set(liveface.__all__) <= set(dir(liveface))
    with pytest.raises(AttributeError, match="no name 'dance'"):
        _ = liveface.dance


def test_importing_the_package_loads_no_library():
    code = "import sys, liveface; print([n for n in ('numpy', 'cv2', 'av', 'torch', 'soxr') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_run_time_never_loads_torch():
    code = (
        "import sys, liveface.cli, liveface.session, liveface.about, liveface.bench, liveface.evaluate;"
        "print([n for n in ('torch', 'scipy', 'jax', 'litert_torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_streaming_twice_gives_the_same_frames(session, tmp_path):
    motion = Motion.rest(4)
    motion.expression[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0, 0.7, 4)
    driver = save_motion(motion, tmp_path / "m.lfm")
    one, two = (list(session.stream(driver)) for _ in range(2))
    assert len(one) == 4
    for (first, sound), (second, _) in zip(one, two, strict=True):
        assert sound is None
        assert first.pixels.shape == (256, 144, 3)
        np.testing.assert_array_equal(first.pixels, second.pixels)
    assert [frame.index for frame, _ in one] == [0, 1, 2, 3]
    assert np.abs(one[0][0].pixels.astype(int) - one[3][0].pixels).max() > 20  # the mouth opened


def test_a_session_animates_and_reports(session, tmp_path):
    driver = save_motion(Motion.rest(6), tmp_path / "m.lfm")
    seen = []
    report = session.animate(driver, tmp_path / "out.mp4", lambda done, expected: seen.append((done, expected)))
    assert (report.frames, report.fps, report.driver) == (6, 30, "motion")
    assert report.duration_s == 0.2
    assert set(report.stages) == {"render", "encode"}
    assert seen == [(count, 6) for count in range(1, 7)]


def test_a_renderer_that_looks_ahead_gives_up_every_frame(session, tmp_path, monkeypatch):
    class Late:
        """Holds two frames back."""

        delay, faces, photo = 2, 1, None

        def start(self):
            return {"held": []}

        def step(self, state, motion):
            held = [*state["held"], float(motion.expression[0, 0])]
            ready = held[:-2]
            return {"held": held[len(ready) :]}, [session.blank(value) for value in ready]

    motion = Motion.rest(5)
    motion.expression[:, 0] = np.arange(5) / 10
    driver = save_motion(motion, tmp_path / "m.lfm")
    blank = next(iter(session.stream(driver)))[0]
    monkeypatch.setattr(session, "renderer", Late())
    monkeypatch.setattr(session, "blank", lambda value: blank, raising=False)
    assert len(list(session.stream(driver))) == 5


@pytest.mark.parametrize("named", [
    {"fps": 31}, {"size": (361, 640)}, {"size": (32, 64)}, {"size": (640, 240)}, {"renderer": "oil"}, {"threads": 0},
    {"head": -1},
])  # fmt: skip
def test_options_refuse_in_one_sentence(named):
    with pytest.raises(SignalError):
        Options(**named)


def test_stage_times_stay_bounded_and_true():
    stages = Stages()
    for milliseconds in np.random.default_rng(0).uniform(0, 100, 10 * KEPT_TIMES):
        stages.add("render", milliseconds / 1000)
    found = stages.summary()["render"]
    assert found["p50"] == pytest.approx(50, abs=3)
    assert found["p95"] == pytest.approx(95, abs=2)
    assert len(stages._times["render"]) <= KEPT_TIMES


def test_speed_is_output_over_work(tmp_path):
    report = Report(tmp_path, 60, 30, 0.5)
    assert report.speed == 4
