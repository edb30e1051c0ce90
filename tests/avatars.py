"""Tiny avatars for tests: real parts, but networks of random numbers."""

import hashlib
from dataclasses import replace

import cv2
import numpy as np

from liveface import weights
from liveface.avatar import About, Avatar, RegionBox, Shared, shipped
from liveface.motion.behaviour import Behaviour
from liveface.motion.reach import Reach
from liveface.render.liveface.regions import CONTROL_SIZES, REGIONS
from liveface.render.liveface.rig import Rig
from liveface.signals.image import read_image
from tiny_network import tiny_network

NETWORK = tiny_network({"eyes": (1, 18)}, {"patch": (1, 10, 24, 256)})


def flat_picture(suffix=".png", size=(32, 24)):
    return cv2.imencode(suffix, np.full((size[1], size[0], 3), 90, np.uint8))[1].tobytes()


def about(**values):
    made = About(
        name="nobody", maker="the tests", made="2026-11-20", tool="liveface 0", source="photo", teacher="mesh",
        size="small",
        regions={
            "mouth": RegionBox((128, 96), 1, (1.0, 0.0, 10.0, 0.0, 1.0, 20.0)),
            "eyes": RegionBox((192, 80), 1, (1.0, 0.0, 10.0, 0.0, 1.0, 20.0)),
            "hair": RegionBox((192, 192), 3, (1.0, 0.0, 10.0, 0.0, 1.0, 20.0)),
            "body": RegionBox((256, 64), 3, (1.0, 0.0, 10.0, 0.0, 1.0, 20.0)),
        },
        shared={"compositor": shipped("mouth.tflite")},
        behaviour=Behaviour(blinks_per_min=12.5),
        reach=Reach({"gaze": ((-0.5,) * 4, (0.25,) * 4)}, ((0.0, 0.0, 0.0, 0.1, 0.0, 0.0), (0.0,) * 6)),
        measured={"psnr_db": 31.5, "regions": {"mouth": {"psnr_db": 35.0, "curve": [30.0, 34, 35]}}},
    )  # fmt: skip
    return replace(made, **values)


def paper(**values):
    """An avatar that can be stored, but not drawn."""
    parts = {
        "about": about(), "rig": {"rig/plate.png": flat_picture()},
        "networks": dict.fromkeys(("mouth", "eyes", "hair", "body"), NETWORK), "poster": flat_picture(".jpg"),
    }  # fmt: skip
    return Avatar(**{**parts, **values})


def share(folder, monkeypatch, size=(360, 640)):
    """Put tiny shared networks in `folder` in place of the package's, for this test; role to `Shared`."""
    half = (size[1] // 2, size[0] // 2)
    grid = (size[1] // 8, size[0] // 8)
    made = {
        "compositor": tiny_network(
            {"canvas": (1, *half, 10), "features": (1, *grid, 16)},
            {"residual": (1, *grid, 192)},
            low=-0.02,
            high=0.02,
            gain=0.0,
        ),
        "appearance": tiny_network({"reference": (1, *half, 3)}, {"features": (1, *grid, 16)}),
    }
    entries = {}
    for role, content in made.items():
        name = f"{role}.tflite"
        (folder / name).write_bytes(content)
        entries[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest, path = weights.manifest(), weights.path
    monkeypatch.setattr(weights, "manifest", lambda *_: {**manifest, **entries})
    monkeypatch.setattr(weights, "path", lambda name: folder / name if name in entries else path(name))
    return {name.removesuffix(".tflite"): Shared(name, entry["sha256"]) for name, entry in entries.items()}


def tiny_decoders():
    """A network for every region, of the right shapes."""
    networks = {}
    for name, region in REGIONS.items():
        inputs = {name: (1, CONTROL_SIZES[name])} if name in CONTROL_SIZES else {
            "visemes": (1, CONTROL_SIZES["visemes"]), "landmarks": (1, CONTROL_SIZES["landmarks"]), "mode": (1, 1)
        }  # fmt: skip
        width, height = region.size
        networks[name] = tiny_network(inputs, {"patch": (1, height // 8, width // 8, 256)})
    return networks


def living(folder, monkeypatch, size=(360, 640), **values):
    """An avatar of the embedded portrait that can be drawn; its shared networks lie in `folder` for this test."""
    shared = share(folder, monkeypatch, size)
    rig = Rig.of(read_image(weights.path("portrait.jpg")), size)
    boxes = {name: RegionBox(region.size, region.every, tuple(float(x) for x in rig.rest_boxes[name].ravel()))
             for name, region in REGIONS.items()}  # fmt: skip
    said = about(canvas=size, regions=boxes, shared=shared, **values)
    return Avatar(said, rig.to_files(), tiny_decoders(), flat_picture(".jpg"))
