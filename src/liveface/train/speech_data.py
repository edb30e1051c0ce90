"""The training set of the speech network: real mouths, a rig's animation, taught speech, and noise.

Notable choices: every recording is made several times over in worse and worse sound (level, pace, telephone band,
rooms, noise, babble), because the labels do not mind; the features of all of it are computed once and fit in memory;
a style number per speaker travels with the labels; what nobody says moves nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soxr

from liveface.errors import RecipeError, SignalError
from liveface.metrics import EYE_CORNERS, IOD_SHARE
from liveface.motion.codes import MOUTH_TRACKS
from liveface.signals.features import FRAME_SAMPLES, HOPS_PER_FRAME, MELS, log_mel
from liveface.train import phones as speech
from liveface.train import speech_sounds as sounds
from liveface.train.phones import Phone
from liveface.train.speech_labels import MouthSpace, at_house_rate, label_clip
from liveface.types import ARKIT_INDEX, HOUSE_FPS, HOUSE_RATE_HZ, Array

KINDS = ("video", "rig", "taught", "noise")
STRONG_CM = 1.15  # opening that a lively talker exceeds 5 % of the time (two free speakers on video: 1.15 and 1.29)
Row = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], int, int]  # features, tracks, sounds, style, kind
MOST, LEAST = 2.2, 0.8  # factors by which a speaker's motion may be scaled to that


@dataclass(slots=True)
class Item:
    """One recording with its labels at house frames.

    Attributes:
        name: file inside the data folder.
        kind: one of `KINDS`.
        style: row of the network's style table.
        samples: `[S]` float32 at the house rate.
        tracks: `[T, N]` mouth tracks.
        phones: what is said when, or None.
        gap: `[T]` measured opening in cm over rest, for scores; None where there is no picture.
    """

    name: str
    kind: str
    style: int
    samples: Array
    tracks: Array
    phones: list[Phone] | None = None
    gap: Array | None = None


@dataclass(slots=True)
class SpeechSet:
    """Features and labels of all variants, end to end; `spans` `[I, 3]` are first frame, frames, kind."""

    features: np.ndarray  # [frames * 4, MELS] float16
    tracks: np.ndarray  # [frames, N] float16
    sounds: np.ndarray  # [frames] int8, -1 unknown
    style: np.ndarray  # [frames] int16
    spans: np.ndarray
    styles: list[str] = field(default_factory=list)

    def save(self, file: Path) -> None:
        """Store the set; read it back with `load`."""
        arrays = {name: getattr(self, name) for name in ("features", "tracks", "sounds", "style", "spans")}
        np.savez(file, styles=np.array(self.styles), **arrays)

    @staticmethod
    def load(file: Path) -> SpeechSet:
        """A stored set."""
        with np.load(file) as content:
            arrays = {name: content[name] for name in content.files if name != "styles"}
            return SpeechSet(**arrays, styles=[str(name) for name in content["styles"]])


def read_sound(file: Path) -> Array:
    """The sound of a file at the house rate, mono float32 `[S]`."""
    parts = []
    with av.open(str(file)) as container:
        if not container.streams.audio:
            raise SignalError(f"{file} has no sound; expected speech: leave it out of the recipe.")
        resampler = av.AudioResampler("flt", "mono", HOUSE_RATE_HZ)
        for frame in container.decode(audio=0):
            parts += [piece.to_ndarray().ravel() for piece in resampler.resample(frame)]
        parts += [piece.to_ndarray().ravel() for piece in resampler.resample(None)]
    return np.concatenate(parts).astype(np.float32)


def read_phones(file: Path) -> dict[str, list[Phone]]:
    """Phones of every aligned file: data file name to a list of (phone, start, end in seconds)."""
    if not file.is_file():
        raise RecipeError(f"there are no phones in {file}; make them with `python tools/align_phones.py DATA {file}`.")
    content = json.loads(file.read_text("utf-8"))
    return {name: [(row[0], row[1], row[1] + row[2]) for row in rows] for name, rows in content.items()}


def lively(tracks: Sequence[Array], space: MouthSpace) -> float:
    """The factor that brings one speaker's motion to that of a lively talker."""
    gap = np.concatenate(list(tracks)) @ space.gap()
    return float(np.clip(STRONG_CM / max(float(np.quantile(gap, 0.95)), 1e-3), LEAST, MOST))


def smooth(track: Array) -> Array:
    """Three-point smoothing in time, which takes most of the tracker's shiver from `[T, D]`."""
    wide = np.concatenate([track[:1], track, track[-1:]])
    return (0.25 * wide[:-2] + 0.5 * wide[1:-1] + 0.25 * wide[2:]).astype(np.float32)


