"""From a pack and learned decoders to an avatar: exported, put together, measured as the product will draw it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from liveface import weights
from liveface.avatar import CANVASES, CONSENT, LICENCE, SHARED, About, Avatar, RegionBox, Shared, shipped
from liveface.errors import RecipeError
from liveface.export.litert import Sample
from liveface.export.liveface import MOST_LOSS_DB, export_decoder
from liveface.motion.behaviour import Behaviour, measure_behaviour
from liveface.motion.reach import CONTROLS, MOTION, Reach, measure_reach
from liveface.render.liveface.regions import REGIONS
from liveface.render.liveface.renderer import BODY_FOLLOW, LiveFaceRenderer
from liveface.render.liveface.sizes import gmac_per_frame, parameters_of
from liveface.sheets import save_rows
from liveface.train.adapt import CHECKPOINT, Adapted
from liveface.train.avatar.pack import Pack
from liveface.train.avatar_networks import network_losses
from liveface.train.avatar_scores import Scene, draw, draw_mesh, score, track
from liveface.types import Array

CALIBRATION_FRAMES = 150  # learned frames, spread evenly, on which INT8 is calibrated
MEASURED_FRAMES = 150  # held-out frames at the end of creation; `liveface evaluate` takes all
POSTER_QUALITY = 92
NUMBERS = "parity.json"

Say = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Statement:
    """What an avatar says about itself; see `liveface.avatar.About`."""

    name: str
    maker: str
    consent: str = CONSENT
    licence: str = LICENCE


def shared_networks(canvas: tuple[int, int]) -> dict[str, Shared]:
    """The compositor and the appearance network of this installation for a canvas; they serve decoders of any size.

    Raises:
        RecipeError: none ships for it.
    """
    shape = "" if canvas == CANVASES[0] else f"_{canvas[0]}x{canvas[1]}"
    names = {role: f"{role}{shape if role == 'compositor' else ''}.tflite" for role in SHARED}
    missing = [name for name in names.values() if name not in weights.manifest()]
    if missing:
        raise RecipeError(
            f"{missing[0]} is not among the shipped networks, so no avatar of {canvas[0]}x{canvas[1]} can be made; "
            f"expected a canvas they are made for: leave --canvas out for {CANVASES[0][0]}x{CANVASES[0][1]}."
        )
    return {role: shipped(name) for role, name in names.items()}


def export_all(adapted: Adapted, pack: Pack, folder: Path, say: Say) -> dict[str, bytes]:
    """Every decoder as INT8; what was exported from the same weights before is taken again.

    Args:
        folder: for the files, float and INT8, and their parity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / NUMBERS
    known: dict[str, Any] = json.loads(done.read_text("utf-8")) if done.is_file() else {}
    for at, (name, decoder) in enumerate(adapted.decoders.items()):
        say("exporting", at / len(adapted.decoders))
        digest = _digest(decoder.weights, decoder.identity)
        if known.get(name, {}).get("weights") == digest and (folder / f"{name}.tflite").is_file():
            continue
        samples = calibration(pack, name)
        with _chatter_to(folder / "export.log"):
            made = export_decoder(decoder.network(), torch.from_numpy(decoder.identity), samples, folder)
        known[name] = {"weights": digest, **made.numbers()}
        done.write_text(json.dumps(known, indent=1), "utf-8")
    return {name: (folder / f"{name}.tflite").read_bytes() for name in REGIONS}


@contextmanager
def _chatter_to(file: Path) -> Iterator[None]:
    """What the converter and its libraries print goes to a file; from Python and from native code alike."""
    with file.open("a", encoding="utf-8") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
            with redirect_stdout(log), redirect_stderr(log):
                yield
        finally:
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def calibration(pack: Pack, region: str) -> list[Sample]:
    """Control vectors of learned frames as a decoder's file takes them; the mouth's in both modes in turns."""
    learned = np.flatnonzero(~pack.held)
    chosen = learned[np.unique(np.linspace(0, len(learned) - 1, CALIBRATION_FRAMES).astype(int))]
    if region != "mouth":
        return [{region: pack.controls[region][[at]].astype(np.float32)} for at in chosen]
    names = ("visemes", "landmarks")
    return [
        {name: pack.controls[name][[at]].astype(np.float32) for name in names}
        | {"mode": np.full((1, 1), float(number % 2), np.float32)}
        for number, at in enumerate(chosen)
    ]


def manner(pack: Pack) -> Behaviour:
    """The person's own behaviour, measured where the pack is a recording of them."""
    if pack.info["teacher"] != "video":
        return Behaviour()
    first = pack.time - pack.time[0]
    frames = np.arange(int(first[-1]) + 1)

    def whole(track: Array) -> Array:
        columns = track.reshape(len(track), -1).T
        return np.stack([np.interp(frames, first, column) for column in columns], 1).astype(np.float32)

    return measure_behaviour(
        whole(pack.expression), whole(pack.head), whole(pack.gaze), whole(pack.shoulders), pack.fps
    )


