"""Emotions that are seen, right and in time, on a model that does as it is told and on one that does not."""

import numpy as np
import pytest

from liveface.lipsync import Clip
from liveface.lipsync.feelings import by_emotion, nearest, one_emotion
from liveface.motion.codes import CODES, motion_of
from liveface.motion.emotion import EMOTIONS, emote, resting

FRAMES = 90
SAID = (("AA", 0.2, 0.6), ("B", 0.97, 1.03), ("AA", 1.2, 1.5))


class Actor:
    """Opens and shuts the jaw twice; wears the emotion it is given."""

    def __init__(self, emotion):
        self.emotion = emotion

    def run(self, samples):
        codes = np.zeros((len(samples) // 800, CODES), np.float32)
        codes[:, 1] = 0.3 * np.abs(np.sin(np.arange(len(codes)) * np.pi / 30))
        return motion_of(emote(codes, self.emotion))


def clip() -> Clip:
    return Clip("a", "a", np.zeros(FRAMES * 800, np.float32), np.zeros(FRAMES, np.float32), SAID)


def test_an_actor_is_read():
    rows = by_emotion(Actor, [clip()])
    assert list(rows) == list(EMOTIONS[1:])
    assert all(row["apart_mm"] > 0.3 and row["lips_like_neutral"] > 0.8 for row in rows.values())
    assert np.mean([row["right"] for row in rows.values()]) > 0.8
    assert rows["sad"]["p b m closed"] == 1


def test_a_stone_face_is_found_out():
    rows = by_emotion(lambda emotion: Actor(0 * emotion), [clip()])
    assert all(row["apart_mm"] == 0 for row in rows.values())
    assert sum(row["right"] for row in rows.values()) <= 1


@pytest.mark.parametrize("name", EMOTIONS[1:])
def test_every_target_is_nearest_to_itself(name):
    assert nearest(resting(one_emotion(name, 1.0))[:23]) == name
