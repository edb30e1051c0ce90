"""The denoiser's training set on made-up material: takes, styles, sounds, languages, and the stored set."""

from itertools import pairwise

import numpy as np
import pytest

from liveface.errors import RecipeError, SignalError
from liveface.motion.codes import CODES, GROUPS
from liveface.signals.features import HOPS_PER_FRAME, MELS, log_mel
from liveface.train import speech_codes as codes
from liveface.train import speech_sounds as sounds
from liveface.train import speech_takes as takes
from liveface.train.faces import held_out_clips
from liveface.train.languages import HELD_OUT, SENTENCES, VOICES, phones_of, timed_phones
from liveface.train.speech import mouth_space
from liveface.train.speech_data import Spoiler
from liveface.train.speech_takes import KINDS, SMILE, Take
from liveface.types import HOUSE_FPS, HOUSE_RATE_HZ

STEP = HOUSE_RATE_HZ // HOUSE_FPS
SAID = [("SIL", 0.0, 0.5), ("AA", 0.5, 1.0), ("B", 1.0, 1.2), ("UW", 1.2, 1.6), ("SIL", 1.6, 3.0)]


def made_take(seed: int, kind: str = "video", frames: int = 90) -> Take:
    """A voice-like buzz that opens the mouth; the head turns slowly."""
    rng = np.random.default_rng(seed)
    opened = 0.3 * np.repeat(rng.random(frames // 6) > 0.5, 6).astype(np.float32)
    opened[:9] = opened[-9:] = 0
    time_s = np.arange(frames * STEP) / HOUSE_RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 30))
    samples = (0.1 * buzz * np.repeat(opened > 0, STEP)).astype(np.float32)
    whole = np.zeros((frames, CODES), np.float32)
    whole[:, GROUPS["mouth"].start + 1] = opened
    seen = kind == "video"
    if seen:
        whole[:, GROUPS["upper"]] = 0.1 * (1 + np.sin(np.arange(frames) / 7))[:, None]
        whole[:, GROUPS["head"]] = np.sin(np.arange(frames) / 20 + seed)[:, None]
    eyes = np.full((frames, 6), 0.1, np.float32) if seen else None
    return Take(f"{kind}{seed}", kind, "one", "en", samples, whole, (True, seen, seen), eyes, SAID)


def test_a_style_changes_what_it_names_and_is_measured_again():
    space, take = mouth_space(), made_take(0)
    one = takes.with_styles([take], space)[0]
    for number in range(4):
        change = np.zeros(4)
        change[number] = 1.0
        other = takes.restyled(one, change)
        assert other.style[number] == pytest.approx(one.style[number] + 1)
        found = np.array(takes.measured_style([other], space)) - np.array(one.style)
        assert found[number] > 0.3
        assert np.abs(np.delete(found, number)).max() < 0.35
    spoken = takes.Take(**{**as_fields(one), "kind": "synthetic"})
    wide = takes.restyled(spoken, np.array([1.6, 1.6, 0, 0]))
    at = int(1.1 * HOUSE_FPS)
    assert (wide.codes[at, GROUPS["mouth"]] @ space.gap()) < 0.35  # b stays shut
    assert wide.codes[int(1.4 * HOUSE_FPS), SMILE] < 0.5 * wide.codes[5, SMILE]  # oo takes the smile away
    assert not np.shares_memory(wide.codes, one.codes)


def test_joined_sentences_have_no_seam():
    parts = [made_take(seed) for seed in (1, 2, 3)]
    whole = takes.joined(parts)
    assert len(whole.codes) == 270
    assert len(whole.samples) == 270 * STEP
    assert np.abs(np.diff(whole.codes[:, GROUPS["head"]], axis=0)).max() < 0.3
    assert np.allclose(whole.codes[80:90], parts[0].codes[80:90])
    assert np.allclose(whole.codes[150, GROUPS["mouth"]], parts[1].codes[60, GROUPS["mouth"]], atol=1e-6)
    assert whole.phones is not None
    assert whole.phones[len(SAID)] == ("SIL", 3.0, 3.5)
    assert takes.joined([parts[0], takes.Take(**{**as_fields(parts[1]), "phones": None})]).phones is None


def as_fields(take: Take) -> dict:
    """The fields of a take."""
    return {name: getattr(take, name) for name in Take.__dataclass_fields__}


def test_pace_moves_everything_together():
    take = takes.at_pace(made_take(4), 1.25)
    assert len(take.samples) == pytest.approx(90 * STEP / 1.25, rel=0.01)
    assert len(take.codes) == len(take.eyes) == 72
    assert take.phones[1] == ("AA", 0.4, 0.8)


def test_nobody_speaks_and_the_mouth_is_shut_while_the_face_lives():
    made = codes.noise_takes(5, 3)
    assert {take.name.rstrip("0123456789") for take in made} == set(codes.NOISES)
    for take in made:
        assert np.isfinite(take.samples).all()
        assert not take.codes[:, GROUPS["mouth"]].any()
        assert take.codes[:, GROUPS["head"]].std() > 0.05
        assert take.phones == []


