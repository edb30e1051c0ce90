"""Clear the wall below the embedded portrait's left ear, where a ring was averaged away and left a haze.

Usage: `python tools/clear_wall.py` rewrites portrait.jpg and ada.avatar in the package's data folder; `tools/
make_portrait.py` calls `cleared` on what it makes.

Notable choices: the wall is a plane fitted to the pixels beside the haze, with their own grain; an avatar's matte keeps
there what is darker than the wall, so that strands of hair stay. An avatar's pictures are cleared after it was taught,
because its decoders never draw that place: it belongs to the picture below them.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from liveface import weights
from liveface.avatar import read_avatar, write_avatar
from liveface.signals.face import FaceTracker
from liveface.types import Array, Pixels
from manifest import FOLDER, enter

HAZE = np.array([
    (626, 624), (642, 617), (652, 609), (661, 592), (672, 592), (692, 694), (646, 744), (600, 744), (605, 694),
    (616, 648),
], np.float32)  # fmt: skip
"""Corners of the haze in the portrait of 900 x 1070 pixels, along jaw and ear lobe."""
NEAR = np.array([
    (602, 630), (626, 620), (642, 617), (652, 609), (661, 592), (672, 592), (692, 694), (646, 752), (583, 752),
    (589, 694),
], np.float32)  # fmt: skip
"""The same with the strands of hair beside it, for mattes."""
DARKER, SURE = 14.0, 40.0  # grey levels below the wall from which on something is hair, and until it surely is
SOFT_PX = 3.0


def within(corners: Array, shape: tuple[int, ...]) -> Array:
    """How much each pixel `[h, w]` lies within a polygon, 0 to 1, softly."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], 255)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), SOFT_PX) / np.float32(255), np.float32)


def cleared(pixels: Pixels, corners: Array = HAZE) -> Pixels:
    """A picture with its wall in the place of what lies within `corners`."""
    width = int(np.ptp(corners[:, 0]))
    left, top, bottom = int(corners[:, 0].max()), int(corners[:, 1].min()), int(corners[:, 1].max())
    beside = pixels[top:bottom, left : left + width].astype(np.float32)
    rows, columns = np.mgrid[top:bottom, left : left + beside.shape[1]]
    places = np.stack([np.ones(rows.size), columns.ravel(), rows.ravel()], 1)
    plane = np.linalg.lstsq(places, beside.reshape(-1, 3), rcond=None)[0]
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    wall = plane[0] + columns[..., None] * plane[1] + rows[..., None] * plane[2]
    grain = beside - cv2.GaussianBlur(beside, (0, 0), SOFT_PX)
    tiles = [-(-side // part) for side, part in zip(pixels.shape[:2], grain.shape[:2], strict=True)]
    wall += np.tile(grain, (*tiles, 1))[: pixels.shape[0], : pixels.shape[1]]
    share = within(corners, pixels.shape)[..., None]
    return np.asarray(np.clip(np.round(pixels * (1 - share) + wall * share), 0, 255), np.uint8)


def thinned(matte: Pixels, pixels: Pixels, corners: Array) -> Pixels:
    """A matte `[h, w]` that keeps of the cleared `pixels` within `corners` what is darker than the wall."""
    share, grey = within(corners, matte.shape), cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    left, top, bottom = int(corners[:, 0].max()), int(corners[:, 1].min()), int(corners[:, 1].max())
    wall = float(np.median(grey[top:bottom, left : left + int(np.ptp(corners[:, 0]))]))
    hair = 255 * np.clip((wall - grey - DARKER) / SURE, 0, 1)
    return np.asarray(np.round(matte * (1 - share) + np.minimum(matte, hair) * share), np.uint8)


def read(data: bytes, flags: int = cv2.IMREAD_COLOR_RGB) -> Pixels:
    """A picture of the package."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags), np.uint8)


def coded(pixels: Pixels) -> bytes:
    """A picture as JPEG."""
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()


def placed(portrait: Pixels, other: Pixels, *corners: Array) -> list[Array]:
    """Polygons of the portrait where they lie in another picture of the same face."""
    here, there = (FaceTracker(static=True).faces(one)[0].points[:, :2].copy() for one in (portrait, other))
    turn = np.asarray(cv2.estimateAffinePartial2D(here, there)[0], np.float32)
    return [np.asarray(one @ turn[:, :2].T + turn[:, 2], np.float32) for one in corners]


def main() -> None:
    """Clear both, and say so in the manifest."""
    portrait = weights.path("portrait.jpg")
    before = read(portrait.read_bytes())
    avatar = read_avatar(weights.path("ada.avatar"))
    reference = read(avatar.rig["rig/reference.jpg"])
    haze, near = placed(before, reference, HAZE, NEAR)
    picture = cleared(reference, haze)
    matte = thinned(read(avatar.rig["rig/matte.png"], cv2.IMREAD_GRAYSCALE), picture, near)
    rig = {**avatar.rig, "rig/reference.jpg": coded(picture), "rig/matte.png": cv2.imencode(".png", matte)[1].tobytes()}
    small = read(avatar.poster)
    poster = coded(cleared(small, *placed(before, small, HAZE)))
    write_avatar(replace(avatar, rig=rig, poster=poster), FOLDER / "ada.avatar")
    portrait.write_bytes(coded(cleared(before)))
    listed = weights.manifest()
    for name in ("portrait.jpg", "ada.avatar"):
        enter(name, str(listed[name]["licence"]), str(listed[name]["source"]))


if __name__ == "__main__":
    main()
