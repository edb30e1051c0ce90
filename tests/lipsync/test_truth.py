"""True motion of made-up recordings: known faces under a moving head, and files that are not there."""

import json

import numpy as np
import pytest

from liveface.errors import SignalError
from liveface.geometry import head_rotation
from liveface.lipsync import held_out, lips_of
from liveface.lipsync.languages import spoken_clips
from liveface.lipsync.truth import lips_in, read_phones
from liveface.motion.face_model import FaceModel
from liveface.types import ARKIT_INDEX


def test_true_lips_are_those_of_the_face_however_the_head_moves():
    model, frames = FaceModel.load(), 60
    expression = np.zeros((frames, 52), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.3 * np.clip(np.sin(np.arange(frames) / 5), 0, 1)
    expression[:, ARKIT_INDEX["mouthPucker"]] = 0.5 * np.clip(np.sin(np.arange(frames) / 9), 0, 1)
    expression[:, ARKIT_INDEX["browInnerUp"]] = 0.5 * (np.arange(frames) > 40)
    seen = np.stack([
        30 * model.points(expression=row) @ head_rotation(0.02, 0.05 * np.sin(i / 9), 0.1).T + [300 + i, 200, 0]
        for i, row in enumerate(expression)
    ]).astype(np.float32)  # fmt: skip
    found, wanted = lips_in(seen, 30.0, frames), lips_of(expression)
    assert np.abs(found.lips - wanted.lips).max() < 0.12  # cm; rest is the mean of the shut frames
    assert np.corrcoef(found.opening, wanted.opening)[0, 1] > 0.99
    assert np.corrcoef(found.width, wanted.width)[0, 1] > 0.98
    assert found.brows[50].mean(0)[1] - found.brows[10].mean(0)[1] < -0.02  # up is negative
    late = lips_in(seen, 30.0, frames, late_s=0.2)
    assert np.allclose(late.opening[6:], found.opening[:-6], atol=1e-3)


def test_phones_are_read_with_their_ends(tmp_path):
    (tmp_path / "phones.json").write_text(json.dumps({"a.mp4": [["B", 0.5, 0.1, 0.9]]}), "utf-8")
    assert read_phones(tmp_path / "phones.json") == {"a.mp4": [("B", 0.5, 0.6)]}


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(SignalError, match="held-out talking clips"):
        held_out(tmp_path, None)
    listing = tmp_path / "spoken.json"
    listing.write_text(json.dumps({"held/en-0.flac": {"language": "en", "phones": [["B", 0.5, 0.1]]}}), "utf-8")
    with pytest.raises(SignalError, match="speak_phones"):
        spoken_clips(tmp_path, listing)
