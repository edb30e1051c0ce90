"""Make a recording of nobody: a composite portrait that sits, listens and talks, as docs/capture-guide.md asks for it.

Usage: `python tools/make_portrait.py --cast second -o nobody.png`, then `python tools/make_recording.py nobody.png
-o nobody.mp4`, with LIVEFACE_DATA pointing at the data folder (default ../shared/data). From that video the second
embedded avatar is made: `liveface create nobody.mp4 -o nobody.avatar`.

Notable choices:
- Drawn by the `mesh` renderer at twice the canvas, so that what learns from it sees crisp pictures.
- What it says: the embedded sentence, then LibriSpeech (CC BY 4.0) and sentences in five further languages (MIT), with
  more mouth than is natural now and then; sound is kept with the picture.
- Every other recording is spoken with changing emotions, each written on the motion (`motion.emotion`).
- Between listening and talking come what conversation shows too seldom: every viseme, gaze to all sides, blinks, winks,
  brows, a smile, the head to all sides. The end is talk, because the last seconds are held out when an avatar learns.
- One seeded idle life runs through all of it, so that nothing jumps where one part ends and the next begins.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from liveface import weights
from liveface.motion.audio import SpeechToMotion
from liveface.motion.idle import IdleMotion
from liveface.motion.visemes import VISEME_NAMES, motion_from_visemes
from liveface.render.mesh import MeshRenderer
from liveface.signals.image import read_image
from liveface.signals.media import read_audio
from liveface.sinks import VideoSink
from liveface.train.avatar.sweeps import felt, moods, sweep
from liveface.types import ARKIT_INDEX, HOUSE_FPS, HOUSE_RATE_HZ, Array, AudioBlock, Motion

SIZE = (720, 1280)
STILL_S, LISTEN_S = 8.0, 10.0
VISEME_S = 0.5
HEAD = 1.4  # size of the idle head motion: a recording shall cover what an avatar may be asked for
FRAME_SAMPLES = HOUSE_RATE_HZ // HOUSE_FPS
SDK = "speech/open/cognitive-services-speech-sdk/sampledata-customspeech"
SPEECH = (
    ("speech/open/resemblyzer/audio-data-librispeech-test-other-1688-1688-142285-0001.ogg", 12.0, 1.0),
    (f"{SDK}-de-de-testing-audio-zip-audio1.ogg", 8.0, 1.2),
    (f"{SDK}-es-es-testing-audio-zip-audio1.ogg", 8.0, 1.0),
    (f"{SDK}-zh-cn-testing-audio-zip-audio2.ogg", 6.0, 1.2),
    (f"{SDK}-ja-jp-testing-audio-and-trans-zip-au.ogg", 6.0, 1.0),
    ("speech/open/resemblyzer/audio-data-librispeech-test-other-1998-1998-15444-0000.ogg", 8.0, 1.3),
    (f"{SDK}-it-it-testing-audio-zip-audio1.ogg", 6.0, 1.0),
    ("speech/open/resemblyzer/audio-data-librispeech-test-other-2033-2033-164914-0001.ogg", 12.0, 1.0),
)
"""Recordings below the data folder, seconds of each that are used, and how much the mouth moves."""


def silence(frames: int) -> Array:
    """No sound for so many frames."""
    return np.zeros(frames * FRAME_SAMPLES, np.float32)


def hill(frames: int) -> Array:
    """From 0 to 1 and back `[frames]`, smoothly, with a short stay at the top."""
    return np.minimum(1, 1.3 * np.sin(np.pi * (np.arange(frames) + 0.5) / frames) ** 2).astype(np.float32)


def pulse(frames: int, values: dict[str, float]) -> Motion:
    """Coefficients that rise and fall once in `frames`."""
    motion = Motion.rest(frames)
    expression = motion.expression.copy()
    for name, value in values.items():
        for side in (name,) if name in ARKIT_INDEX else (f"{name}Left", f"{name}Right"):
            expression[:, ARKIT_INDEX[side]] = value * hill(frames)
    return Motion(expression, motion.head, motion.gaze, motion.spec)


def listening(frames: int) -> Motion:
    """Somebody who listens: nods, a smile that comes and goes, brows that rise."""
    time = np.arange(frames) / HOUSE_FPS
    motion = pulse(frames, {"mouthSmile": 0.45, "cheekSquint": 0.2})
    expression, head = motion.expression.copy(), motion.head.copy()
    expression[:, ARKIT_INDEX["browInnerUp"]] = 0.4 * np.clip(np.sin(2 * np.pi * 0.3 * time), 0, 1)
    head[:, 0] = 0.07 * np.sin(2 * np.pi * 1.4 * time) * np.clip(np.sin(2 * np.pi * 0.25 * time), 0, 1)
    head[:, 2] = 0.06 * np.sin(2 * np.pi * 0.1 * time)
    return Motion(expression, head, motion.gaze, motion.spec)


def sweeps() -> Motion:
    """Visemes one by one, eyes, brows, smile and head to all sides."""
    frames = round(VISEME_S * HOUSE_FPS)
    parts = []
    for size in (1.0, 0.6):
        for viseme in range(1, len(VISEME_NAMES)):
            track = np.zeros((frames, len(VISEME_NAMES)), np.float32)
            track[:, viseme] = size * hill(frames)
            parts.append(motion_from_visemes(track))
    for values in (
        {"eyeBlink": 1.0}, {"eyeBlinkLeft": 1.0}, {"eyeBlinkRight": 1.0}, {"eyeWide": 0.8}, {"eyeSquint": 0.8},
        {"browInnerUp": 0.8, "browOuterUp": 0.7}, {"browDown": 0.8}, {"eyeBlink": 0.5}, {"mouthSmile": 0.9},
        {"mouthSmile": 0.7, "jawOpen": 0.35}, {"jawOpen": 0.8}, {"mouthFrown": 0.6},
    ):  # fmt: skip
        parts.append(pulse(frames, values))
    for index, reach in ((0, 0.16), (0, -0.16), (1, 0.3), (1, -0.3)):
        motion = pulse(frames, {})
        gaze = motion.gaze.copy()
        gaze[:, [index, index + 2]] = reach * hill(frames)[:, None]
        parts.append(Motion(motion.expression, motion.head, gaze, motion.spec))
    for axis, reach in ((0, 0.16), (0, -0.16), (1, 0.28), (1, -0.28), (2, 0.15), (2, -0.15)):
        motion = pulse(2 * frames, {})
        head = motion.head.copy()
        head[:, axis] = reach * hill(2 * frames)
        parts.append(Motion(motion.expression, head, motion.gaze, motion.spec))
    return Motion.concat([*parts, sweep("emotions", 1), sweep("company", 1)])


def spoken(path: Path, seconds: float, scale: float) -> tuple[Motion, Array]:
    """The mouth of a recording's first `seconds`, and its sound to whole frames."""
    if not path.exists():
        raise SystemExit(f"{path} is not there; set LIVEFACE_DATA to the data folder.")
    samples = np.concatenate([block.samples for block in read_audio(path)])[: round(seconds * HOUSE_RATE_HZ)]
    samples = samples * (0.7 / max(float(np.abs(samples).max()), 1e-3))
    samples = np.concatenate([samples, silence(HOUSE_FPS // 2)])
    samples = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].astype(np.float32)
    return SpeechToMotion(idle=None, scale=scale, parts=("mouth",)).run(samples), samples


def performance(data: Path) -> tuple[Motion, Array]:
    """All of it: motion and sound of one length."""
    still = Motion.rest(round(STILL_S * HOUSE_FPS))
    parts = [(motion, silence(len(motion))) for motion in (still, listening(round(LISTEN_S * HOUSE_FPS)), sweeps())]
    parts.append(spoken(weights.path("speech.flac"), 20.0, 1.0))
    for number, (name, seconds, scale) in enumerate(SPEECH):
        motion, samples = spoken(data / name, seconds, scale)
        parts.append((felt(motion, moods(len(motion), number)) if number % 2 else motion, samples))
    motion, sound = Motion.concat([part for part, _ in parts]), np.concatenate([samples for _, samples in parts])
    power = np.sqrt(np.square(sound.reshape(-1, FRAME_SAMPLES)).mean(1))
    return IdleMotion(seed=3, head=HEAD).mix(motion, np.clip(power / 0.15, 0, 1)), sound


def main() -> None:
    """Draw and store the recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("portrait", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("nobody.mp4"))
    options = parser.parse_args()
    motion, sound = performance(Path(os.environ.get("LIVEFACE_DATA", "../shared/data")))
    renderer = MeshRenderer(read_image(options.portrait), size=SIZE)
    state = renderer.start()
    with VideoSink(options.output, SIZE, HOUSE_FPS, HOUSE_RATE_HZ) as sink:
        for index, one in enumerate(motion):
            state, frames = renderer.step(state, one)
            sink.write(frames[0], AudioBlock(sound[index * FRAME_SAMPLES : (index + 1) * FRAME_SAMPLES]))
    print(f"{options.output}: {len(motion) / HOUSE_FPS:.1f} s of {SIZE[0]}x{SIZE[1]}")


if __name__ == "__main__":
    main()
