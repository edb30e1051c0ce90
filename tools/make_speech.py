"""Make the embedded speech: a short sentence of our own, spoken by Festival's HTS voice of CMU ARCTIC's SLT.

Usage: `python tools/make_speech.py`, on a machine with Festival and its voice (Debian: festival, festvox-us-slt-hts).

Notable choices: the voice's licence (Carnegie Mellon University and the HTS working group, BSD style) allows any use of
what it speaks; of the voices tried (flite's slt, rms and awb, Festival's kal and slt) it has the widest band, 32 kHz,
and no clicks at joins. Stored at the house rate as 16-bit FLAC, peak at -3 dB, a quarter second of silence around.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import av
import numpy as np

from liveface.signals.media import read_audio
from liveface.types import HOUSE_RATE_HZ

TEXT = (
    "Hello! I am a portrait of nobody, made from many faces. Give me a photo and a voice, and I will bring it to life."
)
VOICE = "(voice_cmu_us_slt_arctic_hts)"
OUTPUT = Path("src/liveface/data/speech.flac")
PEAK = 0.7
SILENCE_S = 0.25


def main() -> None:
    """Speak, level, store."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        subprocess.run(["text2wave", "-eval", VOICE, "-o", str(spoken)], input=TEXT.encode(), check=True)
        samples = np.concatenate([block.samples for block in read_audio(spoken)])
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    samples = samples[loud[0] : loud[-1] + 1] * (PEAK / np.abs(samples).max())
    samples = np.pad(samples, round(SILENCE_S * HOUSE_RATE_HZ))
    with av.open(str(OUTPUT), "w", "flac") as container:
        stream = container.add_stream("flac", rate=HOUSE_RATE_HZ)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.round(samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = HOUSE_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    print(f"{OUTPUT}: {len(samples) / HOUSE_RATE_HZ:.2f} s, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
