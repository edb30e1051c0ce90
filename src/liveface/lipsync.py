"""How well predicted motion follows the voice: opening of the lips, lag, closures, silence, jitter.

Notable choices: everything is measured on the opening of the inner lips in percent of the inter-ocular distance (0.7
of the outer eye corners, as in `metrics`), of tracked pictures and of predicted faces alike; every score stands beside
the same score with another recording's sound; a closure counts when the lips come within a fifth of the speaker's own
range of their rest.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liveface.errors import SignalError
from liveface.metrics import EYE_CORNERS, IOD_SHARE
from liveface.motion.audio import SpeechToMotion
from liveface.motion.face_model import FaceModel
from liveface.signals.face import FaceTracker
from liveface.signals.media import read_audio, read_video
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, Array

LIP_PAIRS = ((82, 87), (13, 14), (312, 317))  # upper and lower inner lip, middle third, of MediaPipe's mesh
CLOSED = 0.2  # share of the range of openings that counts as closed
MOST_LAG = 8  # frames
PRESSED, OPEN_VOWELS = ("P", "B", "M"), ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "EY", "OW", "IY")
VIDEOS = (
    "video/open/grid-more/s26__*", "video/open/grid-more/s30__*", "video/open/grid-more/xa__*",
    "video/open/grid-more/xb__*", "video/open/lipnet__swiz3n*", "video/open/lia__obama*",
    "video/open/edtalk__uncrop-obama*",
)  # fmt: skip
TAKE = "motion/facegood/1114_3_16"
SOUND_LATE_S = {"obama": 0.25}
"""Groups whose files carry their sound late. Measured: over 66 s, correlation 0.2 at no lag and 0.6 at 8 frames, in a
peak as narrow as GRID's at 0 to 1 frame. The true opening is moved by as much before it is compared."""

Phone = tuple[str, float, float]  # name, start and end in seconds


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording with its true opening `[T]` at house frames, percent of the inter-ocular distance."""

    name: str
    group: str
    samples: Array
    opening: Array
    phones: tuple[Phone, ...] = ()


def opening(points: Array) -> Array:
    """Inner-lip opening `[T]` of points `[T, 478, 2 or 3]`, in percent of the inter-ocular distance.

    Measured in the plane of the picture, because a tracker's depth is a guess.
    """
    points = points[..., :2]
    eyes = IOD_SHARE * np.linalg.norm(points[:, EYE_CORNERS[0]] - points[:, EYE_CORNERS[1]], axis=-1)
    gaps = [np.linalg.norm(points[:, low] - points[:, high], axis=-1) for high, low in LIP_PAIRS]
    return (100 * np.mean(gaps, axis=0) / np.maximum(eyes, 1e-6)).astype(np.float32)


def opening_of(expression: Array, model: FaceModel | None = None) -> Array:
    """The opening `[T]` in percent over the rest of the mean face, under coefficients `[T, 52]`.

    Rest counts as shut, and so do lips that would cross.
    """
    model = model or FaceModel.load()
    gaps = [expression @ (model.expression[:, low, 1] - model.expression[:, high, 1]) for high, low in LIP_PAIRS]
    eyes = IOD_SHARE * float(np.linalg.norm((model.mean[EYE_CORNERS[0]] - model.mean[EYE_CORNERS[1]])[:2]))
    return (100 * np.maximum(np.mean(gaps, axis=0), 0) / eyes).astype(np.float32)


def at_house_rate(track: Array, fps: float, frames: int, late_s: float = 0.0) -> Array:
    """A track `[T]` at `fps`, begun `late_s` later, linearly interpolated at the times of `frames` house frames."""
    times = np.arange(frames) / HOUSE_FPS - late_s
    return np.interp(times, np.arange(len(track)) / fps, track).astype(np.float32)


def lagged(made: Array, true: Array, most: int = MOST_LAG) -> tuple[float, int]:
    """The best correlation within `most` frames and its lag; a positive lag means `made` is late."""
    best = (-2.0, 0)
    for lag in range(-most, most + 1):
        a, b = made[max(lag, 0) : len(made) + min(lag, 0)], true[max(-lag, 0) : len(true) - max(lag, 0)]
        best = max(best, (correlation(a, b), lag))
    return best


def correlation(made: Array, true: Array) -> float:
    """Pearson's correlation; 0 for a track that does not move."""
    spread = float(made.std() * true.std())
    return float(((made - made.mean()) * (true - true.mean())).mean() / spread) if spread > 1e-9 else 0.0


