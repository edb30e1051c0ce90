"""Phones of recorded English speech, and mouth motion made from them.

The data's tracked video has few words, its recorded speech has many: pocketsphinx (a tool of the build only) finds the
phones of both; a small teacher that sees past and future learns from the video how phones move the mouth, and then
writes targets for all the speech. Closures, teeth on the lip and rounding are held firm in every target, because a
tracker and a mean both wash them out.

    python -m liveface.train.phones DATA OUT.json     (needs `pip install pocketsphinx==5.1.1`)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from liveface.motion.codes import MOUTH_TRACKS
from liveface.types import HOUSE_FPS, Array

Phone = tuple[str, float, float]  # ARPABET name, start and end in seconds

SOUND_OF: dict[str, int] = {
    phone: index
    for index, phones in enumerate((
        "SIL", "P B M", "F V", "TH DH", "T D N L", "S Z", "SH ZH CH JH", "K G NG HH", "R ER", "W UW UH OY", "OW AO",
        "IY IH Y EY", "EH AE", "AH AY AA AW",
    ))
    for phone in phones.split()
}  # fmt: skip
"""ARPABET phone to class of `nets.speech.SOUNDS`."""
PHONES = tuple(sorted(SOUND_OF))
STAND_IN = {"SH": "CH", "ZH": "JH", "UH": "UW", "OY": "OW", "ER": "R", "NG": "N", "HH": "AH", "DH": "TH", "AW": "AW"}
"""Phones the 51 words of GRID hardly contain, and the phone that looks most like each."""

FIRM: dict[str, tuple[float, dict[str, float]]] = {
    "P B M": (0.85, {"jawOpen": 0.05, "mouthClose": 0.04, "mouthPressLeft": 0.28, "mouthRollLower": 0.16,
                     "mouthRollUpper": 0.12, "mouthFunnel": 0.0, "mouthLowerDownLeft": 0.0, "mouthUpperUpLeft": 0.0,
                     "mouthShrugUpper": 0.0}),
    "F V": (0.75, {"jawOpen": 0.03, "mouthRollLower": 0.38, "mouthUpperUpLeft": 0.06, "mouthLowerDownLeft": 0.0,
                   "mouthFunnel": 0.0}),
    "W UW": (0.65, {"mouthPucker": 0.35, "mouthFunnel": 0.1, "jawOpen": 0.05, "mouthSmileLeft": 0.0}),
    "OW AO": (0.6, {"mouthPucker": 0.25, "mouthFunnel": 0.08, "jawOpen": 0.09, "mouthSmileLeft": 0.0}),
    "SH CH JH ZH": (0.5, {"mouthFunnel": 0.2, "mouthPucker": 0.2, "jawOpen": 0.05, "mouthSmileLeft": 0.0}),
    "TH DH": (0.4, {"jawOpen": 0.08, "mouthFunnel": 0.0, "mouthUpperUpLeft": 0.03}),
    "R ER": (0.3, {"jawOpen": 0.09, "mouthFunnel": 0.1, "mouthPucker": 0.15}),
}  # fmt: skip
"""Phones that must be seen: how firmly (0 to 1) and which tracks (by first name) are pulled where. Chosen by eye, then
by what tracked mouths do: a first choice opened the lips of average talkers too far at f, th, w, o, r."""
_TRACK = {names[0]: index for index, names in enumerate(MOUTH_TRACKS)}
_SIDE = {"P B M": 0.035, "F V": 0.03}  # seconds the pose is approached before and left after the phone; else 0.06


def frame_times(frames: int) -> Array:
    """Middle of every house frame, in seconds, `[T]`."""
    return ((np.arange(frames) + 0.5) / HOUSE_FPS).astype(np.float32)


def firmness(phones: Sequence[Phone], frames: int, names: str) -> Array:
    """How much each frame belongs to the phones `names` ("P B M"): `[T]`, 0 to 1, with soft edges."""
    at, out, side = frame_times(frames), np.zeros(frames, np.float32), _SIDE.get(names, 0.06)
    for name, start, end in phones:
        if name in names.split():
            until = max(end, start + 0.05) if name in "PBM" else end  # a closure shorter than that is not seen
            away = np.maximum(np.maximum(start - at, at - until), 0)
            out = np.maximum(out, np.clip(1 - away / side, 0, 1))
    return out


def hold_firm(tracks: Array, phones: Sequence[Phone], share: float = 1.0) -> Array:
    """Pull tracks `[T, N]` towards the poses of `FIRM`, `share` as firmly as it says."""
    out = tracks.copy()
    for names, (weight, pose) in FIRM.items():
        pull = share * weight * firmness(phones, len(tracks), names)
        for name, value in pose.items():
            column = out[:, _TRACK[name]]
            column += pull * (value - column)
    return out


def quiet(phones: Sequence[Phone], frames: int, margin_s: float = 0.22) -> Array:
    """1 where nobody speaks within `margin_s`, falling to 0 towards speech, `[T]`."""
    at, away = frame_times(frames), np.full(frames, 9.0, np.float32)
    for name, start, end in phones:
        if name != "SIL":
            away = np.minimum(away, np.maximum(np.maximum(start - at, at - end), 0))
    return np.clip((away - 0.1) / margin_s, 0, 1).astype(np.float32)


def sounds(phones: Sequence[Phone], frames: int) -> npt.NDArray[np.int64]:
    """Class of sound per frame `[T]` int64, -1 where unknown."""
    at, out = frame_times(frames), np.full(frames, -1, np.int64)
    for name, start, end in phones:
        out[(at >= start) & (at < end)] = SOUND_OF.get(name, -1)
    return out


def occupancy(phones: Sequence[Phone], frames: int, parts: int = 3) -> Array:
    """Share of each third of a frame that each phone fills, `[T, parts * len(PHONES)]`, for the teacher."""
    out = np.zeros((frames * parts, len(PHONES)), np.float32)
    step = 1 / (HOUSE_FPS * parts)
    for name, start, end in phones:
        known = STAND_IN.get(name, name)
        if known not in SOUND_OF:
            continue
        first, last = max(0, int(start / step)), min(len(out) - 1, int(end / step))
        for cell in range(first, last + 1):
            out[cell, PHONES.index(known)] += max(0.0, min(end, (cell + 1) * step) - max(start, cell * step)) / step
    return out.reshape(frames, parts * len(PHONES))


class PhoneTeacher(nn.Module):
    """Phones with past and future to mouth tracks; offline, never shipped."""

    def __init__(self, styles: int, width: int = 96) -> None:
        super().__init__()
        self.first = nn.Conv1d(3 * len(PHONES), width, 9, padding=4)
        self.second = nn.Conv1d(width + 8, width, 5, padding=4, dilation=2)
        self.third = nn.Conv1d(width, width, 3, padding=1)
        self.out = nn.Conv1d(width, len(MOUTH_TRACKS), 1)
        self.styles = nn.Embedding(styles, 8)

    def forward(self, occupied: Tensor, style: Tensor) -> Tensor:
        """`occupied` `[B, T, 3 * phones]`, `style` `[B]` int64; returns `[B, T, N]`."""
        x = nn.functional.silu(self.first(occupied.transpose(1, 2)))
        x = torch.cat([x, self.styles(style)[:, :, None].expand(-1, -1, x.shape[2])], dim=1)
        x = nn.functional.silu(self.second(x))
        x = x + nn.functional.silu(self.third(x))
        out: Tensor = self.out(x).transpose(1, 2)
        return out


def train_teacher(
    clips: Sequence[tuple[Sequence[Phone], Array, int]], flat: Array, styles: int, *, steps: int = 2500, seed: int = 0
) -> PhoneTeacher:
    """Fit the teacher.

    Args:
        clips: phones, tracks `[T, N]` and style of every tracked clip.
        flat: `[N, K * 3]` of `MouthSpace.flat`, so that errors are centimetres of the lips.
    """
    torch.manual_seed(seed)
    rng, length, batch = np.random.default_rng(seed), 80, 32
    teacher = PhoneTeacher(styles)
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    space = torch.from_numpy(flat)
    inputs = [occupancy(phones, len(tracks)) for phones, tracks, _ in clips]
    usable = [index for index, (_, tracks, _) in enumerate(clips) if len(tracks) >= length]
    share = 1 / np.sqrt(np.bincount([clips[index][2] for index in usable], minlength=styles).clip(1))
    chance = np.array([share[clips[index][2]] for index in usable])
    for _ in range(steps):
        picks = rng.choice(usable, batch, p=chance / chance.sum())
        starts = [int(rng.integers(0, len(clips[pick][1]) - length + 1)) for pick in picks]
        seen = np.stack([inputs[pick][at : at + length] for pick, at in zip(picks, starts, strict=True)])
        true = np.stack([clips[pick][1][at : at + length] for pick, at in zip(picks, starts, strict=True)])
        style = torch.tensor([clips[pick][2] for pick in picks])
        error = (teacher(torch.from_numpy(seen), style) - torch.from_numpy(true)) @ space
        loss = error.abs().mean() + 2 * (error[:, 1:] - error[:, :-1]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return teacher.eval()


def teach(teacher: PhoneTeacher, phones: Sequence[Phone], frames: int, style: int) -> Array:
    """Tracks `[T, N]` in 0 to 1 for the phones of a recording, in the manner of `style`."""
    with torch.inference_mode():
        out = teacher(torch.from_numpy(occupancy(phones, frames))[None], torch.tensor([style]))[0]
    tracks = hold_firm(out.clamp(0, 1).numpy(), phones)
    return (tracks * (1 - quiet(phones, frames))[:, None]).astype(np.float32)
