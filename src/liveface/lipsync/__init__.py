"""How well predicted motion follows the voice, measured on recordings whose lips are known."""

from liveface.lipsync.measures import (
    LIP_PAIRS,
    MOST_LAG,
    Lips,
    closures,
    correlation,
    jitter,
    lagged,
    lips_of,
    opening,
    opening_of,
)
from liveface.lipsync.reports import FIRST_MODEL, SPOKEN_PHONES, report
from liveface.lipsync.scores import measure, score, score_lips
from liveface.lipsync.tables import table
from liveface.lipsync.truth import Clip, at_house_rate, held_out

__all__ = [
    "FIRST_MODEL",
    "LIP_PAIRS",
    "MOST_LAG",
    "SPOKEN_PHONES",
    "Clip",
    "Lips",
    "at_house_rate",
    "closures",
    "correlation",
    "held_out",
    "jitter",
    "lagged",
    "lips_of",
    "measure",
    "opening",
    "opening_of",
    "report",
    "score",
    "score_lips",
    "table",
]
