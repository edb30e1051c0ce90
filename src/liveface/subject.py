"""Who is animated: a photo or an avatar, told apart by content, and the renderer that draws them.

Notable choices: a photo is drawn by `PHOTO_RENDERER`, an avatar by its own networks; a photo's renderer with an avatar
draws the avatar's reference picture. An avatar has a canvas; a video of other dimensions but the same shape is scaled
at the very end, any other shape is refused, because an avatar holds nothing beyond its canvas.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from liveface.avatar import Avatar, is_avatar, read_avatar
from liveface.errors import SignalError
from liveface.render import GUESTS, SQUARE, renderers
from liveface.signals.image import read_image
from liveface.signals.media import probe
from liveface.types import Pixels

PHOTO_SIZE = (360, 640)
SQUARE_SIZE = (512, 512)  # of a photo's renderer that draws nothing but squares
SHAPE_SLACK = 0.03  # width over height may differ by so much from the canvas; 384x672 and 360x640 differ by 0.016
PHOTO_RENDERER = "mesh"  # or "mobileportrait", which draws over it with networks
OWN = {"photo": PHOTO_RENDERER, "avatar": "liveface"}
"""The renderer of either when none is asked for."""

Subject = Pixels | Avatar
"""uint8 `[H, W, 3]` sRGB of a photo, or an avatar."""


def open_subject(source: str | Path | Subject) -> Subject:
    """A photo as pixels or an avatar, from a file or as given.

    Raises:
        SignalError: it is neither. AvatarError: an avatar that cannot be used.
    """
    if isinstance(source, np.ndarray | Avatar):
        return source
    return read_avatar(source) if is_avatar(source) else read_photo(source)


def read_photo(path: str | Path) -> Pixels:
    """A picture file as pixels; what is no picture is named."""
    info = probe(path)
    if info.kind != "image":
        raise SignalError(
            f"{Path(path).name} is {article(info.kind)}; expected a photo of a face, or an avatar, as first argument."
        )
    return read_image(path)


def article(kind: str) -> str:
    """A kind of file in words."""
    names = {
        "image": "a still picture", "video": "a video", "audio": "a sound file", "motion": "a motion file",
        "avatar": "an avatar",
    }  # fmt: skip
    return names[kind]


def chosen_renderer(subject: Subject, name: str | None) -> str:
    """The name of the renderer for a subject; None takes its own.

    Raises:
        SignalError: an avatar's renderer was asked for, for a photo.
    """
    own = OWN["avatar" if isinstance(subject, Avatar) else "photo"]
    if name == OWN["avatar"] and own != name:
        raise SignalError(
            f"the renderer {name!r} draws avatars, and this is a photo; expected an avatar: make one with "
            "`liveface create`, or use --renderer mesh."
        )
    return name or own


def video_size(subject: Subject, name: str, size: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of the video: as asked, or a photo's usual ones, or an avatar's canvas.

    Args:
        name: of the renderer; size: as asked, or None.

    Raises:
        SignalError: an avatar's canvas has another shape.
    """
    if not isinstance(subject, Avatar):
        return size or (SQUARE_SIZE if name in SQUARE else PHOTO_SIZE)
    canvas = subject.about.canvas
    if size is None or name != OWN["avatar"]:
        return size or canvas
    if abs(size[0] / size[1] * canvas[1] / canvas[0] - 1) > SHAPE_SLACK:
        raise SignalError(
            f"avatar {subject.about.name!r} is drawn at {canvas[0]}x{canvas[1]} and cannot fill {size[0]}x{size[1]}; "
            "expected that shape in any size: leave --size out, or use --renderer mesh."
        )
    return size


def open_renderer(
    subject: Subject, name: str, size: tuple[int, int], face: int | None = None, threads: int = 1, driving: str = ""
) -> Any:
    """The renderer called `name` for a subject; `size` and `face` are those of a photo, `driving` is of a guest's.

    Raises:
        FaceError: no usable face. AvatarError: networks that do not fit this version. WeightsError, DeviceError: a
            guest's weights or packages are missing.
    """
    make = renderers()[name]
    if name in GUESTS:
        make = partial(make, threads=threads, driving=driving)
    elif name == "mobileportrait":
        make = partial(make, threads=threads)
    if driving and name not in GUESTS:
        raise SignalError(f"--driving is for {' and '.join(GUESTS)}, not for {name}; leave it out.")
    if name == OWN["avatar"]:
        _refuse_face(face)
        return make(subject, threads=threads)
    if isinstance(subject, Avatar):
        _refuse_face(face)
        return make(reference_picture(subject), size=size, face=None)
    return make(subject, size=size, face=face)


def _refuse_face(face: int | None) -> None:
    if face not in (None, 1):
        raise SignalError(f"face {face} was asked for, but an avatar has one face; leave --face out.")


def reference_picture(avatar: Avatar) -> Pixels:
    """The picture an avatar is based on, with what the camera saw around its canvas; uint8 `[h, w, 3]`."""
    from liveface.render.liveface.rig import Rig

    return Rig.from_files(avatar.rig).texture


def fit(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """A frame scaled to the video's size, untouched when it already has it."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    method = cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)
