"""Listener, teacher and student on a made-up set: windows, losses, free streams, and runs that resume."""

from pathlib import Path

import numpy as np
import pytest
import torch

from liveface.errors import RecipeError
from liveface.export.speech import load_online
from liveface.motion import diffusion as plain
from liveface.motion.codes import GROUPS
from liveface.nets.online import OnlineConfig, OnlineNet
from liveface.nets.speech import SpeechConfig, SpeechNet
from liveface.train import diffusion
from liveface.train.loop import open_run, run_task
from liveface.train.recipe import Recipe
from liveface.train.speech_codes import CODES_FILE, VALIDATION_FILE, SpeechCodes
from liveface.train.speech_listener import ListenerTask, begin_with
from liveface.train.speech_streams import Heard, free_run, stream_set
from liveface.train.speech_student import StudentTask, drawn
from liveface.train.speech_takes import KINDS
from liveface.train.speech_teacher import TeacherTask, curves
from liveface.train.speech_windows import BORROWED, MouthLoss, Windows, mouth_scores, mouth_space, pressed

ENCODER = {"stem": 8, "width": 16, "dilations": (1, 2)}
NETWORK = {"encoder": {**ENCODER, "styles": 1, "style_width": 4}, "layers": 1, "heads": 2, "inner": 16, "window": 8}
SHARES = dict.fromkeys(KINDS, 0.2)


