"""The page about an avatar: pictures, curves, held-out numbers, what was rejected and why, what to film better.

One HTML file that needs nothing else: pictures are data URIs, curves inline SVG, no script. It shows the person, so it
belongs to whoever may see them.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from liveface.avatar import Avatar
from liveface.render.liveface.regions import REGIONS
from liveface.train.adapt import Adapted, Look
from liveface.train.avatar.pack import Pack

RENEW_S = 10  # seconds after which a page about an unfinished creation is read again
PICTURE_PX, PICTURE_QUALITY = 1600, 86  # largest width of a picture on the page
COLOURS = {"mouth": "#c8452c", "eyes": "#2b6cb0", "hair": "#7a5c1e", "body": "#4a7c3a"}
CHART = (340, 170, 44, 26)  # width, height, left and bottom margin in pixels
ROWS = (
    ("psnr_db", "whole frame, PSNR dB", 2), ("ssim", "whole frame, SSIM", 4),
    ("mouth_patch_psnr_db", "mouth patch, PSNR dB", 2), ("mouth_psnr_db", "mouth box, PSNR dB", 2),
    ("sharpness", "mouth, sharpness over the truth's", 2), ("mouth_error", "mouth points, % of the eye distance", 2),
    ("eye_error", "eye points, % of the eye distance", 2), ("lip_gap_error", "lip opening, % of the eye distance", 2),
    ("lid_gap_error", "lid opening, %", 2), ("flicker", "flicker where the truth is still, levels", 3),
    ("flicker_true", "the truth's own, levels", 3),
)  # fmt: skip
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
table { border-collapse: collapse; margin: .6rem 0; } th { text-align: left; font-weight: 600; }
td, th { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; border-radius: 4px; } figure { margin: 1rem 0; } .soft { opacity: .75; }
header { display: flex; gap: 1.5rem; align-items: flex-start; } header img { width: 150px; flex: none; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } svg { background: var(--soft); border-radius: 4px; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
"""

Curve = Sequence[tuple[float, float]]
"""Minutes and decibels."""


@dataclass(frozen=True)
class Page:
    """What the page says; empty parts are left out.

    Attributes:
        title: its heading; poster: JPEG or PNG bytes.
        facts: lines beside the poster, name and value.
        scores: held-out scores of "avatar" and "mesh" by name.
        regions: numbers of every region by name.
        curves: region to its curves by name.
        pictures: file and caption.
        rejected: reason to number of frames; rejection_rate: share.
        advice: what to do better.
        live: whether the creation still runs.
    """

    title: str
    poster: bytes = b""
    facts: list[tuple[str, str]] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    regions: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, dict[str, Curve]] = field(default_factory=dict)
    pictures: list[tuple[Path, str]] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    rejection_rate: float = 0.0
    advice: list[str] = field(default_factory=list)
    live: bool = False

    @staticmethod
    def live_of(pack: Pack, looks: Sequence[Look]) -> Page:
        """The page while the decoders learn."""
        latest = {look.region: look for look in looks}
        curves: dict[str, list[dict[str, float]]] = {}
        for look in looks:
            curves.setdefault(look.region, []).append({**look.scores, "minutes": look.minutes})
        share = looks[-1].done if looks else 0.0
        return Page(
            f"{pack.info['source']}: {share:.0%} learned",
            facts=_recording(pack),
            curves={name: _curves(curve) for name, curve in curves.items()},
            advice=_capture(pack),
            pictures=[(latest[name].sample, _sample_caption(name)) for name in REGIONS if name in latest],
            live=True,
        )

    @staticmethod
    def finished(avatar: Avatar, adapted: Adapted, pack: Pack, learned: Path) -> Page:
        """The page of a finished avatar; `learned` is the folder its decoders learned in."""
        about, measured = avatar.about, avatar.about.measured
        often = "stopped by itself: quality no longer rose" if adapted.settled else "stopped at the end of its time"
        facts = [
            ("made", f"{about.made} by {about.maker} with {about.tool}"),
            ("consent", about.consent),
            ("licence", about.licence),
            ("synthetic", "every video of this avatar says so"),
            *_recording(pack),
            ("learning", f"{adapted.minutes:.1f} minutes, {often}; {measured.get('minutes', 0):.1f} minutes in all"),
            ("networks", f"{about.size}, {measured['gmac_a_frame']:.3f} GMAC a frame, "
             f"{sum(map(len, avatar.networks.values())) / 1e6:.1f} MB of its own"),
            ("a frame", "{p50:.1f} ms on one thread, machine at load {load:.0f}".format(**measured["ms_a_frame"])),
            ("mouth", f"{measured['mode_gap_db']:+.2f} dB when driven by lip points instead of visemes"),
        ]  # fmt: skip
        pictures = [
            (learned / "sheet.png", "Held-out frames: the truth above, the avatar below; then mouths, then eyes")
        ]
        pictures += [(file, _sample_caption(name)) for name in REGIONS if (file := _newest(learned, name)) is not None]
        if (pack.folder / "rejected.png").is_file():
            pictures.append((pack.folder / "rejected.png", "Frames that were rejected, and why"))
        return Page(
            about.name, avatar.poster, facts, measured["held_out"], measured["regions"],
            {name: _curves(decoder.curve) for name, decoder in adapted.decoders.items()},
            pictures, pack.info["rejected"], float(pack.info["rejection_rate"]), advice(avatar, pack),
        )  # fmt: skip


