"""Embedded colour profiles: photos in Display P3, Adobe RGB and their like become sRGB.

Only profiles of three primaries with tone curves are applied, which is what cameras and phones embed; profiles with
lookup tables, and those of CMYK and grey pictures, are left aside. Source: ICC.1:2022 (sections 7, 10.6, 10.18, 10.31).
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
import numpy.typing as npt

from liveface.types import Pixels

Curves = npt.NDArray[np.float64]

# Primaries of sRGB as XYZ relative to D50, columns red, green, blue. Source: the ICC's sRGB profile.
_SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
_SAME_MATRIX = 0.01  # profiles nearer to sRGB than this, and
_SAME_CURVE = 0.01  # than this, are taken for it
_STEPS = 16_384  # of linear light when encoding; the darkest slope of sRGB is 12.9: 0.2 of a level
_ROWS = 256  # converted at a time, so that the floats stay small


def to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """Convert `[H, W, 3]` uint8 from `profile`; unchanged when that is (nearly) sRGB, of another kind or damaged."""
    known = _shape(profile)
    if known is None:
        return pixels
    curves, primaries = known
    mix = np.linalg.solve(_SRGB, primaries)
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)  # source: IEC 61966-2-1
    if np.abs(mix - np.eye(3)).max() < _SAME_MATRIX and np.abs(curves - linear).max() < _SAME_CURVE:
        return pixels
    encode = _encoding_table()
    table = curves.T[:, None].astype(np.float32)  # [256, 1, 3]
    out = np.empty_like(pixels)
    for row in range(0, len(pixels), _ROWS):
        light = cv2.transform(cv2.LUT(pixels[row : row + _ROWS], table), mix)
        out[row : row + _ROWS] = encode[(np.clip(light, 0, 1) * (_STEPS - 1) + 0.5).astype(np.int32)]
    return out


def _encoding_table() -> Pixels:
    """SRGB levels of `_STEPS` steps of linear light."""
    light = np.arange(_STEPS) / (_STEPS - 1)
    levels = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(levels * 255 + 0.5, np.uint8)


def _shape(profile: bytes) -> tuple[Curves, Curves] | None:
    """Tone curves `[3, 256]` and primaries `[3, 3]` (XYZ by RGB) of a profile; None when it has none."""
    if profile[16:24] != b"RGB XYZ ":
        return None
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        tags = {}
        for entry in range(132, 132 + 12 * min(count, 100), 12):
            name, at, size = struct.unpack_from(">4sII", profile, entry)
            tags[name] = profile[at : at + size]
        primaries = (
            np.array([struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T / 65536
        )
        curves = np.array([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
    except (struct.error, LookupError, ValueError, FloatingPointError):
        return None
    usable = np.isfinite(curves).all() and abs(np.linalg.det(primaries)) > 1e-4
    return (curves, primaries) if usable else None


def _curve(tag: bytes) -> Curves:
    """Linear light `[256]` of the 256 levels of one channel."""
    levels = np.arange(256) / 255
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return levels
        values = np.frombuffer(tag, ">u2", count, 12).astype(float)
        if count == 1:
            return np.asarray(levels ** (values[0] / 256))
        return np.interp(levels, np.linspace(0, 1, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError("unknown curve")
    kind = struct.unpack_from(">H", tag, 8)[0]
    names = ("g", "gab", "gabc", "gabcd", "gabcdef")[kind]
    p = dict(zip(names, (v / 65536 for v in struct.unpack_from(f">{len(names)}i", tag, 12)), strict=True))
    a, b, c = p.get("a", 1.0), p.get("b", 0.0), p.get("c", 0.0)
    power: Curves = np.maximum(a * levels + b, 0) ** p["g"]
    if kind == 0:
        return power
    if kind in (1, 2):
        return np.where(levels >= -b / a, power + c, c)
    return np.where(levels >= p["d"], power + p.get("e", 0.0), c * levels + p.get("f", 0.0))
