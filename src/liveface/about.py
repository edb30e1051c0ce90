"""What a file is, and what this machine can do: the text behind `liveface info` and `liveface doctor`."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from liveface import store, weights
from liveface.avatar import Avatar, read_avatar
from liveface.errors import AvatarError, LivefaceError
from liveface.machine import processor
from liveface.motion.files import load_motion
from liveface.render.liveface.renderer import LiveFaceRenderer
from liveface.render.mesh import MeshRenderer
from liveface.render.mobileportrait.renderer import MobilePortraitRenderer
from liveface.signals.face import FaceTracker
from liveface.signals.image import read_image
from liveface.signals.media import MediaInfo, probe, read_video
from liveface.types import Motion, Pixels

PACKAGES = ("numpy", "opencv-python-headless", "av", "ai-edge-litert", "soxr")
PROBE_FRAMES = 30  # rendered by `doctor`


def describe_file(path: str | Path) -> list[str]:
    """Lines that say what a file is and what liveface would make of it."""
    info = probe(path)
    size = f"{info.width}x{info.height}"
    lines = [f"{Path(path).name}: {info.kind}, {info.format}"]
    if info.kind == "image":
        faces = FaceTracker(static=True).faces(read_image(path))
        lines += [f"picture: {size} pixels", _faces(len(faces), "photo")]
        lines += [f"face {at}: {face.height:.0f} pixels high, turned {face.yaw_deg:.0f} degrees"
                  for at, face in enumerate(faces, 1)]  # fmt: skip
    if info.kind == "video":
        lines.append(f"picture: {size} pixels, {info.fps:g} fps, {info.video_duration_s:.1f} s, {info.video_codec}")
        lines.append(_faces(len(FaceTracker(static=True).faces(first_picture(path))), "first frame"))
    if info.audio_rate_hz:
        lines.append(_sound(info))
    if info.kind == "motion":
        lines += _motion(load_motion(path))
    if info.kind == "avatar":
        lines += describe_avatar(read_avatar(path), Path(path).stat().st_size)
    if info.comment:
        lines.append(f"remark: {info.comment}")
    return lines


def describe_avatar(avatar: Avatar, size: int) -> list[str]:
    """Lines on an avatar whose file has `size` bytes: parts, hashes, provenance, manner, measured quality."""
    about, manner = avatar.about, avatar.about.behaviour
    kept = sum(len(content) for content in avatar.networks.values())
    lines = [
        f"name: {about.name}; made {about.made} by {about.maker} with {about.tool}",
        f"made from: a {about.source}" + ("" if about.source == about.teacher else f", taught by {about.teacher}"),
        f"consent: {about.consent}",
        f"licence: {about.licence}",
        "synthetic: yes, and every video of it says so",
        f"canvas: {about.canvas[0]}x{about.canvas[1]} at {about.fps:g} fps, motion {about.motion}",
        f"size: {size / 1e6:.1f} MB, of which its own networks ({about.size}) {kept / 1e6:.1f} MB",
    ]
    for name, region in about.regions.items():
        often = "every frame" if region.every == 1 else f"every {region.every} frames"
        content = avatar.networks[name]
        lines.append(
            f"{name}: {region.size[0]}x{region.size[1]} {often}, {len(content) / 1e6:.2f} MB, "
            f"SHA-256 {hashlib.sha256(content).hexdigest()[:16]}"
        )
    for role, shared in about.shared.items():
        lines.append(f"{role}: {shared.name}, SHA-256 {shared.sha256[:16]}, {_installed(avatar, role)}")
    lines.append(f"reach: {about.reach.words()}")
    lines.append(
        f"manner: {manner.blinks_per_min:.0f} blinks, {manner.breaths_per_min:.0f} breaths and "
        f"{manner.nods_per_min:.0f} nods a minute, sway {manner.sway:.2f}, gaze {manner.gaze:.2f}"
    )
    return lines + [f"measured {line}" for line in _flat(about.measured)]


def _installed(avatar: Avatar, role: str) -> str:
    try:
        return f"installed, {avatar.shared_network(role).stat().st_size / 1e6:.2f} MB"
    except AvatarError:
        return "not in this installation"


def _flat(table: dict[str, Any], above: str = "") -> list[str]:
    """A table of tables as lines: every innermost table of numbers and words is one; lists are left out."""
    plain = {name: value for name, value in table.items() if not isinstance(value, dict | list)}
    told = ", ".join(f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
                     for name, value in plain.items())  # fmt: skip
    lines = [f"{above.strip() or 'in all'}: {told}"] if told else []
    for name, value in table.items():
        lines += _flat(value, f"{above} {name}") if isinstance(value, dict) else []
    return lines


def first_picture(path: str | Path) -> Pixels:
    """The first frame of a video."""
    return next(iter(read_video(path))).pixels


def _faces(count: int, where: str) -> str:
    return f"faces in the {where}: {count or 'none'}"


def _sound(info: MediaInfo) -> str:
    channels = {1: "mono", 2: "stereo"}.get(info.audio_channels, f"{info.audio_channels} channels")
    return f"sound: {info.audio_rate_hz} Hz {channels}, {info.audio_duration_s:.1f} s, {info.audio_codec}"


def _motion(motion: Motion) -> list[str]:
    size = motion.expression.max(0)
    strongest = [motion.spec.expression[at] for at in np.argsort(-size)[:5] if size[at] > 0.01]
    return [
        f"motion: {len(motion)} frames at {motion.fps:g} fps, {motion.duration_s:.1f} s",
        f"moves most: {', '.join(strongest) or 'nothing'}",
    ]


def examine() -> tuple[list[str], bool]:
    """Lines on this machine and installation, and whether everything needed is there."""
    well = True
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else 0
    lines = [
        f"liveface {_version('liveface')}, Python {platform.python_version()}, {platform.platform()}",
        f"processor: {processor()}, {os.cpu_count()} cores, {memory:.0f} GB memory",
        "packages: " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        f"training: {'torch ' + _version('torch') if _version('torch') != 'missing' else 'not installed (optional)'}",
        f"virtual camera: {_camera()}",
        *_fetched(),
        f"room in {Path.cwd()}: {shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB",
    ]
    try:
        for name in weights.manifest():
            weights.path(name)
        lines.append(f"shipped files: {len(weights.manifest())}, all whole")
        lines += _try_rendering()
        lines += [_try_avatar(name) for name in weights.manifest() if name.endswith(".avatar")]
    except LivefaceError as error:
        lines.append(f"broken: {error}")
        well = False
    missing = [name for name in ("libx264", "aac") if not _encoder(name)]
    lines.append(f"encoders: {'H.264 and AAC' if not missing else 'missing ' + ', '.join(missing)}")
    well &= not missing and "missing" not in lines[2] and (3, 11) <= sys.version_info[:2] <= (3, 12)
    lines.append("ready." if well else "not ready: see above.")
    return lines, well


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _fetched() -> list[str]:
    """Lines on weights of others; a record that cannot be read is said, the rest works without them."""
    lines = []
    for name in store.MODELS:
        try:
            lines.append(store.describe(name))
        except LivefaceError as error:
            lines.append(f"weights of {name}: {error}")
    return lines


def _camera() -> str:
    found = _version("pyvirtualcam")
    return "not installed (optional)" if found == "missing" else f"pyvirtualcam {found}"


def _encoder(name: str) -> bool:
    import av

    return name in av.codecs_available


def _try_avatar(name: str) -> str:
    """Draw an embedded avatar for a second."""
    since = time.perf_counter()
    renderer = LiveFaceRenderer(read_avatar(weights.path(name)))
    opened = time.perf_counter()
    state = renderer.start()
    for _ in range(PROBE_FRAMES):
        state, _ = renderer.step(state, Motion.rest())
    spent = (time.perf_counter() - opened) / PROBE_FRAMES
    width, height = renderer.rig.size
    return (
        f"avatar {name}: opened in {opened - since:.1f} s, {spent * 1000:.1f} ms a frame at {width}x{height}, "
        f"{1 / spent:.0f} fps, one thread"
    )


def _try_rendering() -> list[str]:
    """Enrol and render the embedded portrait for a second, with every renderer of photos."""
    picture, lines = read_image(weights.path("portrait.jpg")), []
    for name, make in (("mesh", MeshRenderer), ("mobileportrait", MobilePortraitRenderer)):
        since = time.perf_counter()
        renderer = make(picture)
        enrolled = time.perf_counter()
        state = renderer.start()
        for _ in range(PROBE_FRAMES):
            state, _ = renderer.step(state, Motion.rest())
        spent = (time.perf_counter() - enrolled) / PROBE_FRAMES
        lines.append(
            f"{name} renderer at 360x640: {spent * 1000:.1f} ms a frame, {1 / spent:.0f} fps, one thread; a photo "
            f"enrolled in {enrolled - since:.1f} s"
        )
    return lines
