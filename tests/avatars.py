"""Tiny avatars for tests: real parts, but networks of random numbers."""

from dataclasses import replace

import cv2
import numpy as np

from liveface.avatar import About, Avatar, RegionBox, shipped
from liveface.motion.behaviour import Behaviour
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
