"""Speech to motion: the contracts of a streaming part, and a mouth that knows silence."""

import numpy as np
import pytest

from liveface import weights
from liveface.errors import MotionError, SignalError, WeightsError
from liveface.lipsync import opening_of
from liveface.motion.audio import SpeechToMotion
from liveface.motion.codes import MOUTH_TRACKS, lift_eyes, motion_of
from liveface.motion.emotion import parse_emotions, resting
from liveface.motion.idle import IdleMotion
from liveface.signals.features import FRAME_SAMPLES
from liveface.signals.wav2vec import Wav2Vec, Wav2VecConfig
from liveface.types import ARKIT_INDEX, HOUSE_RATE_HZ, AudioBlock, Motion, MotionModel


@pytest.fixture(scope="module")
def model() -> SpeechToMotion:
    return SpeechToMotion()


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Vowel-like sound: a glottal buzz through two moving resonances, in syllables."""
    count, rng = int(seconds * HOUSE_RATE_HZ), np.random.default_rng(seed)
    t = np.arange(count) / HOUSE_RATE_HZ
    envelope = np.clip(np.sin(2 * np.pi * 1.9 * t + 0.3), 0, 1) ** 0.7
    first, second = 600 + 150 * np.sin(2 * np.pi * 0.9 * t), 1300 + 500 * np.sin(2 * np.pi * 0.6 * t)
    sound = np.zeros(count)
    for k in range(1, 30):
        hertz = 115 * k
        gain = 1 / (1 + ((hertz - first) / 120) ** 2) + 0.6 / (1 + ((hertz - second) / 160) ** 2)
        sound += gain * np.sin(2 * np.pi * hertz * t) / k**0.3
    return (0.08 * envelope * sound + 1e-4 * rng.normal(size=count)).astype(np.float32)


def pieces(model: SpeechToMotion, samples: np.ndarray, cuts: list[int]) -> Motion:
    state, parts, at = model.start(), [], 0
    for cut in [*cuts, len(samples)]:
        state, motion = model.step(state, AudioBlock(samples[at:cut], at))
        parts.append(motion)
        at = cut
    return Motion.concat(parts)


def test_it_is_a_motion_model(model):
    assert isinstance(model, MotionModel)
    assert model.spec.fps == 30
    assert model.lookahead_ms == pytest.approx(33.33, abs=0.01)
    assert model.lookahead_ms <= 40


def test_any_block_size_gives_the_same_motion(model):
    samples = babble(2.0)
    whole = pieces(model, samples, [])
    assert len(whole) == 60
    by_frame = pieces(model, samples, list(range(FRAME_SAMPLES, len(samples), FRAME_SAMPLES)))
    odd = pieces(model, samples, sorted(np.random.default_rng(0).integers(0, len(samples), 50).tolist()))
    for other in (by_frame, odd):
        assert np.array_equal(whole.expression, other.expression)
        assert np.array_equal(whole.head, other.head)
        assert np.array_equal(whole.gaze, other.gaze)


def test_later_sound_never_changes_earlier_motion(model):
    samples = babble(2.0)
    other = samples.copy()
    other[30 * FRAME_SAMPLES :] = babble(2.0, 5)[: len(samples) - 30 * FRAME_SAMPLES][::-1]
    first, second = pieces(model, samples, []), pieces(model, other, [])
    assert np.array_equal(first.expression[:30], second.expression[:30])
    assert not np.array_equal(first.expression[30:], second.expression[30:])


def test_a_state_can_be_kept_and_used_again(model):
    samples = babble(1.0)
    state, _ = model.step(model.start(), AudioBlock(samples[:12_345]))
    kept = {name: value.copy() for name, value in state.items()}
    first = model.step(state, AudioBlock(samples[12_345:]))[1]
    assert all(np.array_equal(kept[name], state[name]) for name in kept)
    assert np.array_equal(first.expression, model.step(state, AudioBlock(samples[12_345:]))[1].expression)


def test_seeds_repeat_and_differ():
    samples = babble(1.0)
    first, again = (SpeechToMotion(idle=IdleMotion(4)).run(samples) for _ in range(2))
    other = SpeechToMotion(idle=IdleMotion(5)).run(samples)
    assert np.array_equal(first.expression, again.expression)
    assert np.array_equal(first.head, again.head)
    assert not np.array_equal(first.head, other.head)


def test_frames_cover_the_sound_to_its_end(model):
    for count in (1, 799, 800, 801, 24_000):
        assert len(model.run(babble(1.1)[:count])) == -(-count // FRAME_SAMPLES)


def test_voice_opens_and_silence_closes_the_mouth():
    still = SpeechToMotion(idle=None, parts=("mouth",))
    samples = np.concatenate([babble(3.0), np.zeros(HOUSE_RATE_HZ, np.float32)])
    track = opening_of(still.run(samples).expression)
    assert track[:90].max() > 4  # percent of the inter-ocular distance
    assert track[105:].max() < 0.1  # shut half a second after the last sound
    rng = np.random.default_rng(0)
    for sound in (np.zeros(3 * HOUSE_RATE_HZ), 10 ** (-50 / 20) * rng.normal(size=3 * HOUSE_RATE_HZ)):
        quiet = opening_of(still.run(sound.astype(np.float32)).expression)
        assert quiet.max() < 0.1


def test_loud_and_soft_recordings_open_alike():
    still, samples = SpeechToMotion(idle=None, parts=("mouth",)), babble(4.0)
    loud, soft = (opening_of(still.run(samples * gain).expression)[60:] for gain in (2.0, 0.25))
    assert soft.std() > 0.6 * loud.std()
    assert np.corrcoef(loud, soft)[0, 1] > 0.85


def test_scale_and_idle_dials():
    samples = babble(1.5)
    small, usual = (SpeechToMotion(idle=None, scale=scale, parts=("mouth",)).run(samples) for scale in (0.5, 1.0))
    assert small.coefficient("jawOpen").max() < 0.6 * usual.coefficient("jawOpen").max() + 1e-6
    assert np.abs(usual.head).max() == 0
    mouth = {ARKIT_INDEX[name] for names in MOUTH_TRACKS for name in names}
    others = [index for index in range(52) if index not in mouth]
    assert usual.expression[:, others].max() == 0
    assert np.abs(SpeechToMotion().run(samples).head).max() > 0
    turned, still = (SpeechToMotion(idle=None, head=head).run(samples).head for head in (1.0, 0.0))
    assert np.abs(turned[:, :3]).max() > 0
    assert np.abs(still).max() == 0


def test_unusable_sound_is_refused(model):
    with pytest.raises(SignalError, match="resample"):
        model.step(model.start(), AudioBlock(np.zeros(100, np.float32), 0, 16_000))
    with pytest.raises(SignalError, match="not finite"):
        model.step(model.start(), AudioBlock(np.full(900, np.nan, np.float32)))
    with pytest.raises(SignalError, match="30 fps"):
        SpeechToMotion(idle=IdleMotion(0, fps=25))


def test_emotions_change_the_face_and_rest_in_silence():
    samples = np.concatenate([babble(2.0), np.zeros(2 * HOUSE_RATE_HZ, np.float32)])
    happy, plain = (SpeechToMotion(emotion=emotion).run(samples) for emotion in (parse_emotions("happy"), None))
    assert happy.coefficient("mouthSmileLeft")[-15:].mean() > plain.coefficient("mouthSmileLeft")[-15:].mean() + 0.3
    at_rest = opening_of(motion_of(resting(parse_emotions("happy"))[None]).expression)[0]
    assert np.abs(opening_of(happy.expression)[-15:] - at_rest).max() < 0.5


def test_emotion_style_and_eyes_can_change_in_a_stream(model):
    samples = babble(2.0)
    state, first = model.step(model.start(), AudioBlock(samples[:24_000]))
    plain = model.step(state, AudioBlock(samples[24_000:], 24_000))[1]
    sad = model.step(model.direct(state, emotion=parse_emotions("sad")), AudioBlock(samples[24_000:], 24_000))[1]
    assert len(first) == len(plain) == 30
    browed = sad.coefficient("browInnerUp") - plain.coefficient("browInnerUp")
    assert browed[0] < 0.2
    looking = lift_eyes(np.array([0.0, 0.3, 1, 1, 0, 0], np.float32))
    seen = model.step(state, AudioBlock(samples[24_000:], 24_000), looking)[1]
    assert seen.coefficient("eyeBlinkLeft")[10:].min() > 0.9
    assert np.abs(seen.gaze[10:, 1] - 0.3).max() < 0.02
    with pytest.raises(MotionError, match="intensities"):
        model.direct(state, emotion=np.full(8, 2.0))


def test_an_interruption_outweighs_the_voice(model):
    samples = babble(3.0)
    state, _ = model.step(model.start(), AudioBlock(samples[:36_000]))
    _, after = model.step(model.interrupt(state), AudioBlock(samples[36_000:], 36_000))
    assert opening_of(after.expression)[3] < 0.5


def test_parts_and_networks_are_checked(tmp_path):
    with pytest.raises(MotionError, match="mouth, upper, head"):
        SpeechToMotion(parts=("nose",))
    with pytest.raises(WeightsError, match="speech network"):
        SpeechToMotion(file=weights.path("mouth.tflite"))
    tiny = Wav2VecConfig(extractor=((4, 10, 5), (4, 8, 4)), aggregator=((6, 2, 1),))
    ears = Wav2Vec({name: np.zeros(shape, np.float32) for name, shape in tiny.tensors.items()}, tiny)
    with pytest.raises(WeightsError, match=r"\(1, 1, 6\)"):  # what ships was trained on other features
        SpeechToMotion(ears=ears)
