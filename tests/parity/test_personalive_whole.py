"""PersonaLive's networks against those stored outputs of the official code that are too large to live here.

The full U-Nets are 10 GB in float32; they are made one after the other, the first given up before the second.
"""

import numpy as np
import pytest
import torch
from fill import close, fill, keys, noise, scaled, seed, stored

from liveface.nets.personalive import head, image_encoder, modules, motion_encoder, pose, unet

MODEL = "personalive"
CONSTANT = ("pe", "idx_tensor")
TINY = unet.UNetSize((64, 96, 160, 160), 24)
SITES = (
    "d00",
    "d01",
    "d10",
    "d11",
    "d20",
    "d21",
    "m",
    *(f"u{level}{layer}" for level in (1, 2, 3) for layer in range(3)),
)
BANK, NOISE = 1e-4, 1e-4


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def filled(kind):
    """A network whose numbers are filled without being drawn at random before."""
    with torch.device("meta"):
        network = kind()
    network = network.to_empty(device="cpu")
    for part in network.modules():
        if isinstance(part, modules.PositionTable):
            part.pe.copy_(modules.PositionTable(part.pe.shape[2]).pe)
        if isinstance(part, motion_encoder.MotionEncoder):
            part.pe.copy_(motion_encoder.line_sinusoids(torch.arange(32), 16)[None])
    return fill(network, seed(MODEL), constant=CONSTANT)


def drawn(name, shape, scale=1.0):
    return torch.from_numpy(noise(name, shape, seed(MODEL)) * np.float32(scale))


def unit(pixels):
    """`[N, H, W, 3]` uint8 to `[N, 3, H, W]` in [0, 1]."""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 255


@pytest.mark.parametrize("name", ["reference_unet_tiny", "denoising_unet_tiny"])
def test_keys_of_the_tiny_networks(name):
    kind = unet.ReferenceUNet if name.startswith("reference") else unet.DenoisingUNet
    with torch.device("meta"):
        told = kind(TINY).state_dict()
    assert {key: tuple(entry.shape) for key, entry in told.items()} == keys(MODEL, name)


def test_the_temporal_file_is_that_part_of_the_denoiser():
    whole_set = keys(MODEL, "denoising_unet")
    assert keys(MODEL, "temporal_module") == {
        key: shape for key, shape in whole_set.items() if "temporal_modules" in key
    }


def test_temporal_and_motion_module():
    z = stored(MODEL, "temporal_and_motion_module")
    x = drawn("in:temporal.x", (1, 320, 16, 4, 4))
    assert x.flatten()[:8].tolist() == pytest.approx(z["in_x_first8"].tolist(), rel=1e-6)
    frames = x[0].transpose(0, 1)
    timed, moved = filled(lambda: modules.TemporalModule(320)), filled(lambda: modules.MotionModule(320))
    table = timed.temporal_transformer.transformer_blocks[0].attention_blocks[0].pos_encoder.pe
    close(table[0], z["const_pos_encoder_pe"], 1e-6)
    close(timed(frames, 16).transpose(0, 1)[::3], z["out_temporal_sub"], scaled(z["out_temporal_sub"], 1e-5))
    motion = torch.from_numpy(z["in_motion"])[0]
    close(moved(frames, motion).transpose(0, 1)[::3], z["out_motion_sub"], scaled(z["out_motion_sub"], 1e-5))


def test_motion_encoder():
    z, network = stored(MODEL, "motion_encoder"), filled(motion_encoder.MotionEncoder)
    close(network.pe, z["const_pe"], 1e-6)
    close(network(unit(z["in_faces_u8"]) * 2 - 1)[None], z["out_motion"], scaled(z["out_motion"], 1e-5))


