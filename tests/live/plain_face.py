"""A face that costs nothing, for tests of the live package: one grey picture, as bright as the mouth is open."""

import numpy as np

from liveface.types import ARKIT_INDEX, Frame, arkit_spec

SIZE = (64, 112)


class PlainFace:
    """A renderer whose pixels say jawOpen (red) and head yaw (green) of the motion."""

    delay = 0

    def __init__(self):
        self.needs = arkit_spec()
        self.motions = []

    def start(self):
        return {"index": np.zeros((), np.int64)}

    def step(self, state, motion):
        self.motions.append(motion)
        pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        pixels[..., 0] = round(255 * float(np.clip(motion.expression[-1, ARKIT_INDEX["jawOpen"]], 0, 1)))
        pixels[..., 1] = round(127 + 127 * float(np.clip(motion.head[-1, 1], -1, 1)))
        index = int(state["index"])
        return {"index": np.array(index + 1, np.int64)}, [Frame(pixels, index, motion.fps)]


def babble(seconds, rate_hz=24_000, start_s=0.0):
    """Syllables of a buzz through a resonance that moves."""
    time_s = start_s + np.arange(round(seconds * rate_hz)) / rate_hz
    envelope = np.clip(np.sin(2 * np.pi * 2.1 * time_s), 0, 1) ** 0.7
    middle_hz = 900 + 350 * np.sin(2 * np.pi * 0.9 * time_s)
    sound = sum(np.sin(2 * np.pi * 115 * k * time_s) / (1 + ((115 * k - middle_hz) / 200) ** 2) for k in range(1, 28))
    return (0.1 * envelope * sound).astype(np.float32)