def speaker_of(name: str) -> str:
    """Who speaks in a video file of the data."""
    stem = Path(name).stem
    return "s1" if "grid-s1" in name else stem.split("__")[0] if "grid-more" in name else stem


def video_items(
    data: Path, cache: Path, names: Sequence[str], phones: dict[str, list[Phone]], space: MouthSpace, styles: list[str]
) -> list[Item]:
    """Tracked clips `names` (files inside the data folder) as items; each speaker scaled to a lively talker."""
    raw: dict[str, list[tuple[str, Array, Array]]] = {}
    for name in names:
        file = cache / f"{Path(name).stem}.npz"
        if not file.is_file():
            raise RecipeError(f"{file} is missing; expected a tracked clip: run `python -m liveface.train.faces`.")
        with np.load(file) as content:
            if content["score"].mean() < 0.95:
                continue
            tracks, opened = label_clip(space, content["points"].astype(np.float32), float(content["fps"]))
        raw.setdefault(speaker_of(name), []).append((name, smooth(tracks), opened[:, 0]))
    items = []
    eyes_cm = IOD_SHARE * float(np.linalg.norm((space.mean[EYE_CORNERS[0]] - space.mean[EYE_CORNERS[1]])[:2]))
    for speaker, clips in raw.items():
        factor = lively([tracks for _, tracks, _ in clips], space)
        if speaker not in styles:
            styles.append(speaker)
        for name, tracks, opened in clips:
            said = phones.get(name) or None
            scaled = np.clip(tracks * factor, 0, 1)
            if said:
                scaled = speech.hold_firm(scaled, said, 0.6) * (1 - speech.quiet(said, len(scaled)))[:, None]
            gap = ((opened - np.quantile(opened, 0.1)) / 100 * eyes_cm).astype(np.float32)
            samples = read_sound(data / name)
            items.append(Item(name, "video", styles.index(speaker), samples, scaled, said, gap))
    return items


def rig_tracks(file: Path) -> Array:
    """A facegood take as mouth tracks `[T, N]`: its ARKit map, plus the two lip shapes that map leaves out."""
    with np.load(file) as content:
        arkit, rig = content["arkit"].astype(np.float32), content["rig"].astype(np.float32)
        names = [str(name) for name in content["rig_names"]]
    tracks = np.stack([arkit[:, [ARKIT_INDEX[name] for name in names_]].mean(1) for names_ in MOUTH_TRACKS], axis=1)
    first = [names_[0] for names_ in MOUTH_TRACKS]
    oh, oo = rig[:, names.index("mouth_oh_c")], rig[:, names.index("mouth_oo_c")]
    tracks[:, first.index("mouthFunnel")] += 0.4 * oh
    tracks[:, first.index("jawOpen")] += 0.1 * oh
    tracks[:, first.index("mouthPucker")] += 0.6 * oo + 0.15 * oh
    return np.clip(tracks, 0, 1)


def rig_items(data: Path, takes: Sequence[str], space: MouthSpace, styles: list[str]) -> list[Item]:
    """Facegood takes as items of one style."""
    styles.append("facegood")
    tracks = [rig_tracks(data / f"motion/facegood/{take}.npz") for take in takes]
    factor = lively(tracks, space)
    return [
        Item(f"motion/facegood/{take}.ogg", "rig", styles.index("facegood"),
             read_sound(data / f"motion/facegood/{take}.ogg"), np.clip(track * factor, 0, 1),
             gap=track @ space.gap())
        for take, track in zip(takes, tracks, strict=True)
    ]  # fmt: skip


def catalogue(data: Path, kind: str) -> list[dict[str, str]]:
    """Rows of the data's catalogue of one kind ("speech", "video")."""
    with (data / "catalog.csv").open(encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["kind"] == kind]


def speaking_rate(phones: Sequence[Phone]) -> float:
    """Phones per second of speech; outside 5 to 20 the recogniser has lost the thread."""
    spoken = [end - start for name, start, end in phones if name != "SIL"]
    return len(spoken) / max(sum(spoken), 0.1)


