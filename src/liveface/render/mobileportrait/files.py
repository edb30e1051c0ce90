"""Which files the head network consists of."""

from __future__ import annotations

PARTS = {"photo": "half", "keypoints": "float", "motion": "int8", "synthesis": "int8"}
"""The graphs and how their numbers are kept: `photo` runs once, the others every frame."""


def file_name(size: str, part: str) -> str:
    """The file of one part of a size."""
    return f"mobileportrait_{size}_{part}.tflite"


WINDOW = (256, 288)
"""Width and height of the window in which the synthesis draws: from the brows to below the chin on the usual canvas.
Multiples of 32; cost goes with the area."""
