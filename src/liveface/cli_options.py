"""Options of the command line that are more than a line or two, and how their values are read."""

from __future__ import annotations

import argparse
from typing import NoReturn


def size(text: str) -> tuple[int, int]:
    """`360x640`, or the name of a preset."""
    from liveface.session import SIZES

    if text in SIZES:
        return SIZES[text]
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected WIDTHxHEIGHT or one of {', '.join(SIZES)}")
    return int(width), int(height)


def positive(text: str) -> float:
    """Seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no length; expected seconds above 0")
    return value


class Parser(argparse.ArgumentParser):
    """Errors of usage in the house's form: one sentence, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"liveface: {message}; see {self.prog} --help\n")


def look_options() -> argparse.ArgumentParser:
    """How a video shall look."""
    looks = argparse.ArgumentParser(add_help=False)
    looks.add_argument("--size", type=size, help="WxH, or portrait, tall, square (360x640, or the avatar's canvas)")
    looks.add_argument("--fps", type=int, default=30, help="25 or 30 (30)")
    looks.add_argument("--face", type=int, help="which face of the photo, 1 is the largest")
    looks.add_argument("--motion-scale", type=float, default=1.0, help="size of the expression, 0 to 3 (1)")
    looks.add_argument("--blink", type=float, default=1.0, help="how much to blink, 0 to 3 (1)")
    speech_options(looks)
    looks.add_argument(
        "--renderer",
        help="of a photo: mesh (default), mobileportrait, liveportrait, personalive; of an avatar: liveface",
    )
    looks.add_argument(
        "--driving",
        default="",
        help="liveportrait: absolute, friendly, eyes, lips, no-stitch, region:lip, strength:1; personalive: chunk:2",
    )
    looks.add_argument("--background", help="#rrggbb, a picture, or alpha, instead of the photo's own")
    looks.add_argument("--format", help="raw frames instead of an MP4: rgb24, bgr24, rgba, y4m")
    looks.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    return looks


def speech_options(one: argparse.ArgumentParser) -> None:
    """Of everything that speech drives."""
    one.add_argument("--emotion", default="", help="such as happy:0.7,sad:0.2; also angry, afraid, disgusted, ...")
    one.add_argument("--style", default="", help="of speech, such as articulation:1,smile:0.5,brows:-1,head:2")
    one.add_argument("--quality", default="live", help="of speech: live, or best, which sees all of it (live)")
    one.add_argument("--head", type=float, default=1.0, help="size of head motion, 0 to 3 (1)")
    one.add_argument("--seed", type=int, default=0, help="of blinks, gaze, sway, and how a sentence is said")


def create_options(one: argparse.ArgumentParser) -> None:
    """Of `create`."""
    one.add_argument("source", help="30 s to 5 min of video of one person, or a photo")
    one.add_argument("-o", "--output", required=True, help="avatar to write, ending in .avatar")
    one.add_argument("--minutes", type=float, default=5.0, help="of learning, at most (5)")
    one.add_argument("--size", dest="networks", default="base", help="of the networks: small, base, large (base)")
    one.add_argument("--canvas", type=size, default=(360, 640), help="360x640, or 384x672 (360x640)")
    one.add_argument(
        "--teacher", default="mesh", help="who animates a photo: mesh, mobileportrait, liveportrait (mesh)"
    )
    one.add_argument(
        "--driver", action="append", default=[], metavar="FILE", help="moves a photo too: speech, video or motion"
    )
    one.add_argument("--scratch", action="store_true", help="start from chance, not from the weights that ship")
    one.add_argument("--resume", action="store_true", help="go on with a creation that was stopped")
    one.add_argument("--run", dest="run_folder", help="folder for what lies in between (OUTPUT with .run)")
    one.add_argument("--keep", action="store_true", help="leave that folder in place, to go on or to evaluate")
    one.add_argument("--report", help="page about the avatar (OUTPUT with .report.html)")
    one.add_argument("--name", default="", help="of the avatar (the source's)")
    one.add_argument("--maker", default="", help="who makes it (this user)")
    one.add_argument("--consent", help="by whose consent, in your own words")
    one.add_argument("--licence", help="under which the avatar may be used")
    one.add_argument("--seed", type=int, default=0, help="of every random choice")


def evaluate_options(one: argparse.ArgumentParser) -> None:
    """Of `evaluate`."""
    one.add_argument("clips", nargs="*", help="videos of one face, or one avatar; the held-out clips by default")
    one.add_argument("--pack", help="of an avatar: folder of its creation, whose held-out frames it is measured on")
    one.add_argument("--likeness", help="measure of likeness, by liveface.train.likeness, for identity")
    one.add_argument("--data", help="the data folder (LIVEFACE_DATA, or ../shared/data)")
    one.add_argument(
        "-o",
        "--output",
        help="JSON to write (bench/results/evaluate.json; of an avatar avatars.json, of speech speech.json)",
    )
    one.add_argument("--sheets", help="folder for contact sheets, true above made")
    one.add_argument("--seconds", type=positive, default=8.0, help="of each clip, at most (8)")
    one.add_argument("--size", type=size, default=(360, 640), help="WxH of the canvas (360x640)")
    one.add_argument(
        "--renderer",
        default="mesh",
        help="what to measure (mesh); two with a comma between, such as mesh,mobileportrait",
    )
    one.add_argument("--portraits", type=int, default=12, help="of two: held-out portraits that others drive (12)")
    one.add_argument("--speech", action="store_true", help="speech to motion only: all scores, hard sounds, languages")
    one.add_argument("--spoken", help="with --speech: folder of tools/speak_phones.py, for scores by language")
    one.add_argument("--faces", help="with --speech: cache of python -m liveface.train.faces, instead of tracking")
