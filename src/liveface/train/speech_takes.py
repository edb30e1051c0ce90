"""Recordings with the codes of their motion, for the speech-to-motion denoiser: one `Take` a recording.

Notable choices: a take says which groups of its code are known (a rig has no brows, a clip whose lips do not follow its
sound still shows how a head moves); mouths keep the size that each person gives them, and a style says how large that
is; recorded and synthetic speech gets its mouth from the phone teacher, at the size of an average talker; while
nobody speaks the face does what `IdleMotion` does, with the mouth shut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from liveface.errors import RecipeError
from liveface.motion.codes import CODES, EYE_NAMES, GROUPS, codes_of, eyes_of
from liveface.motion.idle import IdleMotion
from liveface.train import phones as speech
from liveface.train.avatar.track import Track, both_ways, solve
from liveface.train.phones import Phone
from liveface.train.speech_data import Item, read_sound, smooth, speaker_of
from liveface.train.speech_labels import MouthSpace, at_house_rate, label_clip
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ, Array, Motion, arkit_spec

KINDS = ("video", "rig", "taught", "synthetic", "noise")
STYLES = ("articulation", "smile", "brow energy", "head energy")
AVERAGE_CM = (
    0.93  # opening that an average talker exceeds 5 % of the time: readers on video .67 (median), free talkers 1.2
)
ARTICULATION_UNIT, ENERGY_UNIT = 0.35, 0.5  # logarithms of size of one unit of style
SMILE_UNIT = 0.06  # mean of mouthSmile of one unit of style
AVERAGE_SMILE = 0.02  # mean of mouthSmile (mean of the speakers on video)
AVERAGE_BROWS, AVERAGE_HEAD = 0.05, 0.28  # standard deviations within a recording, in units of codes: of free talk; the
# readers of GRID, who hold still, have 0.04 and 0.1
MOST_STYLE = 2.0
SMILE = GROUPS["mouth"].start + 5
_SMILE_STOPS = ("P B M", "W UW", "OW AO", "SH CH JH ZH", "F V")
BLEND_FRAMES = 12  # over which the head of one sentence turns into that of the next


@dataclass(frozen=True, slots=True)
class Take:
    """One recording with its labels at house frames.

    Attributes:
        name: file inside the data folder, or what was made.
        kind: one of `KINDS`.
        speaker: whose style it has.
        language: two or three letters, or "".
        samples: `[S]` float32 at the house rate.
        codes: `[T, 26]`, unknown groups zero.
        known: whether mouth, upper face and head are known.
        eyes: `[T, 6]` in the units of `EYE_NAMES`, or None.
        phones: what is said when; None where nobody knows, empty where nobody speaks.
        style: `[4]`, one number for each of `STYLES`.
    """

    name: str
    kind: str
    speaker: str
    language: str
    samples: Array
    codes: Array
    known: tuple[bool, bool, bool]
    eyes: Array | None = None
    phones: Sequence[Phone] | None = None
    style: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def codes_with(frames: int, **groups: Array) -> Array:
    """Codes `[T, 26]` from the groups that are known, each `[T, numbers of the group]`; the others are zero."""
    out = np.zeros((frames, CODES), np.float32)
    for name, values in groups.items():
        out[:, GROUPS[name]] = values[:frames]
    return out


def face_motion(stored: Mapping[str, Any]) -> Motion:
    """Motion of a tracked clip without lag, at house frames; the head counts from its median pose.

    Args:
        stored: a file of the tracking cache.
    """
    score = np.asarray(stored["score"], np.float32)
    size = (int(stored["size"][0]), int(stored["size"][1]))
    points = np.asarray(stored["points"], np.float32)
    raw = solve(Track(points, score, np.zeros(len(score), np.int32), size, float(stored["fps"])))
    head = np.zeros((len(score), 6), np.float32)
    head[:, :3] = raw.angles - np.median(raw.angles, axis=0)
    expression, head, gaze = both_ways([raw.expression, head, raw.gaze], float(stored["fps"]))
    expression, head, gaze = (at_house_rate(values, float(stored["fps"])) for values in (expression, head, gaze))
    return Motion(np.clip(expression, 0, 1), head, gaze, arkit_spec(HOUSE_FPS))


def stored_motion(cache: Path, stem: str, folder: Path) -> Motion:
    """`face_motion` of the clip `stem`, kept in `folder` for the next time.

    Raises:
        RecipeError: the clip is not in the cache.
    """
    file = cache / f"{stem}.npz"
    if not file.is_file():
        raise RecipeError(f"{file} is missing; expected a tracked clip: run `python -m liveface.train.faces {cache}`.")
    kept = folder / f"{stem}.npz"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with np.load(file) as stored:
            motion = face_motion(stored)
        part = kept.with_suffix(".part.npz")
        np.savez(part, expression=motion.expression, head=motion.head, gaze=motion.gaze)
        part.replace(kept)
    with np.load(kept) as content:
        return Motion(content["expression"], content["head"], content["gaze"], arkit_spec(HOUSE_FPS))


def mouth_of(cache: Path, stem: str, space: MouthSpace, said: Sequence[Phone] | None) -> Array | None:
    """Mouth tracks `[T, 17]` of a tracked clip at the person's own size; None when the face was lost too often."""
    with np.load(cache / f"{stem}.npz") as content:
        if content["score"].mean() < 0.95:
            return None
        tracks, _ = label_clip(space, content["points"].astype(np.float32), float(content["fps"]))
    tracks = smooth(tracks)
    if said:
        tracks = speech.hold_firm(tracks, said, 0.6) * (1 - speech.quiet(said, len(tracks)))[:, None]
    return np.clip(tracks, 0, 1)


