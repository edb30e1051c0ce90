"""The training set of the speech-to-motion denoiser: features of many sounds, codes of the motion that goes with them.

Needs the tracking cache (`python -m liveface.train.faces build/faces`), the phones of the recordings
(`tools/align_phones.py`) and, for further languages, synthetic speech (`tools/speak_phones.py`).

    python -m liveface.train.speech_codes build/speech-codes --faces build/faces --phones build/phones.json
        --spoken build/spoken

Writes `codes.npz` (training) and `validation.npz` (clean sound; speakers as in training, other sentences).

Notable choices: every recording is there several times, first as it is, then in worse and worse sound and in another
style, which the labels follow; short sentences of a speaker are joined, anew for every variant, so that a window of
two seconds always has a past; whispered variants of the same words keep their labels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from liveface.errors import RecipeError
from liveface.motion.codes import CODES, EYE_NAMES, GROUPS
from liveface.motion.face_model import FaceModel
from liveface.signals.features import FRAME_SAMPLES, HOPS_PER_FRAME, MELS, log_mel
from liveface.train import phones as speech
from liveface.train import speech_data as data
from liveface.train import speech_sounds as sounds
from liveface.train import speech_takes as takes_
from liveface.train.faces import held_out_clips
from liveface.train.phones import PhoneTeacher
from liveface.train.recipe import data_folder
from liveface.train.speech_data import Item, Spoiler
from liveface.train.speech_labels import MouthSpace
from liveface.train.speech_takes import KINDS, Take
from liveface.types import HOUSE_RATE_HZ, Array

CODES_FILE, VALIDATION_FILE, TEACHER_FILE, MEASURED = "codes.npz", "validation.npz", "teacher.pt", "measured"
VALIDATION_EVERY = 12
LEAST_SENTENCES_S = 8.0  # shorter takes of a speaker are joined until they last that long
STYLE_MEAN, STYLE_SPREAD, STYLE_MOST = (
    (0.2, 0.3, 0.2, 0.5),
    0.8,
    1.6,
)  # changes of style between variants; readers hold still
WHISPERED, REPITCHED = 0.1, 0.25  # shares of the variants with speech
NOISE_S = 8.0
NOISES = ("noise", "music", "laughter", "breath", "room")


@dataclass(frozen=True, slots=True)
class CodeOptions:
    """What goes into the set.

    Attributes:
        faces: folder of the tracking cache.
        phones: file of `tools/align_phones.py`.
        spoken: folder of `tools/speak_phones.py`, or "" without synthetic speech.
        groups: data groups that may be used.
        videos: parts of file names; tracked clips with one of them give mouth, face and head, others not the mouth.
        dropped: stems of clips whose sound and mouth do not agree.
        rig: facegood takes.
        manners: speakers whose manner the phone teacher lends to recorded and synthetic speech.
        teacher_steps: optimizer steps of the phone teacher.
        variants: how often each kind is there; for noise, how many pieces.
        seed: of all random choices.
    """

    faces: str = "build/faces"
    phones: str = "build/phones.json"
    spoken: str = ""
    groups: tuple[str, ...] = ("open", "permissive")
    videos: tuple[str, ...] = ("grid-s1", "grid-more", "lipnet")
    dropped: tuple[str, ...] = (
        "s33__0", "s4__bbilzs", "s4__lbaq3p", "s4__lrbr2s", "brwt4n", "lrbr5s", "sbahzp", "swwc5s",
    )  # fmt: skip
    rig: tuple[str, ...] = ("1114_2_01", "1114_2_02", "1114_2_03", "1114_2_04", "1114_2_05", "1114_3_15")
    manners: tuple[str, ...] = ("s1", "s31", "s4")
    teacher_steps: int = 2500
    variants: dict[str, int] = field(
        default_factory=lambda: {"video": 6, "rig": 4, "taught": 2, "synthetic": 2, "noise": 200}
    )
    seed: int = 1

    def __post_init__(self) -> None:
        if set(self.variants) != set(KINDS):
            raise RecipeError(f"variants name the kinds {sorted(self.variants)}; expected {sorted(KINDS)}.")


@dataclass(slots=True)
class SpeechCodes:
    """Features, codes and conditions of all recordings, end to end: F frames, I recordings.

    Attributes:
        features: `[F * 4, 64]` float16 levelled log-mels.
        codes: `[F, 26]` float16; groups that are not known are zero.
        known: `[F, 3]` bool, whether mouth, upper face and head are known.
        eyes: `[F, 6]` float16 in the units of `EYE_NAMES`, zero where unknown.
        eyes_known: `[F]` bool.
        sounds: `[F]` int8 class of sound, -1 unknown, 0 silence.
        spans: `[I, 3]` first frame, frames, index in `KINDS`.
        style: `[I, 4]` float32, see `STYLES`; 0 is an average talker or unknown.
        language: `[I]`, two or three letters, or "".
        names: `[I]` what was recorded; speakers: `[I]` who speaks.
    """

    features: np.ndarray
    codes: np.ndarray
    known: np.ndarray
    eyes: np.ndarray
    eyes_known: np.ndarray
    sounds: np.ndarray
    spans: np.ndarray
    style: np.ndarray
    language: np.ndarray
    names: np.ndarray
    speakers: np.ndarray

    def save(self, file: Path) -> None:
        """Store the set; read it back with `load`."""
        part = file.with_suffix(".part.npz")
        np.savez(part, **{item.name: getattr(self, item.name) for item in fields(self)})
        part.replace(file)

    @staticmethod
    def load(file: Path) -> SpeechCodes:
        """A stored set.

        Raises:
            RecipeError: it is not there, or lacks an array.
        """
        if not file.is_file():
            raise RecipeError(
                f"{file} is missing; expected a set: make it with `python -m liveface.train.speech_codes`."
            )
        with np.load(file, allow_pickle=False) as content:
            lacks = [item.name for item in fields(SpeechCodes) if item.name not in content.files]
            if lacks:
                raise RecipeError(f"{file} has no {', '.join(lacks)}; expected a set of this version: make it anew.")
            return SpeechCodes(**{item.name: content[item.name] for item in fields(SpeechCodes)})

    def summary(self) -> str:
        """Minutes by kind and language, in lines."""
        lines = []
        for number, kind in enumerate(KINDS):
            chosen = self.spans[:, 2] == number
            minutes = self.spans[chosen, 1].sum() / 1800
            lines.append(f"{kind}: {chosen.sum()} recordings, {minutes:.1f} min")
        for language in sorted(set(self.language.tolist()) - {""}):
            lines.append(f"{language}: {self.spans[self.language == language, 1].sum() / 1800:.1f} min")
        return "\n".join(lines)


def sound_of(take: Take, variant: int, spoiler: Spoiler) -> Array:
    """The sound of one variant: clean first, then in turn a little worse and hard, some of them whispered."""
    samples = take.samples
    if variant and take.phones and spoiler.rng.random() < WHISPERED:
        samples = sounds.whisper(samples, spoiler.rng)
    elif variant and take.kind != "noise" and spoiler.rng.random() < REPITCHED:
        samples = sounds.repitched(samples, float(np.exp(spoiler.rng.uniform(-0.2, 0.2))))
    if take.kind == "noise" or variant == 0:
        return samples
    return spoiler.spoil(samples, hard=variant % 2 == 0)


def sentences(takes: Sequence[Take], rng: np.random.Generator) -> list[Take]:
    """Short takes of a speaker joined in random order; long ones as they are."""
    out: list[Take] = []
    short: dict[tuple[object, ...], list[Take]] = {}
    for index in rng.permutation(len(takes)):
        take = takes[index]
        if len(take.samples) >= LEAST_SENTENCES_S * HOUSE_RATE_HZ:
            out.append(take)
        else:
            key = (take.kind, take.speaker, take.language, take.known, take.phones is None, take.eyes is None)
            short.setdefault(key, []).append(take)
    for group in short.values():
        row: list[Take] = []
        for number, take in enumerate(group):
            row.append(take)
            enough = sum(len(one.samples) for one in row) >= LEAST_SENTENCES_S * HOUSE_RATE_HZ
            if enough or number + 1 == len(group):
                out.append(takes_.joined(row))
                row = []
    return out


def assemble(takes: Sequence[Take], options: CodeOptions, *, clean: bool = False) -> SpeechCodes:
    """All variants of all takes as one set.

    Args:
        takes: with their styles.
        options: how many variants of each kind.
        clean: one variant of each, nothing changed and nothing joined.
    """
    rng = np.random.default_rng(options.seed)
    spoiler = Spoiler(options.seed, [take.samples for take in takes if take.kind in ("taught", "rig")][::7])
    rows: list[dict[str, Any]] = []
    for variant in range(1 if clean else max(options.variants.values())):
        chosen = [take for take in takes if take.kind != "noise" and variant < options.variants[take.kind]]
        for take in chosen if clean else sentences(chosen, rng):
            made = take
            if variant:
                change = np.clip(rng.normal(STYLE_MEAN, STYLE_SPREAD), -STYLE_MOST, STYLE_MOST)
                known = np.array([take.known[0], take.known[0], take.known[1], take.known[2]])
                made = takes_.at_pace(takes_.restyled(take, change * known), float(rng.uniform(0.86, 1.16)))
            rows.append(_arrays(made, sound_of(made, variant, spoiler)))
    return _set(rows + [_arrays(take, take.samples) for take in takes if take.kind == "noise"])


def _arrays(take: Take, sound: Array) -> dict[str, Any]:
    """One recording as rows of the set."""
    frames = min(len(sound) // FRAME_SAMPLES, len(take.codes))
    classes = np.full(frames, -1) if take.phones is None else speech.sounds(take.phones, frames)
    if take.kind == "noise":
        classes[:] = 0
    eyes = np.zeros((frames, len(EYE_NAMES))) if take.eyes is None else take.eyes[:frames]
    mels = log_mel(sound[: frames * FRAME_SAMPLES])
    return {
        "features": mels.astype(np.float16).reshape(frames * HOPS_PER_FRAME, MELS),
        "codes": take.codes[:frames].astype(np.float16).reshape(frames, CODES),
        "known": np.tile(take.known, (frames, 1)),
        "eyes": eyes.astype(np.float16),
        "eyes_known": np.full(frames, take.eyes is not None),
        "sounds": classes.astype(np.int8),
        "about": (frames, KINDS.index(take.kind), take.style, take.language, take.name, take.speaker),
    }


def _set(rows: Sequence[dict[str, Any]]) -> SpeechCodes:
    """Rows of recordings end to end."""
    about = [row["about"] for row in rows]
    lengths, kinds, style, language, names, speakers = zip(*about, strict=True)
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    whole = ("features", "codes", "known", "eyes", "eyes_known", "sounds")
    return SpeechCodes(
        **{name: np.concatenate([row[name] for row in rows]) for name in whole},
        spans=np.stack([firsts, lengths, kinds], axis=1).astype(np.int64),
        style=np.clip(np.array(style, np.float32), -3, 3),
        language=np.array(language),
        names=np.array(names),
        speakers=np.array(speakers),
    )


def noise_takes(count: int, seed: int) -> list[Take]:
    """Backgrounds of `NOISE_S` seconds of every kind, at levels from hardly heard to loud; digital silence too."""
    spoiler, out = Spoiler(seed, []), []
    rng, samples = spoiler.rng, int(NOISE_S * HOUSE_RATE_HZ)
    makers = {"music": sounds.music, "laughter": sounds.laughter, "breath": sounds.breath, "room": sounds.room}
    for number in range(count):
        name = NOISES[number % len(NOISES)]
        made = makers[name](rng, samples) if name in makers else spoiler.noise(samples)
        made = made * 10 ** (rng.uniform(-75, -22) / 20)
        starts = np.sort(rng.integers(0, samples, 4))
        made *= np.interp(np.arange(samples), starts, 10 ** rng.uniform(-0.4, 0.4, 4)).astype(np.float32)
        if rng.random() < 0.15:
            made[: int(rng.integers(1, samples))] = 0
        out.append(takes_.noise_take(made.astype(np.float32), f"{name}{number}", seed * 1000 + number))
    return out


def phone_teacher(
    clips: Sequence[Take], options: CodeOptions, space: MouthSpace, folder: Path
) -> tuple[PhoneTeacher, list[str]]:
    """The phone teacher of `folder`, fitted on the clips at the size of an average talker when it is not there yet."""
    file = folder / TEACHER_FILE
    if file.is_file():
        content = torch.load(file, weights_only=True)
        speakers = list(content["speakers"])
        teacher = PhoneTeacher(len(speakers))
        teacher.load_state_dict(content["network"])
        return teacher.eval(), speakers
    aligned = [take for take in clips if take.phones and take.known[0]]
    speakers = sorted({take.speaker for take in aligned})
    rows = []
    for take in aligned:
        factor = np.exp(-takes_.ARTICULATION_UNIT * take.style[0])
        mouth = np.clip(take.codes[:, GROUPS["mouth"]] * factor, 0, 1).astype(np.float32)
        rows.append((take.phones or (), mouth, speakers.index(take.speaker)))
    teacher = speech.train_teacher(rows, space.flat(), len(speakers), steps=options.teacher_steps)
    torch.save({"network": teacher.state_dict(), "speakers": speakers}, file)
    return teacher, speakers


def taught_takes(
    options: CodeOptions, phones: dict[str, list[speech.Phone]], teacher: PhoneTeacher, speakers: list[str]
) -> list[Take]:
    """Recorded English speech with the teacher's mouth."""
    manners = [speakers.index(name) for name in options.manners]
    items = data.taught_items(data_folder(), phones, options.groups, teacher, manners)
    return takes_.from_items(items, [speakers[item.style] for item in items], ["en"] * len(items))


