"""LivePortrait's networks give what the official ones gave, with the same pseudo-weights."""

import math
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from fill import close, fill, keys, noise, seed, stored, whole

from liveface.nets.liveportrait import keypoints
from liveface.nets.liveportrait.appearance import AppearanceExtractor
from liveface.nets.liveportrait.decoder import SpadeDecoder
from liveface.nets.liveportrait.motion import MotionExtractor
from liveface.nets.liveportrait.retarget import EYE, LIP, STITCH, Correctors
from liveface.nets.liveportrait.warping import Warping
from liveface.torch_renderers.liveportrait.crop import (
    DRIVING_RAISE,
    DRIVING_SCALE,
    SOURCE_RAISE,
    SOURCE_SCALE,
    axis,
    face_square,
    openness,
)
from liveface.torch_renderers.liveportrait.drive import Driving, Seen, driven
from liveface.torch_renderers.liveportrait.engine import picture_of

MODEL = "liveportrait"
NETWORKS = {
    "appearance_feature_extractor": AppearanceExtractor,
    "motion_extractor": MotionExtractor,
    "warping_module": Warping,
    "spade_generator": SpadeDecoder,
}
GAINS = {"warping_module": math.sqrt(2)}
SMALL, DEGREES, MAP, FEATURE, IMAGE = 2e-5, 1e-3, 2e-5, 1e-4, 2e-4
CHAIN_KEYPOINTS, CHAIN_MAP, CHAIN_IMAGE, CHAIN_IMAGE_MEAN = 1e-4, 1e-4, 3e-3, 2e-4


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@cache
def network(name):
    return fill(NETWORKS[name](), seed(MODEL), GAINS.get(name, 1.0))


@cache
def correctors():
    return fill(Correctors(), seed(MODEL))  # the sub-dict's name is the prefix, here and in the fill rule