def video_takes(
    data: Path,
    cache: tuple[Path, Path],
    names: Sequence[str],
    phones: Mapping[str, Sequence[Phone]],
    space: MouthSpace | None,
) -> list[Take]:
    """Tracked clips with everything they show.

    Args:
        cache: folder of tracked points, and folder in which solved motion is kept.
        names: files inside the data folder.
        space: the mouth, or None for clips whose lips do not follow their sound.
    """
    takes = []
    for name in names:
        stem, said = Path(name).stem, phones.get(name) or None
        motion = stored_motion(cache[0], stem, cache[1])
        mouth = None if space is None else mouth_of(cache[0], stem, space, said)
        if space is not None and mouth is None:
            continue
        whole = codes_of(motion)
        if space is None:  # drivers act, and some hold their brows up from beginning to end
            upper = whole[:, GROUPS["upper"]]
            whole[:, GROUPS["upper"]] = np.maximum(upper - np.quantile(upper, 0.1, axis=0), 0)
        frames = len(whole) if mouth is None else min(len(whole), len(mouth))
        groups = {"upper": whole[:, GROUPS["upper"]], "head": whole[:, GROUPS["head"]]}
        codes = codes_with(frames, **groups, **({} if mouth is None else {"mouth": mouth}))
        language = "en" if space is not None else ""
        known = (mouth is not None, True, True)
        samples = read_sound(data / name)
        eyes = eyes_of(motion)[:frames]
        takes.append(Take(name, "video", speaker_of(name), language, samples, codes, known, eyes, said))
    return takes


def from_items(items: Sequence[Item], speakers: Sequence[str], languages: Sequence[str]) -> list[Take]:
    """Takes of recordings of which only the mouth is known."""
    return [
        Take(item.name, item.kind, speaker, language, item.samples, codes_with(len(item.tracks), mouth=item.tracks),
             (True, False, False), None, item.phones)
        for item, speaker, language in zip(items, speakers, languages, strict=True)
    ]  # fmt: skip


def noise_take(samples: Array, name: str, seed: int) -> Take:
    """A background without speech: the mouth is shut, and the rest of the face is idle."""
    frames = len(samples) // (HOUSE_RATE_HZ // HOUSE_FPS)
    idle = IdleMotion(seed).run(frames)
    codes = codes_of(idle)
    codes[:, GROUPS["mouth"]] = 0
    return Take(name, "noise", "nobody", "", samples, codes, (True, True, True), eyes_of(idle), [])


def measured_style(takes: Sequence[Take], space: MouthSpace) -> tuple[float, float, float, float]:
    """The style of one speaker; 0 where nothing is known, else -`MOST_STYLE` to `MOST_STYLE`."""
    style = np.zeros(4)
    mouths = [take.codes[:, GROUPS["mouth"]] for take in takes if take.known[0]]
    if mouths:
        mouth = np.concatenate(mouths)
        style[0] = np.log(max(float(np.quantile(mouth @ space.gap(), 0.95)), 0.05) / AVERAGE_CM) / ARTICULATION_UNIT
        style[1] = (mouth[:, SMILE].mean() - AVERAGE_SMILE) / SMILE_UNIT
    for number, (group, average) in enumerate((("upper", AVERAGE_BROWS), ("head", AVERAGE_HEAD)), start=2):
        spread = [take.codes[:, GROUPS[group]].std(0).mean() for take in takes if take.known[number - 1]]
        if spread:
            style[number] = np.log(max(float(np.mean(spread)), 1e-3) / average) / ENERGY_UNIT
    first, second, third, fourth = (float(value) for value in np.clip(style, -MOST_STYLE, MOST_STYLE))
    return first, second, third, fourth