def closures(track: Array, phones: Sequence[Phone], names: Sequence[str]) -> tuple[int, int]:
    """How many of the phones `names` come with closed lips, and how many there are."""
    rest, wide = np.quantile(track, [0.05, 0.95])
    limit, hits, count = rest + CLOSED * (wide - rest), 0, 0
    for name, start, end in phones:
        if name in names:
            first, last = int((start - 0.034) * HOUSE_FPS), int(np.ceil((end + 0.017) * HOUSE_FPS))
            inside = track[max(first, 0) : max(last, first + 1)]
            if len(inside):
                hits, count = hits + int(inside.min() <= limit), count + 1
    return hits, count


def jitter(track: Array) -> float:
    """Mean absolute second difference of a track, percent of the inter-ocular distance a frame squared."""
    return float(np.abs(np.diff(track, 2)).mean()) if len(track) > 2 else 0.0


def _group(name: str) -> str:
    """Whose clip a data file is."""
    if "obama" in name:
        return "obama"
    if "grid-s1" in name:
        return "s1"
    return "s26" if "swiz3n" in name else Path(name).stem.split("__", maxsplit=1)[0]


def _video_clip(file: Path, name: str, phones: Sequence[Phone]) -> Clip:
    """Track a clip and read its sound."""
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
    samples = np.concatenate([block.samples for block in read_audio(file)])
    frames = min(len(samples) * HOUSE_FPS // HOUSE_RATE_HZ, int(len(points) / video.fps * HOUSE_FPS))
    group = _group(name)
    true = at_house_rate(opening(np.array(points)), video.fps, frames, SOUND_LATE_S.get(group, 0.0))
    return Clip(name, group, samples, true, tuple(phones))


def _rig_clip(data: Path) -> Clip:
    """The held-out facegood take, through the face model."""
    with np.load(data / f"{TAKE}.npz") as content:
        expression = content["arkit"].astype(np.float32)
    samples = np.concatenate([block.samples for block in read_audio(data / f"{TAKE}.ogg")])
    frames = min(len(samples) * HOUSE_FPS // HOUSE_RATE_HZ, len(expression))
    return Clip(f"{TAKE}.ogg", "facegood", samples, opening_of(expression)[:frames])


def held_out(data: Path, phones_file: Path | None) -> list[Clip]:
    """All held-out talking clips of the data folder with their true openings."""
    phones: dict[str, list[Phone]] = {}
    if phones_file is not None:
        stored = json.loads(phones_file.read_text("utf-8"))
        phones = {name: [(row[0], row[1], row[1] + row[2]) for row in rows] for name, rows in stored.items()}
    files = sorted((data / "video/open/grid-s1").glob("*.mp4"))[::10]
    files += [file for pattern in VIDEOS for file in sorted(data.glob(pattern))]
    clips = []
    for file in files:
        name = file.relative_to(data).as_posix()
        clips.append(_video_clip(file, name, phones.get(name, ())))
    return [*clips, _rig_clip(data)]


def score(made: Array, clip: Clip) -> dict[str, float]:
    """Scores of a predicted opening `[T]` against a clip."""
    frames = min(len(made), len(clip.opening))
    made, true = made[:frames], clip.opening[:frames]
    best, lag = lagged(made, true)
    own = (made - made.mean()) * (true.std() / max(float(made.std()), 1e-6)) + true.mean()  # at this speaker's size
    return {
        "correlation": correlation(made, true),
        "best_correlation": best,
        "lag_frames": float(lag),
        "amplitude": float(made.std() / max(float(true.std()), 1e-6)),
        "error_percent": float(np.abs(own - true).mean()),
        "jitter": jitter(made),
        "true_jitter": jitter(true),
    }


def _recall(tracks: Sequence[Array], clips: Sequence[Clip], names: Sequence[str]) -> float:
    found = [closures(track, clip.phones, names) for track, clip in zip(tracks, clips, strict=True) if clip.phones]
    return sum(hits for hits, _ in found) / max(sum(count for _, count in found), 1)


def silence(model: SpeechToMotion, seconds: float = 6.0) -> dict[str, float]:
    """Opening in percent of the inter-ocular distance while nobody speaks: mean and most, for kinds of quiet."""
    rng, count = np.random.default_rng(0), int(seconds * HOUSE_RATE_HZ)
    white = rng.normal(size=count).astype(np.float32)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.arange(count // 2 + 1) + 1.0), count)
    pink = (pink / pink.std()).astype(np.float32)
    out = {}
    sounds = {"digital": white * 0, "white_-55dB": white * 10 ** (-55 / 20), "pink_-40dB": pink * 10 ** (-40 / 20),
              "pink_-30dB": pink * 10 ** (-30 / 20)}  # fmt: skip
    for name, sound in sounds.items():
        track = opening_of(model.run(sound).expression)
        out[f"{name}_mean"], out[f"{name}_max"] = float(track.mean()), float(track.max())
    return out


def report(data: Path, out: Path | None = None, phones: Path | None = None) -> dict[str, object]:
    """Measure the shipped speech model on the held-out recordings of `data`.

    Args:
        data: the training data's folder.
        out: where the JSON goes, such as `bench/results/speech.json`.
        phones: phones of the held-out clips, such as `bench/held_out_phones.json`; without it, no closure recall.
    """
    clips, model = held_out(data, phones), SpeechToMotion(idle=None)
    made = [opening_of(model.run(clip.samples).expression) for clip in clips]
    rows = [score(track, clip) for track, clip in zip(made, clips, strict=True)]
    turned = [made[(index + 1) % len(made)] for index in range(len(made))]  # everybody hears the next one's sound
    turned = [np.resize(track, len(clip.opening)) for track, clip in zip(turned, clips, strict=True)]
    shuffled = [score(track, clip) for track, clip in zip(turned, clips, strict=True)]
    still = [float(np.abs(clip.opening - np.median(clip.opening)).mean()) for clip in clips]
    truth = [clip.opening for clip in clips]
    groups = sorted({clip.group for clip in clips})

    def middle(table: Sequence[dict[str, float]], group: str | None = None) -> dict[str, float]:
        kept = [row for row, clip in zip(table, clips, strict=True) if group in {None, clip.group}]
        return {key: round(float(np.median([row[key] for row in kept])), 3) for key in kept[0]}

    result: dict[str, object] = {
        "machine": platform.machine(),
        "clips": len(clips),
        "lookahead_ms": round(model.lookahead_ms, 1),
        "median": middle(rows),
        "shuffled": middle(shuffled),
        "still_face_error_percent": round(float(np.median(still)), 3),
        "by_group": {group: middle(rows, group) for group in groups},
        "closure_recall": {
            name: {kind: round(_recall(tracks, clips, phones_), 3) for kind, tracks in
                   (("predicted", made), ("shuffled", turned), ("true", truth))}
            for name, phones_ in (("p b m", PRESSED), ("open vowels (should be low)", OPEN_VOWELS))
        },
        "silence_percent": {name: round(value, 3) for name, value in silence(model).items()},
        "per_clip": {clip.name: {key: round(value, 3) for key, value in row.items()}
                     for clip, row in zip(clips, rows, strict=True)},
    }  # fmt: skip
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return result
