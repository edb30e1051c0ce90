"""PersonaLive's window: which frames are where, what bounds it, and that motion reaches the picture."""

from dataclasses import replace

import pytest
import torch

from liveface.nets.personalive import stream, vae
from liveface.nets.personalive.small import CODE, SmallPersonaLive, SmallSize
from liveface.nets.personalive.unet import Banks

TINY = SmallSize(widths=(32, 32, 32, 32), pose_widths=(8, 8, 8, 8), vae_width=8, vae_blocks=(0, 1, 1, 1), latent=4,
                 cross=8, hidden=16)  # fmt: skip


class Tagged(torch.nn.Module):
    """Notes what it is shown, and sees no noise: a sample keeps what it is made of."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, sample, steps, picture, motion, pose, banks):
        self.calls.append((motion[0, :, 0, 0].tolist(), steps[0].tolist(), banks[0].shape[1]))
        return torch.zeros_like(sample)


class Reader(torch.nn.Module):
    """Leaves one token, whatever it reads."""

    def forward(self, latents, picture) -> Banks:
        return (torch.zeros(1, 1, 1),)


def drive(values):
    motion = torch.tensor(values, dtype=torch.float32)[:, None, None].expand(-1, 32, 16)
    return stream.Drive(motion, torch.zeros(len(values), 1, 2, 2))


def run(plan, chunks, far_from=None):
    networks = stream.Networks(Reader(), Tagged())
    reference = stream.refer(networks, torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 1))
    lead = drive([-float(plan.lead - at) for at in range(plan.lead)])
    window = stream.open_window(reference, lead, torch.zeros(32, 16), torch.zeros(plan.lead, 4, 2, 2), plan)
    pushes = []
    for chunk in range(chunks):
        values = [float(chunk * plan.chunk + at) for at in range(plan.chunk)]
        if far_from is not None:
            values = [far_from(value) for value in values]
        pushed = stream.push(networks, reference, window, drive(values), torch.zeros(plan.chunk, 4, 2, 2), plan)
        window = pushed.window
        pushes.append(pushed)
    return networks.denoiser.calls, pushes


@pytest.mark.parametrize(("chunk", "window"), [(4, 16), (2, 8), (1, 4), (2, 16), (4, 8)])
def test_a_frame_is_denoised_once_on_each_level_and_leaves_in_order(chunk, window):
    plan = stream.Plan(chunk, window)
    calls, _ = run(plan, 3 * plan.chunks)
    seen = {}
    for frames, steps, _ in calls:
        for frame, step in zip(frames, steps, strict=True):
            seen.setdefault(frame, []).append(step)
    levels = sorted(set(plan.levels().tolist()), reverse=True)
    assert levels[0] == 999
    assert levels[-1] == 0
    whole = [frame for frame in seen if 0 <= frame < chunk * (2 * plan.chunks)]
    assert all(seen[frame] == levels for frame in whole)
    leaving = [frames[:chunk] for frames, _, _ in calls]
    assert [frame for frames in leaving for frame in frames][plan.lead :] == [
        float(at) for at in range(len(leaving) * chunk - plan.lead)
    ]


def test_keyframes_come_late_and_are_few_and_memory_stays():
    plan = stream.Plan(chunk=1, window=4, remembered=6)
    calls, pushes = run(plan, 60, far_from=lambda value: 10 * value)
    taken = [number for number, pushed in enumerate(pushes) if pushed.keyframe]
    assert len(taken) == plan.keyframes
    assert min(taken) >= plan.first_check
    assert [tokens for *_, tokens in calls] == [
        1 + sum(number < call for number in taken) for call in range(len(calls))
    ]
    assert len(pushes[-1].window.kept) == plan.remembered
    assert pushes[-1].window.latents.shape == pushes[0].window.latents.shape


def test_motion_that_stays_near_makes_no_keyframe():
    _, pushes = run(stream.Plan(), 20, far_from=lambda value: 0.5)
    assert not any(pushed.keyframe for pushed in pushes)
    assert all(len(pushed.distances) == 1 for pushed in pushes[9:])


@pytest.mark.parametrize(("chunk", "window"), [(0, 4), (3, 16), (4, 4)])
def test_a_window_that_cannot_be_cut_is_refused(chunk, window):
    with pytest.raises(AssertionError):
        stream.Plan(chunk, window)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    network = SmallPersonaLive(TINY).eval()
    for name, value in network.named_parameters():  # zero at first, so that modules start as if they were not there
        if "proj_out" in name or "conv_out_modify" in name:
            torch.nn.init.normal_(value, std=0.05)
    return network.requires_grad_(requires_grad=False)


def stream_of(small, codes, places, seed=0):
    plan = small.plan()
    generator = torch.Generator().manual_seed(seed)
    latents = small.vae.encode(torch.linspace(-1, 1, 3 * 128 * 128).reshape(1, 3, 128, 128))
    reference = stream.refer(small.networks, latents, small.picture(latents))
    whole = stream.Drive(small.tokens(codes), small.pose_features(places))
    lead = stream.Drive(*(part[:1].expand(plan.lead, *part.shape[1:]) for part in whole))
    shape = latents.shape[1:]
    window = stream.open_window(
        reference, lead, lead.motion[0], torch.randn(plan.lead, *shape, generator=generator), plan
    )
    out = []
    for at in range(0, len(codes), plan.chunk):
        noise = torch.randn(plan.chunk, *shape, generator=generator)
        fresh = stream.Drive(*(part[at : at + plan.chunk] for part in whole))
        pushed = stream.push(small.networks, reference, window, fresh, noise, plan)
        window = pushed.window
        out.append(pushed.latents)
    return torch.stack(out)


def test_later_motion_never_changes_what_has_come_out(small):
    codes, places = torch.rand(20, CODE), torch.rand(20, 7, 2) - 0.5
    one = stream_of(small, codes, places)
    codes[-4:] += 1
    other = stream_of(small, codes, places)
    assert torch.equal(one[:-1], other[:-1])
    assert not torch.equal(one[-1], other[-1])  # it is in the window, and frames of a window see each other


def test_expression_and_pose_reach_the_picture(small):
    codes, places = torch.zeros(16, CODE), torch.zeros(16, 7, 2)
    still = stream_of(small, codes, places)
    assert torch.equal(still, stream_of(small, codes, places))
    assert (stream_of(small, codes + 1, places) - still).abs().max() > 1e-4
    assert (stream_of(small, codes, places + 0.3) - still).abs().max() > 1e-4


def test_plans_differ_only_where_they_are_told():
    plan = SmallPersonaLive(replace(TINY, noisiest=500)).plan(2, 8)
    assert sorted(set(plan.levels().tolist())) == [0, 167, 333, 500]


def test_the_tiny_autoencoder_has_the_published_layout():
    network = vae.TinyVae()
    assert sum(value.numel() for value in network.parameters()) == 2_445_063  # source: TAESD's published size
    picture = network.decode(network.encode(torch.zeros(1, 3, 64, 64)))
    assert picture.shape == (1, 3, 64, 64)
