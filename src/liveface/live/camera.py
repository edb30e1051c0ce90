"""`CameraFace`: pictures of a webcam in, the motion of the face in them out.

Notable choices: the first second calibrates the person and where the head rests, while the avatar lives on by itself;
pictures are checked by their header before they are decoded, for a small file can claim a huge picture.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import cv2
import numpy as np

from liveface.driver import widened
from liveface.errors import LivefaceError, SignalError
from liveface.motion.solve import MotionSolver
from liveface.signals.face import Face, FaceTracker
from liveface.signals.image import checked_header
from liveface.types import HOUSE_FPS, Array, Motion, Pixels

CALIBRATE_FACES = 24  # faces that calibrate: 0.8 s
MOST_SIDE = 1280  # pixels of a camera's picture
TRACKING = threading.Lock()
"""Held while faces are sought: all sessions of a process share the tracker's networks, which run one at a time."""


class CameraFace:
    """Follows one person in front of a camera.

    Attributes:
        ready: whether the person is known, so that motion comes out.
    """

    def __init__(self) -> None:
        self.centre()

    @property
    def ready(self) -> bool:
        """Whether calibration is over."""
        return self._rest is not None

    def centre(self) -> None:
        """Begin anew: the person, and the pose that counts as rest."""
        self._tracker = FaceTracker()
        self._solver: MotionSolver | None = None
        self._faces: list[Face] = []
        self._rest: Array | None = None

    def see(self, jpeg: bytes) -> Motion | None:
        """The motion (`T = 1`) of a picture; None while calibrating, or where no face is seen.

        Raises:
            SignalError: it is no JPEG of a usable size.
        """
        pixels = decoded(jpeg)
        size = (pixels.shape[1], pixels.shape[0])
        if self._solver is None or self._solver.size != size:
            self.centre()
            self._solver = MotionSolver(HOUSE_FPS, size)
        with TRACKING:
            face = self._tracker.track(pixels)
        if face is None:
            return None
        if self._rest is None:
            self._learn(face)
            return None
        motion = self._solver.step(face)
        head = motion.head - self._rest
        return replace(motion, expression=widened(motion.expression), head=head, landmarks=None)

    def _learn(self, face: Face) -> None:
        """Take a face into the calibration, and end it once there are enough."""
        assert self._solver is not None
        self._faces.append(face)
        if len(self._faces) < CALIBRATE_FACES:
            return
        self._solver.calibrate(self._faces)
        poses = np.concatenate([self._solver.step(one).head for one in self._faces])
        self._solver.calibrate([])  # back to the beginning, the person stays known
        self._rest = np.median(poses, axis=0).astype(np.float32)
        self._faces = []


def decoded(jpeg: bytes) -> Pixels:
    """A camera's JPEG as RGB `[H, W, 3]`.

    Raises:
        SignalError: it is none, or too large.
    """
    try:
        header = checked_header(jpeg, "the camera's picture")
    except LivefaceError:
        raise
    except (ValueError, IndexError) as error:
        raise SignalError(f"the camera's picture cannot be read ({error}); expected a JPEG.") from error
    if header.format != "JPEG" or max(header.width, header.height) > MOST_SIDE or min(header.width, header.height) < 64:
        raise SignalError(
            f"the camera's picture is {header.format} of {header.width} x {header.height} pixels; expected a JPEG of "
            f"64 to {MOST_SIDE} pixels a side."
        )
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise SignalError("the camera's picture is damaged; expected a whole JPEG.")
    return np.asarray(pixels, np.uint8)
