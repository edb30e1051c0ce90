"""Reports on faces whose faults are known: the copy, the still face, the late one, the one that never shuts."""

import json

import numpy as np
import pytest

from liveface.lipsync import Clip, lips_of, measure, score_lips, table
from liveface.lipsync.conditions import hardships
from liveface.lipsync.languages import by_language
from liveface.lipsync.reports import write
from liveface.lipsync.scores import mean_face, other_sound, robustness, spread
from liveface.motion.codes import CODES, motion_of

FRAMES = 120
JAW, PUCKER = 1, 4  # columns of a code


def codes(seed: int = 0) -> np.ndarray:
    """A jaw that shuts twice a second and lips that round at random."""
    out = np.zeros((FRAMES, CODES), np.float32)
    out[:, JAW] = 0.3 * np.abs(np.sin(np.arange(FRAMES) * np.pi / 15 + seed))
    out[:, PUCKER] = 0.3 * np.random.default_rng(seed).random(FRAMES // 8).repeat(8)
    return out


def clip(seed: int = 0, phones: tuple = ()) -> Clip:
    lips = lips_of(motion_of(codes(seed)).expression)
    samples = np.full(FRAMES * 800, (1 + seed) / 100, np.float32)  # its level says whose it is
    return Clip(f"clip {seed}", f"speaker {seed % 2}", samples, lips.opening, phones, lips)


class Knows:
    """Knows the motion of each clip, by the level of its sound; does `to_codes` with it. Else it is shut."""

    def __init__(self, to_codes=lambda value: value):
        self.to_codes = to_codes

    def run(self, samples):
        level, seed = float(np.median(samples)), round(100 * float(np.median(samples)) - 1)
        if level < 0.005 or len(samples) < 10:
            return motion_of(np.zeros((len(samples) // 800, CODES), np.float32))
        return motion_of(self.to_codes(codes(seed))[: len(samples) // 800])


PHONES = (("SIL", 0.0, 0.4), ("B", 0.95, 1.05), ("AA", 1.15, 1.35), ("M", 1.47, 1.53), ("SIL", 3.0, 4.0))


def test_a_perfect_copy_has_no_error():
    row = score_lips(clip().lips, clip())
    assert row["lip_error_mm"] == row["lip_speed_error_mm"] == row["upper_dynamics_deviation_mm"] == 0
    assert row["correlation"] == pytest.approx(1)
    assert row["jitter_ratio"] == pytest.approx(1)


def test_errors_are_millimetres_of_the_farthest_lip_point():
    true = clip()
    moved = true.lips.lips.copy()
    moved[:, 7, 1] += 0.2
    row = score_lips(type(true.lips)(true.opening, true.lips.width, moved, None), true)
    assert row["lip_error_mm"] == pytest.approx(2, abs=1e-4)
    assert row["lip_speed_error_mm"] == pytest.approx(0, abs=1e-4)
    assert "upper_dynamics_deviation_mm" not in row


def test_brows_that_rest_are_missed_by_what_true_ones_move():
    lively = codes()
    lively[:, 18] = 0.5 * np.random.default_rng(1).random(FRAMES)
    true = lips_of(motion_of(lively).expression)
    row = score_lips(clip().lips, Clip("a", "a", np.zeros(1, np.float32), true.opening, (), true))
    assert row["upper_dynamics_deviation_mm"] > 0.2


def test_controls_know_nothing_of_the_sound():
    clips = [clip(seed) for seed in range(4)]
    others = other_sound([one.lips for one in clips], clips)
    assert np.array_equal(others[0].opening, clips[2].opening)
    still = mean_face(clips)
    assert all(np.ptp(face.lips, axis=0).max() == 0 for face in still)
    elsewhere = np.mean([one.lips.lips.mean(0) for one in clips if one.group == "speaker 1"], axis=0)
    assert np.allclose(still[0].lips[0], elsewhere)


def test_a_report_tells_a_model_from_controls(tmp_path):
    clips = [clip(seed, PHONES if seed % 2 == 0 else ()) for seed in range(4)]
    report = measure(Knows(), clips, hard=False)
    assert report["median"]["lip_error_mm"] == 0
    assert report["shuffled"]["lip_error_mm"] > 0.5
    assert report["mean_face"]["correlation"] == 0
    assert report["recall"]["model"] == report["recall"]["true"]
    assert report["silence_percent"]["digital_max"] == 0
    write(report, tmp_path / "a" / "speech.json")
    assert json.loads((tmp_path / "a" / "speech.json").read_text("utf-8"))["clips"] == 4
    text = "\n".join(table(report, before=report))
    assert "first model" in text
    assert "p b m closed" in text


def test_a_table_shows_every_part_of_a_report():
    report = measure(Knows(), [clip(0, PHONES)], hard=False)
    assert not table({})
    full = report | {
        "robustness": {"8 kHz": {"correlation": 0.5}},
        "languages": {"de": {"p b m closed": 0.75}},
        "emotions": {"sad": {"apart_mm": 1.5}},
        "best": {"median": {"correlation": 0.987}, "recall": report["recall"]},
    }
    text = "\n".join(table(full))
    assert all(word in text for word in ("8 kHz", "0.75", "| sad", "0.987"))
    assert "first model" not in text


def test_robustness_stands_beside_the_clean_sound():
    rows = robustness(Knows(), [clip(0, PHONES)])
    assert rows["clean"]["alike_clean"] == 1
    assert set(rows) == set(hardships())


def test_lips_that_never_shut_are_found():
    def wide(value):
        value = value.copy()
        value[:, JAW] = 0.3 + 0.05 * np.cos(np.arange(len(value)) * np.pi / 15)
        return value

    good, bad = (measure(Knows(change), [clip(0, PHONES)], hard=False) for change in (lambda value: value, wide))
    assert good["recall"]["model"]["p b m closed"] == 1
    assert good["gap_at_p_b_m_percent"]["model"] < 2
    assert bad["gap_at_p_b_m_percent"]["model"] > 8
    assert bad["pause_opening_percent"]["model"] > 8


def test_late_lips_are_found():
    report = measure(Knows(lambda value: np.roll(value, 3, axis=0)), [clip(0)], hard=False)
    assert report["median"]["lag_frames"] == 3


def test_every_speaker_gets_a_turn():
    assert [one.name for one in spread([clip(0), clip(2), clip(4), clip(1)], 3)] == ["clip 0", "clip 1", "clip 2"]


def test_languages_stand_apart():
    still = np.zeros(FRAMES, np.float32)
    sounds = [np.full(FRAMES * 800, level, np.float32) for level in (0.01, 0.02)]
    clips = [Clip(name, name, sound, still, PHONES) for name, sound in zip(("en", "de"), sounds, strict=True)]
    rows = by_language(Knows(), clips)
    assert list(rows) == ["en", "de"]
    assert rows["en"]["p b m"] == 2
    assert rows["en"]["p b m closed"] == 1
    assert rows["de"]["p b m closed, shuffled"] == 1  # it hears the English sentence
    assert "f v touching" not in rows["en"]
