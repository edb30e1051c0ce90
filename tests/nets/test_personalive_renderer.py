"""The renderer around PersonaLive's window, with small untrained networks of both casts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from liveface import fetched, store, weights
from liveface.errors import MotionMismatch, SignalError, WeightsError
from liveface.nets.liveportrait.size import TINY as TINY_EXTRACTOR
from liveface.nets.personalive import build, head, pose, unet, vae
from liveface.nets.personalive.small import SmallPersonaLive, SmallSize
from liveface.render import renderers
from liveface.signals.face import find_face
from liveface.signals.image import read_image
from liveface.torch_renderers.personalive.engine import LENGTH, Engine, Official, Small, read_small
from liveface.torch_renderers.personalive.renderer import PersonaLiveRenderer, Streaming, Watcher, parse_streaming
from liveface.types import ARKIT_INDEX, Motion, MotionSpec, Renderer

TINY = SmallSize(widths=(32, 32, 32, 32), pose_widths=(8, 8, 8, 8), vae_width=8, vae_blocks=(0, 1, 1, 1), latent=4,
                 cross=8, hidden=16)  # fmt: skip
FEW = Streaming(chunk=2, window=4)


def moved_at_once(network):
    """Layers that start at zero, so that modules are not there at first, made to count."""
    for name, value in network.named_parameters():
        if "proj_out" in name or "conv_out_modify" in name:
            torch.nn.init.normal_(value, std=0.3)
    return network


class TinyEncoder(torch.nn.Module):
    """A face crop to tokens, by means of its colours."""

    def forward(self, faces):
        return faces.mean((2, 3)).repeat(1, 171)[:, :512].unflatten(1, (32, 16))


class TinyImage(torch.nn.Module):
    """A picture to its embedding."""

    def forward(self, pictures):
        return pictures.mean((2, 3)).repeat(1, 3)[:, :8]


def official():
    torch.manual_seed(1)
    size = unet.UNetSize((32, 32, 32, 32), 8, layers=1)
    extractor = head.MotionExtractor(replace(TINY_EXTRACTOR, picture=256))
    torch.nn.init.constant_(extractor.detector.fc_scale.bias, 0.6)
    torch.nn.init.uniform_(extractor.detector.fc_kp.bias, -0.5, 0.5)
    parts = {
        "denoiser": moved_at_once(unet.DenoisingUNet(size)), "reference": unet.ReferenceUNet(size),
        "pose": moved_at_once(pose.PoseGuider(32, (8, 8, 8, 8))), "encoder": TinyEncoder(), "extractor": extractor,
        "vae": vae.Vae(vae.VaeSize((32, 32, 32, 32), 1)), "image": TinyImage(),
    }  # fmt: skip
    return Official(parts, side=128)


def small():
    torch.manual_seed(1)
    return Small(moved_at_once(SmallPersonaLive(TINY)))


@pytest.fixture(scope="module")
def photo():
    return read_image(weights.path("portrait.jpg"))


@pytest.fixture(scope="module", params=[small, official], ids=["small", "official"])
def renderer(request, photo):
    return PersonaLiveRenderer(photo, (96, 96), streaming=FEW, engine=Engine(request.param(), "cpu"))


def spoken(frames):
    motion = Motion.rest(frames)
    motion.expression[:, ARKIT_INDEX["jawOpen"]] = np.linspace(0, 0.7, frames)
    motion.head[:, 1] = np.linspace(0, 0.2, frames)
    return motion


def pictures(renderer, *motions):
    state, made = renderer.start(), []
    for motion in motions:
        state, frames = renderer.step(state, motion)
        made += frames
    return made


def test_it_is_a_renderer_that_gives_a_chunk_whenever_one_is_full(renderer):
    assert isinstance(renderer, Renderer)
    assert renderer.delay == 3
    motion, state, counts = spoken(7), renderer.start(), []
    for one in motion:
        state, frames = renderer.step(state, one)
        counts.append(len(frames))
    assert counts == [0, 0, 0, 2, 0, 2, 0]
    made = pictures(renderer, motion)
    assert [frame.index for frame in made] == [0, 1, 2, 3]
    assert all(frame.pixels.shape == (96, 96, 3) for frame in made)


def test_one_by_one_equals_all_at_once_and_start_forgets(renderer):
    motion = spoken(6)
    whole, single = pictures(renderer, motion), pictures(renderer, *motion)
    assert len(whole) == len(single) == 4
    for one, other in zip(whole, single, strict=True):
        assert np.array_equal(one.pixels, other.pixels)


def test_later_motion_changes_nothing_before_and_motion_is_seen(renderer):
    motion = spoken(8)
    other = spoken(8)
    other.expression[4:, ARKIT_INDEX["jawOpen"]] = 0
    other.head[4:, 1] = -0.3
    one, two = pictures(renderer, motion), pictures(renderer, other)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one[:2], two[:2], strict=True))
    assert not np.array_equal(one[4].pixels, two[4].pixels)


def test_what_was_watched_goes_before_coefficients(photo):
    engine = Engine(official(), "cpu")
    renderer = PersonaLiveRenderer(photo, (128, 128), streaming=FEW, engine=engine)
    rest = renderer._rest
    still = replace(spoken(4), watched=np.tile(rest, (4, 1)))
    turned = rest.copy()
    turned[0:3] += 20  # degrees
    moved = replace(spoken(4), watched=np.tile(turned, (4, 1)))
    unseen = replace(spoken(4), watched=np.full((4, LENGTH), np.nan, np.float32))
    one, two, three = (pictures(renderer, motion) for motion in (still, moved, unseen))
    assert np.array_equal(one[0].pixels, three[0].pixels)  # no face: the photo's own
    assert not np.array_equal(one[0].pixels, two[0].pixels)


def test_the_watcher_cuts_one_square_and_keeps_what_it_saw_last(photo):
    watcher = Watcher(Engine(official(), "cpu"))
    assert np.isnan(watcher.look(photo, None)).all()
    face, _ = find_face(photo, None)
    watcher.meet([face])
    seen = watcher.look(photo, face)
    assert seen.shape == (LENGTH,)
    assert np.isfinite(seen).all()
    assert np.array_equal(watcher.look(photo[:, ::-1], None), seen)
    assert not np.array_equal(watcher.look(np.ascontiguousarray(photo[:, ::-1]), face), seen)


def test_other_motion_shapes_and_backgrounds_are_refused(renderer, photo):
    with pytest.raises(SignalError, match="draws squares"):
        PersonaLiveRenderer(photo, (360, 640), engine=Engine(small(), "cpu"))
    wrong = Motion(np.zeros((1, 1), np.float32), np.zeros((1, 6), np.float32), np.zeros((1, 4), np.float32),
                   MotionSpec("one@30", ("jawOpen",), 30.0))  # fmt: skip
    with pytest.raises(MotionMismatch, match="personalive needs"):
        renderer.step(renderer.start(), wrong)
    with pytest.raises(SignalError, match="no --background"):
        _ = renderer.plate


@pytest.mark.parametrize(
    ("text", "streaming"),
    [
        ("", Streaming()),
        ("chunk:2", Streaming(2, 8)),
        ("chunk:2,window:16,tiny", Streaming(2, 16, tiny=True)),
        ("small:runs/it", Streaming(small="runs/it")),
    ],
)
def test_words_of_driving(text, streaming):
    assert parse_streaming(text) == streaming


@pytest.mark.parametrize("text", ["chunk:3,window:16", "chunk:0", "window:64", "chunk:16,window:16", "fast", "small:"])
def test_other_words_of_driving_are_refused(text):
    with pytest.raises(SignalError):
        parse_streaming(text)


def test_a_session_gives_as_many_frames_as_were_asked_for(photo, tmp_path, monkeypatch):
    from liveface.motion.files import save_motion
    from liveface.session import Session
    from liveface.torch_renderers.personalive import renderer as module

    monkeypatch.setattr(module.Engine, "open", lambda *_, **__: Engine(small(), "cpu"))
    save_motion(spoken(5), tmp_path / "motion.lfm")
    session = Session(photo, renderer="personalive", driving="chunk:2,window:4", size=(96, 96))
    frames = [frame for frame, _ in session.stream(tmp_path / "motion.lfm")]
    assert [frame.index for frame in frames] == list(range(5))
    assert Session(photo, renderer="personalive").options.size == (512, 512)


def test_without_weights_the_sentence_names_the_command(photo, tmp_path, monkeypatch):
    monkeypatch.setenv("LIVEFACE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="liveface fetch personalive --from DIR"):
        renderers()["personalive"](photo, size=(512, 512), face=None, threads=1, driving="")
    with pytest.raises(WeightsError, match=r"personalive-stream\.toml"):
        read_small(tmp_path)


def test_every_part_that_is_fetched_has_a_network_and_old_names_are_understood():
    parts = {part.name for part in store.MODELS["personalive"].parts}
    assert parts == set(build.NETWORKS) == set(fetched.NETWORKS["personalive"])
    ids = {"vision_model.embeddings.position_ids": torch.arange(257)[None], "more": torch.ones(1)}
    assert set(fetched.prepared("personalive", "image", ids)) == {"more"}
    assert fetched.prepared("personalive", "extractor", {})["idx_tensor"].tolist() == list(range(66))
