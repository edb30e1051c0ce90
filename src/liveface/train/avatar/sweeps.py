"""Motion made to cover the controls: what talking people rarely do, each movement alone and in company.

A sweep is a list of keys (what the face shows, for how long it gets there and stays) joined by smooth steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from liveface.motion.codes import GROUPS, HEAD_UNIT_RAD, codes_of, motion_of
from liveface.motion.emotion import EMOTIONS, complete, emote
from liveface.motion.visemes import VISEME_NAMES, viseme_matrix
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array, Motion, arkit_spec

GO_S, STAY_S = 0.12, 0.06  # seconds on the way to a key, and at it; speech moves as fast
TURN = (0.22, 0.32, 0.2)  # largest pitch, yaw and roll in radians; the mesh teacher holds .42
GAZE = (0.28, 0.42)  # largest pitch and yaw of the gaze in radians
_LIDS = ("eyeBlinkLeft", "eyeBlinkRight")


@dataclass(frozen=True, slots=True)
class Key:
    """A face: coefficients by name, head (pitch, yaw, roll, x, y, z) and gaze (pitch, yaw); the rest is at rest."""

    shape: dict[str, float] = field(default_factory=dict)
    head: tuple[float, ...] = (0.0,) * 6
    gaze: tuple[float, float] = (0.0, 0.0)
    go_s: float = GO_S
    stay_s: float = STAY_S

    def values(self) -> Array:
        """`[62]` expression, head, gaze; the eyeLook coefficients follow the gaze."""
        out = np.zeros(62, np.float32)
        pitch, yaw = self.gaze
        shape = dict(self.shape)
        for side, outward in (("Left", yaw), ("Right", -yaw)):
            shape |= {f"eyeLookDown{side}": pitch / 0.45, f"eyeLookUp{side}": -pitch / 0.45,
                      f"eyeLookOut{side}": outward / 0.6, f"eyeLookIn{side}": -outward / 0.6}  # fmt: skip
        for name, value in shape.items():
            out[ARKIT_INDEX[name]] = np.clip(value, 0, 1)
        out[52:58] = self.head
        out[58:] = (pitch, yaw, pitch, yaw)
        return out


def visemes(seed: int) -> Iterator[Key]:
    """All fifteen visemes in random order, three times at different strengths, some joined with the next."""
    rng = np.random.default_rng(seed)
    matrix = viseme_matrix()
    for strength in (1.0, 0.6, 1.3):
        for number in rng.permutation(len(VISEME_NAMES)):
            other = int(rng.integers(len(VISEME_NAMES)))
            share = float(rng.choice([0.0, 0.0, 0.35]))
            mixed = strength * ((1 - share) * matrix[number] + share * matrix[other])
            smile = float(rng.choice([0.0, 0.0, 0.0, 0.5]))
            shape = {name: float(mixed[at]) for name, at in ARKIT_INDEX.items() if mixed[at] > 0}
            shape |= {f"mouthSmile{side}": smile + shape.get(f"mouthSmile{side}", 0) for side in ("Left", "Right")}
            yield Key(shape, _turned(rng, 0.35), go_s=float(rng.uniform(0.08, 0.18)))


def eyes(seed: int) -> Iterator[Key]:
    """Gaze all round with brows and lids, blinks by halves, winks."""
    rng = np.random.default_rng(seed)
    for angle in rng.permutation(12):
        radius = float(rng.uniform(0.5, 1.0))
        pitch, yaw = (GAZE[0] * np.sin(angle * np.pi / 6) * radius, GAZE[1] * np.cos(angle * np.pi / 6) * radius)
        brows = float(rng.choice([0.0, 0.0, 0.6]))
        yield Key({"browInnerUp": brows}, gaze=(float(pitch), float(yaw)), go_s=0.06, stay_s=0.12)
    for shut in (1.0, 0.5, 1.0, 0.75, 0.3):
        yield Key(dict.fromkeys(_LIDS, shut), go_s=0.07, stay_s=0.07)
        yield Key(go_s=0.12, stay_s=0.1)
    for lid in _LIDS:
        side = lid.removeprefix("eyeBlink")
        for shut in (1.0, 0.6):
            yield Key({lid: shut, f"cheekSquint{side}": 0.4 * shut}, go_s=0.1, stay_s=0.12)
        yield Key()
    for names, size in ((("eyeWide",), 0.9), (("eyeSquint",), 0.9), (("browDown",), 0.9), (("browOuterUp",), 0.9)):
        shape = {f"{name}{side}": size for name in names for side in ("Left", "Right")}
        raised = {"browInnerUp": size} if "browOuterUp" in names else {}
        yield Key(shape | raised, stay_s=0.12)
        yield Key({name: size / 2 for name in shape | raised})


def turns(seed: int) -> Iterator[Key]:
    """The head to all sides, near and far, with a shut and with a speaking mouth."""
    rng = np.random.default_rng(seed)
    corners = [(p, y, r) for p in (-1, 0, 1) for y in (-1, 0, 1) for r in (-1, 0, 1) if (p, y, r) != (0, 0, 0)]
    for number in rng.permutation(len(corners)):
        share = float(rng.uniform(0.4, 1.0))
        angles = [limit * side * share for limit, side in zip(TURN, corners[number], strict=True)]
        jaw = float(rng.choice([0.0, 0.2, 0.5]))
        shift = rng.uniform(-1, 1, 3) * (1.0, 0.6, 2.0)
        head = (*(float(a) for a in angles), *(float(s) for s in shift))
        look = (-0.6 * head[0], -0.6 * head[1])
        yield Key({"jawOpen": jaw, "mouthLowerDownLeft": jaw / 2, "mouthLowerDownRight": jaw / 2}, head, look, 0.3, 0.1)


def faces(seed: int) -> Iterator[Key]:
    """Smiles, frowns, pouts, pressed and parted lips, the jaw in steps."""
    rng = np.random.default_rng(seed)
    both = ("Left", "Right")
    for jaw in (0.1, 0.25, 0.45, 0.7, 0.9):
        yield Key({"jawOpen": jaw})
        yield Key({"jawOpen": jaw} | {f"mouthSmile{side}": 0.6 for side in both})
    groups = (("mouthSmile", 0.9), ("mouthFrown", 0.7), ("mouthPress", 0.8), ("mouthStretch", 0.7),
              ("mouthUpperUp", 0.7), ("mouthLowerDown", 0.7), ("noseSneer", 0.7), ("mouthDimple", 0.7))  # fmt: skip
    for name, size in groups:
        yield Key({f"{name}{side}": size for side in both}, _turned(rng, 0.3), stay_s=0.1)
        yield Key({f"{name}{side}": size / 2 for side in both} | {"jawOpen": 0.2})
    for name in ("mouthPucker", "mouthFunnel", "mouthLeft", "mouthRight", "jawLeft", "jawRight", "mouthRollLower"):
        yield Key({name: 0.7, "jawOpen": 0.1}, stay_s=0.1)
        yield Key()


def company(seed: int) -> Iterator[Key]:
    """Lids, brows and gaze while the head is turned and the mouth speaks or smiles: what sweeps alone never show."""
    rng = np.random.default_rng(seed)
    faces_of_eyes = ("shut", "shut", "half", "up", "down", "up and shut", "wide")
    for number in range(28):
        kind = faces_of_eyes[number % len(faces_of_eyes)]
        lids = {"half": 0.5}.get(kind, 1.0 if kind.endswith("shut") else 0.0)
        raised = float(rng.uniform(0.5, 1.0)) if kind.startswith("up") or kind == "wide" else 0.0
        shape = dict.fromkeys(_LIDS, lids) | {"browInnerUp": raised, "browOuterUpLeft": raised,
                                              "browOuterUpRight": raised}  # fmt: skip
        both = {"browDown": 0.8 if kind == "down" else 0.0, "eyeWide": 0.8 if kind == "wide" else 0.0,
                "mouthSmile": float(rng.choice([0.0, 0.0, 0.6]))}  # fmt: skip
        shape |= {f"{name}{side}": value for name, value in both.items() for side in ("Left", "Right")}
        jaw = float(rng.choice([0.0, 0.25]))
        gaze = (float(rng.uniform(-0.5, 0.5) * GAZE[0]), float(rng.uniform(-0.5, 0.5) * GAZE[1]))
        yield Key(shape | {"jawOpen": jaw}, _turned(rng, 1.0), gaze, go_s=0.2, stay_s=0.1)


def emotions(seed: int) -> Iterator[Key]:
    """Every emotion of a silent face, strong and weak, straight and turned, with open and with half shut lids."""
    rng = np.random.default_rng(seed)
    for strength in (1.0, 0.6):
        for number in rng.permutation(np.arange(1, len(EMOTIONS))):
            emotion = strength * np.eye(len(EMOTIONS), dtype=np.float32)[number]
            shown = felt(Motion.rest(1), emotion)
            shape = {name: float(shown.expression[0, at]) for name, at in ARKIT_INDEX.items()}
            turn = np.array(_turned(rng, 0.3)) + shown.head[0]
            lids = float(rng.choice([0.0, 0.0, 0.7]))
            shape |= {lid: max(shape[lid], lids) for lid in _LIDS}
            yield Key(shape, tuple(float(value) for value in turn), go_s=0.25, stay_s=0.15)


def felt(motion: Motion, emotion: Array) -> Motion:
    """A motion with emotions on it: intensities `[8]` or `[T, 8]` of `motion.emotion.EMOTIONS`.

    What the codes of motion do not hold (lids, gaze, what differs between left and right) is kept as it is.
    """
    before = codes_of(motion)
    after = emote(before, emotion, motion.fps)
    shift = motion_of(after, motion.fps).expression - motion_of(before, motion.fps).expression
    head = motion.head.copy()
    head[:, :3] += HEAD_UNIT_RAD * (after - before)[:, GROUPS["head"]]
    expression = np.clip(motion.expression + shift, 0, 1)
    return complete(Motion(expression, head, motion.gaze, motion.spec), emotion)


def moods(frames: int, seed: int, spell_s: float = 2.5, fps: float = HOUSE_FPS) -> Array:
    """Intensities `[frames, 8]` of emotions that change every few seconds, one after the other, neutral among them."""
    rng = np.random.default_rng(seed)
    length = round(spell_s * fps)
    order = [int(n) for _ in range(frames // (length * len(EMOTIONS)) + 1) for n in rng.permutation(len(EMOTIONS))]
    out = np.zeros((frames, len(EMOTIONS)), np.float32)
    for spell, number in enumerate(order[: -(-frames // length)]):
        out[spell * length : (spell + 1) * length, number] = rng.uniform(0.5, 1.0)
    out[:, 0] = 0
    return out


SWEEPS = {
    "visemes": visemes, "eyes": eyes, "turns": turns, "faces": faces, "company": company, "emotions": emotions,
}  # fmt: skip
"""Every sweep by name."""


def sweep(name: str, seed: int = 0, fps: float = HOUSE_FPS) -> Motion:
    """One sweep as motion."""
    return join(list(SWEEPS[name](seed)), fps)


def join(keys: list[Key], fps: float = HOUSE_FPS) -> Motion:
    """Keys as motion, from rest and back to rest."""
    now = Key().values()
    rows: list[Array] = []
    for key in [*keys, Key()]:
        then = key.values()
        steps = max(1, round(key.go_s * fps))
        share = np.arange(1, steps + 1) / steps
        share = (share * share * (3 - 2 * share))[:, None].astype(np.float32)
        rows.append(np.asarray(now + (then - now) * share, np.float32))
        rows.append(np.repeat(then[None], max(1, round(key.stay_s * fps)), 0))
        now = then
    table = np.concatenate(rows)
    return Motion(table[:, :52], table[:, 52:58], table[:, 58:], arkit_spec(fps))


def _turned(rng: np.random.Generator, size: float) -> tuple[float, ...]:
    angles = rng.uniform(-size, size, 3) * TURN
    return (*(float(a) for a in angles), 0.0, 0.0, 0.0)
