import os
import sys
import threading
from types import SimpleNamespace

import av
import numpy as np
import pytest

from liveface.errors import DeviceError, SinkError
from liveface.pipes import CameraSink, RawSink, raw_format
from liveface.types import Frame

SIZE = (64, 96)


def frames(count=3):
    noise = np.random.default_rng(0).integers(0, 256, (count, SIZE[1], SIZE[0], 3), np.uint8)
    return [Frame(pixels, index) for index, pixels in enumerate(noise)]


def written(path, kind, made):
    with RawSink(path, SIZE, 25, kind) as sink:
        for frame in made:
            sink.write(frame, None)
    assert sink.frames == len(made)
    return path.read_bytes()


def test_raw_frames_follow_one_another(tmp_path):
    made = frames()
    pixels = np.stack([frame.pixels for frame in made])
    assert written(tmp_path / "a.rgb", "rgb24", made) == pixels.tobytes()
    assert written(tmp_path / "a.bgr", "bgr24", made) == pixels[..., ::-1].tobytes()
    rgba = np.frombuffer(written(tmp_path / "a.rgba", "rgba", made), np.uint8).reshape(3, SIZE[1], SIZE[0], 4)
    np.testing.assert_array_equal(rgba[..., :3], pixels)
    assert rgba[..., 3].min() == 255


def test_alpha_is_kept_where_there_is_room(tmp_path):
    alpha = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE[::-1])
    data = written(tmp_path / "a.raw", "rgba", [Frame(frames()[0].pixels, alpha=alpha)])
    np.testing.assert_array_equal(np.frombuffer(data, np.uint8)[3::4].reshape(alpha.shape), alpha)


def test_ffmpeg_reads_y4m_with_its_size_rate_and_colours(tmp_path):
    colours = [(200, 40, 60), (10, 180, 90)]
    flat = [Frame(np.full((SIZE[1], SIZE[0], 3), colour, np.uint8)) for colour in colours]
    file = tmp_path / "a.y4m"
    assert b"XSYNTHETIC=liveface" in written(file, "y4m", flat).split(b"\n")[0]
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (*SIZE, 25)
        for frame, colour in zip(container.decode(video=0), colours, strict=True):
            frame.colorspace = 1  # BT.709, which Y4M cannot say
            seen = frame.to_ndarray(format="rgb24")[10:-10, 10:-10].reshape(-1, 3)
            assert np.abs(seen - np.array(colour, int)).max() <= 4


def test_the_name_of_a_file_tells_its_format():
    assert raw_format("out.y4m", None) == "y4m"
    assert raw_format("out.mp4", None) is None
    assert raw_format("-", "bgr24") == "bgr24"
    assert raw_format("out.Y4M", "rgba") == "rgba"


def test_nothing_half_written_is_left(tmp_path):
    file = tmp_path / "a.y4m"
    file.write_bytes(b"before")
    with pytest.raises(SinkError, match="expected 64 x 96"):
        written(file, "y4m", [*frames(), Frame(np.zeros((8, 8, 3), np.uint8))])
    with pytest.raises(SinkError, match="no frame was written"), RawSink(file, SIZE, 30, "y4m"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.y4m"]
    assert file.read_bytes() == b"before"


def test_wrong_frames_formats_and_places_are_refused(tmp_path):
    with pytest.raises(SinkError, match="expected one of rgb24"):
        RawSink(tmp_path / "a", SIZE, 30, "yuv")
    with RawSink(tmp_path / "a", SIZE, 30, "rgb24") as sink:
        sink.write(frames()[0], None)
        with pytest.raises(SinkError, match="expected 64 x 96"):
            sink.write(Frame(np.zeros((8, 8, 3), np.uint8)), None)
    with pytest.raises(SinkError, match="not open"):
        RawSink(tmp_path / "b", SIZE, 30, "rgb24").write(frames()[0], None)
    with pytest.raises(SinkError, match="no folder"), RawSink(tmp_path / "none" / "b", SIZE, 30, "rgb24"):
        pass


def test_a_pipe_gets_frames_at_once_and_says_when_its_reader_is_gone(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []

    def reader():
        with pipe.open("rb", buffering=0) as stream:
            read.append(stream.read(SIZE[0] * SIZE[1] * 3))

    thread = threading.Thread(target=reader)
    thread.start()
    with pytest.raises(BrokenPipeError):
        written(pipe, "rgb24", frames(1) * 50)
    thread.join(10)
    assert read[0] == frames()[0].pixels.tobytes()
    assert pipe.exists()


class FakeCamera:
    """What pyvirtualcam 0.15 offers, without a device."""

    shown: list

    def __init__(self, width, height, fps, *, device=None, fmt=None):
        if device == "/dev/none":
            raise RuntimeError("device\nnot found. Line two.")
        self.shape, self.fps, self.device, self.fmt = (height, width, 3), fps, device, fmt
        FakeCamera.shown, self.waits, self.closed = [], 0, False
        FakeCamera.last = self

    def send(self, frame):
        assert frame.shape == self.shape
        assert frame.flags.c_contiguous
        FakeCamera.shown.append(frame)

    def sleep_until_next_frame(self):
        self.waits += 1

    def close(self):
        self.closed = True


@pytest.fixture
def package(monkeypatch):
    fake = SimpleNamespace(Camera=FakeCamera, PixelFormat=SimpleNamespace(RGB="rgb"))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", fake)


@pytest.mark.parametrize("paced", [True, False])
def test_frames_go_to_a_camera(package, paced):
    with CameraSink("/dev/video10", SIZE, 30, paced=paced) as sink:
        for frame in frames():
            sink.write(frame, None)
    camera = FakeCamera.last
    assert (camera.device, camera.fps, camera.fmt, camera.closed) == ("/dev/video10", 30, "rgb", True)
    assert camera.waits == (3 if paced else 0)
    np.testing.assert_array_equal(FakeCamera.shown[2], frames()[2].pixels)
    with CameraSink("", SIZE, 30, paced=paced):
        assert FakeCamera.last.device is None


def test_no_camera_is_one_sentence(package, monkeypatch):
    said = r"no virtual camera /dev/none .*device not found\); expected"
    with pytest.raises(DeviceError, match=said), CameraSink("/dev/none", SIZE, 30, paced=True):
        pass
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(DeviceError, match=r"liveface\[camera\]"), CameraSink("", SIZE, 30, paced=True):
        pass
