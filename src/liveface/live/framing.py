"""What to change before a recording: one camera picture looked at, in sentences for whoever sits before it.

The limits are those of docs/capture-guide.md, by which `liveface create` judges a recording afterwards.
"""

from __future__ import annotations

import cv2
import numpy as np

from liveface.live.camera import TRACKING
from liveface.signals.face import Face, FaceTracker
from liveface.types import Array, Pixels

DARK, BRIGHT = 60.0, 225.0  # median grey level of the face
UNEVEN = 55.0  # grey levels between the halves of the face; chosen
SMALL_PX, LARGE = 130.0, 0.72  # least height of the face in the recording, and most of the picture's height
ASIDE = 0.2  # of the picture's width that the face's middle may lie off its middle
TURNED_DEG = 22.0
OTHER_SIZE = 0.45  # another face counts from this share of the first one's height


def advice(pixels: Pixels, height_px: int) -> list[str]:
    """What is wrong with a camera's picture, the gravest first; empty when nothing is.

    Args:
        pixels: uint8 RGB `[h, w, 3]`.
        height_px: of the recording, of which this picture may be a smaller copy.
    """
    with TRACKING:
        faces = FaceTracker(static=True).faces(pixels)
    if not faces:
        return ["No face is seen: sit before the camera, with light on your face."]
    face = faces[0]
    found = []
    if any(other.height > OTHER_SIZE * face.height for other in faces[1:]):
        found.append("Another face is seen: be alone in the picture.")
    return found + _place(face, pixels.shape[1], pixels.shape[0], height_px) + _light(face.points, pixels)


def _place(face: Face, width: int, height: int, height_px: int) -> list[str]:
    found = []
    low, high = face.points[:468, :2].min(0), face.points[:468, :2].max(0)
    if (low < 0).any() or high[0] > width - 1 or high[1] > height - 1:
        found.append("The face is cut off: move to the middle, with space around.")
    elif face.height > LARGE * height:
        found.append("The face is too near: move back, hair and shoulders should be seen.")
    if face.height * height_px / height < SMALL_PX:
        found.append("The face is small: come closer.")
    middle = (low[0] + high[0]) / 2
    if abs(middle - width / 2) > ASIDE * width:
        found.append("The face is at the side: move to the middle.")
    if abs(face.yaw_deg) > TURNED_DEG:
        found.append("The head is turned: look into the camera.")
    return found


def _light(points: Array, pixels: Pixels) -> list[str]:
    """Light on the face, and whether it comes from one side."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    middle = points[[6, 4, 152], :2].mean(0)  # between the eyes, tip of the nose, chin
    mask = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points[:468, :2].astype(np.int32)), 255)
    lit = grey[mask > 0]
    if not len(lit):
        return []
    level = float(np.median(lit))
    if level < DARK:
        return ["It is dark: put light in front of you, not behind."]
    if level > BRIGHT:
        return ["It is too bright: move from the light."]
    columns = np.arange(grey.shape[1])[None].repeat(grey.shape[0], 0)
    halves = [grey[(mask > 0) & side] for side in (columns < middle[0], columns >= middle[0])]
    if all(len(half) for half in halves) and abs(float(np.median(halves[0])) - float(np.median(halves[1]))) > UNEVEN:
        return ["Light comes from one side: turn to it, or put a lamp on the other."]
    return []
