"""Draw the embedded avatar saying the embedded speech in every emotion, at the same moments: docs/images/emotions.jpg.

Usage: `python tools/make_emotions.py`. The avatar shows nobody, so the picture may.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from liveface import weights
from liveface.lipsync.feelings import one_emotion
from liveface.lipsync.truth import read_samples
from liveface.motion.audio import SpeechToMotion
from liveface.motion.emotion import EMOTIONS
from liveface.session import Session
from liveface.types import Motion, Pixels

OUTPUT = Path("docs/images/emotions.jpg")
MOMENTS_S = (0.7, 1.0, 1.3, 1.6, 1.9, 2.2, 2.5)
WIDTH, HEIGHT = 160, 176  # pixels of one picture on the sheet
HEAD = (slice(195, 481), slice(45, 305))  # rows and columns of the frame


def shown(session: Session, motion: Motion) -> list[Pixels]:
    """The frames of a motion at `MOMENTS_S`."""
    state, frames = session.renderer.start(), []
    for index in range(len(motion) + session.renderer.delay):
        at = min(index, len(motion) - 1)
        state, made = session.renderer.step(state, motion[at : at + 1])
        frames += [frame.pixels for frame in made]
    return [frames[min(round(moment * motion.spec.fps), len(frames) - 1)] for moment in MOMENTS_S]


def main() -> None:
    """Render and store."""
    samples, rows = read_samples(weights.path("speech.flac")), []
    for name in EMOTIONS:
        session = Session(weights.path("ada.avatar"))
        motion = SpeechToMotion(emotion=one_emotion(name) if name != "neutral" else None).run(samples)
        cells = [cv2.resize(one[HEAD], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for one in shown(session, motion)]
        label = np.full((HEIGHT, 120, 3), 255, np.uint8)
        cv2.putText(label, name, (4, HEIGHT // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        rows.append(np.hstack([label, *cells]))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(OUTPUT), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 86])
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
