"""Make an embedded portrait: a composite in shape and texture of many faces, which shows nobody.

Usage: `python tools/make_portrait.py` with LIVEFACE_DATA pointing at the data folder (default ../shared/data); `--cast
second -o FILE` makes the other one, whose recording (`tools/make_recording.py`) taught the second embedded avatar.

Notable choices:
- The faces are of the Face Research Lab London Set (DeBruine and Jones, CC BY 4.0): one light and camera, white shirts.
  Those with hair tied back, or cut short, are taken, so that hair and ears do not ghost.
- Shape first: thin-plate warps bring 478 tracked points, the outline of hair and head, neck and shoulders of every
  picture onto their average. Then dense optical flow towards the running average, three rounds, takes out what points
  do not see (lashes, brows, hairline, collar); the flows' own mean is taken out, so that the average stays average.
- Three layers: the face of all, the hair and ears of one, neck, shirt and background of another, whose
  skin is brought to the colour of the composite; joined band by band. Hair of several always ghosts (tried).
- Texture second: a trimmed mean per pixel. A mean of n pictures loses the grain of skin and hair by about sqrt(n);
  each band of a Laplacian pyramid is lifted back to the strength the single pictures have there, on average.

Source: Tiddeman, Burt, Perrett 2001 (restoring texture by wavelet magnitude); DIS flow, Kroeger 2016 (OpenCV).
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from clear_wall import cleared
from liveface.geometry import fit_similarity
from liveface.signals.face import FaceTracker, segment_person

Image = npt.NDArray[np.float32]

WIDTH, HEIGHT = 900, 1100


@dataclass(frozen=True)
class Cast:
    """Whose pictures a composite is made of, by their numbers in the set.

    Attributes:
        people: whose faces are averaged.
        hair: whose hair and ears frame the face.
        body: whose neck, shirt and background stand below and behind it.
        stray: row and column of the canvas from which a tuft of hair behind the right ear is left out.
        ending: last row of the body's picture that is kept.
    """

    people: tuple[str, ...]
    hair: str
    body: str
    stray: tuple[int, int]
    ending: int


CASTS = {
    "first": Cast(
        ("007", "011", "014", "016", "020", "032", "034", "064", "066", "086", "087", "090", "094", "118", "124",
         "127", "134", "144"), hair="014", body="034", stray=(596, 662), ending=1070,
    ),
    "second": Cast(
        ("005", "008", "017", "018", "024", "044", "063", "082", "104", "108", "114", "115", "117", "121", "130",
         "131", "132", "138", "141", "142"), hair="117", body="018", stray=(HEIGHT, WIDTH), ending=1070,
    ),
}  # fmt: skip
ROUNDS = 3  # of flow; the fourth moves less than 0.3 px, measured
BODY_MARKS = slice(-6, None)  # the last marks of `outline`
REACH = 16  # pixels a flow may move
LOBE = 0.35  # height of the ear lobes over the chin, share of the face
SATURATION = 1.12  # averaging greys the skin a little; chosen by eye
FACE_LIFT = 2.2  # most that a band of the mean is lifted; chosen by eye, 3 brings grain
TRIM = 0.2  # share dropped at either end of every pixel's sorted values
POINT_STEP = 3  # every third of the 478 points steers the warp; all eye, lip and outline points do
KEY_POINTS = tuple(sorted({
    *range(0, 478, POINT_STEP), 33, 133, 159, 145, 362, 263, 386, 374, 61, 291, 0, 17, 13, 14, 78, 308, 152, 10,
    234, 454, 172, 397, 136, 365, 70, 63, 105, 66, 107, 300, 293, 334, 296, 336, *range(468, 478),
}))  # fmt: skip


def load(folder: Path, person: str) -> npt.NDArray[np.uint8]:
    """One neutral picture of the set, RGB uint8 `[H, W, 3]`."""
    pixels = cv2.imread(str(folder / f"webmorphr-stim__neutral-front__{person}-03.jpg"), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SystemExit(f"picture {person}-03 is not in {folder}; set LIVEFACE_DATA to the data folder.")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def outline(mask: Image, points: Image) -> Image:
    """Points `[N, 2]` on the outline of head, neck and shoulders of one person mask `[H, W]`."""
    eyes = (points[33, :2] + points[263, :2]) / 2
    chin, unit = points[152, :2], float(np.linalg.norm(points[152, :2] - points[10, :2]))
    inside = mask > 0.5
    found = []
    for angle in np.deg2rad(np.arange(-190, 11, 12.5)):  # over the head, from ear to ear
        reach = np.arange(0.3 * unit, 1.3 * unit)
        x = np.clip(eyes[0] + reach * np.cos(angle), 0, mask.shape[1] - 1).astype(int)
        y = np.clip(eyes[1] + reach * np.sin(angle), 0, mask.shape[0] - 1).astype(int)
        radius = reach[np.flatnonzero(inside[y, x])[-1]]
        found.append(eyes + radius * np.array([np.cos(angle), np.sin(angle)]))
    for drop in (0.12, 0.22):  # the neck
        row = inside[int(chin[1] + drop * unit)]
        centre = int(chin[0])
        left = centre - int(np.argmin(row[centre::-1]))
        right = centre + int(np.argmin(row[centre:]))
        found += [np.array([left, chin[1] + drop * unit]), np.array([right, chin[1] + drop * unit])]
    for side in (-0.62, 0.62):  # the shoulders
        column = inside[:, int(np.clip(chin[0] + side * unit, 0, mask.shape[1] - 1))]
        found.append(np.array([chin[0] + side * unit, float(np.argmax(column[int(eyes[1]) :]) + eyes[1])]))
    return np.asarray(found, np.float32)


def thin_plate(source: Image, target: Image, shape: tuple[int, int], stiffness: float = 1e-3) -> tuple[Image, Image]:
    """Maps for `cv2.remap` that take a picture with `source` points `[N, 2]` to one with `target` points."""
    scale = float(max(shape))
    knots, values = target / scale, source / scale
    count = len(knots)

    def kernel(squared: Image) -> Image:
        return np.where(squared > 0, squared * np.log(np.maximum(squared, 1e-12)), 0)

    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = kernel(((knots[:, None] - knots[None]) ** 2).sum(2)) + stiffness * np.eye(count)
    system[:count, count:] = np.concatenate([np.ones((count, 1)), knots], 1)
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 2))]))
    step = 5
    ys, xs = np.mgrid[0 : shape[0] + step : step, 0 : shape[1] + step : step] / scale
    grid = np.stack([xs.ravel(), ys.ravel()], 1)
    base = kernel(((grid[:, None] - knots[None]) ** 2).sum(2))
    dense = (base @ weights[:count] + weights[count] + grid @ weights[count + 1 :]) * scale
    size = (xs.shape[1] * step, xs.shape[0] * step)
    shift = np.array([[step, 0, 0], [0, step, 0]], np.float32)
    maps = [
        cv2.warpAffine(part.reshape(xs.shape).astype(np.float32), shift, size, flags=cv2.INTER_LINEAR,
                       borderMode=cv2.BORDER_REPLICATE)[: shape[0], : shape[1]]
        for part in dense.T
    ]  # fmt: skip
    return maps[0], maps[1]


def corners(shape: tuple[int, int]) -> Image:
    """Points on the border of the canvas, which stay where they are."""
    height, width = shape
    xs, ys = np.linspace(0, width, 7), np.linspace(0, height, 7)
    marks = [*((x, 0) for x in xs), *((0, y) for y in ys[1:-1]), *((width, y) for y in ys[1:-1])]
    return np.array(marks, np.float32)


def align(pictures: list[npt.NDArray[np.uint8]]) -> tuple[list[Image], Image]:
    """Pictures `[H, W, 3]` in 0..255 brought to the average shape, and that shape's 478 points."""
    tracker = FaceTracker(static=True)
    faces, marks = [], []
    for pixels in pictures:
        face = tracker.track(pixels)
        if face is None:
            raise SystemExit("a picture without a face is among the chosen ones.")
        faces.append(face.points[:, :2].astype(np.float32))
        marks.append(np.concatenate([faces[-1][list(KEY_POINTS)], outline(segment_person(pixels), faces[-1])]))
    centre = np.array([WIDTH / 2, HEIGHT * 0.5], np.float32)
    average = marks[0] - marks[0].mean(0) + centre
    for _ in range(5):  # Procrustes: the average of all marks after similarity fits to it
        moved = []
        for mark in marks:
            scale, rotation, shift = fit_similarity(mark, average)
            moved.append(scale * mark @ rotation.T + shift)
        average = np.mean(moved, 0).astype(np.float32)
    warped = []
    for pixels, mark in zip(pictures, marks, strict=True):
        scale, rotation, shift = fit_similarity(mark, average)
        target = average.copy()
        target[BODY_MARKS] = (scale * mark @ rotation.T + shift)[BODY_MARKS]  # necks and collars keep their own shape
        affine = np.concatenate([scale * rotation, shift[:, None]], 1)
        edge = corners((HEIGHT, WIDTH))
        back = np.linalg.inv(np.concatenate([affine, [[0, 0, 1]]]))[:2]
        source = np.concatenate([mark, edge @ back[:, :2].T + back[:, 2]]).astype(np.float32)
        maps = thin_plate(source, np.concatenate([target, edge]), (HEIGHT, WIDTH))
        out = cv2.remap(pixels, *maps, interpolation=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
        warped.append(out.astype(np.float32))
    return warped, average


def even_light(pictures: list[Image], centre: tuple[int, int], size: int) -> list[Image]:
    """The same mean and spread of every channel of the face's middle in all pictures."""
    x, y = centre
    views = [picture[y - size : y + size, x - size : x + size].reshape(-1, 3) for picture in pictures]
    means, spreads = np.array([view.mean(0) for view in views]), np.array([view.std(0) for view in views])
    mean, spread = means.mean(0), spreads.mean(0)
    gains = 0.5 + 0.5 * spread / spreads  # half way: the skins of many keep some of their differences
    return [
        np.clip((picture - own) * gain + own + 0.7 * (mean - own) * _midtones(picture), 0, 255).astype(np.float32)
        for picture, own, gain in zip(pictures, means, gains, strict=True)
    ]


def _midtones(picture: Image) -> Image:
    """1 where a pixel is skin or hair, 0 where it is white cloth or background; `[H, W, 1]`."""
    low = picture.min(2, keepdims=True)
    return np.clip((170 - low) / 60, 0, 1).astype(np.float32)


def trimmed_mean(pictures: list[Image]) -> Image:
    """Per-pixel mean without the extremes."""
    out = np.zeros_like(pictures[0])
    cut = int(TRIM * len(pictures))
    for top in range(0, len(out), 100):
        stack = np.stack([picture[top : top + 100] for picture in pictures])  # [n, 100, W, 3]
        order = np.argsort(stack.sum(3), 0)
        rank = np.argsort(order, 0)
        kept = (rank >= cut) & (rank < len(stack) - cut)
        out[top : top + 100] = (stack * kept[..., None]).sum(0) / kept.sum(0)[..., None]
    return out


def flow_rounds(pictures: list[Image], region: Image) -> list[Image]:
    """Bring what the points missed in `region` `[H, W]` 0..1 onto the running average."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    total = [np.zeros((HEIGHT, WIDTH, 2), np.float32) for _ in pictures]
    current = pictures
    for round_index in range(ROUNDS):
        mean = trimmed_mean(current)
        target = cv2.cvtColor(np.clip(mean, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
        flows = []
        for picture, sofar in zip(current, total, strict=True):
            grey = cv2.cvtColor(np.clip(picture, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
            dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
            step = cv2.GaussianBlur(dis.calc(target, grey, None), (0, 0), 9 - 2 * round_index)
            carried = cv2.remap(sofar, xs + step[..., 0], ys + step[..., 1], cv2.INTER_LINEAR)
            flows.append(step + carried)
        middle = np.mean(flows, 0)
        total = [np.clip(flow - middle, -REACH, REACH) * region[..., None] for flow in flows]
        print(f"flow round {round_index + 1}: mean move {np.mean([np.abs(step).mean() for step in total]):.2f} px")
        current = [
            cv2.remap(picture, xs + flow[..., 0], ys + flow[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
            for picture, flow in zip(pictures, total, strict=True)
        ]
    return current


def bands(picture: Image, count: int = 5) -> list[Image]:
    """Differences of Gaussians from fine to coarse, and the rest; they sum to the picture."""
    parts, below = [], picture
    for level in range(count):
        blurred = cv2.GaussianBlur(below, (0, 0), 0.9 * 2**level)
        parts.append(below - blurred)
        below = blurred
    return [*parts, below]


def restore(mean: Image, pictures: list[Image], most: float) -> Image:
    """Lift every band of `mean` to the local strength that single pictures have, at most `most` times."""
    own = bands(mean)
    strength = [np.zeros(mean.shape[:2], np.float32) for _ in own[:-1]]
    for picture in pictures:
        for level, band in enumerate(bands(picture)[:-1]):
            strength[level] += cv2.GaussianBlur((band**2).mean(2), (0, 0), 6 * 2**level) / len(pictures)
    out = own[-1].copy()
    for level, band in enumerate(own[:-1]):
        has = cv2.GaussianBlur((band**2).mean(2), (0, 0), 6 * 2**level)
        gain = np.sqrt((strength[level] + 0.05) / (has + 0.05))
        out += band * np.clip(gain, 1, most)[..., None]
    return np.clip(out, 0, 255)


def regions(face: Image, average: Image, stray: tuple[int, int]) -> tuple[Image, Image, Image]:
    """Soft masks `[H, W]` in 0..1: the face without its rim, all below the ears, and head with its surroundings."""
    hull = cv2.convexHull(face).astype(np.int32)
    skin = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillConvexPoly(skin, hull, 1.0)
    skin = cv2.erode(skin, np.ones((15, 15)))
    chin, brow = float(face[:, 1].max()), float(face[:, 1].min())
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    below = np.repeat(np.clip((rows - (chin - LOBE * (chin - brow))) / 16, 0, 1), WIDTH, 1)
    below[stray[0] :, stray[1] :] = 1
    head = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.fillConvexPoly(head, cv2.convexHull(average).astype(np.int32), 1.0)
    head *= np.clip((chin + 60 - rows) / 60, 0, 1)
    near = cv2.GaussianBlur(cv2.dilate(head, np.ones((31, 31))), (0, 0), 12)
    return np.asarray(skin, np.float32), np.asarray(below, np.float32), np.asarray(near, np.float32)


def match_skin(body: Image, face: Image, skin: Image) -> Image:
    """`body` with its skin brought to the colour that `face` has inside `skin`; white and background stay."""
    inside = skin > 0.5
    lab = [cv2.cvtColor(np.clip(picture, 0, 255) / 255, cv2.COLOR_RGB2LAB) for picture in (body, face)]
    shift = lab[1][inside].mean(0) - lab[0][inside].mean(0)
    chroma = np.hypot(lab[0][..., 1], lab[0][..., 2])
    amount = cv2.GaussianBlur(np.clip((chroma - 6) / 8, 0, 1), (0, 0), 3)[..., None]
    return cv2.cvtColor(lab[0] + shift * amount, cv2.COLOR_LAB2RGB) * 255


def join(under: Image, over: Image, mask: Image, levels: int = 5) -> Image:
    """`over` where `mask` `[H, W]` is one, blended band by band. Source: Burt and Adelson 1983."""
    out = np.zeros_like(under)
    for level, (low, high) in enumerate(zip(bands(under, levels), bands(over, levels), strict=True)):
        soft = cv2.GaussianBlur(mask, (0, 0), 2 + 1.6 * 2**level)[..., None]
        out += low * (1 - soft) + high * soft
    return np.clip(out, 0, 255)


def main() -> None:
    """Make and store the portrait."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("src/liveface/data/portrait.jpg"))
    parser.add_argument("--cast", choices=sorted(CASTS), default="first")
    options = parser.parse_args()
    cast = CASTS[options.cast]
    folder = Path(os.environ.get("LIVEFACE_DATA", "../shared/data")) / "portraits" / "open" / "webmorph"
    pictures = [load(folder, person) for person in cast.people]
    warped, average = align(pictures)
    face = average[: len(KEY_POINTS)]
    middle = face.mean(0)
    even = even_light(warped, (int(middle[0]), int(middle[1])), 130)
    skin, below, near = regions(face, average, cast.stray)
    moved = flow_rounds(even, near)
    of_face = restore(trimmed_mean(moved), moved, FACE_LIFT)
    of_hair = even[cast.people.index(cast.hair)]
    body = match_skin(warped[cast.people.index(cast.body)], of_face, skin)
    out = join(join(body, of_hair, 1 - below), of_face, skin)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    grey = out.mean(2, keepdims=True)
    rgb = np.clip(np.round(grey + SATURATION * (out - grey)), 0, 255).astype(np.uint8)[: cast.ending]
    if options.cast == "first":
        rgb = cleared(rgb)
    cv2.imwrite(str(options.output), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    print(
        f"{options.output}: {WIDTH}x{cast.ending}, {options.output.stat().st_size} bytes, of {len(cast.people)} people"
    )


if __name__ == "__main__":
    main()