def test_every_sound_keeps_its_length_and_the_words():
    rng, speech = np.random.default_rng(0), made_take(5).samples
    loud = log_mel(speech).mean(1)
    for made, least in (
        (sounds.whisper(speech, rng), 0.7), (sounds.mu_law(speech), 0.9), (sounds.opus(speech), 0.9),
        (sounds.lossy(speech, rng, 0.1), 0.8),
    ):  # fmt: skip
        assert made.shape == speech.shape
        assert np.corrcoef(log_mel(made).mean(1), loud)[0, 1] > least
    higher = sounds.repitched(speech, 1.2)
    assert higher.shape == speech.shape
    assert np.corrcoef(log_mel(higher).mean(1), loud)[0, 1] > 0.8
    strongest = np.abs(np.fft.rfft(higher))[100:540].argmax() + 100
    assert strongest / 3 == pytest.approx(144, abs=2)  # Hz; the voice had 120
    assert np.allclose(sounds.stretched(speech, len(speech))[480:], speech[480:], atol=1e-5)
    whispered = np.abs(np.fft.rfft(sounds.whisper(speech, rng)))
    spoken = np.abs(np.fft.rfft(speech))
    lines = np.arange(240, 1200, 120) * 3  # harmonics stand out of a voice, not of a whisper
    assert (spoken[lines] / np.median(spoken[720:3600])).mean() > 5
    assert (whispered[lines] / np.median(whispered[720:3600])).mean() < 3
    spoiler = Spoiler(0, [speech])
    for _ in range(12):
        assert np.isfinite(spoiler.spoil(speech, hard=True)).all()


def test_phonemes_become_phones_that_look_alike():
    assert phones_of("ˈaɪ") == ["AY"]
    assert phones_of("pf") == ["P", "F"]
    assert phones_of("ˈyː") == ["UW"]
    assert phones_of("y", "ru") == ["IH"]
    assert phones_of("tɕh") == ["T", "S", "HH"]
    assert phones_of("œ̃") == ["AO"]
    assert phones_of("ʲ") == []
    with pytest.raises(SignalError, match="not in the table"):
        phones_of("☃")


def test_times_of_phonemes_become_times_of_phones():
    """The closure of p is heard before its burst; a diphthong shares its time; length marks give theirs away."""
    events = [(0.0, ""), (0.1, "ˈaː"), (0.3, "p"), (0.34, "ts"), (0.4, "l"), (0.4, "i"), (0.5, "ʲ"), (0.6, "")]
    made = timed_phones(events, 0.9)
    assert [name for name, _, _ in made] == ["SIL", "AA", "P", "T", "S", "L", "IY", "SIL"]
    times = {name: (start, end) for name, start, end in made[1:]}
    assert times["P"][0] == pytest.approx(0.25)
    assert times["AA"] == pytest.approx((0.1, 0.25))
    assert times["S"][1] - times["S"][0] == pytest.approx(times["L"][1] - times["L"][0])
    assert times["IY"] == pytest.approx((0.4, 0.6))
    assert all(before[2] == pytest.approx(after[1]) for before, after in pairwise(made))


def test_every_language_has_sentences_to_hold_out():
    assert set(SENTENCES) == set(VOICES)
    for sentences in SENTENCES.values():
        assert len(sentences) > 3 * HELD_OUT
        assert len(set(sentences)) == len(sentences)


def test_the_set_holds_all_variants_and_comes_back(tmp_path):
    options = codes.CodeOptions(variants={"video": 2, "rig": 1, "taught": 2, "synthetic": 1, "noise": 2})
    material = [made_take(seed) for seed in range(4)]
    material += [made_take(seed, kind, 264) for seed, kind in enumerate(("rig", "taught", "synthetic"))]
    made = codes.assemble([*material, *codes.noise_takes(2, 1)], options)
    kinds = [KINDS[kind] for kind in made.spans[:, 2]]
    assert [kinds.count(kind) for kind in KINDS] == [4, 1, 2, 1, 2]
    frames = made.spans[:, 1].sum()
    assert made.features.shape == (frames * HOPS_PER_FRAME, MELS)
    assert made.codes.shape == (frames, CODES)
    first, count, _ = made.spans[kinds.index("rig")]
    assert made.known[first : first + count].tolist() == [[True, False, False]] * count
    assert not made.eyes_known[first : first + count].any()
    first, count, _ = made.spans[kinds.index("noise")]
    assert not made.codes[first : first + count, GROUPS["mouth"]].any()
    assert set(made.sounds[first : first + count]) == {0}
    assert np.abs(made.style).max() > 0
    made.save(tmp_path / "codes.npz")
    again = codes.SpeechCodes.load(tmp_path / "codes.npz")
    assert np.array_equal(again.features, made.features)
    assert again.names.tolist() == made.names.tolist()
    assert "taught: 2 recordings" in again.summary()


def test_sets_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="missing"):
        codes.SpeechCodes.load(tmp_path / "none.npz")
    np.savez(tmp_path / "old.npz", features=np.zeros(3))
    with pytest.raises(RecipeError, match="has no codes"):
        codes.SpeechCodes.load(tmp_path / "old.npz")
    with pytest.raises(RecipeError, match="kinds"):
        codes.CodeOptions(variants={"video": 1})


def test_held_out_people_stay_out(tmp_path):
    """Neither the held-out clips nor clips of groups that are not asked for."""
    folder = tmp_path / "video/open/grid-s1"
    folder.mkdir(parents=True)
    (tmp_path / "video/open/grid-more").mkdir()
    rows = ["file,kind,group,has_audio"]
    for name in (
        "open/grid-s1/aaa.mp4", "open/grid-s1/bbb.mp4", "open/grid-more/s26__c.mp4", "open/else.mp4",
        "permissive/liveportrait__d6.mp4", "permissive/other.mp4",
    ):  # fmt: skip
        file = tmp_path / "video" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        rows.append(f"video/{name},video,{name.split('/')[0]},True")
    (tmp_path / "catalog.csv").write_text("\n".join(rows))
    assert "aaa" in held_out_clips(tmp_path)
    step, others = codes.video_names(codes.CodeOptions(), tmp_path)
    assert step == ["video/open/grid-s1/bbb.mp4"]
    assert others == ["video/open/else.mp4", "video/permissive/other.mp4"]
    assert codes.video_names(codes.CodeOptions(groups=("open",)), tmp_path)[1] == ["video/open/else.mp4"]
