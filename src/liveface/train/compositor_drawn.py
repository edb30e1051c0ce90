"""Patches of pretrained decoders for the whole canvases of packs: what the compositor will really be given.

python -m liveface.train.compositor_drawn PACKS OUT --decoders RUN RUN RUN RUN

RUN is a run folder of `liveface.train.decoders`, one per region. OUT gets a folder per pack with `{region}.npy`, uint8
`[M, h, w, 4]`, in the order of the pack's whole canvases. People whom the decoders never saw are drawn around their
own mean patch with the mean of all identities.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from liveface.errors import RecipeError
from liveface.nets.liveface import Decoder, make_decoder
from liveface.render.liveface.regions import REGIONS
from liveface.train.avatar.pack import Pack
from liveface.train.decoder_data import Frames
from liveface.train.decoders import PEOPLE, mean_patch, pretrained_of
from liveface.types import Pixels

CHUNK = 16  # frames drawn at once


def draw_pack(decoder: Decoder, identity: torch.Tensor, folder: Path, numbers: np.ndarray) -> Pixels:
    """The decoder's patches uint8 `[M, h, w, 4]` of some frames of a pack."""
    frames = Frames.open(folder, decoder.size.name)
    mean, out = mean_patch(frames)[None], []
    for first in range(0, len(numbers), CHUNK):
        some = numbers[first : first + CHUNK]
        with torch.inference_mode():
            patches = decoder(frames.steer(some), identity[None], mean).clamp(0, 1)
        out.append((patches * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(out)


def draw_all(packs: Path, out: Path, runs: list[Path]) -> int:
    """Draw every region of every pack; returns how many packs there are."""
    folders = sorted(file.parent for file in packs.glob("*/pack.json"))
    if not folders:
        raise RecipeError(f"there is no pack in {packs}; expected subfolders with a pack.json.")
    for run in runs:
        learned = pretrained_of(run)
        decoder = make_decoder(learned.region, learned.size).eval()
        decoder.load_state_dict({**learned.state, "mean": decoder.mean})
        people: list[str] = json.loads((run / PEOPLE).read_text("utf-8"))
        identities = torch.from_numpy(learned.identities)
        for folder in folders:
            known = folder.name in people
            identity = identities[people.index(folder.name)] if known else identities.mean(0)
            drawn = draw_pack(decoder, identity, folder, Pack.open(folder).frames_at)
            (out / folder.name).mkdir(parents=True, exist_ok=True)
            np.save(out / folder.name / f"{learned.region}.npy", drawn)
    return len(folders)


def main() -> None:
    """Draw from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--decoders", type=Path, nargs=len(REGIONS), required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    count = draw_all(given.packs, given.out, given.decoders)
    sys.stdout.write(f"{count} packs drawn in {given.out}\n")


if __name__ == "__main__":
    main()
