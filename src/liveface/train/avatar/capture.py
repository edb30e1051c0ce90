"""Is a recording fit to learn from? Looked at four times a second, before anything is trained.

Every finding is one sentence: what was seen with its values, what was expected, what to do. Grave ones end the
creation, the others are advice; see docs/capture-guide.md. Limits without a source are chosen, from the project's own
recordings: what the networks could not learn from, and with a margin what they learned poorly from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from liveface.errors import SignalError
from liveface.lipsync import opening
from liveface.metrics import lid_opening
from liveface.signals.face import Face, FaceTracker
from liveface.signals.media import read_video
from liveface.train.avatar.quality import face_view, sharpness
from liveface.types import Array, Pixels

LOOK_FPS = 4.0
SECOND_FACE_S = 2.0  # between two looks for another face; they cost 30 ms each
SHORT_S = (1.5, 30.0)  # grave below the first, advice below the second; likewise all pairs that follow
LONG_S = 600.0
SLOW_FPS = (9.9, 23.5)
DARK, BRIGHT = (28.0, 60.0), (245.0, 225.0)  # median grey level of the face
SMALL_PX = (60.0, 130.0)  # height of the face; the canvas shows it at 260
GONE = (0.5, 0.05)  # share of looks without a whole face
CUT_OFF = (0.5, 0.03)  # share of looks at which the face touches the border
SECOND = (0.5, 0.0)  # share of looks with another face
OTHER_SIZE = 0.45  # another face counts when it is at least so large, in heights of the first
OPEN_PERCENT = (1.5, 12.0)  # 95th percentile of the opening of the lips, percent of the inter-ocular distance
BLINK_SHARE = 0.6  # of the usual lid gap; without a lid below, nobody blinked
BLURRED = 40.0  # median Laplacian variance of the face view
TURNED_DEG = 22.0  # median turn of the head
STILL_DEG = 2.0  # deviation of the head's turn below which it never moved
BACKGROUND = 9.0  # median deviation over time of the background, grey levels
_GRAVE, _ADVICE = True, False
_SIDE = 24  # pixels of the small picture in which the background is watched


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a recording.

    Attributes:
        name: what it is about: "length", "rate", "dark", "bright", "small", "lost", "cut off", "second face",
            "shut mouth", "no blink", "blurred", "turned", "still", "background".
        grave: nothing can be learned from this recording.
        words: the sentence.
    """

    name: str
    grave: bool
    words: str


@dataclass
class Sighting:
    """What was seen of a recording, look by look.

    Attributes:
        rate_fps, duration_s: of the file.
        size: of its frames.
    """

    rate_fps: float
    duration_s: float
    size: tuple[int, int]
    points: list[Array | None] = field(default_factory=list)
    turned: list[float] = field(default_factory=list)
    grey: list[float] = field(default_factory=list)
    sharp: list[float] = field(default_factory=list)
    small: list[Pixels] = field(default_factory=list)
    others: list[bool] = field(default_factory=list)

    def see(self, pixels: Pixels, face: Face | None) -> None:
        """One look; `face` is None when there is none."""
        self.points.append(None if face is None else face.points)
        self.small.append(cv2.cvtColor(cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA),
                                       cv2.COLOR_RGB2GRAY))  # fmt: skip
        if face is None:
            return
        view = face_view(pixels, face.points)
        edge = len(view) // 4
        self.turned.append(face.yaw_deg)
        self.grey.append(float(np.median(view[edge:-edge, edge:-edge])))
        self.sharp.append(sharpness(view))

    @property
    def faces(self) -> Array:
        """Points `[K, 478, 3]` of the looks that had a face."""
        return np.array([points for points in self.points if points is not None], np.float32)


def check_recording(path: str | Path) -> list[Finding]:
    """Look through a video; the findings, grave ones first.

    Raises:
        SignalError: it cannot be read.
    """
    path = Path(path)
    video = read_video(path, LOOK_FPS)
    seen = Sighting(video.info.fps, video.duration_s, video.size)
    tracker, count = FaceTracker(), FaceTracker(static=True)
    for frame in video:
        face = tracker.track(frame.pixels)
        seen.see(frame.pixels, face)
        if face is not None and frame.index % round(SECOND_FACE_S * LOOK_FPS) == 0:
            tall = [other.height for other in count.faces(frame.pixels)]
            seen.others.append(sum(height > OTHER_SIZE * face.height for height in tall) > 1)
    found = judge(seen)
    return sorted(found, key=lambda finding: not finding.grave)


def require(findings: list[Finding], name: str) -> None:
    """Refuse a recording with a grave finding.

    Raises:
        SignalError: with the sentence of the first one.
    """
    for finding in findings:
        if finding.grave:
            raise SignalError(f"{name} cannot become an avatar: {finding.words}")


def judge(seen: Sighting) -> list[Finding]:
    """What is wrong with a recording."""
    found = _file(seen)
    faces = seen.faces
    if len(faces):
        found += _light(seen) + _place(seen, faces) + _life(seen, faces)
    else:
        found.append(Finding("lost", _GRAVE, "no face was found in it; expected one, whole and lit: film it again."))
    return found


