import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveface.errors import MotionError, SinkError
from liveface.motion import files
from liveface.motion.files import ANGLE_NAMES, LIVE_LINK_NAMES, load_motion, read_csv, save_motion, write_csv
from liveface.types import ARKIT_INDEX, Motion, arkit_spec


def some_motion(frames=40, fps=30.0, landmarks=False):
    generator = np.random.default_rng(frames)
    return Motion(
        generator.uniform(0, 1, (frames, 52)),
        np.concatenate([generator.normal(0, 0.2, (frames, 3)), np.zeros((frames, 3))], 1),
        generator.normal(0, 0.1, (frames, 4)),
        arkit_spec(fps),
        generator.uniform(0, 2000, (frames, 478, 2)).astype(np.float32) if landmarks else None,
    )


def text_of(motion):
    stream = io.StringIO()
    write_csv(motion, stream)
    return stream.getvalue()


@pytest.mark.parametrize("fps", [24, 25, 30, 60])
@pytest.mark.parametrize("frames", [2, 7, 200])
def test_csv_round_trip(tmp_path, fps, frames):
    motion = some_motion(frames, fps)
    back = load_motion(save_motion(motion, tmp_path / "m.csv"))
    assert back.fps == fps
    assert len(back) == frames
    for field in ("expression", "head", "gaze"):
        np.testing.assert_allclose(getattr(back, field), getattr(motion, field), atol=1e-6)


def test_csv_has_live_links_columns_and_signs():
    motion = Motion.rest(2)
    motion.head[:, :3] = 0.1, 0.2, 0.3
    motion.gaze[:] = 0.01, 0.02, 0.03, 0.04
    motion.expression[:, ARKIT_INDEX["jawRight"]] = 0.5
    header, row, _ = text_of(motion).splitlines()
    table = dict(zip(header.split(","), row.split(","), strict=True))
    assert len(header.split(",")) == 63
    assert table["BlendshapeCount"] == "61"
    assert header.split(",")[2:54] == [name[0].upper() + name[1:] for name in LIVE_LINK_NAMES]
    assert header.split(",")[17:19] == ["JawRight", "JawLeft"]
    assert float(table["JawRight"]) == 0.5
    got = [float(table[name]) for name in ANGLE_NAMES]
    np.testing.assert_allclose(got, [-0.2, 0.1, 0.3, -0.02, 0.01, 0, -0.04, 0.03, 0], atol=1e-6)


@pytest.mark.parametrize("change", [
    lambda text: "\ufeff" + text,
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n", "\n\n"),
    lambda text: text.replace("BlendshapeCount", "BlendShapeCount"),
    lambda text: text.replace(",", ";"),
    lambda text: text.replace("EyeBlinkLeft", "eyeBlink_L").replace("JawOpen", " jawOpen "),
    lambda text: text + "\n,,,\n",
])  # fmt: skip
def test_csv_variants_of_real_files(change):
    motion = some_motion(5)
    back = read_csv(io.StringIO(change(text_of(motion)), newline=None))
    np.testing.assert_allclose(back.expression, motion.expression, atol=1e-6)


def lines_with_codes(codes, values=None):
    header = "Timecode,BlendshapeCount," + ",".join(name[0].upper() + name[1:] for name in LIVE_LINK_NAMES)
    rows = []
    for index, code in enumerate(codes):
        value = index if values is None else values[index]
        rows.append(f"{code},0," if value is None else f"{code},61," + ",".join([f"{value / 1000:.6f}"] * 52))
    return io.StringIO("\n".join([header, *rows]))


def test_the_apps_fractional_frames_at_sixty():
    codes, time = [], 17 * 3600 + 0.5071
    for _ in range(150):
        second, frame = divmod(time, 1)
        codes.append(
            f"{int(second) // 3600:02d}:{int(second) // 60 % 60:02d}:{int(second) % 60:02d}:{frame * 60:06.3f}"
        )
        time += 1.00167 / 60
    motion = read_csv(lines_with_codes(codes))
    assert motion.fps == 60
    assert len(motion) == 150


def test_a_lost_face_and_skipped_frames_are_filled_in_time():
    codes = [f"00:00:00:{frame:02d}.000" for frame in (58, 59)] + [f"00:00:01:{frame:02d}.000" for frame in (0, 1, 4)]
    motion = read_csv(lines_with_codes(codes, [10, 20, None, 40, 70]))
    assert motion.fps == 60
    np.testing.assert_allclose(motion.expression[:, 0] * 1000, [10, 20, 30, 40, 50, 60, 70], atol=1e-2)


def test_midnight_does_not_stop_time():
    codes = ["23:59:59:28", "23:59:59:29", "00:00:00:00", "00:00:00:01"]
    motion = read_csv(lines_with_codes(codes))
    assert (motion.fps, len(motion)) == (30, 4)


def test_rate_can_be_given_and_time_code_may_be_missing():
    text = lines_with_codes(["x"] * 10).getvalue().replace("Timecode,", "").replace("x,", "")
    assert read_csv(io.StringIO(text)).fps == 30
    assert read_csv(io.StringIO(text), fps=50).fps == 50


