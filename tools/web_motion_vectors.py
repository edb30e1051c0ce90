"""Write what the browser's motion code shares with Python: its tables, and the numbers it must repeat.

    python tools/web_motion_vectors.py [--draw | --check]

`web/src/motion/tables.ts` holds every table of names and numbers that both sides use, so that each is written once, in
Python. `tests/web/vectors/motion-*` hold inputs and what Python makes of them; the browser's tests repeat them. With
`--check` nothing is written, and what is out of date is named.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from liveface import driver, weights
from liveface.live.camera import CALIBRATE_FACES, CameraFace
from liveface.live.engine import Engine
from liveface.live.wire import CameraPicture
from liveface.motion import codes, emotion, face_model, fit, solve
from liveface.motion.audio import SpeechToMotion
from liveface.motion.behaviour import Behaviour
from liveface.motion.emotion import parse_emotions
from liveface.motion.idle import IdleMotion
from liveface.motion.live import LiveFrame, LiveSpeech
from liveface.motion.solve import MotionSolver
from liveface.motion.style import parse_style
from liveface.signals import face, voice
from liveface.signals.face import Box, Face, FaceTracker
from liveface.signals.media import read_audio
from liveface.subject import open_renderer, open_subject
from liveface.types import ARKIT_INDEX, ARKIT_NAMES, HOUSE_FPS, Array, AudioBlock, Frame, Motion, State

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "web" / "src" / "motion" / "tables.ts"
VECTORS = ROOT / "tests" / "web" / "vectors"
WIDTH = 118
STORED_HZ = 16_000  # of the sound in the vectors
STEP = 1e-4  # of stored motion
ROUNDING = 100  # steps by which stored motion may differ from what another processor makes of the same network
POINT_STEP = 0.02  # pixels, of stored points
SPOKEN = 40 * 800  # samples of speech that the face of the points says
SHOWN = (0, 8, 14, 20, 27, 34)  # frames of it that are kept as pictures
PICTURE = (160, 200)  # pixels of a picture
LEAP, MIDDLE = 30, np.array([180, 330], np.float32)  # frame from which the face of the points is turned, about where
LARGER = 4  # times a picture is enlarged, to be averaged down again
SPREAD = 12  # pictures over which the browser spreads its calibration


def wrapped(items: list[str], indent: str = "  ") -> str:
    """Items with commas between them, in lines of at most `WIDTH`."""
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 1 > WIDTH:
            lines.append(line.rstrip())
            line = indent
        line += f"{item}, "
    return "\n".join([*lines, line.rstrip()])


def number(value: np.float32) -> str:
    """The shortest text of a float32."""
    text = repr(float(str(value)))
    return text.removesuffix(".0")


def floats(name: str, values: Array, what: str) -> str:
    """A `Float32Array`."""
    flat = [number(value) for value in np.asarray(values, np.float32).ravel()]
    return f"/** {what} */\nexport const {name} = Float32Array.of(\n{wrapped(flat)}\n);\n"


def integers(name: str, values: list[int], what: str) -> str:
    """A list of integers."""
    return f"/** {what} */\nexport const {name}: readonly number[] = [\n{wrapped([str(v) for v in values])}\n];\n"


def names(name: str, values: tuple[str, ...], what: str) -> str:
    """A list of names."""
    texts = [json.dumps(value) for value in values]
    return f"/** {what} */\nexport const {name}: readonly string[] = [\n{wrapped(texts)}\n];\n"


def nested(name: str, rows: list[list[int]], what: str) -> str:
    """A list of lists of integers."""
    texts = [json.dumps(row) for row in rows]
    return f"/** {what} */\nexport const {name}: readonly (readonly number[])[] = [\n{wrapped(texts)}\n];\n"


def tables() -> str:
    """`tables.ts`."""
    one_sided = np.zeros(52, np.float32)
    for arkit, size in {**emotion._ONE_SIDED, **emotion._OTHER_SIDE}.items():
        one_sided[ARKIT_INDEX[arkit]] = size
    curvature, pull = solve.expression_priors()
    expression, head, gaze = solve.smoothers(30)
    parts = [
        "/** Tables that Python and TypeScript share. Written by tools/web_motion_vectors.py: change them there. */\n",
        names("ARKIT_NAMES", ARKIT_NAMES, "The 52 coefficients."),
        nested("TRACKS", [[ARKIT_INDEX[name] for name in row] for row in codes.TRACKS],
               "The coefficients that each number of a code sets; of motion/codes.py."),
        names("CODE_NAMES", codes.CODE_NAMES, "The 26 numbers of a code."),
        floats("EYE_UNITS", codes.EYE_UNITS, "One unit of each number of the eyes in their slot, [6]."),
        floats("EYE_BASIS", codes.eye_basis(), "The columns along which the slot holds the eyes, [160, 6]."),
        floats("TARGET", emotion._TARGET, "What the code of each emotion is, [8, 26]; of motion/emotion.py."),
        floats("ACCENT", emotion._ACCENT, "What a stressed syllable adds, [8, 26]."),
        floats("ARTICULATION", emotion._ARTICULATION, "How wide the mouth opens in each emotion, [8]."),
        floats("LIVELINESS", emotion._LIVELINESS, "How lively brows and head are, [8]."),
        floats("PARTING", emotion._PARTING, "Centimetres by which one unit of a code's number parts the lips, [26]."),
        floats("MOUTH", emotion._MOUTH, "1 where a number is the mouth's, [26]."),
        floats("OPENERS", emotion._OPENERS, "1 where it parts the lips, [26]."),
        floats("CORNERS", emotion._CORNERS, "1 where it moves the mouth's corners, [26]."),
        floats("WIDE", emotion._WIDE, "1 where articulation scales it, [26]."),
        floats("SNEER", emotion._SNEER, "1 at the sneer, [26]."),
        floats("FROWN", emotion._FROWN, "1 at the frown, [26]."),
        floats("ROUND", emotion._ROUND, "How much it rounds the lips, [26]."),
        floats("SHUTTERS", emotion._SHUTTERS, "1 where it presses the lips, [26]."),
        nested("CODE_RIVALS", [list(pair) for pair in emotion._RIVALS], "Numbers of a code that undo each other."),
        floats("LIDS", emotion._LIDS, "How far lids hang in each emotion, [8]."),
        floats("DROP_RAD", emotion._DROP_RAD, "How far the gaze drops, [8]."),
        floats("ONE_SIDED", one_sided, "What contempt adds, [52]."),
        floats("VOICE_WEIGHTS", voice.WEIGHTS, "Of the signs of a voice, [4]; of signals/voice.py."),
        floats("WIDENED", driver._WIDENED, "How much more a face moves than the tracker says, [52]; of driver.py."),
        nested("LID_EDGES", [list(lids) for lids in face_model.LIDS], "Lid edges, left eye then right."),
        floats("POINT_WEIGHTS", fit.point_weights(), "Of the points in a fit, [478]; of motion/fit.py."),
        floats("CURVATURE", np.diag(curvature), "Diagonal of the prior on coefficients, [52]; of motion/solve.py."),
        floats("PULL", pull, "Pull of the prior, [52]."),
        nested("RIVALS", [list(pair) for pair in solve._RIVALS], "Coefficients that undo each other."),
        floats("REST_LIMIT", np.array([solve._rest_limit(name) for name in ARKIT_NAMES], np.float32),
               "What a face at rest may show of each without meaning it, [52]."),
        floats("EXPRESSION_CUTOFF_HZ", np.asarray(expression._cutoff_hz), "Of the coefficients' filter, [52]."),
        floats("HEAD_CUTOFF_HZ", np.asarray(head._cutoff_hz), "Of the head's filter, [6]."),
        floats("HEAD_SLOPE", np.asarray(head._slope), "Of the head's filter, [6]."),
        floats("GAZE_CUTOFF_HZ", np.full(4, gaze._cutoff_hz, np.float32), "Of the gaze's filter, [4]."),
        nested("IRIS_LIDS", [list(face._RIGHT_LIDS), list(face._LEFT_LIDS)],
               "Points that the iris network sees better, right eye then left; of signals/face.py."),
    ]  # fmt: skip
    return "\n".join(parts)


def sound() -> Array:
    """Ten seconds of the embedded speech with pauses, `[S]` at `STORED_HZ`."""
    spoken = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"), STORED_HZ)])
    pauses = [np.zeros(round(seconds * STORED_HZ), np.float32) for seconds in (0.4, 0.6)]
    whole = np.concatenate([pauses[0], spoken, pauses[1], spoken])[: 10 * STORED_HZ]
    return np.asarray(np.round(whole * 32767), np.int16)


def packed(motions: list[Motion]) -> str:
    """Expression, head and gaze of frames, `[T, 62]` in steps of `STEP`, as text."""
    rows = [np.concatenate([one.expression, one.head, one.gaze], axis=1) for one in motions]
    return base64.b64encode(np.round(np.concatenate(rows) / STEP).astype("<i2").tobytes()).decode()


def told(frames: list[LiveFrame]) -> dict[str, Any]:
    """Frames as plain values."""
    return {
        "motion": packed([frame.motion for frame in frames]),
        "events": [[frame.index, event] for frame in frames for event in frame.events],
        "sound_s": [round(frame.sound_s, 6) for frame in frames],
        "missing": [round(frame.missing, 6) for frame in frames],
    }


def plain_case(samples: Array) -> dict[str, Any]:
    """Ten seconds of speech by an average talker without a clock."""
    live = LiveSpeech(SpeechToMotion(idle=IdleMotion(seed=5), seed=5))
    frames: list[LiveFrame] = []
    for at in range(0, len(samples), 512):
        live.hear(AudioBlock(samples[at : at + 512], at, STORED_HZ))
        frames += live.frames()
    return {"name": "plain", "rate": STORED_HZ, "seed": 5, "behaviour": None, **told(frames)}


def felt_case(samples: Array) -> dict[str, Any]:
    """Three seconds by a behaviour, in a style, whose emotion changes and whose eyes are measured for a while."""
    behaviour = Behaviour(blinks_per_min=24, gaze=1.4, nods_per_min=20)
    style = "articulation:1.5,smile:-1,brows:2,head:1"
    model = SpeechToMotion(
        idle=behaviour.idle(3, blink=1.5), seed=3, scale=1.2, head=0.8, emotion=parse_emotions("happy:0.8"),
        style=parse_style(style),
    )  # fmt: skip
    live = LiveSpeech(model)
    frames: list[LiveFrame] = []
    eyes = codes.lift_eyes(np.array([0.1, -0.2, 0.4, 0.3, 0.2, 0.1], np.float32))
    for at in range(0, 3 * STORED_HZ, 800):
        if at == STORED_HZ:
            live.direct(emotion=parse_emotions("angry:0.6,contemptuous:0.5"))
            live.look(eyes)
        if at == 2 * STORED_HZ:
            live.look(None)
        live.hear(AudioBlock(samples[at : at + 800], at, STORED_HZ))
        frames += live.frames()
    said = {"style": style, "behaviour": behaviour.to_dict(), "eyes": [float(value) for value in codes.read_eyes(eyes)]}
    return {"name": "felt", "rate": STORED_HZ, "seed": 3, **said, **told(frames)}


def network_case(samples: Array) -> dict[str, Any]:
    """Packets of 441 samples at 44100 Hz over a bad network, by a clock, with an interruption and a lost stretch."""
    live, rate, size = LiveSpeech(SpeechToMotion(idle=IdleMotion(seed=1), seed=1)), 44_100, 441
    rng = np.random.default_rng(11)
    count = len(samples) // 3 // size
    late_s = 0.01 + rng.exponential(0.012, count)
    arrivals = [(float(at * size / rate + late_s[at]), at) for at in range(count) if not 40 <= at < 55 and at % 17]
    deeds = sorted([(when, 0, at) for when, at in arrivals] + [(0.75, 1, 0)] + [(k / 60, 2, 0) for k in range(120)])
    frames: list[LiveFrame] = []
    for when, deed, at in deeds:
        if deed == 0:
            live.hear(AudioBlock(samples[at * size : (at + 1) * size], at * size, rate), when)
        elif deed == 1:
            live.interrupt()
        else:
            frames += live.frames(when)
    counts = {name: int(value) for name, value in asdict(live.counts).items()}
    steps = [list(deed) for deed in deeds]
    return {"name": "network", "rate": rate, "seed": 1, "size": size, "deeds": steps, "counts": counts, **told(frames)}


class SeenFace:
    """A camera's face whose motion is known beforehand."""

    ready = True

    def __init__(self, motions: list[Motion]) -> None:
        self._motions = iter(motions)

    def see(self, _: bytes) -> Motion:
        """The next motion."""
        return next(self._motions)