def learned_reach(pack: Pack) -> Reach:
    """What the decoders of a pack see while they learn; the lip points are the motion's and the tracker's."""
    learned = ~pack.held
    tracks = {name: getattr(pack, name)[learned] for name in MOTION}
    tracks |= {name: pack.controls[name][learned] for name in CONTROLS}
    tracks["landmarks"] = np.concatenate([tracks["landmarks"], pack.controls["tracked"][learned]])
    head = pack.rig.head
    return measure_reach(tracks, BODY_FOLLOW * head.px_per_cm / pack.rig.eye_px)


def assemble(pack: Pack, networks: dict[str, bytes], shared: dict[str, Shared], size: str, said: Statement) -> Avatar:
    """The avatar, not yet measured."""
    rig = pack.rig
    files = {f"rig/{file.name}": file.read_bytes() for file in sorted((pack.folder / "rig").iterdir())}
    teacher = str(pack.info["teacher"])
    about = About(
        name=said.name,
        maker=said.maker,
        made=time.strftime("%Y-%m-%d"),
        tool=f"liveface {version('liveface')}",
        source="video" if teacher == "video" else "photo",
        teacher=teacher,
        size=size,
        regions={
            name: RegionBox(region.size, region.every, tuple(float(x) for x in rig.rest_boxes[name].ravel()))
            for name, region in REGIONS.items()
        },
        shared=shared,
        consent=said.consent,
        licence=said.licence,
        canvas=rig.size,
        behaviour=manner(pack),
        reach=learned_reach(pack),
    )
    encoded, poster = cv2.imencode(
        ".jpg", cv2.cvtColor(rig.reference, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, POSTER_QUALITY]
    )
    assert encoded
    return Avatar(about, files, networks, poster.tobytes())


def measure(avatar: Avatar, adapted: Adapted, pack: Pack, run: Path, say: Say) -> Avatar:
    """The avatar with what it reaches on held-out frames, beside `mesh` on the same frames; a sheet goes to `run`.

    Args:
        run: the folder that `adapt` learned in; `sheet.png` is written there.
    """
    scene = Scene.of(pack, MEASURED_FRAMES)
    say("measuring", 0.0)
    drawn = draw(LiveFaceRenderer(avatar), scene)
    mesh = draw_mesh(scene)
    truth = track(scene, scene.true)
    say("measuring", 0.4)
    scores = {
        "avatar": score(scene, drawn.pictures, (truth, track(scene, drawn.pictures))),
        "mesh": score(scene, mesh.pictures, (truth, track(scene, mesh.pictures))),
    }
    say("measuring", 0.7)
    save_rows((scene.true, drawn.pictures), truth, run / "sheet.png")
    losses = network_losses(avatar, pack.folder, run / CHECKPOINT)
    middle, high = drawn.spread_ms
    regions = {
        name: {**_last(decoder.scores), **losses.get(name, {}), "bytes": len(avatar.networks[name])}
        for name, decoder in adapted.decoders.items()
    }
    about, info = avatar.about, pack.info
    return avatar.with_measured(
        held_out=scores,
        regions=regions,
        mode_gap_db=adapted.mode_gap_db,
        held_out_frames=len(scene.true),
        frames=int((~pack.held).sum()),
        rejection_rate=float(info["rejection_rate"]),
        rejected=dict(info["rejected"]),
        learned_minutes=adapted.minutes,
        gmac_a_frame=round(gmac_per_frame(about.size, about.canvas), 4),
        parameters=parameters_of(about.size),
        ms_a_frame={"p50": middle, "p95": high, "load": round(os.getloadavg()[0], 1)},
    )


def lossy(avatar: Avatar) -> list[str]:
    """Regions that lost more to INT8 than the project allows itself."""
    regions = avatar.about.measured["regions"]
    return [name for name, one in regions.items() if one.get("loss_db", 0.0) > MOST_LOSS_DB]


def finished(avatar: Avatar, minutes: float) -> Avatar:
    """The avatar with the minutes its creation took in all."""
    measured = {**avatar.about.measured, "minutes": round(minutes, 2)}
    return replace(avatar, about=replace(avatar.about, measured=measured))


def _last(scores: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if name not in ("minutes", "step")}


def _digest(state: dict[str, torch.Tensor], identity: Array) -> str:
    whole = hashlib.sha256(np.ascontiguousarray(identity).tobytes())
    for name in sorted(state):
        whole.update(name.encode())
        whole.update(state[name].detach().float().numpy().tobytes())
    return whole.hexdigest()