def taught_items(
    data: Path,
    phones: dict[str, list[Phone]],
    groups: Sequence[str],
    teacher: speech.PhoneTeacher,
    manners: Sequence[int],
) -> list[Item]:
    """Recorded speech with the teacher's motion; the manner (style) changes from file to file."""
    items: list[Item] = []
    for row in catalogue(data, "speech"):
        if row["group"] not in groups:
            continue
        said = phones.get(row["file"]) or []
        if len(said) < 6 or not 5 <= speaking_rate(said) <= 20:
            continue
        samples = read_sound(data / row["file"])[: 110 * HOUSE_RATE_HZ]
        style = manners[len(items) % len(manners)]
        tracks = speech.teach(teacher, said, len(samples) // FRAME_SAMPLES, style)
        items.append(Item(row["file"], "taught", style, samples, tracks, said))
    return items


class Spoiler:
    """Makes worse recordings of good ones; seeded."""

    def __init__(self, seed: int, babble: Sequence[Array]) -> None:
        """`babble`: other recordings, mixed under the speech as voices in the room."""
        self.rng = np.random.default_rng(seed)
        self.babble = babble

    def noise(self, count: int) -> Array:
        """A background of unit power, `[count]`: coloured noise, hum, a fan, voices, music, or a room."""
        rng, kind = self.rng, int(self.rng.integers(0, 7))
        if kind == 0 and self.babble:
            out = np.zeros(count, np.float32)
            for _ in range(int(rng.integers(3, 7))):
                voice = self.babble[int(rng.integers(0, len(self.babble)))]
                out += np.resize(np.roll(voice, int(rng.integers(0, len(voice)))), count) / (voice.std() + 1e-6)
        elif kind == 5:
            out = sounds.music(rng, count)
        elif kind == 6:
            out = sounds.room(rng, count)
        else:
            out = sounds.shaped_noise(rng, count, rng.uniform(-1.1, 0.1))
            if kind == 1:
                time_s = np.arange(count) / HOUSE_RATE_HZ
                base_hz = rng.choice([50, 60, 100, 120])
                hum = sum(np.sin(2 * np.pi * base_hz * k * time_s + rng.uniform(0, 6)) / k for k in range(1, 6))
                out = out * 0.3 + np.asarray(hum, np.float32)
            if kind == 2:
                swing = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 5) * np.arange(count) / HOUSE_RATE_HZ)
                out = out * swing.astype(np.float32)
        return (out / (out.std() + 1e-9)).astype(np.float32)

    def line(self, samples: Array) -> Array:
        """Through a telephone line, a codec at a low rate, or a network that loses packets."""
        rng, kind = self.rng, int(self.rng.integers(0, 3))
        peak = max(float(np.abs(samples).max()), 1e-6)
        if kind == 0:
            return sounds.mu_law(samples / peak) * peak
        if kind == 1:
            return sounds.opus(samples / peak, int(rng.choice([8_000, 12_000, 20_000]))) * peak
        return sounds.lossy(samples, rng, float(rng.uniform(0.02, 0.12)))

    def colour(self, samples: Array, *, telephone: bool) -> Array:
        """Another microphone: a random tilt of the spectrum, the telephone band or a dull codec, a small room."""
        rng = self.rng
        size = len(samples) + HOUSE_RATE_HZ // 2
        spectrum = np.fft.rfft(samples, size)
        hertz = np.fft.rfftfreq(size, 1 / HOUSE_RATE_HZ)
        octave = np.log2(np.maximum(hertz, 40) / 1000)
        gain_db = rng.uniform(-2.0, 2.0) * octave + 3 * np.sin(octave * rng.uniform(0.5, 2) + rng.uniform(0, 6))
        if telephone:
            gain_db -= 60 * np.clip((hertz - rng.uniform(3200, 3900)) / 300, 0, 1)
            gain_db -= 40 * np.clip((rng.uniform(100, 330) - hertz) / 100, 0, 1)
        elif rng.random() < 0.3:
            gain_db -= 60 * np.clip((hertz - rng.uniform(4500, 7500)) / 600, 0, 1)
        spectrum *= 10 ** (gain_db / 20)
        if rng.random() < 0.35:
            count = int(rng.uniform(0.08, 0.35) * HOUSE_RATE_HZ)
            tail = rng.normal(size=count) * 10 ** (-3 * np.arange(count) / count) * rng.uniform(0.005, 0.03)
            tail[0] = 1.0
            spectrum *= np.fft.rfft(tail, size)
        return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)

    def spoil(self, samples: Array, *, hard: bool) -> Array:
        """A worse recording of the same length; `hard` also adds noise, telephone band, clipping and codecs."""
        rng = self.rng
        out = self.colour(samples, telephone=hard and rng.random() < 0.25)
        power_db = 10 * np.log10(np.mean(out**2) + 1e-9)
        out = out * 10 ** ((rng.uniform(-42, -17) - power_db) / 20)
        if hard:
            ratio_db = rng.uniform(3, 30)
            out = out + self.noise(len(out)) * np.sqrt(np.mean(out**2)) * 10 ** (-ratio_db / 20)
            if rng.random() < 0.1:
                limit = np.quantile(np.abs(out), rng.uniform(0.95, 0.995))
                out = np.clip(out, -limit, limit)
            if rng.random() < 0.3:
                out = self.line(np.asarray(out, np.float32))
        else:
            out = out + rng.normal(size=len(out)) * 10 ** (rng.uniform(-90, -60) / 20)
        return np.asarray(out, np.float32)


