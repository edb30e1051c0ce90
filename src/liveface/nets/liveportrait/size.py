"""How large LivePortrait's networks are."""

from __future__ import annotations

from dataclasses import dataclass

POINTS = 21
"""Implicit keypoints."""

STRIDE = 4  # of the appearance volume; a part of the architecture


@dataclass(frozen=True, slots=True)
class Size:
    """Sizes of all networks; as constructed, those of the official checkpoints.

    Attributes:
        picture: side of the square pictures that go in, pixels; twice as much comes out.
        base, widest: channels of the appearance extractor's first layer, and at most.
        channels, depth: of the appearance volume; `channels * depth` is its width before it is folded to 3D.
        residuals: 3D residual blocks of the appearance extractor.
        depths, widths: blocks and channels of the motion extractor's four stages.
        bins: classes of each head angle.
        compressed: channels of the volume that the dense motion network looks at.
        motion_base, motion_widest, motion_levels: of its hourglass.
        spade: hidden channels of the decoder's normalisations.
        middle: its residual blocks before it enlarges.
    """

    picture: int = 256
    base: int = 64
    widest: int = 512
    channels: int = 32
    depth: int = 16
    residuals: int = 6
    depths: tuple[int, ...] = (3, 3, 9, 3)
    widths: tuple[int, ...] = (96, 192, 384, 768)
    bins: int = 66
    compressed: int = 4
    motion_base: int = 32
    motion_widest: int = 1024
    motion_levels: int = 5
    spade: int = 128
    middle: int = 6

    @property
    def grid(self) -> int:
        """Side of the appearance volume."""
        return self.picture // STRIDE

    @property
    def warped(self) -> int:
        """Channels of the warped feature that the decoder gets."""
        return 4 * self.base


OFFICIAL = Size()
TINY = Size(
    picture=64, base=8, widest=64, channels=8, depth=4, residuals=1, depths=(1, 1, 1, 1), widths=(8, 12, 16, 24),
    motion_base=4, motion_widest=32, motion_levels=3, spade=8, middle=1,
)  # fmt: skip
"""The same architecture, small: for tests of what is around the networks."""