def advice(avatar: Avatar, pack: Pack) -> list[str]:
    """What would make the next avatar of this person better, from what was measured."""
    scores, out = avatar.about.measured["held_out"]["avatar"], []
    if avatar.about.source == "photo":
        out.append("This avatar was taught by an animated photo; 90 seconds of talking on video teach real teeth and "
                   "a real tongue.")  # fmt: skip
    if pack.info["rejection_rate"] > 0.03:
        most = max(pack.info["rejected"], key=pack.info["rejected"].get)
        out.append(f"{pack.info['rejection_rate']:.0%} of the frames were rejected, most as '{most}'; steady light and "
                   "a camera that stands still help.")  # fmt: skip
    if scores.get("sharpness", 1.0) < 0.8:
        out.append("The mouth is softer than the truth; give it more minutes (--resume --minutes 15 on a kept run).")
    learned = ~pack.held
    turn = np.abs(pack.head[learned][:, :2]).max(initial=0.0)
    if turn < 0.12:
        out.append("The head hardly turned; look slowly to all sides once, about as far as in conversation.")
    out += _capture(pack)
    return out or ["Nothing was found to complain about."]


def _capture(pack: Pack) -> list[str]:
    """What the check of the recording advised."""
    return [f"The recording: {words}" for words in pack.info.get("capture", [])]


def write_page(page: Page, path: Path) -> Path:
    """Write the page; `path` takes its name when it is whole."""
    part = path.with_name(f".{path.name[:200]}.part")
    try:
        part.write_text(render(page), "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def render(page: Page) -> str:
    """The page as HTML."""
    renew = f'<meta http-equiv="refresh" content="{RENEW_S}">' if page.live else ""
    poster = f'<img src="{_uri(page.poster)}" alt="the avatar at rest">' if page.poster else ""
    facts = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in page.facts)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{renew}',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(page.title)} - liveface</title><style>{STYLE}</style></head><body>",
        f"<header>{poster}<div><h1>{_text(page.title)}</h1><table>{facts}</table></div></header>",
        _score_table(page.scores), _region_table(page.regions), _charts(page.curves), _rejections(page),
        _list("What would make it better", page.advice), _pictures(page.pictures), "</body></html>",
    ]  # fmt: skip
    return "\n".join(part for part in parts if part) + "\n"


def _score_table(scores: dict[str, dict[str, float]]) -> str:
    if not scores:
        return ""
    names = list(scores)
    rows = [
        "<tr><td>"
        + _text(title)
        + "</td>"
        + "".join(_number(scores[name].get(key), digits) for name in names)
        + "</tr>"
        for key, title, digits in ROWS
        if any(key in scores[name] for name in names)
    ]
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    note = "Frames that nothing learned from; <em>mesh</em> is the renderer without training, on the same frames."
    return f"<h2>Held-out quality</h2><p>{note}</p><table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _region_table(regions: dict[str, dict[str, Any]]) -> str:
    if not regions:
        return ""
    columns = (("psnr", "PSNR dB", 2), ("sharpness", "sharpness", 2), ("float_db", "float dB", 2),
               ("int8_db", "INT8 dB", 2), ("loss_db", "lost dB", 3))  # fmt: skip
    head = "".join(f"<th>{title}</th>" for _, title, _ in columns)
    rows = "".join(
        f"<tr><td>{_text(name)}</td>{''.join(_number(one.get(key), digits) for key, _, digits in columns)}"
        f'<td class="number">{one.get("bytes", 0) / 1e6:.2f}</td></tr>'
        for name, one in regions.items()
    )
    return f"<h2>Decoders, held out</h2><table><tr><th></th>{head}<th>MB</th></tr>{rows}</table>"


def _charts(curves: dict[str, dict[str, Curve]]) -> str:
    drawn = [chart(name, curve) for name, curve in curves.items() if any(len(one) > 1 for one in curve.values())]
    if not drawn:
        return ""
    return f'<h2>Held-out PSNR over minutes of learning</h2><div class="charts">{"".join(drawn)}</div>'


