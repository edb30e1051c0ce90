"""An avatar as a browser needs it: one self-contained file that the TypeScript renderer (`web/src/avatar`) reads.

Notable choices (reasons in docs/decisions/browser-renderer.md):
- Everything that does not change is worked out here: the grid of the warp, the windows of the regions, what the
  appearance network says of the reference (so that its eight megabytes stay here), networks with INT8 ends and their
  steps. The browser only draws.
- The same frame as an avatar's: a zip whose first file is stored JSON with size and SHA-256 of all others, consent,
  licence, maker, and the statement that it is synthetic. Another first name (`web.json`), so neither is taken for the
  other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liveface.archive import pack
from liveface.avatar import Avatar
from liveface.render.canvas import TEXTURE_SCALE
from liveface.render.liveface.compositor import ENDS
from liveface.render.liveface.paste import region_window
from liveface.render.liveface.regions import PAINT_ORDER, REGIONS
from liveface.render.liveface.renderer import BODY_FOLLOW, SLOW, LiveFaceRenderer
from liveface.render.liveface.rig import CELL_PX, INVERSION_STEPS, Rig
from liveface.runtime import Step
from liveface.tflite import integer_ends

FORMAT, VERSION = "liveface web avatar", 1
ABOUT, NUMBERS = "web.json", "rig/numbers.bin"
PICTURES = ("rig/reference.jpg", "rig/matte.png", "rig/plate.jpg")
_ALIGN = 16

Numbers = Mapping[str, npt.NDArray[Any]]


def pack_web_avatar(avatar: Avatar) -> bytes:
    """The file of an avatar for browsers; about as large as the avatar itself.

    Raises:
        AvatarError: its networks do not fit this version.
    """
    renderer = LiveFaceRenderer(avatar)
    networks = {name: integer_ends(content, ENDS) for name, content in avatar.networks.items()}
    shared = avatar.shared_network("compositor").read_bytes()
    networks["compositor"] = integer_ends(shared, (*ENDS, "features"))
    steps = {name: Step(Path(f"{name}.tflite"), content=content).steps for name, content in networks.items()}
    numbers: dict[str, npt.NDArray[Any]] = dict(renderer.rig.posing())
    numbers["features"] = _integers(renderer.features, *steps["compositor"]["features"])
    numbers |= {f"window/{name}": region_window(name) for name in REGIONS}
    table, packed = pack_numbers(numbers)
    files = {"poster.png" if avatar.poster.startswith(b"\x89PNG") else "poster.jpg": avatar.poster}
    files |= {name: avatar.rig[name] for name in PICTURES}
    files |= {NUMBERS: packed} | {f"networks/{name}.tflite": content for name, content in networks.items()}
    about = _about(avatar, renderer.rig) | {
        "networks": {name: {"steps": {end: list(step) for end, step in ends.items()}} for name, ends in steps.items()},
        "numbers": table,
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }
    text = json.dumps(about, ensure_ascii=False, allow_nan=False).encode()
    return pack({ABOUT: text, **files})


def pack_numbers(numbers: Numbers) -> tuple[dict[str, Any], bytes]:
    """Arrays behind each other, little-endian, each at a multiple of 16 bytes; and where each lies, of which type."""
    table: dict[str, Any] = {}
    packed = bytearray()
    for name, array in numbers.items():
        stored = np.ascontiguousarray(array, {"f": "<f4", "i": "<i4"}.get(_kind(array), array.dtype))
        table[name] = {"type": stored.dtype.name, "shape": list(stored.shape), "at": len(packed)}
        packed += stored.tobytes() + bytes(-stored.nbytes % _ALIGN)
    return table, bytes(packed)


def _kind(array: npt.NDArray[Any]) -> str:
    """Floats are stored in 32 bits, integers of more than a byte too, bytes as they are."""
    return "" if array.dtype.itemsize == 1 else array.dtype.kind


def _about(avatar: Avatar, rig: Rig) -> dict[str, Any]:
    """What the browser is told in words and single numbers."""
    about = avatar.about
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": about.name,
        "synthetic": True,
        "made": {"maker": about.maker, "on": about.made, "tool": about.tool, "source": about.source},
        "consent": about.consent,
        "licence": about.licence,
        "canvas": list(about.canvas),
        "fps": about.fps,
        "motion": about.motion,
        "behaviour": asdict(about.behaviour),
        "reach": about.reach.to_dict(),
        "rig": {
            "margin": rig.margin,
            "texture_scale": TEXTURE_SCALE,
            "cell": CELL_PX,
            "steps": INVERSION_STEPS,
            "eye_px": rig.eye_px,
            "px_per_cm": rig.head.px_per_cm,
            "shoulders_follow": rig.head.px_per_cm / rig.eye_px * BODY_FOLLOW,
        },
        "regions": {
            name: {
                "size": list(region.size),
                "every": SLOW[name].every if name in SLOW else 1,
                "offset": SLOW[name].offset if name in SLOW else 0,
                "box": [float(value) for value in rig.rest_boxes[name].ravel()],
            }
            for name, region in REGIONS.items()
        },
        "paint_order": list(PAINT_ORDER),
    }


def _integers(values: npt.NDArray[np.float32], size: float, zero: int) -> npt.NDArray[Any]:
    """What a QUANTIZE makes of floats; as they are when the end is one of floats."""
    if math.isclose(size, 0):
        return values
    return np.clip(np.rint(values / np.float32(size)) + zero, -128, 127).astype(np.int8)