def at_pace(item: Item, pace: float) -> Item:
    """The item spoken `pace` times as fast (and as high); labels follow."""
    if pace == 1:
        return item
    samples = soxr.resample(item.samples, HOUSE_RATE_HZ * pace, HOUSE_RATE_HZ).astype(np.float32)
    tracks = at_house_rate(item.tracks, HOUSE_FPS * pace)
    phones = item.phones and [(name, start / pace, end / pace) for name, start, end in item.phones]
    return Item(item.name, item.kind, item.style, samples, tracks, phones)


def noise_item(spoiler: Spoiler, seconds: float) -> Item:
    """Background without speech: nothing moves."""
    count = int(seconds * HOUSE_RATE_HZ)
    samples = spoiler.noise(count) * 10 ** (spoiler.rng.uniform(-75, -25) / 20)
    starts = np.sort(spoiler.rng.integers(0, count, 4))
    samples *= np.interp(np.arange(count), starts, 10 ** spoiler.rng.uniform(-0.3, 0.3, 4)).astype(np.float32)
    frames = count // FRAME_SAMPLES
    return Item("noise", "noise", 0, samples, np.zeros((frames, len(MOUTH_TRACKS)), np.float32), [])


def build_set(items: Sequence[Item], styles: list[str], variants: dict[str, int], seed: int = 0) -> SpeechSet:
    """Spoil every item `variants[kind]` times and compute its features.

    The first variant is the clean recording at its own pace; half of the others are hard.
    """
    voices = [item.samples for item in items if item.kind in ("taught", "rig")][::7]
    spoiler = Spoiler(seed, voices)
    rows: list[Row] = []
    for item in items:
        for variant in range(variants[item.kind]):
            pace = 1.0 if variant == 0 else float(spoiler.rng.uniform(0.86, 1.16))
            made = at_pace(item, pace)
            sound = made.samples if variant == 0 else spoiler.spoil(made.samples, hard=variant % 2 == 0)
            rows.append(_row(made, sound))
    for _ in range(variants["noise"]):
        made = noise_item(spoiler, 8.0)
        rows.append(_row(made, made.samples))
    lengths = [len(row[1]) for row in rows]
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return SpeechSet(
        features=np.concatenate([row[0] for row in rows]),
        tracks=np.concatenate([row[1] for row in rows]),
        sounds=np.concatenate([row[2] for row in rows]),
        style=np.concatenate([np.full(len(row[1]), row[3], np.int16) for row in rows]),
        spans=np.stack([firsts, lengths, [row[4] for row in rows]], axis=1).astype(np.int64),
        styles=list(styles),
    )


def _row(item: Item, sound: Array) -> Row:
    frames = min(len(sound) // FRAME_SAMPLES, len(item.tracks))
    features = log_mel(sound[: frames * FRAME_SAMPLES]).astype(np.float16).reshape(frames * HOPS_PER_FRAME, MELS)
    classes = np.full(frames, -1) if item.phones is None else speech.sounds(item.phones, frames)
    if item.kind == "noise":
        classes[:] = 0
    tracks = item.tracks[:frames].astype(np.float16)
    return features, tracks, classes.astype(np.int8), item.style, KINDS.index(item.kind)


def save_items(items: Sequence[Item], file: Path) -> None:
    """Store items, for validation after a resumed run."""
    arrays: dict[str, Any] = {"about": np.array(json.dumps([
        [item.name, item.kind, item.style, item.phones] for item in items
    ]))}  # fmt: skip
    for index, item in enumerate(items):
        arrays[f"samples_{index}"] = item.samples
        arrays[f"tracks_{index}"] = item.tracks
        arrays[f"gap_{index}"] = np.zeros(0, np.float32) if item.gap is None else item.gap
    np.savez(file, **arrays)


def load_items(file: Path) -> list[Item]:
    """Stored items."""
    with np.load(file) as content:
        about = json.loads(str(content["about"]))
        return [
            Item(name, kind, style, content[f"samples_{index}"], content[f"tracks_{index}"],
                 phones and [(row[0], row[1], row[2]) for row in phones], content[f"gap_{index}"])
            for index, (name, kind, style, phones) in enumerate(about)
        ]  # fmt: skip