def spoken_takes(options: CodeOptions, teacher: PhoneTeacher, speakers: list[str]) -> list[Take]:
    """Synthetic speech of `tools/speak_phones.py` with the teacher's mouth, held-out sentences left out."""
    if not options.spoken:
        return []
    folder = Path(options.spoken)
    items: list[Item] = []
    languages: list[str] = []
    for name, said in sorted(data.read_phones(folder / "phones.json").items()):
        if name.startswith("held"):
            continue
        samples = data.read_sound(folder / name)
        style = speakers.index(options.manners[len(items) % len(options.manners)])
        mouth = speech.teach(teacher, said, len(samples) // FRAME_SAMPLES, style)
        items.append(Item(name, "synthetic", style, samples, mouth, said))
        languages.append(Path(name).stem.split("-")[0])
    return takes_.from_items(items, [speakers[item.style] for item in items], languages)


def rig_takes(options: CodeOptions, space: MouthSpace) -> list[Take]:
    """Facegood takes at the rig's own size."""
    root = data_folder()
    items: list[Item] = []
    for name in options.rig:
        tracks = data.rig_tracks(root / f"motion/facegood/{name}.npz")
        file = f"motion/facegood/{name}.ogg"
        items.append(Item(file, "rig", 0, data.read_sound(root / file), tracks))
    return takes_.from_items(items, ["facegood"] * len(items), ["zh"] * len(items))


def video_names(options: CodeOptions, root: Path) -> tuple[list[str], list[str]]:
    """Clips with sound that may be trained on: those with lips in step, and the others."""
    held = held_out_clips(root)
    step: list[str] = []
    others: list[str] = []
    for row in data.catalogue(root, "video"):
        name = row["file"]
        if row["has_audio"] != "True" or row["group"] not in options.groups or Path(name).stem in held:
            continue
        fits = any(part in name for part in options.videos) and Path(name).stem not in options.dropped
        (step if fits else others).append(name)
    return step, others


def collect(options: CodeOptions, folder: Path) -> tuple[list[Take], list[Take]]:
    """All takes with their styles, for training and for validation; background is not among them."""
    root, model = data_folder(), FaceModel.load()
    space = MouthSpace.of(model.mean, model.expression)
    phones = data.read_phones(Path(options.phones))
    step, others = video_names(options, root)
    cache = (Path(options.faces), folder / MEASURED)
    clips = takes_.with_styles(takes_.video_takes(root, cache, step, phones, space), space)
    validation = clips[5::VALIDATION_EVERY]
    clips = [clip for index, clip in enumerate(clips) if index % VALIDATION_EVERY != 5]
    teacher, speakers = phone_teacher(clips, options, space, folder)
    further = takes_.with_styles(takes_.video_takes(root, cache, others, {}, None), space)
    taught = takes_.with_styles(taught_takes(options, phones, teacher, speakers), space)
    spoken = takes_.with_styles(spoken_takes(options, teacher, speakers), space)
    rig = takes_.with_styles(rig_takes(options, space), space)
    every = 4 * VALIDATION_EVERY
    validation += taught[5::every] + spoken[5::every]
    taught = [take for index, take in enumerate(taught) if index % every != 5]
    spoken = [take for index, take in enumerate(spoken) if index % every != 5]
    return clips + further + rig + taught + spoken, validation


def build(options: CodeOptions, folder: Path) -> SpeechCodes:
    """Make both sets in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    training, validation = collect(options, folder)
    assemble(validation, options, clean=True).save(folder / VALIDATION_FILE)
    made = assemble([*training, *noise_takes(options.variants["noise"], options.seed)], options)
    made.save(folder / CODES_FILE)
    return made


def main() -> None:
    """Make the set from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", default=CodeOptions().faces)
    parser.add_argument("--phones", default=CodeOptions().phones)
    parser.add_argument("--spoken", default=CodeOptions().spoken)
    parser.add_argument("--groups", nargs="+", default=list(CodeOptions().groups))
    parser.add_argument("--variants", nargs="*", default=[], help="such as video=4 noise=100")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    variants = CodeOptions().variants | {kind: int(number) for kind, number in (v.split("=") for v in given.variants)}
    options = CodeOptions(given.faces, given.phones, given.spoken, tuple(given.groups), variants=variants)
    sys.stdout.write(build(options, given.folder).summary() + "\n")


if __name__ == "__main__":
    main()
