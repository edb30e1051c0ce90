"""Who can be shown: the faces that ship, the one named on the command line, and what was uploaded."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import cv2

from liveface import weights
from liveface.avatar import Avatar
from liveface.errors import SignalError
from liveface.live.camera import TRACKING
from liveface.motion.behaviour import Behaviour
from liveface.signals.media import probe
from liveface.subject import PHOTO_SIZE, Subject, chosen_renderer, open_renderer, open_subject, video_size
from liveface.types import Pixels

EMBEDDED = {"ada": "ada.avatar", "ben": "ben.avatar", "portrait": "portrait.jpg"}
MOST_BYTES = {"image": 30 << 20, "avatar": 60 << 20, "audio": 100 << 20, "video": 400 << 20, "motion": 50 << 20}
MOST_UPLOADS = 24  # the oldest give way
POSTER_SIDE = 256


class Unknown(SignalError):
    """An id that names nothing here."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One face of the list: its id, its name, "avatar" or "photo", and the file."""

    id: str
    name: str
    kind: str
    path: Path


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent: its id, its name, what it is ("image", "avatar", "audio", "video", "motion")."""

    id: str
    name: str
    kind: str
    path: Path


class Shelf:
    """Faces and uploads of one server.

    Args:
        folder: where uploads lie; it is removed when the server ends.
        own: a photo or an avatar that stands first.
    """

    def __init__(self, folder: Path, own: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._listed = {
            name: Listed(name, name.capitalize(), "avatar" if file.endswith(".avatar") else "photo", weights.path(file))
            for name, file in EMBEDDED.items()
        }
        self._uploads: OrderedDict[str, Upload] = OrderedDict()
        self.first = "ada"
        if own is not None:
            kind = "avatar" if isinstance(open_subject(own), Avatar) else "photo"
            self._listed = {"own": Listed("own", own.stem, kind, own), **self._listed}
            self.first = "own"

    def faces(self) -> list[Listed]:
        """All that can be shown."""
        with self._lock:
            return list(self._listed.values())

    def face(self, name: str) -> Listed:
        """One of them.

        Raises:
            Unknown: there is none of that id.
        """
        with self._lock:
            if name not in self._listed:
                raise Unknown(f"there is no face {name!r}; expected one of {', '.join(self._listed)}.")
            return self._listed[name]

    def upload(self, name: str) -> Upload:
        """One of the uploaded files.

        Raises:
            Unknown: there is none of that id.
        """
        with self._lock:
            if name not in self._uploads:
                raise Unknown(f"there is no upload {name!r}; it may have given way to newer ones: send it again.")
            return self._uploads[name]

    def draft(self) -> Path:
        """Where a file that is being sent may lie."""
        return self._folder / f"upload-{secrets.token_hex(16)}"

    def take(self, draft: Path, name: str) -> Upload:
        """Keep a file that was sent, once it is known what it is; a photo or an avatar becomes a face of the list.

        Raises:
            LivefaceError: it is nothing this program can use; the draft is removed.
        """
        shown = "".join(one for one in Path(name).name if one.isprintable())[:80] or "upload"
        named = draft.with_name(f"{secrets.token_hex(12)}-{shown}")  # errors name the file as the user knows it
        draft.replace(named)
        try:
            info = probe(named)
            if named.stat().st_size > MOST_BYTES[info.kind]:
                raise SignalError(
                    f"{shown} has {named.stat().st_size >> 20} MB; expected at most {MOST_BYTES[info.kind] >> 20} MB "
                    f"of {info.kind}."
                )
            if info.kind == "avatar":
                open_subject(named)
            if info.kind == "video" and not info.duration_s:
                complete(named)
        except (SignalError, ValueError) as error:
            named.unlink(missing_ok=True)
            raise type(error)(str(error).replace(named.name, shown)) from error
        except BaseException:
            named.unlink(missing_ok=True)
            raise
        made = Upload(named.name.partition("-")[0], shown, info.kind, named)
        with self._lock:
            self._uploads[made.id] = made
            if made.kind in ("image", "avatar"):
                kind = "avatar" if made.kind == "avatar" else "photo"
                self._listed[made.id] = Listed(made.id, Path(shown).stem, kind, named)
            while len(self._uploads) > MOST_UPLOADS:
                old, gone = self._uploads.popitem(last=False)
                self._listed.pop(old, None)
                gone.path.unlink(missing_ok=True)
        return made

    def remove(self, name: str) -> None:
        """Forget an upload and its file.

        Raises:
            Unknown: there is none of that id.
        """
        gone = self.upload(name)
        with self._lock:
            self._uploads.pop(name, None)
            self._listed.pop(name, None)
        gone.path.unlink(missing_ok=True)


def complete(video: Path) -> None:
    """Give a video its length: browsers record without one. Streams are copied as they are.

    Raises:
        SignalError: it cannot be read to its end.
    """
    draft = video.with_name(f"{video.name}.part")
    try:
        with av.open(str(video)) as source, av.open(str(draft), "w", "matroska") as made:
            streams = [*source.streams.video[:1], *source.streams.audio[:1]]
            copies = {stream.index: made.add_stream_from_template(stream) for stream in streams}
            for packet in source.demux(streams):
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    made.mux(packet)
        draft.replace(video)
    except (av.error.FFmpegError, OSError) as error:
        raise SignalError(f"{video.name} cannot be read to its end ({error}); expected a whole recording.") from error
    finally:
        draft.unlink(missing_ok=True)


def opened(listed: Listed) -> tuple[Any, Behaviour | None]:
    """A renderer for a face, and its behaviour if it has one of its own.

    Raises:
        LivefaceError: the face cannot be drawn.
    """
    subject = open_subject(listed.path)
    name = chosen_renderer(subject, None)
    with TRACKING:
        renderer = open_renderer(subject, name, video_size(subject, name, None))
    return renderer, subject.about.behaviour if isinstance(subject, Avatar) else None


def poster(listed: Listed) -> tuple[bytes, str]:
    """A small picture of a face, and its media type."""
    subject: Subject = open_subject(listed.path)
    if isinstance(subject, Avatar):
        return subject.poster, "image/png" if subject.poster.startswith(b"\x89PNG") else "image/jpeg"
    return _thumbnail(subject), "image/jpeg"


def _thumbnail(pixels: Pixels) -> bytes:
    """The upper middle of a photo in the canvas's shape, as JPEG."""
    height, width = pixels.shape[:2]
    aspect = PHOTO_SIZE[0] / PHOTO_SIZE[1]
    wide, high = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - wide) // 2, (height - high) // 4
    cut = pixels[top : top + high, left : left + wide]
    small = cv2.resize(cut, (round(POSTER_SIDE * aspect), POSTER_SIDE), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
