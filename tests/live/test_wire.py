"""Messages of the live page: there and back, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from liveface.errors import WireError
from liveface.live import wire
from liveface.live.wire import (
    CameraPicture,
    PictureMessage,
    pack_camera,
    pack_picture,
    pack_sound,
    parse_control,
    unpack,
)
from liveface.types import AudioBlock

PAGE = Path(wire.__file__).parent / "page"


def test_sound_comes_back_with_its_place_and_rate():
    samples = np.linspace(-1, 1, 333, dtype=np.float32)
    got = unpack(pack_sound(AudioBlock(samples, 123_456_789_012, 48_000), 7))
    assert isinstance(got, AudioBlock)
    assert (got.start, got.rate_hz) == (123_456_789_012, 48_000)
    assert np.abs(got.samples - samples).max() < 1 / 32767


def test_a_camera_picture_comes_back():
    assert unpack(pack_camera(CameraPicture(b"jpeg", 12.5), 3)) == CameraPicture(b"jpeg", 12.5)


def test_pictures_come_back_field_by_field():
    message = PictureMessage(b"coded", 99, "jpeg", key=True, fresh=True, source="camera", epoch=4, sound_s=1.5,
                             camera_s=2.5, took_ms=8.25)  # fmt: skip
    assert wire.unpack_picture(pack_picture(message)) == message


def test_the_first_bytes_are_as_described():
    sound = pack_sound(AudioBlock(np.zeros(1, np.float32), 2, 24_000), 1)
    assert sound.hex() == "0100000001000000" + "0200000000000000" + "c05d00000000"
    picture = pack_picture(PictureMessage(b"", 5, key=True, source="sound", epoch=3))
    assert picture[:12].hex() == "100001010500000003000000"


def test_unknown_kinds_and_types_are_left_out():
    assert unpack(b"\x07whatever") is None
    assert parse_control('{"type": "dance"}') is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x01", b"\x02", b"\x01" + b"\0" * 20,
        pack_sound(AudioBlock(np.zeros(10, np.float32), 0, 24_000))[:-1],
        pack_sound(AudioBlock(np.zeros(30_000, np.float32), 0, 24_000)),
        pack_camera(CameraPicture(b"jpeg", float("nan"))), b"\x02" * (wire.MOST_BYTES + 1),
    ],
)  # fmt: skip
def test_malformed_messages_are_refused_in_a_sentence(data):
    with pytest.raises(WireError, match="expected"):
        unpack(data)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", '"hello"', "{}", '{"type": 3}', "[" * 100_000, '{"type": "interrupt"}',
        '{"type": "interrupt", "epoch": -1}', '{"type": "interrupt", "epoch": true}', '{"type": "set", "head": 5}',
        '{"type": "set", "head": NaN}', '{"type": "set", "emotion": {"joy": 1}}', '{"type": "set", "emotion": [1]}',
        '{"type": "set", "look": [0]}', '{"type": "record", "on": 1}', '{"type": "hello", "codec": "vp9"}',
        '{"type": "key", "more": 1}', '{"type": "subject", "id": "' + "x" * 300 + '"}',
    ],
)  # fmt: skip
def test_control_that_cannot_be_is_refused(text):
    with pytest.raises(WireError):
        parse_control(text)


def test_control_that_can_be_is_read():
    said = {"type": "set", "emotion": {"happy": 0.5}, "head": 1, "look": None}
    assert parse_control(json.dumps(said)) == said


def test_the_page_knows_the_same_kinds():
    text = (PAGE / "wire.js").read_text("utf-8")
    kinds = dict(re.findall(r"(SOUND|CAMERA|PICTURE) = (\d+)", text))
    assert {name: int(value) for name, value in kinds.items()} == {"SOUND": 1, "CAMERA": 2, "PICTURE": 16}
    assert json.loads(re.search(r"SOURCES = (\[.*?\])", text).group(1)) == list(wire.SOURCES)


def test_the_page_has_no_script_or_style_of_its_own_in_its_text():
    text = (PAGE / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|\bstyle=|<style|https?://(?!www\.w3\.org)", text)