def tensor(pixels):
    """uint8 `[H, W, 3]` to `[1, 3, H, W]` in 0..1."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_and_shapes_are_those_of_the_official_file(name):
    with torch.device("meta"):
        state = NETWORKS[name]().state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == keys(MODEL, name)


def test_correctors_have_the_keys_of_the_official_file():
    table = keys(MODEL, "stitching_retargeting_module")
    assert set(table) == {STITCH, LIP, EYE}
    for name, shapes in table.items():
        assert {key: tuple(value.shape) for key, value in Correctors()[name].state_dict().items()} == shapes


@cache
def appearance():
    """The volume of the stored source picture, shared by the tests."""
    with torch.no_grad():
        return network("appearance_feature_extractor")(tensor(stored(MODEL, "chain")["in_source_u8"]))


def test_appearance():
    told = stored(MODEL, "appearance_feature_extractor")
    if "in_source_u8" in told:
        assert np.array_equal(told["in_source_u8"], stored(MODEL, "chain")["in_source_u8"])
    volume = appearance()
    assert volume.shape == (1, 32, 16, 64, 64)
    close(volume[0, ::3, ::3, ::5, ::5], told["out_f_s_sub"], SMALL)
    close(volume[0].mean((1, 2, 3)), told["out_f_s_chmean"], SMALL)
    close(volume[0].std((1, 2, 3), correction=0), told["out_f_s_chstd"], SMALL)


@pytest.mark.parametrize("who", ["source", "driving0"])
def test_motion(who):
    told = stored(MODEL, "motion_extractor")
    picture = told.get(f"in_{who}_u8", stored(MODEL, "chain")[f"in_{who}_u8"])
    raw = network("motion_extractor")(tensor(picture))
    named = {"t": raw.shift, "exp": raw.expression, "kp": raw.keypoints, "scale": raw.scale}
    for name in ("pitch", "yaw", "roll"):
        named[name] = getattr(raw, name)
        close(keypoints.degrees(getattr(raw, name))[None], told[f"out_{who}_{name}_degree"], DEGREES)
    for name, value in named.items():
        close(value, told[f"out_{who}_{name}"], SMALL)
    face = keypoints.pose(raw)
    close(keypoints.place(face), told[f"out_{who}_x"], SMALL)
    close(seen(face).place()[None], told[f"out_{who}_x"], SMALL)


def seen(face):
    """A pose as the renderer handles it."""
    flat = [part[0].numpy() for part in face]
    return Seen(flat[0], flat[1], float(flat[2][0]), flat[3], flat[4], np.zeros(3, np.float32))


@pytest.mark.parametrize("prefix", ["", "fixed_"] if whole(MODEL) else [""])
def test_chain(prefix):
    told = stored(MODEL, "chain")
    if prefix:
        points = [torch.from_numpy(told[f"in_fixed_kp_{who}"]) for who in ("source", "driving")]
    else:
        points = chained(told)
    warped = network("warping_module")(appearance(), *points)
    close(warped.occlusion[0, 0], told[f"out_{prefix}occlusion_map"], CHAIN_MAP)
    close(warped.deformation[0, ::3, ::5, ::5], told[f"out_{prefix}deformation_sub"], CHAIN_MAP)
    image = network("spade_generator")(warped.feature)
    assert image.shape == (1, 3, 512, 512)
    close(image[0, :, ::5, ::5], told[f"out_{prefix}image_sub"], CHAIN_IMAGE, CHAIN_IMAGE_MEAN)
    if not prefix:
        close(picture_of(image)[::5, ::5], told["out_image_u8_sub"], 1)


def chained(told):
    """Keypoints of the source and of the driver, compared on the way."""
    source, first, now = (
        seen(keypoints.pose(network("motion_extractor")(tensor(told[f"in_{name}_u8"]))))
        for name in ("source", "driving0", "driving1")
    )
    for face, name in ((source, "s"), (first, "d0"), (now, "d1")):
        close(face.rotation[None], told[f"out_R_{name}"], CHAIN_KEYPOINTS)
    close(source.place()[None], told["out_x_s"], CHAIN_KEYPOINTS)
    moved = driven(source, first, now, Driving()).place()
    close(moved[None], told["out_x_d_new"], CHAIN_KEYPOINTS)
    at_source = torch.from_numpy(source.place())[None]
    stitched = correctors().stitch(at_source, torch.from_numpy(moved)[None])
    close(stitched, told["out_x_d_stitched"], CHAIN_KEYPOINTS)
    return at_source, stitched


if whole(MODEL):

    def test_decoder_alone():
        told = stored(MODEL, "spade_generator")
        feature = 0.5 * noise("in:spade.feature", (1, 256, 64, 64), seed(MODEL))
        close(feature.ravel()[:8], told["in_feature_first8"], 1e-6)
        image = network("spade_generator")(torch.from_numpy(feature))
        close(image[0, :, ::5, ::5], told["out_image_sub"], IMAGE)
        close(image[0, :, 240:272, 240:272], told["out_image_block"], IMAGE)
        close(image[0].mean((1, 2)), told["out_image_chmean"], IMAGE)

    def test_warping_alone():
        told = stored(MODEL, "warping_module")
        volume = 0.5 * noise("in:warping.feature_3d", (1, 32, 16, 64, 64), seed(MODEL))
        close(volume.ravel()[:8], told["in_feature_3d_first8"], 1e-6)
        points = [torch.from_numpy(told[f"in_kp_{who}"]) for who in ("source", "driving")]
        warped = network("warping_module")(torch.from_numpy(volume), *points)
        close(warped.mask[0, :, ::3, ::7, ::7], told["out_mask_sub"], MAP)
        close(warped.deformation[0, ::3, ::5, ::5], told["out_deformation_sub"], MAP)
        close(warped.occlusion[0, 0], told["out_occlusion_map"], MAP)
        close(warped.feature[0, ::5, ::3, ::3], told["out_out_sub"], FEATURE)
        close(warped.feature[0].mean((1, 2)), told["out_out_chmean"], FEATURE)


def test_correctors():
    told = stored(MODEL, "stitching_retargeting_module")
    source, driving, eyes, lips = (
        torch.from_numpy(told[f"in_{name}"])
        for name in ("kp_source", "kp_driving", "eye_close_ratio", "lip_close_ratio")
    )
    raw = correctors()[STITCH](torch.cat([source.flatten(1), driving.flatten(1)], 1))
    close(raw, told["out_stitch"], SMALL)
    close(correctors().stitch(source, driving), told["out_stitching"], SMALL)
    close(correctors().eyes(source, eyes), told["out_retarget_eye"], SMALL)
    close(correctors().lips(source, lips), told["out_retarget_lip"], SMALL)


def test_geometry():
    told = stored(MODEL, "geometry")
    given = {name: torch.from_numpy(value) for name, value in told.items() if name.startswith("in_")}
    angles = [given[f"in_{name}"][:, 0] for name in ("pitch", "yaw", "roll")]
    turn = keypoints.rotation(*angles)
    close(turn, told["out_R"], SMALL)
    close(keypoints.degrees(given["in_logits"]), told["out_degree"], DEGREES)
    flat = given["in_t"] * torch.tensor([1.0, 1.0, 0.0])
    face = keypoints.Pose(turn, given["in_exp"], given["in_scale"], flat, given["in_kp"])
    close(keypoints.place(face), told["out_x"], SMALL)
    logits = [given["in_logits"].roll(at, 0) for at in range(3)]
    from_logits = keypoints.rotation(*[keypoints.degrees(value) for value in logits])
    close(keypoints.place(face._replace(rotation=from_logits)), told["out_x_from_logits"], SMALL)
    for points, eyes, lips in zip(
        told["in_landmarks203"], told["out_eye_close_ratio"], told["out_lip_close_ratio"], strict=True
    ):
        close(openness(points)[0], eyes, SMALL)
        close(openness(points)[1], lips, SMALL)
    assert np.abs(picture_of(given["in_out_image"]).astype(int) - told["out_parse_output_u8"][0]).max() <= 1


@pytest.mark.parametrize("count", [203, 106, 68])
@pytest.mark.parametrize(
    ("kind", "scale", "raised", "upright"),
    [
        ("source", SOURCE_SCALE, SOURCE_RAISE, True),
        ("driving", DRIVING_SCALE, DRIVING_RAISE, True),
        ("norot", SOURCE_SCALE, SOURCE_RAISE, False),
    ],
)
def test_crop(count, kind, scale, raised, upright):
    told = stored(MODEL, "crop")
    for at, points in enumerate(told[f"in_landmarks{count}"]):
        square = face_square(points, scale, raised, upright=upright)
        to_crop = square.to_crop(512)
        for found, name in ((to_crop, "M_o2c"), (np.linalg.inv(to_crop), "M_c2o")):
            expected = told[f"out_{count}_{kind}_{name}"][at]
            size = float(np.abs(expected[:2, :2]).max())
            close(found[:, :2], expected[:, :2], 1e-4 * size)
            close(found[:, 2], expected[:, 2], 2e-2)
        close(axis(points), told[f"out_{count}_pt2"][at], 1e-3)
        if kind == "source":
            close(points @ to_crop[:2, :2].T + to_crop[:2, 2], told[f"out_{count}_source_pt_crop"][at], 2e-2)