def chart(title: str, curves: dict[str, Curve]) -> str:
    """Curves as an inline SVG with labelled ends of both axes."""
    width, height, left, bottom = CHART
    points = [point for curve in curves.values() for point in curve]
    most = max(1e-6, *(minutes for minutes, _ in points))
    low, high = min(value for _, value in points), max(value for _, value in points)
    low, high = (low, high) if high - low > 0.5 else (low - 0.25, high + 0.25)

    def place(minutes: float, value: float) -> str:
        x = left + (width - left - 12) * minutes / most
        y = 24 + (height - 24 - bottom) * (high - value) / (high - low)
        return f"{x:.1f},{y:.1f}"

    colour, lines = COLOURS.get(title, "#666"), []
    for number, (name, curve) in enumerate(curves.items()):
        dash = f' stroke-dasharray="{4 * number} 3"' if number else ""
        path = " ".join(place(*point) for point in curve)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}>'
                     f"<title>{_text(name)}</title></polyline>")  # fmt: skip
    floor = height - bottom
    axes = (
        f'<path d="M{left} 24V{floor}H{width - 12}" fill="none" stroke="currentColor" stroke-opacity=".4"/>'
        f'<text x="{left - 6}" y="30" text-anchor="end">{high:.1f}</text>'
        f'<text x="{left - 6}" y="{floor}" text-anchor="end">{low:.1f}</text>'
        f'<text x="{width - 12}" y="{height - 9}" text-anchor="end">{most:.1f} min</text>'
    )
    names = f" ({', '.join(curves)})" if len(curves) > 1 else ""
    caption = f'<text x="{left}" y="16">{_text(title + names)}, dB</text>'
    return f'<svg width="{width}" height="{height}" role="img">{axes}{caption}{"".join(lines)}</svg>'


def _rejections(page: Page) -> str:
    if not page.rejected and not page.scores:
        return ""
    rows = "".join(f'<tr><td>{_text(name)}</td><td class="number">{count}</td></tr>'
                   for name, count in sorted(page.rejected.items(), key=lambda one: -one[1]))  # fmt: skip
    table = f"<table>{rows}</table>" if rows else ""
    return f"<h2>Rejected frames: {page.rejection_rate:.1%}</h2>{table}"


def _list(title: str, lines: Iterable[str]) -> str:
    found = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<h2>{_text(title)}</h2><ul>{found}</ul>" if found else ""


def _pictures(pictures: Sequence[tuple[Path, str]]) -> str:
    shown = [
        f'<figure><img src="{_picture(file)}" alt=""><figcaption class="soft">{_text(caption)}</figcaption></figure>'
        for file, caption in pictures
        if file.is_file()
    ]
    return f"<h2>Pictures</h2>{''.join(shown)}" if shown else ""


def _picture(file: Path) -> str:
    """A picture file as a data URI of a JPEG, not wider than `PICTURE_PX`."""
    pixels = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return ""
    scale = PICTURE_PX / pixels.shape[1]
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, PICTURE_QUALITY])
    return _uri(data.tobytes())


def _uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _number(value: float | None, digits: int) -> str:
    return f'<td class="number">{"-" if value is None else f"{value:.{digits}f}"}</td>'


def _text(value: object) -> str:
    return html.escape(str(value))


def _curves(curve: Sequence[dict[str, float]]) -> dict[str, Curve]:
    """The PSNR of a region over minutes; the mouth's by both inputs."""
    keys = {"visemes": "visemes_psnr", "landmarks": "landmarks_psnr"}
    if not curve or keys["visemes"] not in curve[0]:
        keys = {"": "psnr"}
    return {name: [(one["minutes"], one[key]) for one in curve if key in one] for name, key in keys.items()}


def _recording(pack: Pack) -> list[tuple[str, str]]:
    info, held = pack.info, int(pack.held.sum())
    where = "a recording" if info["teacher"] == "video" else f"a photo, taught by {info['teacher']}"
    return [
        ("from", f"{info['source']}, {where}: {info['seen']} frames, {info['seen_s']:.0f} s at {info['fps']:g} fps"),
        ("frames", f"{len(pack.held) - held} learned from, {held} held out, {info['rejection_rate']:.1%} rejected"),
    ]


def _sample_caption(region: str) -> str:
    return f"{region}: the warped picture, the truth, the decoder, on held-out frames"


def _newest(learned: Path, region: str) -> Path | None:
    files = sorted((learned / "samples").glob(f"{region}-*.png"))
    return files[-1] if files else None