class Unseen:
    """A renderer that draws nothing and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Motion] = []

    def start(self) -> State:
        """No state."""
        return {}

    def step(self, state: State, motion: Motion) -> tuple[State, list[Frame]]:
        """A picture of nothing."""
        self.asked.append(motion)
        return state, [Frame(np.zeros((1, 1, 3), np.uint8))]


def engine_case(samples: Array) -> dict[str, Any]:
    """Four seconds of the engine: sound, dials, an emotion, a camera for a while, an interruption, frames that drop."""
    renderer, behaviour = Unseen(), Behaviour(blinks_per_min=20)
    engine = Engine(renderer, behaviour, seed=2)  # type: ignore[arg-type]  # its pictures are not looked at
    seen = [IdleMotion(seed=9).run(200)[at] for at in range(40, 200, 3)]
    engine._seen.face = SeenFace(seen)  # type: ignore[assignment]
    turns = {0.5: {"emotion": {"happy": 0.7}, "scale": 1.2}, 1.0: {"look": [0.5, -0.4], "head": 0.5, "blink": 1.5},
             2.2: {"look": None, "emotion": {"sad": 0.5, "surprised": 0.3}, "gaze": 1.5}}  # fmt: skip
    block = 480
    deeds: list[tuple[float, int, Any]] = [(at / STORED_HZ, 0, at) for at in range(0, 3 * STORED_HZ, block)]
    deeds += [(when, 1, said) for when, said in turns.items()] + [(2.8, 3, None)]
    deeds += [(1.4 + k / 20, 2, k) for k in range(20)]
    deeds += [(k / 30 + 0.004, 4, None) for k in range(120) if k % 9]
    shots: list[list[Any]] = []
    for when, deed, what in sorted(deeds, key=lambda one: one[:2]):
        if deed == 0:
            engine.hear(AudioBlock(samples[what : what + block], what, STORED_HZ), when)
        elif deed == 1:
            engine.turn(what)
        elif deed == 2:
            engine.see(CameraPicture(b"", when), when)
        elif deed == 3:
            engine.interrupt(1)
        elif (shot := engine.tick(when)) is not None:
            shots.append([shot.number, shot.frames, shot.source, *(plain(v) for v in (shot.sound_s, shot.camera_s))])
    steps = [list(deed) for deed in sorted(deeds, key=lambda one: one[:2])]
    said = {"deeds": steps, "block": block, "shots": shots, "seen": packed(seen), "behaviour": behaviour.to_dict()}
    return {"name": "engine", "rate": STORED_HZ, "seed": 2, **said, "motion": packed(renderer.asked)}


def plain(value: float) -> float | None:
    """A number, or None for NaN, which JSON lacks."""
    return None if np.isnan(value) else round(value, 6)


def speech() -> bytes:
    """`motion-speech.json`."""
    samples = np.asarray(sound() / 32767, np.float32)
    cases = [plain_case(samples), felt_case(samples), network_case(samples), engine_case(samples)]
    return compact({"step": STEP, "cases": cases})


def compact(values: dict[str, Any]) -> bytes:
    """JSON without spaces."""
    return json.dumps(values, separators=(",", ":")).encode()


def faces() -> tuple[bytes, bytes]:
    """What the face vectors begin with: points of a synthetic face that speaks, and pictures of it one below another.

    Returns: points `[T, 478, 2]` as int16 in steps of `POINT_STEP`, and a PNG.
    """
    subject = open_subject(weights.path("ada.avatar"))
    renderer = open_renderer(subject, "liveface", (360, 640))
    spoken = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"))])[:SPOKEN]
    feeling = parse_emotions("happy:0.5,surprised:0.4")
    motion = SpeechToMotion(idle=IdleMotion(seed=4, blink=3), seed=4, emotion=feeling).run(spoken)
    head, at = motion.head.copy(), np.arange(len(motion))
    head[:, :3] += np.stack([0.1 * np.sin(at / 7), 0.18 * np.sin(at / 9), 0.08 * np.sin(at / 11)], 1)
    tracker, state, points, pictures = FaceTracker(), renderer.start(), [], []
    for frame in replace(motion, head=head):
        state, drawn = renderer.step(state, frame)
        for one in drawn:
            seen = tracker.track(one.pixels)
            assert seen is not None
            points.append(seen.points[:, :2])
            pictures.append(one.pixels)
    shown = [pictures[index][160:500, 44:316] for index in SHOWN]
    strip = np.concatenate([cv2.resize(one, PICTURE, interpolation=cv2.INTER_AREA) for one in shown])
    made, png = cv2.imencode(".png", strip[..., ::-1])
    assert made
    return np.round(np.stack(points) / POINT_STEP).astype("<i2").tobytes(), png.tobytes()


def encoded(points: Array) -> str:
    """Points `[..., 478, 2]` in steps of `POINT_STEP`, as text."""
    return base64.b64encode(np.round(points / POINT_STEP).astype("<i2").tobytes()).decode()


def stored_points() -> Array:
    """Points `[T, 478, 2]` of the face vectors, with a leap of the head in the middle."""
    data = np.frombuffer((VECTORS / "motion-points.bin").read_bytes(), "<i2")
    points = (data.reshape(-1, 478, 2) * np.float32(POINT_STEP)).astype(np.float32)
    points[LEAP:] = (points[LEAP:] - MIDDLE) @ np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32) + MIDDLE + 10
    return points


def solved_case() -> dict[str, Any]:
    """Points to motion, learning while it goes, and with a person calibrated beforehand."""
    points = stored_points()
    seen = [
        Face(np.pad(one, ((0, 0), (0, 1))), 1.0, Box(0, 0, 1, 1, 1, np.zeros((6, 2), np.float32))) for one in points
    ]
    solver = MotionSolver(HOUSE_FPS, (360, 640))
    learning = [solver.step(one) for one in seen]
    known = MotionSolver(HOUSE_FPS, (360, 640))
    known.calibrate(seen[: LEAP - 1 : 2])
    return {"leap": LEAP, "learning": packed(learning), "known": packed([known.step(one) for one in seen])}


def tracked_case() -> dict[str, Any]:
    """Pictures to points and, through the camera's calibration, to motion."""
    strip = cv2.imdecode(np.frombuffer((VECTORS / "motion-faces.png").read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    pictures = [np.asarray(one, np.uint8) for one in np.split(np.asarray(strip), len(SHOWN))]
    tracker, points = FaceTracker(), []
    for picture in pictures:
        seen = tracker.track(picture)
        assert seen is not None
        points.append(seen.points[:, :2])
    large = cv2.resize(pictures[0], None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_NEAREST)
    far = FaceTracker().track(np.asarray(large, np.uint8))
    assert far is not None
    camera, motions = CameraFace(), []
    solver = camera._solver = MotionSolver(HOUSE_FPS, PICTURE)
    for at in range(CALIBRATE_FACES + SPREAD + 2 * len(SHOWN)):
        seen = camera._tracker.track(pictures[at % len(SHOWN)])
        assert seen is not None
        if at < CALIBRATE_FACES:
            camera._learn(seen)
        elif at >= CALIBRATE_FACES + SPREAD:  # the browser calibrates while these pictures come
            assert camera._rest is not None
            motion = solver.step(seen)
            moved = driver.widened(motion.expression), motion.head - camera._rest
            motions.append(replace(motion, expression=moved[0], head=moved[1]))
    return {
        "count": len(SHOWN),
        "points": encoded(np.stack(points)),
        "far": encoded(np.asarray(far.points[:, :2] / LARGER, np.float32)),
        "motion": packed(motions),
    }


def inputs() -> dict[Path, Callable[[], bytes]]:
    """Pictures and points that the answers begin with, and how they are drawn."""
    return {
        VECTORS / "motion-points.bin": lambda: faces()[0],
        VECTORS / "motion-faces.png": lambda: faces()[1],
    }


def files() -> dict[Path, Callable[[], bytes]]:
    """What is written, and how."""
    return {
        TABLES: lambda: tables().encode(),
        VECTORS / "motion-speech.pcm": lambda: sound().astype("<i2").tobytes(),
        VECTORS / "motion-speech.json": speech,
        VECTORS / "motion-face.json": lambda: compact(
            {"step": STEP, "solved": solved_case(), "tracked": tracked_case()}
        ),
    }


def alike(stored: bytes, made: bytes, kind: str) -> bool:
    """Whether a stored file says the same as one made now, on a machine that may round otherwise."""
    if kind == ".pcm":
        return len(stored) == len(made) and within(np.frombuffer(stored, "<i2"), np.frombuffer(made, "<i2"), 1)
    if kind == ".json":
        return same(json.loads(stored), json.loads(made))
    pattern = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
    one, other = ("".join(text.decode().split()) for text in (stored, made))
    known, now = (np.array([float(text) for text in re.findall(pattern, part)]) for part in (one, other))
    plain = re.sub(pattern, "0", one) == re.sub(pattern, "0", other)
    return plain and len(known) == len(now) and within(known, now, 1e-6)


def same(one: Any, other: Any) -> bool:
    """Whether two plain values agree; texts of packed numbers to `ROUNDING` steps."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, str) and isinstance(other, str) and one != other:
        if len(one) != len(other) or len(one) < 1000:
            return False
        known, now = (np.frombuffer(base64.b64decode(text), "<i2") for text in (one, other))
        return within(known, now, ROUNDING)
    return bool(abs(one - other) < 1e-5) if isinstance(one, float) and isinstance(other, float) else bool(one == other)


def within(one: np.ndarray, other: np.ndarray, most: float) -> bool:
    """Whether two arrays of one length differ by at most `most`."""
    return bool(np.abs(one.astype(np.float64) - other).max(initial=0) <= most)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, name what is out of date")
    parser.add_argument("--draw", action="store_true", help="draw the face vectors' pictures and points anew as well")
    args = parser.parse_args()
    old = []
    for path, make in [*(inputs() if args.draw else {}).items(), *files().items()]:
        made = make()
        if args.check:
            old += [] if path.exists() and alike(path.read_bytes(), made, path.suffix) else [path]
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)
    for path in old:
        print(f"{path.relative_to(ROOT)} is out of date: run python tools/web_motion_vectors.py.")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
