"""A face that draws nothing, and speech: what tests of agents need."""

import numpy as np

from liveface import weights
from liveface.agents.talker import Talker
from liveface.lipsync import opening_of
from liveface.session import Options, Session
from liveface.signals.media import read_audio
from liveface.types import Frame

RATE = 24_000


class Still:
    """A renderer that keeps the motion it was to draw."""

    delay = 0
    faces = 1

    def __init__(self):
        self.motions = []

    def start(self):
        return {}

    def step(self, state, motion):
        self.motions.append(motion)
        return state, [Frame(np.full((64, 64, 3), len(self.motions) % 256, np.uint8))]


def still_session(fps=30, **options) -> Session:
    made = object.__new__(Session)
    made.options = Options(size=(64, 64), fps=fps, **options)
    made.behaviour, made.renderer = None, Still()
    return made


class Painted(Still):
    """A renderer that shows how far the mouth is open by its brightness: 20 when shut."""

    def step(self, state, motion):
        self.motions.append(motion)
        opening = float(opening_of(motion.expression)[0])  # percent of the distance of the eyes
        return state, [Frame(np.full((64, 64, 3), np.clip(20 + 15 * opening, 0, 255), np.uint8))]


def painted_session(fps=30) -> Session:
    made = still_session(fps)
    made.renderer = Painted()
    return made


def still_talker(fps=30, rate_hz=RATE, **options) -> Talker:
    return Talker(still_session(fps, **options), rate_hz)


def babble(seconds, rate_hz=RATE):
    """Syllables of a buzz through a resonance that moves, as int16."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    envelope = np.clip(np.sin(2 * np.pi * 2.1 * time_s), 0, 1) ** 0.7
    middle_hz = 900 + 350 * np.sin(2 * np.pi * 0.9 * time_s)
    sound = sum(np.sin(2 * np.pi * 115 * k * time_s) / (1 + ((115 * k - middle_hz) / 200) ** 2) for k in range(1, 28))
    return np.clip(3276 * envelope * sound, -32768, 32767).astype(np.int16)


def speech(seconds):
    """The beginning of the embedded speech, as int16."""
    sound = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"))])
    return (32767 * sound[: round(seconds * RATE)]).astype(np.int16)
