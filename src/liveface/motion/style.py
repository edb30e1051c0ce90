"""Speaking style as a line of text: how one talks, beside what one feels."""

from __future__ import annotations

import numpy as np

from liveface.errors import MotionError
from liveface.types import Array

STYLES = ("articulation", "smile", "brows", "head")
"""Numbers of a style, in standard deviations between talkers: how wide the mouth opens, how much it smiles, and how
lively brows and head are; 0 is an average talker."""
MOST = 3.0


def parse_style(text: str) -> Array:
    """The style `[4]` of a line such as "articulation:1,head:-0.5".

    Raises:
        MotionError: an unknown name, one named twice, or a number beyond -3 to 3.
    """
    out, named = np.zeros(len(STYLES), np.float32), set()
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition(":"))
        if name not in STYLES:
            raise MotionError(f"there is no style {name!r}; expected some of {', '.join(STYLES)}, such as smile:1.")
        if name in named:
            raise MotionError(f"style {name!r} is named twice in {text!r}; expected each at most once.")
        named.add(name)
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not -MOST <= value <= MOST:
            raise MotionError(f"{name} {number!r} is not usable; expected a number from -3 to 3, 0 is average.")
        out[STYLES.index(name)] = value
    return out


def check_style(style: Array) -> Array:
    """A style `[4]` as float32.

    Raises:
        MotionError: it has another shape, or numbers beyond -3 to 3.
    """
    value = np.array(style, np.float32)
    if value.shape != (len(STYLES),) or not (np.abs(value) <= MOST).all():
        raise MotionError(f"a style {np.array2string(value)} is not usable; expected {len(STYLES)} numbers, -3 to 3.")
    return value
