"""Held-out recordings of people who speak, with what their lips truly did.

Notable choices: tracked points lose the head's pose by a similarity on points that speech leaves alone; a person's rest
is the mean of the frames with the most closed lips; clips may be read from the tracking cache of `train.faces` instead
of being tracked again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liveface.errors import SignalError
from liveface.geometry import fit_similarity
from liveface.lipsync.measures import CORNERS, UPPER_FACE, Lips, Phone, lips_of, opening
from liveface.metrics import EYE_CORNERS, IOD_SHARE, MOUTH
from liveface.motion.face_model import FaceModel
from liveface.signals.face import FaceTracker
from liveface.signals.media import read_audio, read_video
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, Array

STABLE = (168, 6, 197, 195, 5, 4, 33, 133, 263, 362, 10, 151, 9, 8, 127, 356, 234, 454, 103, 332, 46, 276, 226, 446,
          193, 417, 122, 351, 196, 419)  # fmt: skip
"""Points that speech leaves alone; numbers of MediaPipe's canonical face."""
REST_SHARE = 0.1  # of the frames, those with the most closed lips, are rest
VIDEOS = (
    "video/open/grid-more/s26__*", "video/open/grid-more/s30__*", "video/open/grid-more/xa__*",
    "video/open/grid-more/xb__*", "video/open/lipnet__swiz3n*", "video/open/lia__obama*",
    "video/open/edtalk__uncrop-obama*",
)  # fmt: skip
TAKE = "motion/facegood/1114_3_16"
SOUND_LATE_S = {"obama": 0.25}
"""Groups whose files carry their sound late. Measured: over 66 s, correlation 0.2 at no lag and 0.6 at 8 frames, in a
peak as narrow as GRID's at 0 to 1 frame. The true motion is moved by as much before it is compared."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording with its true opening `[T]` at house frames, percent of the inter-ocular distance.

    Attributes:
        name: file inside the data folder.
        group: who speaks.
        samples: `[S]` float32 at the house rate.
        opening: `[T]`.
        phones: what is said when, where it is known.
        lips: all of the true motion; None where only the opening was measured.
    """

    name: str
    group: str
    samples: Array
    opening: Array
    phones: tuple[Phone, ...] = ()
    lips: Lips | None = None


def at_house_rate(track: Array, fps: float, frames: int, late_s: float = 0.0) -> Array:
    """A track `[T]` at `fps`, begun `late_s` later, linearly interpolated at the times of `frames` house frames."""
    times = np.arange(frames) / HOUSE_FPS - late_s
    return np.interp(times, np.arange(len(track)) / fps, track).astype(np.float32)


def head_free(points: Array, mean: Array) -> Array:
    """Points `[T, 478, 3]` in pixels, in the face frame of `mean` (cm), with the head's pose and size removed."""
    stable = list(STABLE)
    out = np.empty((len(points), points.shape[1], 3), np.float32)
    rest = np.median(points, axis=0)
    scale, _, _ = fit_similarity(rest[stable], mean[stable])
    for index, frame in enumerate(points):
        _, rotation, _ = fit_similarity(frame[stable], mean[stable])
        centred = frame - frame[stable].mean(0)
        out[index] = scale * centred @ rotation.T + mean[stable].mean(0)
    return out


def rest_face(face: Array, opened: Array) -> Array:
    """The person's face with closed lips `[478, 3]`: the mean of the tenth of the frames with the least opening."""
    closed = opened <= np.quantile(opened, REST_SHARE)
    mean: Array = face[closed].mean(0)
    return mean


def lips_in(points: Array, fps: float, frames: int, late_s: float = 0.0) -> Lips:
    """What tracked points `[F, 478, 3]` (pixels, at `fps`) do, at `frames` house frames."""
    opened = opening(points)
    face = head_free(points, FaceModel.load().mean)
    eyes = IOD_SHARE * np.linalg.norm(face[:, EYE_CORNERS[0], :2] - face[:, EYE_CORNERS[1], :2], axis=-1)
    width = np.float32(100) * np.linalg.norm(face[:, CORNERS[0], :2] - face[:, CORNERS[1], :2], axis=-1) / eyes
    moved = (face - rest_face(face, opened))[:, MOUTH, :2]
    brows = (face - np.median(face, axis=0).astype(np.float32))[:, UPPER_FACE, :2]

    def timed(track: Array) -> Array:
        columns = track.reshape(len(track), -1).T
        out = [at_house_rate(column, fps, frames, late_s) for column in columns]
        return np.stack(out, axis=1).reshape(frames, *track.shape[1:])

    return Lips(timed(opened), timed(width.astype(np.float32)), timed(moved), timed(brows))


