"""Find the phones of the data's English speech with pocketsphinx, for the speech recipe.

    pip install pocketsphinx==5.1.1
    python tools/align_phones.py ../shared/data build/phones.json

GRID's sentences are in their file names, or are found with GRID's grammar; other recordings are recognised first, so
their words may be wrong while their phones are mostly right. Stopped and called again, it goes on where it was.
Writes `{file: [[phone, start_s, seconds], ...]}`. About 25 minutes on one core.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE_HZ = 16_000
PAD = 4_800  # samples of near silence around a piece, without which the aligner fails
PIECE_S, LONGEST_S = 20, 120
FIELDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: {"z": "zed"}.get(letter, letter) for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(zip("z123456789", "zero one two three four five six seven eight nine".split(), strict=True)),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""GRID's grammar: the letters of a file name and their words."""


def sentence(stem: str) -> list[str] | None:
    """The words a GRID file name stands for, or None."""
    code = stem.rsplit("__", maxsplit=1)[-1].rsplit("-", maxsplit=1)[-1]
    if len(code) != len(FIELDS) or any(letter not in field for letter, field in zip(code, FIELDS, strict=True)):
        return None
    return [field[letter] for letter, field in zip(code, FIELDS, strict=True)]


def read(file: Path) -> np.ndarray:
    """Mono int16 at 16 kHz, levelled."""
    parts = []
    with av.open(str(file)) as container:
        resampler = av.AudioResampler("s16", "mono", RATE_HZ)
        for frame in container.decode(audio=0):
            parts += [piece.to_ndarray().ravel() for piece in resampler.resample(frame)]
        parts += [piece.to_ndarray().ravel() for piece in resampler.resample(None)]
    sound = np.concatenate(parts)[: LONGEST_S * RATE_HZ].astype(np.float32)
    sound -= sound.mean()
    return np.clip(sound * (2500 / (np.sqrt((sound**2).mean()) + 1e-6)), -32_000, 32_000).astype(np.int16)


class Aligner:
    """Three decoders of one acoustic model: by grammar, by language model, and forced to a text."""

    def __init__(self) -> None:
        from pocketsphinx import Config, Decoder, get_model_path

        folder = Path(get_model_path()) / "en-us"
        common: dict[str, Any] = {
            "samprate": RATE_HZ, "loglevel": "FATAL", "fwdflat": False,
            "hmm": str(folder / "en-us"), "dict": str(folder / "cmudict-en-us.dict"),
        }  # fmt: skip
        self.forced = Decoder(Config(lm=None, bestpath=False, **common))
        self.free = Decoder(Config(lm=str(folder / "en-us.lm.bin"), maxhmmpf=3000, maxwpf=8, pl_window=5, **common))
        self.grid = Decoder(Config(lm=None, **common))
        choices = " ".join("(" + "|".join(sorted(set(field.values()) - {"zed"})) + ")" for field in FIELDS)
        self.grid.add_jsgf_string("grid", f"#JSGF V1.0; grammar grid; public <sentence> = {choices};")
        self.grid.activate_search("grid")
        self.rng = np.random.default_rng(0)

    def words(self, sound: bytes, decoder: Any) -> list[str]:
        """What a decoder hears."""
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
        if decoder.hyp() is None:
            return []
        heard = [part.word.split("(")[0] for part in decoder.seg()]
        return [word for word in heard if not word.startswith(("<", "["))]

    def phones(self, sound: np.ndarray, words: list[str] | None, *, grid: bool) -> list[tuple[str, float, float]]:
        """Phones of one piece: name, start and length in seconds."""
        quiet = [(self.rng.normal(size=PAD) * 8).astype(np.int16) for _ in range(2)]
        padded = np.concatenate([quiet[0], sound, quiet[1]]).tobytes()
        words = words or self.words(padded, self.grid if grid else self.free)
        if not words:
            return []
        self.forced.set_align_text(" ".join(words))
        for second in (False, True):
            if second:
                if self.forced.hyp() is None:
                    return []
                self.forced.set_alignment()
            self.forced.start_utt()
            self.forced.process_raw(padded, full_utt=True)
            self.forced.end_utt()
        found = [phone for word in self.forced.get_alignment() for phone in word]
        return [(p.name, round(p.start / 100 - PAD / RATE_HZ, 3), round(p.duration / 100, 3)) for p in found]

    def file(self, path: Path, *, grid: bool) -> list[tuple[str, float, float]]:
        """Phones of a whole file, in pieces."""
        sound, out = read(path), []
        for first in range(0, len(sound), PIECE_S * RATE_HZ):
            piece = sound[first : first + PIECE_S * RATE_HZ]
            if len(piece) < 0.4 * RATE_HZ:
                continue
            words = sentence(path.stem) if grid else None
            found = self.phones(piece, words, grid=grid)
            out += [(name, round(start + first / RATE_HZ, 3), length) for name, start, length in found]
        return out


def main() -> None:
    """Align every file that is missing in the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    with (given.data / "catalog.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    jobs = [row["file"] for row in rows if any(part in row["file"] for part in ("grid", "lipnet", "cognitive"))]
    jobs = [name for name in jobs if name.startswith("video/")]
    jobs += [row["file"] for row in rows if row["kind"] == "speech" and row["language"] == "en"]
    done: dict[str, Any] = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {}
    aligner = Aligner()
    for index, name in enumerate(jobs):
        if name in done:
            continue
        try:
            done[name] = aligner.file(given.data / name, grid="grid" in name or "lipnet" in name)
        except RuntimeError as error:
            done[name] = []
            print(f"{name}: no alignment ({error})")
        if index % 20 == 0 or index + 1 == len(jobs):
            part = given.out.with_suffix(".part")
            part.write_text(json.dumps(done), "utf-8")
            part.replace(given.out)
            print(f"{index + 1} of {len(jobs)}: {name}", flush=True)


if __name__ == "__main__":
    main()