def with_styles(takes: Sequence[Take], space: MouthSpace) -> list[Take]:
    """The takes with the style that is measured on all takes of their speaker; background has none."""
    own: dict[tuple[str, str], list[Take]] = {}
    for take in takes:
        own.setdefault((take.kind, take.speaker), []).append(take)
    styles = {key: measured_style(group, space) for key, group in own.items() if key[0] != "noise"}
    return [replace(take, style=styles.get((take.kind, take.speaker), take.style)) for take in takes]


def restyled(take: Take, change: npt.NDArray[np.float64]) -> Take:
    """The take in another style, `change` `[4]` units away; closures, rounding and rest stay what they are."""
    codes, frames = take.codes.copy(), len(take.codes)
    mouth = codes[:, GROUPS["mouth"]]
    if take.known[0]:
        mouth *= float(np.exp(ARTICULATION_UNIT * change[0]))
        lips = np.ones(frames, np.float32)
        for names in _SMILE_STOPS if take.phones else ():
            lips -= 0.8 * np.minimum(speech.firmness(take.phones or (), frames, names), lips)
        mouth[:, SMILE] += SMILE_UNIT * float(change[1]) * lips
        if take.phones:
            mouth[:] = speech.hold_firm(mouth, take.phones, 0.6 if take.kind == "video" else 1.0)
        np.clip(mouth, 0, 1, out=mouth)
    for number, group in enumerate(("upper", "head"), start=2):
        part = codes[:, GROUPS[group]]
        middle = np.median(part, axis=0)
        part[:] = middle + (part - middle) * float(np.exp(ENERGY_UNIT * change[number]))
    np.clip(codes[:, GROUPS["upper"]], 0, 1, out=codes[:, GROUPS["upper"]])
    first, second, third, fourth = (float(a + b) for a, b in zip(take.style, change, strict=True))
    return replace(take, codes=codes, style=(first, second, third, fourth))


def at_pace(take: Take, pace: float) -> Take:
    """The take spoken `pace` times as fast (and as high)."""
    if pace == 1:
        return take
    samples = soxr.resample(take.samples, HOUSE_RATE_HZ * pace, HOUSE_RATE_HZ).astype(np.float32)
    eyes = None if take.eyes is None else at_house_rate(take.eyes, HOUSE_FPS * pace)
    phones = None if take.phones is None else [(name, start / pace, end / pace) for name, start, end in take.phones]
    codes = at_house_rate(take.codes, HOUSE_FPS * pace)
    return replace(take, samples=samples, codes=codes, eyes=eyes, phones=phones)


def joined(takes: Sequence[Take]) -> Take:
    """Sentences of one speaker one after the other; the face of each turns into that of the next.

    Args:
        takes: all with the same groups known.
    """
    samples: list[Array] = []
    codes: list[Array] = []
    eyes: list[Array] = []
    phones: list[Phone] = []
    at, step = 0, HOUSE_RATE_HZ // HOUSE_FPS
    for take in takes:
        frames = min(len(take.samples) // step, len(take.codes))
        part = take.codes[:frames].copy()
        if codes:
            left = np.clip(1 - np.arange(1, frames + 1) / BLEND_FRAMES, 0, 1).astype(np.float32)
            part += (codes[-1][-1] - part[0]) * (left**2 * (3 - 2 * left))[:, None]
        sound = take.samples[: frames * step].copy()
        ramp = np.linspace(0, 1, step // 4, dtype=np.float32)
        sound[: len(ramp)] *= ramp
        sound[-len(ramp) :] *= ramp[::-1]
        samples.append(sound)
        codes.append(part)
        eyes.append(np.zeros((frames, len(EYE_NAMES)), np.float32) if take.eyes is None else take.eyes[:frames])
        phones += [(name, start + at / HOUSE_FPS, end + at / HOUSE_FPS) for name, start, end in take.phones or ()]
        at += frames
    first = takes[0]
    known = all(take.phones is not None for take in takes)
    return replace(
        first,
        name="+".join(Path(take.name).stem for take in takes),
        samples=np.concatenate(samples),
        codes=np.concatenate(codes),
        eyes=None if first.eyes is None else np.concatenate(eyes),
        phones=phones if known else None,
    )
