"""Sizes and units of the head network: what training, export and run time must agree on. Nothing here needs torch.

Notable choices: no convolution runs finer than a quarter of the square's resolution, widths are multiples of 16
(source: the project's measurements of INT8 in LiteRT); three sizes named after their multiply-adds by the paper's
accounting, for a square of 512 pixels (MobilePortrait, arXiv 2407.05712). The names are upper bounds: the mesh renderer
draws first and takes its share of a frame's time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liveface.errors import RecipeError
from liveface.render.topology import EYE_CORNERS, EYE_LOWER, EYE_UPPER, IRIS, LIP_OUTER, OVAL, lip_ring

BLOCK = 4
"""Pixels along each side of one cell of the finest grid of the synthesis."""

MOTION_GRID = 64
"""Cells along each side of the square on which motion is seen and answered."""

NEURAL = 50
"""Neural and mixed keypoints (MobilePortrait)."""

FACIAL = 106
"""Facial keypoints that are picked from the 478 points of the mesh (MobilePortrait); any number works."""

HEAT_WIDTH = 0.1
"""Standard deviation of a keypoint's heat, in halves of the square (thin-plate-spline motion model: variance 0.01)."""

FLOW_UNIT = 1 / 48
"""One unit of the answered flow as a share of the square's side: 8 pixels of 384, chosen for steps of INT8."""

STILL_CHANNELS = 7
"""What the synthesis sees of a photo once: plate RGB, source RGB, source matte."""

MASKS = ("lips", "inner mouth", "eyes", "brows")
"""Filled masks at the driver's points, drawn at half the square's resolution."""

COARSE = ("occlusion", "matte", "x", "y")
"""What the synthesis sees at a quarter of the square's resolution: trust in the base, the moved person, the place on
the head."""

VIEWS = 4
"""Canned poses of the photo whose features join at the lowest scale."""

VIEW_TURNS = ((0.0, -0.26), (0.0, 0.26), (-0.14, 0.0), (0.14, 0.0))
"""Pitch and yaw of these poses in radians, relative to the photo's."""

_BROWS = (70, 105, 66, 107, 336, 296, 334, 300)
_NOSE = (168, 195, 4, 2, 98, 327)
_CHOSEN = np.concatenate(
    [
        EYE_CORNERS.ravel(),
        EYE_UPPER.ravel(),
        EYE_LOWER.ravel(),
        IRIS[:, 0],
        LIP_OUTER,
        lip_ring(),
        OVAL[::2],
        _BROWS,
        _NOSE,
    ]
)
"""Lids 32, irises 2, outer lips 20, inner lips 20, outline 18, brows 8, nose 6."""


@dataclass(frozen=True, slots=True)
class PortraitSize:
    """Widths of the networks.

    Attributes:
        name: "4g", "7g", "16g" or a tiny one of a test.
        motion: channels of the dense motion network at 1/2, 1/4, 1/8 of its grid.
        motion_blocks: residual blocks at each of them on the way down, and again on the way up but at the lowest.
        synthesis: channels at 1/4, 1/8, 1/16 and 1/32 of the square.
        synthesis_down, synthesis_up: residual blocks at each level of either way; the lowest counts as down.
        facial: number of facial keypoints.
        hidden: width of the two keypoint perceptrons.
        detector: channels of the neural keypoint detector at 1/2 and 1/4 of the motion grid.
    """

    name: str
    motion: tuple[int, ...]
    motion_blocks: tuple[int, ...]
    synthesis: tuple[int, ...]
    synthesis_down: tuple[int, ...]
    synthesis_up: tuple[int, ...]
    facial: int = FACIAL
    hidden: int = 192
    detector: tuple[int, int] = (32, 64)

    def __post_init__(self) -> None:
        levels = len(self.synthesis)
        if len(self.motion) != len(self.motion_blocks) or levels != len(self.synthesis_down):
            raise RecipeError(f"size {self.name!r} has levels without blocks; give every level its own.")
        if len(self.synthesis_up) != levels - 1:
            raise RecipeError(f"size {self.name!r} has {len(self.synthesis_up)} levels up; expected {levels - 1}.")
        if not 1 <= self.facial <= 478:
            raise RecipeError(f"size {self.name!r} has {self.facial} facial keypoints; expected 1 to 478.")

    @property
    def lowest(self) -> int:
        """Pixels of the square along each side of one cell of the lowest grid."""
        return BLOCK * 2 ** (len(self.synthesis) - 1)


SIZES = {
    size.name: size
    for size in (
        PortraitSize("4g", (32, 64, 96), (1, 1, 1), (48, 64, 96, 128), (0, 1, 1, 2), (1, 1, 1)),
        PortraitSize("7g", (96, 128, 192), (1, 1, 2), (64, 112, 160, 224), (1, 1, 1, 2), (1, 1, 1), hidden=256),
        PortraitSize("16g", (128, 192, 256), (1, 1, 2), (96, 144, 224, 288), (1, 1, 2, 2), (1, 1, 2), hidden=256),
    )
}


def size_of(name: str) -> PortraitSize:
    """The size called `name`.

    Raises:
        RecipeError: there is none.
    """
    if name not in SIZES:
        raise RecipeError(f"there is no head network of size {name!r}; expected one of {', '.join(SIZES)}.")
    return SIZES[name]


def facial_indices(count: int = FACIAL) -> np.ndarray:
    """Which of the 478 points are the facial keypoints: 106 chosen ones, fewer of them, or more of the others."""
    if count <= len(_CHOSEN):
        return _CHOSEN[np.linspace(0, len(_CHOSEN) - 1, count).round().astype(int)]
    others = np.setdiff1d(np.arange(478), _CHOSEN)
    more = np.linspace(0, len(others) - 1, count - len(_CHOSEN)).round().astype(int)
    return np.concatenate([_CHOSEN, others[more]])