def _file(seen: Sighting) -> list[Finding]:
    found = []
    grave, short = SHORT_S
    if seen.duration_s < short:
        found.append(Finding("length", seen.duration_s < grave,
                             f"it is {seen.duration_s:.1f} s long; expected 30 s to 5 min: film longer."))  # fmt: skip
    if seen.duration_s > LONG_S:
        found.append(Finding("length", _ADVICE, f"it is {seen.duration_s / 60:.0f} min long; expected up to 5 min: "
                             "only a share of its frames is used, cut it to save time."))  # fmt: skip
    grave, slow = SLOW_FPS
    if seen.rate_fps < slow:
        found.append(Finding("rate", seen.rate_fps < grave, f"it has {seen.rate_fps:.1f} pictures a second; expected "
                             "25 or 30: lips move faster than that, change the camera's setting."))  # fmt: skip
    return found


def _light(seen: Sighting) -> list[Finding]:
    found = []
    grey, sharp = float(np.median(seen.grey)), float(np.median(seen.sharp))
    if grey < DARK[1]:
        found.append(Finding("dark", grey < DARK[0], f"the face is too dark, grey level {grey:.0f} of 255; expected 80 "
                             "to 200: put light in front of you, not behind."))  # fmt: skip
    if grey > BRIGHT[1]:
        found.append(Finding("bright", grey > BRIGHT[0], f"the face is too bright, grey level {grey:.0f} of 255; "
                             "expected 80 to 200: move from the light, or lower the exposure."))  # fmt: skip
    if sharp < BLURRED:
        found.append(Finding("blurred", _ADVICE, f"the face is not sharp (Laplacian variance {sharp:.0f}, expected "
                             f"more than {BLURRED:.0f}): clean the lens, focus on the eyes, add light."))  # fmt: skip
    return found


def _place(seen: Sighting, faces: Array) -> list[Finding]:
    found = []
    tall = float(np.median(np.linalg.norm(faces[:, 10, :2] - faces[:, 152, :2], axis=1)))
    if tall < SMALL_PX[1]:
        found.append(Finding("small", tall < SMALL_PX[0], f"the face is {tall:.0f} pixels high; expected more than "
                             f"{SMALL_PX[1]:.0f}, better 260: come closer or film larger pictures."))  # fmt: skip
    lost = 1 - len(faces) / len(seen.points)
    if lost > GONE[1]:
        found.append(Finding("lost", lost > GONE[0], f"in {lost:.0%} of it no face was found; expected one all the "
                             "time: stay in the picture, hands and hair off the face."))  # fmt: skip
    low, high = faces[:, :468, :2].min(1), faces[:, :468, :2].max(1)
    outside = float(((low < 0).any(1) | (high > np.array(seen.size) - 1).any(1)).mean())
    if outside > CUT_OFF[1]:
        found.append(Finding("cut off", outside > CUT_OFF[0], f"in {outside:.0%} of it the face is cut off by the "
                             "border; expected it whole, with space around: move back or to the middle."))  # fmt: skip
    second = float(np.mean(seen.others)) if seen.others else 0.0
    if second > SECOND[1]:
        found.append(Finding("second face", second > SECOND[0], f"in {second:.0%} of the looks there is another face; "
                             "expected one person: film alone, before a plain wall."))  # fmt: skip
    return found + _behind(seen)


def _behind(seen: Sighting) -> list[Finding]:
    """The background, watched in the upper corners."""
    corners = np.array([picture[: _SIDE // 3] for picture in seen.small], np.float32)
    edge = _SIDE // 8
    sides = np.concatenate([corners[:, :, :edge], corners[:, :, -edge:]], 2)
    unrest = float(np.median(sides.std(0)))
    if unrest <= BACKGROUND:
        return []
    return [Finding("background", _ADVICE, f"the background moves or flickers by {unrest:.0f} grey levels; expected "
                    f"less than {BACKGROUND:.0f}: put the camera on something firm, before a still wall.")]  # fmt: skip


def _life(seen: Sighting, faces: Array) -> list[Finding]:
    found = []
    wide = float(np.percentile(opening(faces), 95))
    if wide < OPEN_PERCENT[1]:
        found.append(Finding("shut mouth", wide < OPEN_PERCENT[0], f"the mouth opens by {wide:.0f} % of the eye "
                             f"distance at most; expected more than {OPEN_PERCENT[1]:.0f}: talk in it, for a minute "
                             "or more, with lively lips."))  # fmt: skip
    lids = lid_opening(faces)
    if lids.min() > BLINK_SHARE * np.percentile(lids, 65) and seen.duration_s > SHORT_S[1]:
        found.append(Finding("no blink", _ADVICE, "no shut eyes were seen; expected a blink every few seconds: close "
                             "your eyes slowly once or twice."))  # fmt: skip
    turned = float(np.median(seen.turned))
    if abs(turned) > TURNED_DEG:
        found.append(Finding("turned", _ADVICE, f"the head is turned by {abs(turned):.0f} degrees; expected less than "
                             f"{TURNED_DEG:.0f}: look into the camera."))  # fmt: skip
    if np.std(seen.turned) < STILL_DEG and seen.duration_s > SHORT_S[1]:
        found.append(Finding("still", _ADVICE, f"the head turns by {np.std(seen.turned):.1f} degrees only; expected "
                             "some nods and turns: what was never seen cannot be shown."))  # fmt: skip
    return found