def _group(name: str) -> str:
    """Whose clip a data file is."""
    if "obama" in name:
        return "obama"
    if "grid-s1" in name:
        return "s1"
    return "s26" if "swiz3n" in name else Path(name).stem.split("__", maxsplit=1)[0]


def _tracked(file: Path, faces: Path | None) -> tuple[Array, float]:
    """Points `[F, 478, 3]` of a clip and its rate, from the tracking cache `faces` where that holds it."""
    stored = faces / f"{file.stem}.npz" if faces is not None else None
    if stored is not None and stored.is_file():
        with np.load(stored) as content:
            return content["points"].astype(np.float32), float(content["fps"])
    tracker, points = FaceTracker(), []
    video = read_video(file)
    for frame in video:
        face = tracker.track(frame.pixels)
        if face is not None:
            points.append(face.points)
        elif points:
            points.append(points[-1])
    if not points:
        raise SignalError(f"no face was found in {file}; expected a talking head: leave the clip out.")
    return np.array(points), video.fps


def read_samples(file: Path) -> Array:
    """The sound of a file at the house rate, `[S]` float32."""
    return np.concatenate([block.samples for block in read_audio(file)])


def video_clip(file: Path, name: str, phones: Sequence[Phone] = (), faces: Path | None = None) -> Clip:
    """A clip with its sound, tracked or from the tracking cache `faces`."""
    points, fps = _tracked(file, faces)
    samples, group = read_samples(file), _group(name)
    frames = min(len(samples) * HOUSE_FPS // HOUSE_RATE_HZ, int(len(points) / fps * HOUSE_FPS))
    lips = lips_in(points, fps, frames, SOUND_LATE_S.get(group, 0.0))
    return Clip(name, group, samples, lips.opening, tuple(phones), lips)


def _rig_clip(data: Path) -> Clip:
    """The held-out facegood take, through the face model; its brows do not move."""
    with np.load(data / f"{TAKE}.npz") as content:
        expression = content["arkit"].astype(np.float32)
    samples = read_samples(data / f"{TAKE}.ogg")
    frames = min(len(samples) * HOUSE_FPS // HOUSE_RATE_HZ, len(expression))
    true = lips_of(expression[:frames])
    return Clip(f"{TAKE}.ogg", "facegood", samples, true.opening, (), Lips(true.opening, true.width, true.lips, None))


def read_phones(file: Path) -> dict[str, list[Phone]]:
    """Phones of every recording in a JSON file: name to rows of phone, start and length in seconds."""
    stored = json.loads(file.read_text("utf-8"))
    return {name: [(row[0], row[1], row[1] + row[2]) for row in rows] for name, rows in stored.items()}


def held_out(data: Path, phones_file: Path | None, faces: Path | None = None) -> list[Clip]:
    """All held-out talking clips of the data folder with their true motion.

    Args:
        data: the training data's folder.
        phones_file: such as `bench/held_out_phones.json`.
        faces: a tracking cache of `python -m liveface.train.faces`; without it every clip is tracked.

    Raises:
        SignalError: the folder does not hold them, or a clip shows no face.
    """
    phones = {} if phones_file is None else read_phones(phones_file)
    files = sorted((data / "video/open/grid-s1").glob("*.mp4"))[::10]
    files += [file for pattern in VIDEOS for file in sorted(data.glob(pattern))]
    if not files or not (data / f"{TAKE}.npz").is_file():
        raise SignalError(
            f"{data} holds {len(files)} held-out talking clips and {'a' if (data / f'{TAKE}.npz').is_file() else 'no'} "
            f"{TAKE}.npz; expected both: name the data folder with --data or LIVEFACE_DATA."
        )
    clips = []
    for file in files:
        name = file.relative_to(data).as_posix()
        clips.append(video_clip(file, name, phones.get(name, ()), faces))
    return [*clips, _rig_clip(data)]
