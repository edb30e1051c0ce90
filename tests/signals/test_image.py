"""Photos of every kind, made on the fly: upright, opaque, 8 bits; bad ones refused in one sentence."""

import base64
import contextlib
import io
import logging
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from liveface.errors import SignalError
from liveface.signals import formats, image
from liveface.signals.colour import to_srgb
from liveface.signals.image import BACKGROUND, MAX_SIDE, orient, read_image

# A 16 x 16 CMYK JPEG with Adobe's marker, made for this test: upper half C0 M200 Y200 K0, lower C200 M30 Y0 K60.
CMYK = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUVFQwPFxgWFBgS"
    "FBUU/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABcAAQEBAQAAAAAAAAAAAAAAAAAICQr/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oADgRDAE0AWQBL"
    "AAA/ANU0eI8apgDnpbjOhZL4A//Z"
)

LOSSLESS_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 101)


def chart(height=48, width=64):
    """A picture in which every corner differs: red, green, blue, white quarters over a ramp."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (200, 30, 30)
    pixels[: height // 2, width // 2 :] = (30, 200, 30)
    pixels[height // 2 :, : width // 2] = (30, 30, 200)
    pixels[height // 2 :, width // 2 :] = (220, 220, 220)
    return pixels


def encoded(pixels, suffix, options=()):
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[
        pixels.ndim if pixels.ndim == 2 else pixels.shape[2]
    ]
    done, data = cv2.imencode(suffix, pixels if order is None else cv2.cvtColor(pixels, order), list(options))
    assert done
    return data.tobytes()


def exif(orientation):
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def jpeg_turned(pixels, orientation):
    data = encoded(pixels, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 95))
    block = b"Exif\0\0" + exif(orientation)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def one_frame(container, stream, pixels):
    """Encode a single picture and flush."""
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=stream.pix_fmt)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def png_with(data, kind, body):
    """Insert a chunk after the header of a PNG."""
    return data[:33] + chunk(kind, body) + data[33:]


def near(got, wanted, tolerance=6.0):
    assert got.shape == wanted.shape
    assert np.abs(got.astype(float) - wanted).mean() < tolerance


def read(tmp_path, data, name="photo", **options):
    path = tmp_path / name
    path.write_bytes(data)
    return read_image(path, **options)


UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_of_jpeg(tmp_path, orientation):
    near(read(tmp_path, jpeg_turned(chart(), orientation)), UPRIGHT[orientation](chart()))
    assert (orient(chart(), orientation) == UPRIGHT[orientation](chart())).all()


def test_exif_orientation_of_png(tmp_path):
    turned = png_with(encoded(chart(), ".png"), b"eXIf", exif(6))
    assert (read(tmp_path, turned) == np.rot90(chart(), -1)).all()


def test_exif_orientation_of_tiff_and_webp(tmp_path):
    tiff = bytearray(encoded(chart(), ".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 1)))
    (at,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, at)
    entries = tiff[at + 2 : at + 2 + 12 * count] + struct.pack("<HHIHH", 274, 3, 1, 8, 0)
    tags = [bytes(entries[i : i + 12]) for i in range(0, len(entries), 12)]
    tags.sort(key=lambda tag: struct.unpack("<H", tag[:2]))
    tiff[4:8] = struct.pack("<I", len(tiff))
    tiff += struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    assert (read(tmp_path, bytes(tiff)) == np.rot90(chart())).all()

    plain = encoded(chart(), ".webp", (cv2.IMWRITE_WEBP_QUALITY, 101))
    extended = struct.pack("<4sIB3x", b"VP8X", 10, 0x08) + struct.pack("<I", 63)[:3] + struct.pack("<I", 47)[:3]
    body = b"WEBP" + extended + plain[12:] + struct.pack("<4sI", b"EXIF", 26) + exif(6)
    webp = b"RIFF" + struct.pack("<I", len(body)) + body
    assert (read(tmp_path, webp) == np.rot90(chart(), -1)).all()


def test_cmyk_jpeg(tmp_path):
    pixels = read(tmp_path, CMYK)
    assert np.abs(pixels[2, 4].astype(int) - (255, 55, 55)).max() < 8
    assert np.abs(pixels[12, 4].astype(int) - (42, 172, 195)).max() < 8


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(tmp_path, suffix, channels):
    wanted = chart() if channels == 3 else chart()[..., :1].repeat(3, 2)
    deep = (chart() if channels == 3 else chart()[..., 0]).astype(np.uint16) * 257
    assert (read(tmp_path, encoded(deep, suffix)) == wanted).all()


def test_float_tiff_is_clipped(tmp_path):
    unit = chart().astype(np.float32) / 255
    unit[0, 0] = (np.nan, -1, 2)
    pixels = read(tmp_path, encoded(unit, ".tiff", (cv2.IMWRITE_TIFF_COMPRESSION, 1)))
    assert (pixels[1:] == chart()[1:]).all()
    assert tuple(pixels[0, 0]) == (0, 0, 255)


def test_grey(tmp_path):
    pixels = read(tmp_path, encoded(chart()[..., 0], ".png"))
    assert (pixels == chart()[..., :1]).all()


@pytest.mark.parametrize(("suffix", "options"), [(".png", ()), (".webp", LOSSLESS_WEBP), (".tiff", ())])
def test_alpha_shows_grey(tmp_path, suffix, options):
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:10] = 0
    alpha[10:20] = 128
    stored = chart() * (alpha / 255) if suffix == ".tiff" else chart()  # TIFF without a note holds multiplied colours
    pixels = read(tmp_path, encoded(np.concatenate([stored.astype(np.uint8), alpha], 2), suffix, options))
    assert (pixels[:10] == BACKGROUND).all()
    assert np.abs(pixels[12, 4].astype(int) - (164, 79, 79)).max() <= 1
    assert (pixels[20:] == chart()[20:]).all()


def test_wholly_transparent_picture_shows_its_paint(tmp_path):
    clear = np.concatenate([chart(), np.zeros((48, 64, 1), np.uint8)], 2)
    assert (read(tmp_path, encoded(clear, ".png")) == chart()).all()


ANIMATIONS = [("gif", "gif", "rgb8"), ("apng", "apng", "rgb24"), ("webp", "libwebp_anim", "yuv420p")]


@pytest.mark.parametrize(("name", "codec", "layout"), ANIMATIONS)
def test_first_frame_of_an_animation(tmp_path, caplog, name, codec, layout):
    path = tmp_path / f"moving.{name}"
    with av.open(str(path), "w", format=name) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.roll(chart(), number * 16, 1), "rgb24").reformat(format=layout)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with caplog.at_level(logging.WARNING):
        near(cv2.blur(read_image(path), (5, 5)), cv2.blur(chart(), (5, 5)), 14)  # GIF dithers
    assert "animation" in caplog.text


def p3_profile(curve=None, primaries=None):
    """A Display P3 colour profile as phones embed it, reduced to what it takes."""
    if curve is None:  # sRGB's own curve as a parametric one of type 3
        values = [round(v * 65536) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)]
        curve = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *values)
    primaries = primaries or ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
    bodies = [b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in xyz)) for xyz in primaries]
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    table, data, at = b"", b"", 132 + 12 * 6
    for name, body in zip(names, [*bodies, curve, curve, curve], strict=True):
        table += struct.pack(">4sII", name, at + len(data), len(body))
        data += body
    return bytes(16) + b"RGB XYZ " + bytes(104) + struct.pack(">I", 6) + table + data


# sRGB's red, green and blue as Display P3 writes them. Source: CSS Color 4, color(display-p3 ...).
P3_SAME = {(234, 51, 35): (255, 0, 0), (117, 251, 76): (0, 255, 0), (0, 0, 245): (0, 0, 255)}


@pytest.mark.parametrize("holder", ["jpeg", "png", "webp", "heic"])
def test_colour_profiles_are_applied(tmp_path, holder):
    profile = p3_profile()
    for stored, wanted in P3_SAME.items():
        pixels = np.full((64, 64, 3), stored, np.uint8)
        if holder == "jpeg":
            data = encoded(pixels, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 100))
            cut = len(profile) // 2  # two parts, as large profiles come
            for number, part in ((2, profile[cut:]), (1, profile[:cut])):
                block = b"ICC_PROFILE\0" + bytes([number, 2]) + part
                data = data[:2] + b"\xff\xe2" + struct.pack(">H", len(block) + 2) + block + data[2:]
        elif holder == "png":
            data = png_with(encoded(pixels, ".png"), b"iCCP", b"P3\0\0" + zlib.compress(profile))
        elif holder == "webp":
            plain = encoded(pixels, ".webp", LOSSLESS_WEBP)
            extended = struct.pack("<4sIB3x", b"VP8X", 10, 0x20) + 2 * struct.pack("<I", 63)[:3]
            extended += struct.pack("<4sI", b"ICCP", len(profile)) + profile + bytes(len(profile) % 2)
            body = b"WEBP" + extended + plain[12:]
            data = b"RIFF" + struct.pack("<I", len(body)) + body
        else:
            data = heif(pixels, profile=profile)
        got = read(tmp_path, data).astype(int).mean((0, 1))
        assert np.abs(got - wanted).max() <= (6 if holder in ("heic", "jpeg") else 3)


def test_other_profiles_leave_the_picture_alone():
    pixels = chart()
    srgb = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
    flat = ((0, 0, 0),) * 3
    for profile in (b"", bytes(500), p3_profile()[:200], p3_profile(primaries=srgb), p3_profile(primaries=flat)):
        assert to_srgb(pixels, profile) is pixels


def test_curves_of_profiles():
    grey = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    srgb = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
    curves = {
        b"curv" + bytes(4) + struct.pack(">I", 0): 1.0,
        b"curv" + bytes(4) + struct.pack(">IH", 1, round(1.8 * 256)): 1.8,
        b"curv"
        + bytes(4)
        + struct.pack(">I1024H", 1024, *(round(65535 * (i / 1023) ** 1.8) for i in range(1024))): 1.8,
        b"para" + bytes(4) + struct.pack(">HHi", 0, 0, round(1.8 * 65536)): 1.8,
        b"para" + bytes(4) + struct.pack(">HH3i", 1, 0, round(1.8 * 65536), 65536, 0): 1.8,
    }
    for curve, gamma in curves.items():
        light = (np.arange(256) / 255) ** gamma
        wanted = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
        assert np.abs(to_srgb(grey, p3_profile(curve, srgb))[0, :, 1] - wanted).max() <= 1


def heif_box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def hevc_units(pixels):
    """The three parameter sets of one H.265 picture, then its slices."""
    context = av.CodecContext.create("libx265", "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    context.options = {"x265-params": "log-level=none:info=0", "crf": "8"}
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
    frame.pts = 0
    stream = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
    units = [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1")[1:]]
    return sorted(units, key=lambda unit: unit[0] >> 1 not in (32, 33, 34))


def heif(pixels, columns=1, rows=1, turn=0, profile=b""):
    """A HEIC picture of `columns` x `rows` tiles, as phones write them. Source: ISO/IEC 23008-12."""
    height, width = pixels.shape[:2]
    th, tw = -(-height // rows // 32) * 32, -(-width // columns // 32) * 32
    canvas = cv2.copyMakeBorder(pixels, 0, th * rows - height, 0, tw * columns - width, cv2.BORDER_REPLICATE)
    samples, config = [], b""
    for row in range(rows):
        for column in range(columns):
            tile = np.ascontiguousarray(canvas[row * th : row * th + th, column * tw : column * tw + tw])
            units = hevc_units(tile)
            heads = [b"".join([bytes([unit[0] >> 1, 0, 1]), struct.pack(">H", len(unit)), unit]) for unit in units[:3]]
            config = heif_box(b"hvcC", b"\1", bytes(20), b"\3\3", *heads)  # 4-byte lengths, 3 arrays
            samples.append(b"".join(struct.pack(">I", len(unit)) + unit for unit in units[3:]))
    grid = len(samples) > 1
    count = len(samples)
    ids = list(range(1, count + 1))
    items = [(number, b"hvc1") for number in ids] + ([(count + 1, b"grid")] if grid else [])
    payloads = [*samples, *([struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)] if grid else [])]
    full = b"\0\0\0\0"

    def meta(offset):
        infe = [heif_box(b"infe", b"\2\0\0\0", struct.pack(">HH4s", number, 0, kind), b"\0") for number, kind in items]
        places, at = b"", offset
        for (number, _), payload in zip(items, payloads, strict=True):
            places += struct.pack(">HHHII", number, 0, 1, at, len(payload))
            at += len(payload)
        number_of_items = struct.pack(">I", len(items))
        properties = [config, heif_box(b"ispe", full, struct.pack(">II", tw, th))]
        properties += [heif_box(b"ispe", full, struct.pack(">II", width, height)), heif_box(b"irot", bytes([turn]))]
        properties += [heif_box(b"colr", b"prof", profile)]
        owners = b"".join(struct.pack(">HBBB", number, 2, 0x81, 2) for number in ids[: count if grid else 0])
        own = (3, 0x84, 5) if grid else (0x81, 3, 0x84, 5)
        owners += struct.pack(f">HB{len(own)}B", count + 1 if grid else 1, len(own), *own)
        parts = [
            heif_box(b"hdlr", full, bytes(4), b"pict", bytes(13)),
            heif_box(b"pitm", full, struct.pack(">H", count + 1 if grid else 1)),
            heif_box(b"iloc", full, b"\x44\x00", struct.pack(">H", len(items)), places),
            heif_box(b"iinf", full, struct.pack(">H", len(items)), *infe),
            heif_box(b"iprp", heif_box(b"ipco", *properties), heif_box(b"ipma", full, number_of_items, owners)),
        ]
        if grid:
            parts.append(
                heif_box(b"iref", full, heif_box(b"dimg", struct.pack(f">HH{count}H", count + 1, count, *ids)))
            )
        return heif_box(b"meta", full, *parts)

    brand = heif_box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    start = len(brand) + len(meta(0)) + 8
    return brand + meta(start) + heif_box(b"mdat", *payloads)


def test_heic(tmp_path):
    near(read(tmp_path, heif(chart(96, 128))), chart(96, 128), 6)


def test_heic_in_tiles_and_turned(tmp_path):
    pixels = cv2.GaussianBlur(chart(180, 250), (0, 0), 9)
    near(read(tmp_path, heif(pixels, columns=3, rows=2, turn=3)), np.rot90(pixels, -1), 6)


def test_avif(tmp_path):
    path = tmp_path / "photo.avif"
    with av.open(str(path), "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=25, options={"preset": "10", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        one_frame(container, stream, chart(96, 128))
    near(read_image(path), chart(96, 128), 8)


def test_fifty_megapixels_are_scaled_down(tmp_path):
    tall = np.full((8165, 6124), 90, np.uint8)
    tall[:4000] = 200
    pixels = read(tmp_path, encoded(tall, ".jpg"))
    assert pixels.shape == (MAX_SIDE, 1536, 3)
    assert pixels[100, 100, 0] == 200
    assert pixels[-100, 100, 0] == 90


def test_small_side_is_respected(tmp_path):
    assert read(tmp_path, encoded(chart(400, 300), ".png"), max_side=100).shape == (100, 75, 3)
    assert read(tmp_path, encoded(chart(40, 40), ".png")).shape == (40, 40, 3)


def test_absurd_size_is_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with pytest.raises(SignalError, match=r"40000 x 40000 pixels \(1,600 million\); expected at most 120 million"):
        read(tmp_path, bomb)


def animated_gif():
    memory = io.BytesIO()
    with av.open(memory, "w", format="gif") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
        one_frame(container, stream, chart())
    return memory.getvalue()


@pytest.mark.parametrize(
    ("make", "share"),
    [
        (lambda: jpeg_turned(chart(), 6), 0.7),
        (lambda: encoded(chart(), ".png"), 0.7),
        (lambda: encoded(chart(), ".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)), 0.7),
        (lambda: encoded(chart(), ".tiff"), 0.2),
        (lambda: encoded(chart(), ".bmp"), 0.7),
        (lambda: encoded(chart(), ".jp2"), 0.3),
        (lambda: encoded(chart(), ".ppm"), 0.7),
        (animated_gif, 0.7),
        (lambda: heif(chart()), 0.9),
        (lambda: jpeg_turned(chart(), 6), 0.05),
        (lambda: encoded(chart(), ".png"), 0.12),
    ],
)
def test_truncated_pictures(tmp_path, capfd, make, share):
    data = make()
    with pytest.raises(SignalError, match=r"cut off or damaged|cannot be decoded") as caught:
        read(tmp_path, data[: max(12, int(len(data) * share))])
    assert str(caught.value).count("; expected") == 1
    assert capfd.readouterr().err == ""


def test_damaged_pictures_never_raise_anything_else(tmp_path):
    noise = np.random.default_rng(0)
    for data in (
        jpeg_turned(chart(), 3),
        encoded(chart(), ".png"),
        encoded(chart(), ".webp"),
        heif(chart()),
        animated_gif(),
    ):
        for _ in range(8):
            spoiled = bytearray(data)
            for at in noise.integers(4, len(data), 12):
                spoiled[at] = noise.integers(256)
            with contextlib.suppress(SignalError):
                assert read(tmp_path, bytes(spoiled)).shape[2] == 3


NO_PICTURES = [(b"", "is empty"), (b"hello, I am text", "is not a picture"), (bytes(99), "is not a picture")]


@pytest.mark.parametrize(("data", "told"), NO_PICTURES)
def test_what_is_no_picture(tmp_path, data, told):
    with pytest.raises(SignalError, match=told):
        read(tmp_path, data, "photo.jpg")


def test_missing_folder_and_forbidden(tmp_path, monkeypatch):
    with pytest.raises(SignalError, match="there is no file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(SignalError, match="is a folder"):
        read_image(tmp_path)
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SignalError, match="this user may not read"):
        read_image(path)


def test_absurd_file_size(tmp_path, monkeypatch):
    monkeypatch.setattr(image, "MAX_BYTES", 10)
    with pytest.raises(SignalError, match="expected a picture of at most"):
        read(tmp_path, encoded(chart(), ".png"))


def test_formats_are_told_by_content():
    assert formats.picture_name(encoded(chart(), ".bmp")) == "BMP"
    assert formats.picture_name(b"BM is how some texts begin, you know") is None
    assert formats.picture_name(b"P3 is a processor") == "PNM"
    assert formats.picture(b"P3 is a processor").complete is False
    assert formats.is_text("Grüße".encode())
    assert formats.is_text("aé".encode()[:-1])
    assert not formats.is_text(b"\x89PNG\r\n")
    assert formats.is_motion_table(b"Timecode,BlendShapeCount,EyeBlinkLeft,JawOpen\n0,1")
    assert not formats.is_motion_table(b"name,age\n")
