"""PersonaLive's networks against stored outputs of the official code, and the streaming loop step for step."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from fill import close, fill, folder, keys, noise, scaled, seed, stored

from liveface.nets.personalive import head, image_encoder, modules, motion_encoder, pose, scheduler, stream, unet, vae

MODEL = "personalive"
CONSTANT = ("pe", "idx_tensor")  # tables that are computed, not filled
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
OFFICIAL = {
    "reference_unet": unet.ReferenceUNet,
    "denoising_unet": unet.DenoisingUNet,
    "pose_guider": pose.PoseGuider,
    "motion_encoder": motion_encoder.MotionEncoder,
    "motion_extractor": head.MotionExtractor,
    "vae": vae.Vae,
    "image_encoder": image_encoder.ImageEncoder,
    "temporal_module_320_standalone": lambda: modules.TemporalModule(320),
    "motion_module_320_standalone": lambda: modules.MotionModule(320),
}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def filled(network, gain=1.0):
    return fill(network, seed(MODEL), gain, constant=CONSTANT)


def drawn(name, shape, scale=1.0):
    return torch.from_numpy(noise(name, shape, seed(MODEL)) * np.float32(scale))


def picture(pixels):
    """`[..., H, W, 3]` uint8 to `[..., 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 255 * 2 - 1


def embedding_of_tiny():
    return torch.from_numpy(stored(MODEL, "denoising_unet_tiny")["in_encoder_hidden_states"])


@pytest.fixture(scope="module")
def reader():
    return filled(unet.ReferenceUNet(TINY))


@pytest.mark.parametrize("name", OFFICIAL)
def test_keys_and_shapes_are_the_official_ones(name):
    with torch.device("meta"):
        network = OFFICIAL[name]()
    assert {key: tuple(entry.shape) for key, entry in network.state_dict().items()} == keys(MODEL, name)


def test_the_temporal_file_holds_a_part_of_the_denoiser():
    timed = [key for key in keys(MODEL, "denoising_unet") if "temporal_modules" in key]
    assert len(timed) == 588


def test_noise_levels_and_steps():
    z = {name: torch.from_numpy(array) for name, array in stored(MODEL, "scheduler").items()}
    shares, steps = scheduler.signal_shares(), z["in_timesteps16"]
    close(shares, z["out_alphas_cumprod"].numpy(), 1e-7)
    out = scheduler.denoise(z["in_sample"], z["in_model_output"], steps, steps - 333, shares)
    for found, name in ((out.sample, "out_prev_sample"), (out.clean, "out_pred_original")):
        close(found, z[name].numpy(), scaled(z[name].numpy(), 1e-4, 0))
    frames, hiss = (z[name][0].transpose(0, 1) for name in ("in_latents", "in_noise"))
    for levels, name in ((steps[:12], "out_add_noise"), (torch.full((12,), 999), "out_add_noise_999")):
        noisy = scheduler.add_noise(frames, hiss, levels, shares).transpose(0, 1)[None]
        close(noisy, z[name].numpy(), scaled(z[name].numpy(), 1e-4, 0))


def test_levels_of_the_window_are_the_published_ones():
    assert stream.Plan().levels().tolist() == [0] * 4 + [333] * 4 + [666] * 4 + [999] * 4
    assert stream.Plan().levels(after=True).tolist() == [-1] * 4 + [0] * 4 + [333] * 4 + [666] * 4


def test_pose_canvas_boxes_and_features():
    z = stored(MODEL, "pose_guider")
    keypoints = torch.from_numpy(z["in_kps"])
    large = pose.draw(keypoints, 512)
    apart = np.unpackbits(np.packbits((large > 0.5).numpy().reshape(-1)) ^ z["out_canvas512_bits"]).sum()
    assert apart <= 8  # pixels
    small = pose.draw(keypoints, 128)
    assert (np.abs((small * 255).round().numpy() - z["out_canvas128_u8"]) > 1).sum() <= 8
    close(pose.face_boxes(keypoints, 512), z["out_boxes512"], 1)
    guider = filled(pose.PoseGuider(), gain=2)
    features = guider(small)
    close(features.mean((0, 2, 3)), z["out_pose_fea_chmean"], scaled(z["out_pose_fea_chmean"], 1e-5))
    close(features[None].transpose(1, 2)[:, ::3], z["out_pose_fea"], scaled(z["out_pose_fea"], 1e-5))
    dense = guider(torch.from_numpy(z["in_dense"])[:, :, 0])[:, ::3, None]
    close(dense, z["out_dense_pose_fea_sub"], scaled(z["out_dense_pose_fea_sub"], 1e-5))


def test_autoencoder():
    z, network = stored(MODEL, "vae"), filled(vae.Vae())
    told = network.distribution(picture(z["in_image_u8"])[None])
    close(told.mean, z["out_mean"], scaled(z["out_mean"], 1e-5))
    close(told.logvar, z["out_logvar"], scaled(z["out_logvar"], 1e-5))
    decoded = network.decode(torch.from_numpy(z["in_z"]) * vae.SCALE)
    close(decoded, z["out_decoded"], scaled(z["out_decoded"], 1e-5))


def test_older_names_of_the_autoencoder_are_understood():
    network = vae.Vae(vae.VaeSize((32, 64, 64, 64), 1))
    told = network.state_dict()
    back = {new: old for old, new in vae.OLD_NAMES.items()}
    old = {}
    for key, value in told.items():
        before, found, after = key.partition("attentions.0.")
        name = next((new for new in back if after.startswith(new + ".")), None) if found else None
        if name is None:
            old[key] = value
        else:
            square = value[:, :, None, None] if key.endswith("weight") else value
            old[before + found + back[name] + after.removeprefix(name)] = square
    assert len(set(old) - set(told)) == 16
    renamed = vae.rename_old(old)
    assert set(renamed) == set(told)
    assert all(torch.equal(renamed[key], told[key]) for key in told)


def test_reference_banks(reader):
    z = stored(MODEL, "reference_unet_tiny")
    banks = reader(torch.from_numpy(z["in_ref_latents"]), embedding_of_tiny())
    assert len(banks) == len(SITES)
    for site, bank in zip(SITES, banks, strict=True):
        close(bank[0, ::3, ::3], z[f"out_bank_{site}_sub"], 1e-4)
        close(bank[0].mean(0), z[f"out_bank_{site}_chmean"], 1e-4)


def test_the_stream_step_for_step(reader):
    z = stored(MODEL, "stream")
    trace = json.loads((folder(MODEL) / "stream_trace.json").read_text("utf-8"))
    networks = stream.Networks(reader, filled(unet.DenoisingUNet(TINY)))
    guider, coder = filled(pose.PoseGuider(64)), filled(vae.Vae(vae.VaeSize((32, 64, 64, 64), 1)))
    plan = stream.Plan()

    def hiss(number):
        told = trace["noise_calls"][number]
        return drawn(told["name"], told["shape"])[0].transpose(0, 1)

    def near(found, name):
        close(found, z[name], scaled(z[name], 2e-4))

    latents = coder.encode(picture(z["in_ref_image_u8"])[None])
    near(latents, "out_ref_image_latents")
    reference = stream.refer(networks, latents, torch.from_numpy(z["in_encoder_hidden_states"])[None])
    keypoints, motion = torch.from_numpy(z["in_kps"]), torch.from_numpy(z["in_motion"])
    rest, still = torch.from_numpy(z["in_kps_ref"]), torch.from_numpy(z["in_ref_motion"])[0, 0]
    way = rest + torch.arange(12)[:, None, None] / 12 * (keypoints[0, :1] - rest)
    lead = stream.Drive(stream.lead_motion(still, motion[0, 0], 12), guider(pose.draw(way, 128)))
    window = stream.open_window(reference, lead, still, hiss(0), plan)
    near(window.latents.transpose(0, 1)[None], "out_init_latents")
    for number, told in enumerate(trace["calls"]):
        assert told["timesteps"] == plan.levels().tolist()
        assert told["history_keyframes_used_this_call"] == told["num_khf_before"] == window.keyframes
        drive = stream.Drive(motion[number], guider(pose.draw(keypoints[number], 128)))
        if number == 0:
            both = torch.cat([lead.pose, drive.pose]).transpose(0, 1)
            near(both[::7, :, ::5, ::5], "out_pose_fea_call0")
        pushed = stream.push(networks, reference, window, drive, hiss(number + 1), plan)
        check = told["distance_check"]
        assert pushed.distances.tolist() == pytest.approx(check.get("first_frame_distances", []), abs=1e-3)
        assert pushed.keyframe == told["history_keyframe_added_after_this_call"]
        window = pushed.window
        assert (window.calls, window.keyframes) == (number + 1, told["num_khf_after"])
        assert len(window.kept) == told["motion_bank_len_after"]
        assert len(window.latents) == 4 * told["latents_pile_len_after"]
        if f"out_call{number}_video_sub" in z:
            near(pushed.noise.transpose(0, 1)[:, ::3, ::5, ::5], f"out_call{number}_noise_pred_sub")
            near(pushed.latents[:, :, ::3, ::3], f"out_call{number}_emitted_latents")
            near(window.latents.transpose(0, 1)[:, ::3, ::5, ::5], f"out_call{number}_pile_after_sub")
            video = (coder.decode(pushed.latents) / 2 + 0.5).clamp(0, 1).movedim(1, -1)
            near(video[:, ::9, ::9], f"out_call{number}_video_sub")
    assert window.keyframes == plan.keyframes


def test_face_crop():
    z = stored(MODEL, "stream")
    frame = drawn("in:stream.frames", (4, 3, 128, 128), 0.3).clamp(-1, 1)[0]
    face = pose.crop_face(frame, torch.tensor([10, 17, 101, 113]))
    close(face[:, ::11, ::11], z["out_crop_face_sub"], 1e-5)
