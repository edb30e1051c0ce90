"""A tiny portrait pack of made-up faces, for tests of what learns from one."""

from pathlib import Path

import cv2
import numpy as np

from liveface.motion.face_model import FaceModel
from liveface.train.portrait_data import set_aside
from liveface.train.portrait_store import NUMBERS, SampleRecord, ShardWriter, SourceRecord

SIDE = 192


def points(random) -> np.ndarray:
    """The mean face in the square, a little moved, `[478, 3]`."""
    mean = FaceModel.load().mean[:468]
    face = mean / np.ptp(mean[:, 1]) * 0.5 * SIDE
    face[:, :2] += SIDE / 2 - face[:, :2].mean(0) + random.normal(0, 2, 2)
    irises = [face[ring].mean(0) + step for ring in ([33, 133], [362, 263])
              for step in ((0, 0, 0), (3, 0, 0), (0, -3, 0), (-3, 0, 0), (0, 3, 0))]  # fmt: skip
    return np.concatenate([face, irises]).astype(np.float32)


def picture(random) -> np.ndarray:
    """Smooth noise, uint8 `[SIDE, SIDE, 3]`."""
    noise = random.uniform(0, 255, (12, 12, 3)).astype(np.float32)
    return np.clip(cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def write(folder: Path, samples: int = 6) -> Path:
    """A shard of samples of two people, one of them set aside for tuning; the base is the truth with dark bars."""
    random = np.random.default_rng(0)
    names = iter(f"person{number}" for number in range(1000))
    people = {False: "", True: ""}
    while not all(people.values()):
        name = next(names)
        people[set_aside(name)] = name
    writer = ShardWriter(folder, "000", {"groups": ["open"]})
    full = np.full((SIDE, SIDE), 255, np.uint8)
    for person in people.values():
        photo, places = picture(random), points(random)
        source = SourceRecord(photo, picture(random), full, [photo] * 4, places)
        number = writer.add_source(source, person)
        for _ in range(samples // 2):
            truth = picture(random)
            base = truth.copy()
            base[::8] //= 2
            made, seen = points(random), points(random)
            numbers = dict.fromkeys(NUMBERS, 1.0)
            writer.add(SampleRecord(base, truth, full, full, full, made, seen, numbers), number, "video")
    writer.close(["noise"])
    return folder