def test_motion_extractor_and_how_it_drives():
    z, network = stored(MODEL, "motion_extractor"), filled(head.MotionExtractor)
    pictures = unit(z["in_images_u8"])
    raw = network(pictures[:1])
    for found, name in ((raw.pitch, "pitch"), (raw.yaw, "yaw"), (raw.roll, "roll"), (raw.shift, "t"),
                        (raw.scale, "scale"), (raw.keypoints, "kp")):  # fmt: skip
        close(found, z[f"out_ref_raw_{name}"], 5e-5)
    reference, first, second = (network.heads(one[None]) for one in pictures)
    close(reference.keypoints(), z["out_forward_ref"], 5e-5)
    way = head.approach(reference, first, 12).keypoints()
    close(way, z["out_interp_kps"][:12], 5e-5)
    close(head.follow(reference, first, first).keypoints(), z["out_interp_kps"][12:], 5e-5)
    close(first.keypoints(), z["out_interp_kdri"], 5e-5)
    close(head.follow(reference, first, second).keypoints(), z["out_get_kps"], 5e-5)
    close(second.keypoints(), z["out_get_kdri"], 5e-5)
    close(pose.face_boxes(first.keypoints(), 512), z["out_boxes512"], 1)


def test_image_encoder():
    z = stored(MODEL, "image_encoder_tiny")
    network = filled(lambda: image_encoder.ImageEncoder(image_encoder.ImageEncoderSize(64, 128, 3, 4, 32, 24)))
    prepared = image_encoder.prepare(unit(z["in_image_u8"][None]))
    close(prepared[0, :, ::5, ::5], z["out_pixel_values_sub"], 2e-2, 2e-3)
    close(network(prepared), z["out_image_embeds"], scaled(z["out_image_embeds"], 1e-5))


def banks_of(reader, latents, embedding):
    return reader(torch.from_numpy(latents), embedding)


def test_tiny_denoiser():
    z, reader, network = stored(MODEL, "denoising_unet_tiny"), filled(lambda: unet.ReferenceUNet(TINY)), None
    embedding = torch.from_numpy(z["in_encoder_hidden_states"])
    banks, *history = (banks_of(reader, z[f"in_{name}_latents"], embedding) for name in ("ref", "hist0", "hist1"))
    network = filled(lambda: unet.DenoisingUNet(TINY))
    sample, where = (torch.from_numpy(z[name]).transpose(1, 2) for name in ("in_sample", "in_pose_cond_fea"))
    steps, motion = torch.from_numpy(z["in_timesteps"])[None], torch.from_numpy(z["in_motion"])
    one = unet.join_banks(banks, history[0])
    three, two = torch.from_numpy(z["in_ehs3"]), unet.join_banks(one, history[1])
    runs = (("", banks, embedding), ("_kv1", one, embedding), ("_kv2", two, embedding), ("_ehs3", banks, three))
    for name, seen, told in runs:
        found = network(sample, steps, told, motion, where, seen).transpose(1, 2)
        close(found, z[f"out_noise_pred{name}"], NOISE)


def test_full_networks():
    z, reader = stored(MODEL, "denoising_unet_full"), filled(unet.ReferenceUNet)
    alone = stored(MODEL, "reference_unet_full")
    embedding = torch.from_numpy(z["in_encoder_hidden_states"])
    banks, *history = (banks_of(reader, z[f"in_{name}_latents"], embedding) for name in ("ref", "hist0", "hist1"))
    told = banks_of(reader, alone["in_ref_latents"], torch.from_numpy(alone["in_encoder_hidden_states"]))
    for site, bank in zip(SITES, told, strict=True):
        close(bank[0, ::3, ::7], alone[f"out_bank_{site}_sub"], BANK)
        close(bank[0].mean(0), alone[f"out_bank_{site}_chmean"], BANK)
    del reader
    network = filled(unet.DenoisingUNet)
    sample = drawn("in:full.sample", (1, 4, 16, 8, 8)).transpose(1, 2)
    motion, where = drawn("in:full.motion", (1, 16, 32, 16), 0.8), drawn("in:full.pose_fea", (1, 320, 16, 8, 8), 0.3)
    for found, name in ((sample.transpose(1, 2), "sample"), (motion, "motion"), (where, "pose_cond_fea")):
        assert found.flatten()[:8].tolist() == pytest.approx(z[f"in_{name}_first8"].tolist(), rel=1e-6)
    steps = torch.from_numpy(z["in_timesteps"])[None]
    every = unet.join_banks(unet.join_banks(banks, history[0]), history[1])
    for name, seen in (("", banks), ("_kv2", every)):
        found = network(sample, steps, embedding, motion, where.transpose(1, 2), seen).transpose(1, 2)
        close(found, z[f"out_noise_pred{name}"], NOISE)
