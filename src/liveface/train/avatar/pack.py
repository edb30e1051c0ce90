"""A pack: everything that the networks of one person learn from, in one folder, memory-mapped.

`pack.json` says what it is; per region `{name}.npy` holds true patches uint8 `[N, h, w, 3]` and `{name}_base.npy` the
same of the warped reference; `controls.npz` the control vectors `[N, D]` with `time [N]` (neighbours differ by 1) and
`held [N]`; `motion.npz` expression, head, gaze and shoulders; `boxes.npz` `[N, 2, 3]` per region; `frames.npy` and
`bases.npy` whole canvases uint8 `[M, H, W, 3]` of the frames `frames_at.npy [M]`; `rig/` the rig's files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from liveface.errors import RecipeError
from liveface.render.liveface.regions import CONTROL_SIZES, REGIONS
from liveface.render.liveface.rig import Rig
from liveface.types import Array, Motion, Pixels, arkit_spec

VERSION = 1
CONTROLS = {**CONTROL_SIZES, "tracked": CONTROL_SIZES["landmarks"]}
"""Control vectors of a pack and their lengths; `tracked` is `landmarks` from the tracker's points."""


@dataclass(frozen=True)
class Pack:
    """An opened pack; arrays of pictures stay on disk until used.

    Attributes:
        folder: where it lies.
        info: `pack.json`.
        time: `[N]` frame numbers; held: `[N]` frames that nothing may learn from.
        controls: name to `[N, D]` float32.
        expression, head, gaze, shoulders: `[N, ...]`, see `liveface.train.avatar.track`.
        boxes: region name to `[N, 2, 3]`.
        frames_at: `[M]` which frame a whole canvas shows.
    """

    folder: Path
    info: dict[str, Any]
    time: npt.NDArray[np.int64]
    held: npt.NDArray[np.bool_]
    controls: dict[str, Array]
    expression: Array
    head: Array
    gaze: Array
    shoulders: Array
    boxes: dict[str, Array]
    frames_at: npt.NDArray[np.int64]

    @staticmethod
    def open(folder: str | Path) -> Pack:
        """Open a pack.

        Raises:
            RecipeError: it is missing, of another version, or its parts do not fit together.
        """
        folder = Path(folder)
        try:
            info = json.loads((folder / "pack.json").read_text("utf-8"))
            if info.get("version") != VERSION:
                raise ValueError(f"version {info.get('version')}, expected {VERSION}")
            with np.load(folder / "controls.npz") as stored:
                time, held = stored["time"], stored["held"]
                controls = {name: stored[name] for name in CONTROLS}
            with np.load(folder / "motion.npz") as stored:
                expression, head, gaze, shoulders = (
                    stored[name] for name in ("expression", "head", "gaze", "shoulders")
                )
            with np.load(folder / "boxes.npz") as stored:
                boxes = {name: stored[name] for name in REGIONS}
            at = np.load(folder / "frames_at.npy")
            pack = Pack(folder, info, time, held, controls, expression, head, gaze, shoulders, boxes, at)
            pack._check()
        except (OSError, KeyError, ValueError) as error:
            raise RecipeError(f"{folder} is not a usable pack ({error}); make the pack again.") from error
        return pack

    def __len__(self) -> int:
        return len(self.time)

    @property
    def fps(self) -> float:
        """Frames per second of the recording."""
        return float(self.info["fps"])

    def truth(self, region: str) -> Pixels:
        """True patches of a region, uint8 `[N, h, w, 3]`."""
        return np.load(self.folder / f"{region}.npy", mmap_mode="r")

    def base(self, region: str) -> Pixels:
        """The same patches of the warped reference."""
        return np.load(self.folder / f"{region}_base.npy", mmap_mode="r")

    @property
    def frames(self) -> Pixels:
        """Whole canvases of the frames `frames_at`, uint8 `[M, H, W, 3]`."""
        return np.load(self.folder / "frames.npy", mmap_mode="r")

    @property
    def bases(self) -> Pixels:
        """The warped reference at the same frames."""
        return np.load(self.folder / "bases.npy", mmap_mode="r")

    @cached_property
    def rig(self) -> Rig:
        """The person's rig."""
        return read_rig(self.folder)

    def motion(self, at: int | slice) -> Motion:
        """Motion of one frame (`T = 1`) or of several."""
        part = slice(at, at + 1) if isinstance(at, int) else at
        return Motion(self.expression[part], self.head[part], self.gaze[part], arkit_spec(self.fps))

    def _check(self) -> None:
        count = len(self.time)
        for name, region in REGIONS.items():
            wanted = (count, region.size[1], region.size[0], 3)
            for pictures in (self.truth(name), self.base(name)):
                if pictures.shape != wanted:
                    raise ValueError(f"{name} patches have shape {pictures.shape}, expected {wanted}")
        wrong = [name for name, width in CONTROLS.items() if self.controls[name].shape != (count, width)]
        if wrong or len(self.held) != count or len(self.frames) != len(self.frames_at):
            raise ValueError(f"arrays of different lengths, {', '.join(wrong) or 'whole canvases'}")


