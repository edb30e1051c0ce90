"""Teachers of photos: frames are the renderer's own, and rest shows the photo."""

import numpy as np
import pytest

from liveface import weights
from liveface.bench import lively
from liveface.errors import RecipeError
from liveface.render.mobileportrait.renderer import MobilePortraitRenderer
from liveface.signals.image import read_image
from liveface.train.avatar.teachers import teacher

SIZE = (360, 640)


def test_mobileportrait_teaches_what_it_draws():
    photo, motion = read_image(weights.path("portrait.jpg")), lively(20)[8:12:3]
    taught = teacher("mobileportrait", photo, SIZE)
    renderer = MobilePortraitRenderer(photo, SIZE)
    drawn = [frame.pixels for frame in renderer.step(renderer.start(), motion)[1]]
    for one, other in zip(taught.draw([motion]), drawn, strict=True):
        np.testing.assert_array_equal(one, other)
    (rest,) = taught.draw([taught.still])
    canvas = renderer.canvas
    assert np.abs(rest.astype(int) - canvas.shrink(canvas.texture)).mean() < 2
    assert taught.name == "mobileportrait"


def test_an_unknown_teacher_is_refused():
    with pytest.raises(RecipeError, match="mobileportrait"):
        teacher("oil", np.zeros((8, 8, 3), np.uint8), SIZE)