def test_missing_columns_rest_and_gaze_follows_the_eye_coefficients():
    names = ["JawOpen", "EyeBlinkLeft", "EyeBlinkRight", "MouthFunnel", "MouthPucker", "BrowInnerUp", "EyeLookOutLeft",
             "EyeLookInRight", "EyeLookDownLeft"]  # fmt: skip
    motion = read_csv(io.StringIO(",".join(names) + "\n" + ",".join(["0.5"] * len(names))))
    assert motion.coefficient("jawOpen")[0] == 0.5
    assert motion.coefficient("jawLeft")[0] == 0
    assert motion.gaze[0, 1] > 0.2  # both eyes look to the image's right
    assert motion.gaze[0, 3] > 0.2
    assert motion.gaze[0, 0] > 0.2  # the left one looks down


def test_degrees_are_told_from_radians():
    text = text_of(some_motion(3)).splitlines()
    row = text[1].split(",")
    row[54:57] = "-20", "10", "5"
    motion = read_csv(io.StringIO("\n".join([text[0], ",".join(row)])))
    np.testing.assert_allclose(motion.head[0, :3], np.deg2rad([10, 20, 5]), atol=1e-5)


@pytest.mark.parametrize(("text", "match"), [
    ("", "names 0 of the 52"),
    ("a,b,c\n1,2,3\n", "names 0 of the 52"),
    (text_of(some_motion(2)).splitlines()[0], "no row with values"),
    (text_of(some_motion(2)).replace(",61,", ",61,NaN", 1), "out of range|no number"),
    (text_of(some_motion(2)).replace(",61,", ",61,inf,", 1), "out of range"),
    (text_of(some_motion(2)).replace(",61,", ",61,50,", 1), "out of range"),
    (text_of(some_motion(2)).replace(",61,", ",61,x", 1), "no number"),
    (text_of(some_motion(2))[:-200], "cut off"),
    ("x" * 200_000, "longer than"),
])  # fmt: skip
def test_damaged_and_hostile_csv_is_refused_in_one_sentence(text, match):
    with pytest.raises(MotionError, match=match):
        read_csv(io.StringIO(text))


def test_a_csv_that_claims_a_day_is_refused():
    with pytest.raises(MotionError, match="spans"):
        read_csv(lines_with_codes(["00:00:00:00", "00:00:00:59", "23:59:59:00"]))


def test_a_csv_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(files, "MAX_FRAMES", 20)
    with pytest.raises(MotionError, match="more than 20 frames"):
        read_csv(io.StringIO(text_of(some_motion(30))))


@pytest.mark.parametrize("landmarks", [False, True])
def test_own_file_round_trip(tmp_path, landmarks):
    motion = some_motion(33, 29.97, landmarks)
    path = save_motion(motion, tmp_path / "m.lfm")
    back = load_motion(path)
    assert back.fps == 29.97
    np.testing.assert_allclose(back.expression, motion.expression, atol=5e-4)
    np.testing.assert_array_equal(back.head, motion.head)
    np.testing.assert_array_equal(back.gaze, motion.gaze)
    assert (back.landmarks is None) == (motion.landmarks is None)
    if landmarks:
        np.testing.assert_array_equal(back.landmarks, motion.landmarks)


def test_content_decides_not_the_name(tmp_path):
    own = save_motion(some_motion(3), tmp_path / "m.lfm")
    renamed = own.rename(tmp_path / "m.csv")
    assert len(load_motion(renamed)) == 3


def test_every_cut_and_every_flipped_byte_is_refused_or_equal(tmp_path):
    path = save_motion(some_motion(4), tmp_path / "m.lfm")
    whole = path.read_bytes()
    broken = tmp_path / "b.lfm"
    for cut in range(4, len(whole), 37):
        broken.write_bytes(whole[:cut])
        with pytest.raises(MotionError):
            load_motion(broken)
    for place in range(4, len(whole), 11):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            back = load_motion(broken)
        except MotionError:
            continue
        assert len(back) == 4  # only the header's rate may change unnoticed


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data):
    header = json.dumps({"version": 1}).encode()
    for start in (b"", b"LFM1", b"LFM1" + struct.pack("<I", len(header)) + header, b"Timecode,"):
        stream = io.BytesIO(start[4:] + data) if start.startswith(b"LFM1") else None
        with pytest.raises(MotionError):
            files._unpack(stream, "x") if stream else read_csv(io.StringIO((start + data).decode("utf-8", "replace")))


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = save_motion(some_motion(4), tmp_path / "m.lfm")
    whole = path.read_bytes()
    size = struct.unpack("<I", whole[4:8])[0]
    path.write_bytes(whole[: 8 + size] + zlib.compress(bytes(200_000_000), 9))
    with pytest.raises(MotionError, match="not a whole"):
        load_motion(path)


def test_saving_asks_for_a_known_ending_and_an_existing_folder(tmp_path):
    with pytest.raises(MotionError, match="ends in"):
        save_motion(Motion.rest(2), tmp_path / "m.txt")
    with pytest.raises(SinkError, match="does not exist"):
        save_motion(Motion.rest(2), tmp_path / "no" / "m.csv")
    with pytest.raises(MotionError, match="0 frames"):
        save_motion(Motion.rest(0), tmp_path / "m.csv")
    with pytest.raises(MotionError, match="there is no file"):
        load_motion(tmp_path / "none.csv")
    assert list(tmp_path.iterdir()) == []