def read_rig(folder: Path) -> Rig:
    """The rig in a pack's folder."""
    files = {f"rig/{file.name}": file.read_bytes() for file in sorted((folder / "rig").iterdir())}
    return Rig.from_files(files)


class PackWriter:
    """Writes a pack frame by frame; `pack.json` comes last, so that half a pack is none.

    Args:
        folder: made anew where needed; what a former pack left there is replaced.
        rig: of the person.
        count: frames; canvases: which of them are kept whole.
    """

    def __init__(self, folder: Path, rig: Rig, count: int, canvases: npt.NDArray[np.int64]) -> None:
        self._folder, self._count, self._at = folder, count, 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pack.json").unlink(missing_ok=True)
        for name, data in rig.to_files().items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        self._patches = {
            f"{name}{kind}": self._new(f"{name}{kind}", (count, region.size[1], region.size[0], 3))
            for name, region in REGIONS.items()
            for kind in ("", "_base")
        }
        width, height = rig.size
        self._whole = [self._new(name, (len(canvases), height, width, 3)) for name in ("frames", "bases")]
        self._slot = {int(at): slot for slot, at in enumerate(canvases)}
        np.save(folder / "frames_at.npy", np.asarray(canvases, np.int64))
        self._rows: dict[str, list[npt.NDArray[Any]]] = {}

    def _new(self, name: str, shape: tuple[int, ...]) -> Pixels:
        if 0 in shape:  # an empty file cannot be mapped
            np.save(self._folder / f"{name}.npy", np.zeros(shape, np.uint8))
            return np.zeros(shape, np.uint8)
        store = open_memmap(self._folder / f"{name}.npy", "w+", np.uint8, shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is told now, and not by a signal when a page is written
            with (self._folder / f"{name}.npy").open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, store.offset + store.nbytes)
        return store

    def add(
        self,
        patches: dict[str, Pixels],
        bases: dict[str, Pixels],
        canvases: tuple[Pixels, Pixels],
        rows: dict[str, npt.NDArray[Any]],
    ) -> None:
        """The next frame.

        Args:
            patches, bases: region name to uint8 `[h, w, 3]`, true and of the warped reference.
            canvases: the whole frame, true and warped; kept when it is one of the chosen.
            rows: values of the frame by file and name, such as "controls/eyes".
        """
        for name in REGIONS:
            self._patches[name][self._at] = patches[name]
            self._patches[f"{name}_base"][self._at] = bases[name]
        slot = self._slot.get(self._at)
        if slot is not None:
            for store, canvas in zip(self._whole, canvases, strict=True):
                store[slot] = canvas
        for name, row in rows.items():
            self._rows.setdefault(name, []).append(row)
        self._at += 1

    def finish(self, info: dict[str, Any]) -> Pack:
        """Write the tables and `pack.json`; the finished pack."""
        if self._at != self._count:
            raise RecipeError(f"a pack of {self._count} frames got {self._at}; the source changed while it was read.")
        for store in (*self._patches.values(), *self._whole):
            if isinstance(store, np.memmap):
                store.flush()
        for file in ("controls", "motion", "boxes"):
            found = {name.split("/")[1]: np.stack(rows) for name, rows in self._rows.items() if name.startswith(file)}
            np.savez(self._folder / f"{file}.npz", allow_pickle=False, **found)
        part = self._folder / "pack.json.part"
        part.write_text(json.dumps({"version": VERSION, "frames": self._count, **info}, indent=1), "utf-8")
        part.replace(self._folder / "pack.json")
        return Pack.open(self._folder)
