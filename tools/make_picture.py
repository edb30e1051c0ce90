"""Make the picture of README: frames of the real output of the embedded avatars, which show nobody.

Usage: `python tools/make_picture.py`. The frames are those of `liveface demo`, and of turns of the head, a smile and
an open mouth driven as motion, within what the avatars learned.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from liveface import weights
from liveface.session import Session
from liveface.types import ARKIT_INDEX, Motion, Pixels

OUTPUT = Path("docs/images/demo.jpg")
SPOKEN_S = (0.2, 1.05, 2.3, 3.4)  # moments of the demo, chosen by eye
POSES: tuple[tuple[dict[str, float], tuple[float, float, float]], ...] = (
    ({"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "jawOpen": 0.15}, (0.02, 0.2, 0.04)),
    ({"mouthPucker": 0.5}, (0.06, -0.15, -0.04)),
    ({"jawOpen": 0.5, "browInnerUp": 0.3}, (-0.08, -0.08, 0.0)),
)
"""Coefficients, and pitch, yaw, roll in radians."""
WIDTH = 216  # pixels of a frame in the picture


def posed(session: Session) -> list[Pixels]:
    """One frame of each pose."""
    frames = []
    for shapes, turn in POSES:
        motion = Motion.rest()
        for name, value in shapes.items():
            motion.expression[0, ARKIT_INDEX[name]] = value
        motion.head[0, :3] = turn
        frames.append(session.renderer.step(session.renderer.start(), motion)[1][0].pixels)
    return frames


def main() -> None:
    """Render and store."""
    rows = []
    for name in ("ada.avatar", "ben.avatar"):
        session = Session(weights.path(name))
        wanted = {round(moment * session.options.fps) for moment in SPOKEN_S}
        spoken = [frame.pixels for frame, _ in session.stream(weights.path("speech.flac")) if frame.index in wanted]
        size = (WIDTH, WIDTH * 640 // 360)
        rows.append(
            np.hstack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in [*spoken, *posed(session)]])
        )
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(OUTPUT), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 86])
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
