"""Write the pictures that the browser's renderer must repeat, and what a test of it in node needs.

    python tools/web_vectors.py [--check | --prepare FOLDER | --speed]

`tests/web/vectors/picture-*` hold a short motion and what Python draws of it with the embedded avatars, which show
nobody: some frames at a quarter of their size, and the middle of one at its own. With `--check` nothing is written,
and what is out of date is told. With `--prepare` a folder gets the avatars as browsers need them and their pictures
decoded, since node has no decoder: `NAME.avatar`, `NAME.reference.raw`, `NAME.matte.raw`, `NAME.plate.raw` (RGBA).
With `--speed` it prints what Python's stages of that motion take at least, as the test in node does of its own.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from liveface import weights
from liveface.avatar import Avatar, read_avatar
from liveface.metrics import psnr
from liveface.render.liveface.renderer import Clock, LiveFaceRenderer
from liveface.types import ARKIT_INDEX, HOUSE_FPS, Array, Motion, Pixels
from liveface.web_avatar import PICTURES, pack_web_avatar

VECTORS = Path(__file__).resolve().parent.parent / "tests" / "web" / "vectors"
AVATARS = ("ada", "ben")
FRAMES = 24
SHOWN = (0, 5, 10, 16, 23)
SMALLER = 4  # times the shown frames are averaged down
CLOSE, SPOT = 16, (slice(200, 480), slice(80, 280))  # one frame of the first avatar, its middle
STEP = 1e-4  # of the stored motion
ALIKE_DB = 45.0  # what another processor may change


def motion() -> Array:
    """`[FRAMES, 62]`: expression beyond the reference's own, head and gaze; all that moves a face at once."""
    time_s = np.arange(FRAMES) / HOUSE_FPS
    rows = np.zeros((FRAMES, 62))

    def put(name: str, values: npt.NDArray[np.float64]) -> None:
        sides = (name,) if name in ARKIT_INDEX else (f"{name}Left", f"{name}Right")
        for side in sides:
            rows[:, ARKIT_INDEX[side]] += values

    put("jawOpen", 0.35 + 0.35 * np.sin(18 * time_s))
    put("mouthLowerDown", 0.3 * np.clip(np.sin(18 * time_s), 0, 1))
    put("mouthFunnel", 0.3 * np.clip(np.sin(9 * time_s), 0, 1))
    put("mouthPucker", 0.4 * np.clip(np.sin(11 * time_s + 2), 0, 1))
    put("mouthSmile", 0.5 * np.clip(np.sin(4 * time_s), 0, 1))
    put("eyeBlink", np.clip(1.5 * np.sin(7 * time_s) - 0.4, 0, 1))
    put("browOuterUp", 0.5 * np.clip(np.sin(3 * time_s), 0, 1))
    put("browInnerUp", 0.6 * np.clip(np.sin(3 * time_s + 1), 0, 1))
    sizes, rates = (0.12, 0.25, 0.10, 0.4, 0.3, 0.8), (3.0, 2.2, 2.7, 2.0, 3.1, 1.3)
    rows[:, 52:58] = np.array(sizes) * np.sin(time_s[:, None] * rates)
    rows[:, [58, 60]] = 0.12 * np.sin(5 * time_s)[:, None]
    rows[:, [59, 61]] = 0.20 * np.sin(4 * time_s)[:, None]
    return np.asarray(np.round(rows / STEP).astype("<i2") * STEP, np.float32)


def draw(avatar: Avatar, clock: Clock | None = None) -> list[Pixels]:
    """What Python makes of the motion."""
    renderer = LiveFaceRenderer(avatar, clock=clock)
    rows = motion()
    moved = Motion(rows[:, :52] + renderer.rig.head.own, rows[:, 52:58], rows[:, 58:])
    state, frames = renderer.start(), []
    for one in moved:
        state, drawn = renderer.step(state, one)
        frames += [frame.pixels for frame in drawn]
    return frames


def pictures() -> dict[str, Pixels]:
    """The pictures of the vectors by file name."""
    made = {}
    for name in AVATARS:
        frames = draw(read_avatar(weights.path(f"{name}.avatar")))
        height, width = frames[0].shape[:2]
        small = (width // SMALLER, height // SMALLER)
        made[f"picture-{name}.png"] = np.hstack(
            [cv2.resize(frames[at], small, interpolation=cv2.INTER_AREA) for at in SHOWN]
        )
        if name == AVATARS[0]:
            made[f"picture-{name}-close.png"] = np.ascontiguousarray(frames[CLOSE][SPOT])
    return made


def told() -> str:
    """What the test needs to know of the pictures."""
    moved = np.round(motion() / STEP).astype("<i2").tobytes()
    rows, columns = SPOT
    said = {
        "frames": FRAMES,
        "step": STEP,
        "shown": SHOWN,
        "smaller": SMALLER,
        "close": {"frame": CLOSE, "left": columns.start, "top": rows.start},
        "motion": base64.b64encode(moved).decode(),
    }
    return json.dumps(said) + "\n"


def prepare(folder: Path) -> None:
    """Avatars for node: packed, and their pictures decoded."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in AVATARS:
        avatar = read_avatar(weights.path(f"{name}.avatar"))
        (folder / f"{name}.avatar").write_bytes(pack_web_avatar(avatar))
        for place in PICTURES:
            bgr = cv2.imdecode(np.frombuffer(avatar.rig[place], np.uint8), cv2.IMREAD_COLOR)
            (folder / f"{name}.{Path(place).stem}.raw").write_bytes(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA).tobytes())


def stale() -> list[str]:
    """The vectors that are not what Python draws now."""
    found = [] if (VECTORS / "picture.json").read_text() == told() else ["picture.json"]
    for name, made in pictures().items():
        bgr = cv2.imread(str(VECTORS / name))
        kept = None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        if kept is None or kept.shape != made.shape or psnr(kept, made) < ALIKE_DB:
            found.append(name)
    return found


def print_speed() -> None:
    """The least milliseconds of every stage, which even a busy machine can tell."""
    for name in AVATARS:
        least: dict[str, float] = {}

        def note(stage: str, seconds: float, least: dict[str, float] = least) -> None:
            least[stage] = min(1000 * seconds, least.get(stage, 1e9))

        draw(read_avatar(weights.path(f"{name}.avatar")), note)
        print(f"{name}: least ms " + ", ".join(f"{stage} {ms:.2f}" for stage, ms in least.items()))


def main() -> int:
    """Do what the arguments ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="write nothing, tell what is out of date")
    which.add_argument("--prepare", type=Path, help="write what the test in node needs")
    which.add_argument("--speed", action="store_true", help="print what Python's stages take at least")
    arguments = parser.parse_args()
    if arguments.speed:
        print_speed()
    elif arguments.prepare:
        prepare(arguments.prepare)
    elif arguments.check:
        wrong = stale()
        print("\n".join(f"out of date: {name}" for name in wrong) or "all vectors are Python's")
        return int(bool(wrong))
    else:
        (VECTORS / "picture.json").write_text(told())
        for name, made in pictures().items():
            cv2.imwrite(str(VECTORS / name), cv2.cvtColor(made, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return 0


if __name__ == "__main__":
    sys.exit(main())