def made_up(frames: int = 60) -> SpeechCodes:
    """One recording of each kind; loudness opens the mouth, and only video shows brows and head."""
    rng, kinds = np.random.default_rng(0), len(KINDS)
    total = kinds * frames
    loud = (np.sin(np.arange(total) / 3) > 0).astype(np.float32)
    codes = np.zeros((total, 26), np.float32)
    codes[:, 1] = 0.3 * loud
    known = np.ones((total, 3), bool)
    known[frames : 4 * frames, 1:] = False
    codes[known[:, 1], 17:] = rng.normal(size=(known[:, 1].sum(), 9)) * 0.1
    return SpeechCodes(
        features=(rng.normal(size=(total * 4, 64)) * 0.1 + np.repeat(loud, 4)[:, None]).astype(np.float16),
        codes=codes.astype(np.float16), known=known, eyes=np.full((total, 6), 0.1, np.float16),
        eyes_known=known[:, 1], sounds=np.where(loud > 0, 13, 1).astype(np.int8),
        spans=np.array([[kind * frames, frames, kind] for kind in range(kinds)]),
        style=rng.normal(size=(kinds, 4)).astype(np.float32), language=np.array(["en"] * kinds),
        names=np.array(list(KINDS)), speakers=np.array(["a"] * kinds),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A set, a listener, a teacher and a student, trained for a few steps each."""
    root = tmp_path_factory.mktemp("speech")
    made_up().save(root / CODES_FILE)
    made_up().save(root / VALIDATION_FILE)
    task = {"codes": str(root), "shares": SHARES, "window": 40}
    train(root / "listener", "speech-listener", ENCODER, task)
    task["listener"] = str(root / "listener")
    train(root / "teacher", "speech-teacher", NETWORK, task)
    train(root / "student", "speech-student", NETWORK, {**task, "teacher": str(root / "teacher"), "teacher_steps": 2})
    return root


def train(folder: Path, task: str, network: dict, options: dict, steps: int = 3) -> dict[str, float]:
    recipe = Recipe(
        "test", task, steps=steps, batch=4, precision="float32", evaluate_every=steps, network=network, options=options
    )
    kinds = {"speech-listener": ListenerTask, "speech-teacher": TeacherTask, "speech-student": StudentTask}
    with open_run(recipe, folder, "cpu") as run:
        return run_task(run, kinds[task](run))


def test_windows_borrow_what_is_not_known_and_feel(folder):
    windows = Windows(folder / CODES_FILE, 40, SHARES, 0, emotional=1.0)
    batch = windows.draw(32)
    assert batch.features.shape == (32, 160, 64)
    lent = batch.known[:, 0, 1] == np.float32(BORROWED)
    assert lent.any()
    assert not lent.all()
    assert (batch.neutral[lent][..., GROUPS["head"]].abs().amax((1, 2)) > 0).all()
    assert batch.emotion.any(-1).any(-1).all()
    assert not torch.equal(batch.codes, batch.neutral)
    assert not batch.eyes[lent].any()
    assert (batch.trust[:, 20] > 0).all()
    calm = Windows(folder / CODES_FILE, 40, SHARES, 0).draw(8)
    assert torch.equal(calm.codes, calm.neutral)


def test_a_listener_begins_with_a_first_network(tmp_path):
    torch.manual_seed(0)
    sizes = {"stem": 8, "width": 16, "dilations": (1, 2)}
    first = SpeechNet(SpeechConfig(**sizes, styles=3, style_width=5)).eval()
    for block in first.blocks:
        torch.nn.init.normal_(block.style.weight)
    first.house_style.copy_(first.styles.weight.mean(0))
    torch.save({"averaged": first.state_dict()}, tmp_path / "checkpoint.pt")
    later = SpeechNet(SpeechConfig(**sizes, styles=1, style_width=4)).eval()
    begin_with(later, tmp_path)
    features = torch.randn(1, 40, 64)
    with torch.inference_mode():
        assert torch.allclose(first(features, first.start())[0], later(features, later.start())[0], atol=1e-5)


def test_losses_are_zero_for_the_truth_alone(folder):
    batch, loss = Windows(folder / CODES_FILE, 40, SHARES, 0).draw(8), MouthLoss()
    true, weight = batch.neutral[..., GROUPS["mouth"]], loss.weight(batch)
    assert sum(float(value) for value in loss(true, true, weight).values()) == pytest.approx(0, abs=1e-5)
    assert all(float(value) > 0 for name, value in loss(true * 1.5, true, weight).items() if name != "width")


def test_schedules_in_torch_and_numpy_agree():
    level = np.linspace(0, 1, 11, dtype=np.float32)[:, None]
    for made, true in zip(diffusion.shares(torch.from_numpy(level)), plain.shares(level), strict=True):
        assert np.allclose(made.numpy(), true, atol=1e-5)
    noisy, clean = np.random.default_rng(0).normal(size=(2, 11, 1, 26)).astype(np.float32)
    wanted = plain.lowered(noisy, clean, level[..., None], level[..., None] / 2)
    arrays = [torch.from_numpy(value) for value in (noisy, clean, level, level / 2)]
    assert np.allclose(diffusion.lowered(*arrays).numpy(), wanted, atol=1e-4)
    calm = torch.zeros(2, 20, 3)
    shaky = torch.randn(2, 20, 3)
    assert diffusion.jitter_ratio(calm, shaky, torch.ones(2, 20, 3)) == 0
    assert diffusion.jitter_ratio(shaky, calm, torch.ones(2, 20, 3)) > 1
    levels = diffusion.random_levels(1000)
    assert levels.min() > 0
    assert 0.2 < (levels == 1).float().mean() < 0.3


def test_a_free_stream_equals_drawing_all_at_once_after_it(folder):
    network = load_online(folder / "student")
    torch.manual_seed(0)
    torch.nn.init.normal_(network.out.weight, std=0.05)
    noise = diffusion.like_noise((2, 20, 26))
    told = network.conditions(
        (torch.randn(2, 20, 16), torch.rand(2, 20, 17)),
        torch.rand(2, 1, 8),
        torch.randn(2, 1, 4),
        torch.randn(2, 1, 160),
    )
    shown, seen = free_run(network, (told.heard, told.mouth), noise, steps=2), torch.ones(2, 20, dtype=torch.bool)
    with torch.inference_mode():
        memory = network.remember(told.heard, shown, seen)
        whole = network.real(drawn(network, told, noise, (memory, (shown, seen)), 2))
    real = network.real(shown)
    assert torch.allclose(real[..., 23:], whole[..., 23:], atol=1e-3)
    assert torch.allclose(real[..., :23], whole[..., :23].clamp(0, 1), atol=1e-3)


def test_streams_of_a_set_have_its_lengths_and_zero_steps_are_the_regression(folder):
    network, kept = load_online(folder / "teacher"), made_up()
    kept.spans[1, 1] = 33
    ears = Heard.of(network, kept)
    streams = stream_set(network, kept, ears, most=50)
    assert [len(codes) for codes in streams] == [50, 33, 50, 50, 50]
    plain_ = stream_set(network, kept, ears, most=50, steps=0)
    first = kept.spans[1, 0]
    assert np.allclose(plain_[1][:, GROUPS["mouth"]], ears.mouth[first : first + 33], atol=1e-6)
    assert set(mouth_scores([codes[:, :17] for codes in streams], kept)) >= {"correlation", "pressed", "rest_cm"}
    assert curves(kept.codes[:50].astype(np.float32), streams[0]).shape[2] == 3


def test_the_listener_stays_as_it_is(folder):
    teacher, student = load_online(folder / "teacher"), load_online(folder / "student")
    for name, value in teacher.encoder.state_dict().items():
        assert torch.equal(value, student.encoder.state_dict()[name])
    assert not torch.equal(teacher.out.weight, student.out.weight)


def test_a_student_resumes_and_needs_a_teacher(folder, tmp_path):
    task = {"codes": str(folder), "listener": str(folder / "listener"), "shares": SHARES, "window": 40}
    with pytest.raises(RecipeError, match="no teacher"):
        train(tmp_path, "speech-student", NETWORK, {**task, "teacher": str(tmp_path)})
    task |= {"teacher": str(folder / "teacher"), "teacher_steps": 2}
    scores = train(folder / "student", "speech-student", NETWORK, task, steps=4)
    assert torch.load(folder / "student" / "checkpoint.pt", weights_only=True)["step"] == 4
    assert np.isfinite(list(scores.values())).all()


def test_closures_are_counted_by_sound():
    opening = np.array([1, 1, 0, 1, 1, 1, 0.9, 1, 0.1, 0, 1.0])
    sounds = np.array([13, 13, 1, 13, 13, 13, 1, 13, 0, 0, 13])
    assert pressed(opening, sounds) == (1, 2)
    assert mouth_space().gap().shape == (17,)


def test_default_sizes_fit_the_set():
    assert OnlineNet(OnlineConfig()).encoder.config.motion == GROUPS["mouth"].stop
