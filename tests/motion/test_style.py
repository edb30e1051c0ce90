"""Speaking styles as text."""

import numpy as np
import pytest

from liveface.errors import MotionError
from liveface.motion.style import check_style, parse_style


def test_a_line_becomes_four_numbers():
    assert parse_style("articulation:1, head:-0.5").tolist() == [1.0, 0.0, 0.0, -0.5]
    assert parse_style("smile:2").tolist() == [0.0, 2.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "why"),
    [("grin:1", "articulation, smile"), ("smile", "-3 to 3"), ("smile:9", "-3 to 3"), ("head:1,head:2", "twice"),
     ("brows:x", "-3 to 3"), ("", "there is no style")],
)  # fmt: skip
def test_other_lines_are_refused(text, why):
    with pytest.raises(MotionError, match=why):
        parse_style(text)


def test_vectors_are_checked():
    assert check_style(np.zeros(4)).dtype == np.float32
    for bad in (np.zeros(3), np.full(4, 4.0), np.full(4, np.nan)):
        with pytest.raises(MotionError, match="4 numbers"):
            check_style(bad)
