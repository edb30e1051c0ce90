"""`liveface create`: a recording or a photo of one person becomes an avatar.

Look at the source and check it, pack its frames, adapt the pretrained decoders, export them as INT8, measure the result
on frames nothing learned from, write the avatar and a report. Every step leaves its result in a run folder, so that a
stopped creation goes on where it was; the avatar itself is written whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from liveface.avatar import CANVASES, CONSENT, LICENCE, Avatar, check_output, write_avatar
from liveface.errors import RecipeError, SignalError, SinkError
from liveface.render.liveface.regions import REGIONS
from liveface.render.liveface.sizes import SIZES
from liveface.signals.image import read_image
from liveface.signals.media import probe, read_video
from liveface.subject import article
from liveface.train.adapt import Adapted, Look, adapt
from liveface.train.assemble import (
    Statement,
    assemble,
    export_all,
    finished,
    lossy,
    measure,
    shared_networks,
)
from liveface.train.avatar.make import PackOptions, make_pack
from liveface.train.avatar.pack import Pack
from liveface.train.avatar.sources import Source, Taught, Videos, programme
from liveface.train.avatar.teachers import teacher, teachers
from liveface.train.create_report import Page, write_page

TAUGHT_FRAMES = 2700  # of a photo's teacher: 90 s, of which 15 % are held out
FRAME_BYTES = 6 * sum(region.size[0] * region.size[1] for region in REGIONS.values())
SPARE_BYTES = 500_000_000  # beyond the pack: checkpoints, exports, samples; measured 0.3 GB
SETTINGS, PAGE = "create.json", "progress.html"
MAX_MINUTES = 24 * 60.0

_log = logging.getLogger(__name__)

Say = Callable[[str, float, str], None]
"""Takes the stage, how far it is from 0 to 1, and words about it."""


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """How an avatar is made.

    Attributes:
        name: of the avatar; "" takes the file's.
        maker, consent, licence: what it says about itself; "" for the maker is the user's name.
        minutes: of learning at most; it ends sooner when held-out quality no longer rises.
        size: of the networks: "small", "base" or "large".
        canvas: width and height.
        teacher: who animates a photo.
        drivers: videos, recordings or motion files that move the photo beside the bundled speech and the sweeps.
        pretrained: start from the weights that ship; else from chance.
        resume: go on in the run folder.
        keep: leave the run folder in place afterwards, for `liveface evaluate`.
        seed: of every random choice.
    """

    name: str = ""
    maker: str = ""
    consent: str = CONSENT
    licence: str = LICENCE
    minutes: float = 5.0
    size: str = "base"
    canvas: tuple[int, int] = CANVASES[0]
    teacher: str = "mesh"
    drivers: tuple[Path, ...] = ()
    pretrained: bool = True
    resume: bool = False
    keep: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= MAX_MINUTES:
            raise RecipeError(f"creation in {self.minutes:g} minutes is not possible; expected above 0, as 5 or 15.")
        if self.size not in SIZES:
            raise RecipeError(f"there is no network size {self.size!r}; expected {', '.join(SIZES)}.")
        if self.canvas not in CANVASES:
            offered = " or ".join(f"{width}x{height}" for width, height in CANVASES)
            raise RecipeError(f"canvas {self.canvas[0]}x{self.canvas[1]} is not offered; expected {offered}.")
        if self.teacher not in teachers():
            raise RecipeError(f"there is no teacher {self.teacher!r}; expected {', '.join(teachers())}.")


@dataclass(frozen=True, slots=True)
class Created:
    """What was made.

    Attributes:
        path, report: the avatar's file and the page about it.
        avatar: as written.
        minutes: that it took, earlier parts of a resumed creation included.
        settled: whether learning ended because quality no longer rose.
    """

    path: Path
    report: Path
    avatar: Avatar
    minutes: float
    settled: bool


def create(
    source: str | Path,
    output: str | Path,
    options: CreateOptions | None = None,
    *,
    run: str | Path | None = None,
    report: str | Path | None = None,
    say: Say | None = None,
) -> Created:
    """Make an avatar.

    Args:
        source: a video of one person, or a photo.
        output: the avatar's file, ending in .avatar.
        run: folder for everything in between; the output's name with ".run" by default.
        report: the page about it; the output's name with ".report.html" by default.
        say: told the progress.

    Raises:
        LivefaceError: a source that cannot be used, an output that cannot be written. KeyboardInterrupt: stopped; the
            run folder holds what was learned.
    """
    options, say = options or CreateOptions(), say or _silent
    source, output = Path(source), check_output(output)
    page = Path(report) if report is not None else output.with_suffix(".report.html")
    if not page.parent.is_dir():
        raise SinkError(f"there is no folder {page.parent} for the report; expected an existing one: create it first.")
    shared = shared_networks(options.canvas)
    kind = _kind(source)
    folder = RunFolder.open(Path(run) if run is not None else output.with_suffix(".run"), source, options, kind)
    with _disk(folder.path):
        with folder.unless_empty():
            folder.check_room(_frames(source, kind, options))
            pack = _pack(folder, source, kind, options, say)
        adapted = _learn(folder, pack, options, say)
        avatar = assemble(
            pack, export_all(adapted, pack, folder.path / "networks", _plain(say)), shared, options.size,
            _statement(source, options),
        )  # fmt: skip
        avatar = measure(avatar, adapted, pack, folder.learned, _plain(say))
        for name in lossy(avatar):
            _log.warning("INT8 took more than 0.3 dB from the %s decoder; its held-out PSNR is in the report.", name)
        minutes = folder.minutes()
        avatar = finished(avatar, minutes)
        write_page(Page.finished(avatar, adapted, pack, folder.learned), page)
    made = Created(write_avatar(avatar, output), page, avatar, minutes, adapted.settled)
    if not options.keep:
        shutil.rmtree(folder.path, ignore_errors=True)
    return made


@dataclass
class RunFolder:
    """Where a creation keeps what it has so far; it knows whose it is and how long it took before.

    Attributes:
        path: the folder.
        spent_s: seconds of earlier calls.
    """

    path: Path
    spent_s: float = 0.0
    since: float = field(default_factory=time.monotonic)

    @property
    def learned(self) -> Path:
        """Where the decoders learn."""
        return self.path / "learn"

    @property
    def packed(self) -> Path:
        """Where the pack is."""
        return self.path / "pack"

    @staticmethod
    def open(path: Path, source: Path, options: CreateOptions, kind: str) -> RunFolder:
        """Make the folder, or go on in it.

        Raises:
            RecipeError: it belongs to another creation, or to one that was not asked to go on.
        """
        wanted = {
            "version": version("liveface"), "source": _fingerprint(source), "kind": kind, "size": options.size,
            "canvas": list(options.canvas), "teacher": options.teacher,
            "drivers": [_fingerprint(file) for file in options.drivers], "pretrained": options.pretrained,
            "seed": options.seed,
        }  # fmt: skip
        settings = path / SETTINGS
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            with _disk(path):
                path.mkdir(parents=True, exist_ok=True)
                settings.write_text(json.dumps({**wanted, "spent_s": 0.0}, indent=1), "utf-8")
            if options.resume:
                _log.warning("there is nothing to go on with in %s; creation begins anew.", path)
            return RunFolder(path)
        if not settings.is_file():
            raise RecipeError(f"{path} is not the folder of a creation; expected an empty or a new one: use --run.")
        if not options.resume:
            raise RecipeError(
                f"{path} holds an unfinished creation; expected to be told what to do with it: add --resume to go on, "
                "or delete it to begin anew."
            )
        try:
            found = json.loads(settings.read_text("utf-8"))
            spent_s = float(found.pop("spent_s"))
        except (ValueError, KeyError, TypeError) as error:
            raise RecipeError(f"{settings} is damaged ({error}); delete the folder to begin anew.") from error
        other = sorted(name for name in wanted if found.get(name) != wanted[name])
        if other:
            raise RecipeError(
                f"{path} holds the creation of another avatar ({', '.join(other)} differ); expected the same source "
                "and settings to go on: use another --run, or delete it."
            )
        return RunFolder(path, spent_s)

    def minutes(self) -> float:
        """Minutes spent so far, earlier calls included."""
        return (self.spent_s + time.monotonic() - self.since) / 60

    def note(self) -> None:
        """Store the time spent, for a later call."""
        settings = self.path / SETTINGS
        content = json.loads(settings.read_text("utf-8"))
        part = settings.with_suffix(".part")
        part.write_text(json.dumps({**content, "spent_s": round(60 * self.minutes(), 1)}, indent=1), "utf-8")
        part.replace(settings)

    @contextmanager
    def unless_empty(self) -> Iterator[None]:
        """Remove the folder when what ends here ended without a pack: there is nothing to go on with."""
        try:
            yield
        except BaseException:
            if not (self.packed / "pack.json").is_file():
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def check_room(self, frames: tuple[int, int]) -> None:
        """Refuse to begin what the disk cannot hold.

        Args:
            frames: learned and held-out frames to expect.
        """
        if (self.packed / "pack.json").is_file():
            return
        canvas = 6 * CANVASES[-1][0] * CANVASES[-1][1]
        needed = sum(frames) * FRAME_BYTES + (frames[1] + 48) * canvas + SPARE_BYTES
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise SinkError(
                f"{self.path} has room for {free / 1e9:.1f} GB; expected {needed / 1e9:.1f} GB for the frames of this "
                "creation: free some, or name another disk with --run."
            )


def _kind(source: Path) -> str:
    """What a source is: "video" or "photo"."""
    info = probe(source)
    if info.kind == "video":
        return "video"
    if info.kind == "image":
        return "photo"
    raise SignalError(f"{source.name} is {article(info.kind)}; expected a video of one person, or a photo.")


def _frames(source: Path, kind: str, options: CreateOptions) -> tuple[int, int]:
    """How many frames will be learned and held out, at most."""
    most = PackOptions()
    if kind == "photo":
        return TAUGHT_FRAMES, round(0.15 * TAUGHT_FRAMES)
    whole = read_video(source).frames_estimate or most.most
    return min(whole, most.most), min(round(0.15 * whole), most.held_canvases)


def _pack(folder: RunFolder, source: Path, kind: str, options: CreateOptions, say: Say) -> Pack:
    """The pack, made or found."""
    if (folder.packed / "pack.json").is_file():
        return Pack.open(folder.packed)
    frames = _source(source, kind, options)
    try:
        pack = make_pack(frames, folder.packed, PackOptions(size=options.canvas), _plain(say))
    finally:
        if folder.path.is_dir():
            folder.note()
    say("looking", 1.0, f"{int((~pack.held).sum())} frames to learn from, {int(pack.held.sum())} held out, "
        f"{pack.info['rejection_rate']:.1%} rejected")  # fmt: skip
    return pack


def _source(source: Path, kind: str, options: CreateOptions) -> Source:
    if kind == "video":
        return Videos.of(source)
    photo = read_image(source)
    drawer = teacher(options.teacher, photo, options.canvas)
    return Taught.of(
        source.name,
        photo,
        drawer,
        programme(TAUGHT_FRAMES, options.seed, options.drivers, watcher=getattr(drawer, "watcher", None)),
    )


def _learn(folder: RunFolder, pack: Pack, options: CreateOptions, say: Say) -> Adapted:
    """The decoders, with a page of samples and curves that renews itself."""
    looks: list[Look] = []

    def told(look: Look) -> None:
        looks.append(look)
        folder.note()
        write_page(Page.live_of(pack, looks), folder.path / PAGE)
        say("learning", look.done, f"{look.region} {look.scores['psnr']:.2f} dB held out, sample {look.sample}")

    say("learning", 0.0, f"samples and curves as they come: {folder.path / PAGE}")
    try:
        return adapt(
            folder.packed, folder.learned, options.size, options.minutes, pretrained=options.pretrained, progress=told
        )
    finally:
        folder.note()


def _statement(source: Path, options: CreateOptions) -> Statement:
    name = options.name or source.stem
    maker = options.maker or os.environ.get("USER") or os.environ.get("USERNAME") or "unknown"
    return Statement(name, maker, options.consent, options.licence)


def _fingerprint(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """A disk that is full, or closed to this user, in one sentence."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SinkError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        told = "the disk is full" if full else error.strerror or str(error)
        raise SinkError(
            f"{error.filename or folder} cannot be written: {told}; expected more room or permission: free some and "
            "go on with --resume, or name another folder with --run."
        ) from error
    except RuntimeError as error:  # torch tells a full disk so
        if "PytorchStreamWriter" not in str(error) and "unexpected pos" not in str(error):
            raise
        raise SinkError(
            f"{folder} cannot be written: the disk is full; expected more room: free some and go on with --resume."
        ) from error


def _plain(say: Say) -> Callable[[str, float], None]:
    return lambda stage, share: say(stage, min(share, 1.0), "")


def _silent(_stage: str, _share: float, _words: str) -> None:
    """Nobody listens."""
