"""The report on a speech model: all scores on the held-out recordings, and its JSON.

The report of the first model of this project stays in `FIRST_MODEL`, measured by the same code: whatever comes later
stands beside it.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

from liveface.lipsync.feelings import by_emotion
from liveface.lipsync.languages import by_language, spoken_clips
from liveface.lipsync.scores import Speaks, measure, spread
from liveface.lipsync.truth import held_out
from liveface.motion.audio import SpeechToMotion
from liveface.motion.best import BestSpeech

FIRST_MODEL = Path("bench/results/speech_first.json")
FELT_CLIPS = 12  # for the table of emotions: this many, of as many speakers as there are
SPOKEN_PHONES = Path("bench/spoken_phones.json")


def report(
    data: Path, out: Path | None = None, phones: Path | None = None, *, faces: Path | None = None,
    spoken: tuple[Path, Path] | None = None, model: Speaks | None = None,
    hard: bool = True,
) -> dict[str, object]:  # fmt: skip
    """Measure a speech model on the held-out recordings of `data`.

    Args:
        data: the training data's folder.
        out: where the JSON goes, such as `bench/results/speech.json`.
        phones: phones of the held-out clips, such as `bench/held_out_phones.json`; without it, no recalls.
        faces: a tracking cache of `python -m liveface.train.faces`; without it every clip is tracked.
        spoken: folder of `tools/speak_phones.py` and `SPOKEN_PHONES`; without it, no languages.
        model: what is measured; without it, what ships.
        hard: also the table of hardships and, of what ships, emotions and the best quality.
    """
    told = SpeechToMotion() if model is None else model
    late = round(float(getattr(told, "lookahead_ms", float("nan"))), 1)
    result: dict[str, object] = {"machine": platform.machine(), "lookahead_ms": late}
    clips = held_out(data, phones, faces)
    result |= measure(told, clips, hard=hard)
    if model is None and hard:
        felt = spread([clip for clip in clips if clip.phones], FELT_CLIPS)
        result["emotions"] = by_emotion(lambda emotion: SpeechToMotion(emotion=emotion), felt)
        best = measure(BestSpeech(), clips, hard=False)
        result["best"] = {name: best[name] for name in ("median", "speakers_mean", "recall", "gap_at_p_b_m_percent")}
    if spoken is not None:
        result["languages"] = by_language(told, spoken_clips(*spoken))
    if out is not None:
        write(result, out)
    return result


def write(result: dict[str, object], out: Path) -> None:
    """Store a report as JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    part.replace(out)
