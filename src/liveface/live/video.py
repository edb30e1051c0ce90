"""`PictureCoder`: pictures of one stream become H.264 for WebCodecs, or JPEGs.

Notable choices: x264 without look-ahead and without B frames gives one access unit for every picture, at once, in
Annex B form with its parameter sets in every key frame, so that a page may join at any key frame; a picture that is
not sent is not coded either, so the chain of references never breaks.
Measured: 3 / 8 / 41 ms from frame to page (min, p50, p95) against 5 / 10 / 57 for JPEG (docs/decisions/live.md).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.error
import cv2

from liveface.errors import SinkError
from liveface.sinks import to_yuv420
from liveface.types import HOUSE_FPS, Pixels

CRF, PRESET = "22", "superfast"
KEY_FRAMES = 300  # a key frame every ten seconds, and whenever one is asked for
JPEG_QUALITY = 85


class PictureCoder:
    """Codes the pictures of one stream.

    Args:
        codec: "h264" or "jpeg".

    Attributes:
        fresh: whether the next picture begins a stream: it is the first, or of another size than the last.
    """

    def __init__(self, codec: str = "h264") -> None:
        self.codec = codec
        self._context: Any = None
        self._size = (0, 0)
        self._number = 0
        self._key_wanted = True

    @property
    def fresh(self) -> bool:
        """Whether nothing was coded yet."""
        return self._context is None

    def key(self) -> None:
        """Make the next picture one that can be shown without those before it."""
        self._key_wanted = True

    def code(self, pixels: Pixels) -> tuple[bytes, bool, bool]:
        """A coded picture, whether it is a key frame, and whether a new stream begins with it.

        Raises:
            SinkError: the encoder refuses.
        """
        size = (pixels.shape[1], pixels.shape[0])
        fresh = size != self._size
        if self.codec == "jpeg":
            self._size = size
            coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            return coded.tobytes(), True, fresh
        try:
            if fresh:
                self._open(size)
            frame = av.VideoFrame.from_numpy_buffer(to_yuv420(pixels), "yuv420p")
            frame.pts, frame.time_base = self._number, Fraction(1, HOUSE_FPS)
            if self._key_wanted:
                frame.pict_type = av.video.frame.PictureType.I
            packets = self._context.encode(frame)
        except av.error.FFmpegError as error:
            raise SinkError(f"the encoder refused a picture ({error}); expected H.264: try the JPEG mode.") from error
        self._number += 1
        self._key_wanted = False
        return b"".join(bytes(packet) for packet in packets), any(one.is_keyframe for one in packets), fresh

    def _open(self, size: tuple[int, int]) -> None:
        context: Any = av.CodecContext.create("libx264", "w")
        context.width, context.height = size
        context.pix_fmt = "yuv420p"
        context.time_base, context.framerate = Fraction(1, HOUSE_FPS), Fraction(HOUSE_FPS)
        context.gop_size, context.thread_count = KEY_FRAMES, 1
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709
        context.options = {
            "preset": PRESET, "tune": "zerolatency", "crf": CRF, "profile": "main", "forced-idr": "1",
            "x264-params": "annexb=1:repeat-headers=1",
        }  # fmt: skip
        context.open()
        self._context, self._size, self._number, self._key_wanted = context, size, 0, True
