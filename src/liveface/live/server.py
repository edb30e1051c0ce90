"""The server: the page, the WebSocket `/live`, and a small HTTP API with its OpenAPI at `/api/openapi.json`.

Only the edge is asynchronous: a session is a thread, a job a process. Needs the `live` extra.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from liveface.errors import LivefaceError, WireError
from liveface.live.calls import MOST_OFFER, Calls, IceServer, can_call
from liveface.live.camera import decoded
from liveface.live.framing import advice
from liveface.live.gate import MOST_BODY, Gate
from liveface.live.jobs import Busy, Job, can_create
from liveface.live.link import serve_socket
from liveface.live.speak import MOST_TEXT, speak, speaker
from liveface.live.studio import Studio
from liveface.live.subjects import MOST_BYTES, Listed, Unknown, poster
from liveface.motion.emotion import parse_emotions
from liveface.motion.style import parse_style

PAGE = Path(__file__).parent / "page"
SWEEP_S = 5.0
MOST_UPLOADING = 4


class Answer(BaseModel):
    """What is sent back; fields are as the API's page says."""

    model_config = ConfigDict(extra="forbid")


class Health(Answer):
    """How the server is."""

    status: str
    version: str
    sessions: int
    most_sessions: int
    create: bool = Field(description="whether avatars can be made here")
    speech: str = Field(description="the program that speaks typed text, empty where none is installed")


class FaceEntry(Answer):
    """One face that can be shown: "avatar" or "photo"."""

    id: str
    name: str
    kind: str


class Advice(Answer):
    """What to change before a recording, the gravest first; empty when all is well."""

    advice: list[str]


class Faces(Answer):
    """All of them, and the one that is shown first."""

    first: str
    faces: list[FaceEntry]


class UploadEntry(Answer):
    """A file that was taken: "image", "avatar", "audio", "video" or "motion"."""

    id: str
    name: str
    kind: str


class JobOptions(BaseModel):
    """How an animation shall be; see `liveface animate --help`."""

    model_config = ConfigDict(extra="forbid")
    fps: int = Field(default=30, ge=25, le=30)
    motion_scale: float = Field(default=1.0, ge=0, le=3)
    head: float = Field(default=1.0, ge=0, le=3)
    blink: float = Field(default=1.0, ge=0, le=3)
    seed: int = Field(default=0, ge=0, le=1 << 31)
    emotion: str = Field(default="", max_length=200, description='of speech, such as "happy:0.7"')
    style: str = Field(default="", max_length=200, description='of speech, such as "articulation:1,smile:0.5"')
    quality: Literal["live", "best"] = "live"
    background: str = Field(default="", pattern="^(#[0-9a-fA-F]{6})?$", description='"#rrggbb", or the own one')

    def checked(self) -> dict[str, Any]:
        """The options that `liveface.session.Options` takes.

        Raises:
            MotionError: no such emotion or style.
        """
        if self.emotion:
            parse_emotions(self.emotion)
        if self.style:
            parse_style(self.style)
        return {**self.model_dump(exclude={"background"}), "background": self.background or None}


class CallRequest(BaseModel):
    """An offer over WebRTC: its SDP with all candidates in it, the face, and whether sound shall come back."""

    model_config = ConfigDict(extra="forbid")
    sdp: str = Field(min_length=1, max_length=MOST_OFFER)
    face: str = Field(default="", max_length=200)
    sound: bool = False


class IceEntry(Answer):
    """A server for calls, as browsers name it."""

    urls: str
    username: str
    credential: str


class CallsEntry(Answer):
    """Whether calls can be made here, and through which servers."""

    possible: bool
    servers: list[IceEntry]


class CallEntry(Answer):
    """A call that was taken: its id and the answer."""

    id: str
    sdp: str
    type: str = "answer"


class JobRequest(BaseModel):
    """A face (an id of `/api/faces`) and a driver (the id of an uploaded sound, video or motion file)."""

    model_config = ConfigDict(extra="forbid")
    face: str
    driver: str
    options: JobOptions = JobOptions()


class SpeechRequest(BaseModel):
    """Text to speak."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=MOST_TEXT)


class AvatarRequest(BaseModel):
    """An uploaded photo or video of one person (its id), a name, minutes of learning, and by whose consent."""

    model_config = ConfigDict(extra="forbid")
    source: str
    name: str = Field(min_length=1, max_length=60)
    consent: str = Field(min_length=3, max_length=300)
    minutes: float = Field(default=5.0, gt=0, le=240)


class JobEntry(Answer):
    """A job ("animate" or "create") that is "waiting", "running", "done" or "failed", and why.

    Animations count frames; creations tell the stage, how far it is (0 to 1), whether there is a sample to look at, and
    in the end the id of the face they made.
    """

    id: str
    kind: str
    state: str
    frames: int
    expected: int
    stage: str
    share: float
    sample: bool
    face: str
    error: str


def make_app(studio: Studio, token: str | None = None, ice: Sequence[IceServer] = ()) -> Gate:
    """The application, behind its gate; `ice` are servers for calls."""
    calls = Calls(studio, ice)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_sweep(studio))
        try:
            yield
        finally:
            sweeper.cancel()
            await calls.stop()
            await asyncio.to_thread(studio.stop)

    app = FastAPI(
        title="liveface", version=_version(), lifespan=life, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json", description="Faces, uploads and animation jobs; live pictures are at /live.",
    )  # fmt: skip
    gate = Gate(app, token)
    app.add_exception_handler(LivefaceError, _failed)
    _add_faces(app, studio)
    _add_jobs(app, studio)
    _add_calls(app, calls)
    _add_camera(app)

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await serve_socket(socket, studio, gate)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return gate


async def _failed(_: Request, error: Exception) -> JSONResponse:
    """A sentence, and the status that goes with it."""
    status = 404 if isinstance(error, Unknown) else 503 if isinstance(error, Busy) else 400
    return JSONResponse({"error": str(error)}, status)


async def _sweep(studio: Studio) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        await asyncio.to_thread(studio.sessions.sweep)


def _version() -> str:
    try:
        return version("liveface")
    except PackageNotFoundError:
        return "0"


def _add_faces(app: FastAPI, studio: Studio) -> None:
    """Health, faces, uploads, recordings."""
    uploading = asyncio.Semaphore(MOST_UPLOADING)

    @app.get("/api/health")
    def health() -> Health:
        """How the server is."""
        sessions = studio.sessions
        return Health(
            status="ok",
            version=_version(),
            sessions=sessions.count(),
            most_sessions=sessions.most,
            create=can_create(),
            speech=speaker(),
        )

    @app.get("/api/faces")
    def faces() -> Faces:
        """The faces that can be shown."""
        return Faces(first=studio.shelf.first, faces=[_entry(one) for one in studio.shelf.faces()])

    @app.get("/api/faces/{face}/poster", response_class=Response)
    def picture(face: str) -> Response:
        """A small picture of a face."""
        content, kind = poster(studio.shelf.face(face))
        return Response(content, media_type=kind)

    @app.get("/api/faces/{face}/avatar", response_class=FileResponse)
    def download(face: str) -> FileResponse:
        """The file of an avatar of the list."""
        found = studio.shelf.face(face)
        if found.kind != "avatar":
            raise Unknown(f"{found.name} is a photo and has no avatar; expected an avatar.")
        return FileResponse(found.path, media_type="application/octet-stream", filename=f"{found.name}.avatar")

    @app.post("/api/speech", response_class=Response)
    def speech(wanted: SpeechRequest) -> Response:
        """Speak a text with a program of this computer; answers a WAV."""
        return Response(speak(wanted.text), media_type="audio/wav")

    @app.post(
        "/api/uploads", status_code=201,
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
    )  # fmt: skip
    async def upload(request: Request, name: str = "upload") -> UploadEntry:
        """Send a photo, an avatar, a sound, a video or a motion file as the body; it is told by its content."""
        draft = studio.shelf.draft()
        async with uploading:
            try:
                await _receive(request, draft)
                taken = await asyncio.to_thread(studio.shelf.take, draft, name)
            finally:
                draft.unlink(missing_ok=True)
        return UploadEntry(id=taken.id, name=taken.name, kind=taken.kind)

    @app.delete("/api/uploads/{upload}", status_code=204, response_class=Response)
    def forget(upload: str) -> Response:
        """Forget an uploaded file."""
        studio.shelf.remove(upload)
        return Response(status_code=204)

    @app.get("/api/recordings/{name}", response_class=FileResponse)
    def recording(name: str) -> FileResponse:
        """A recording that a live session made; the page is told its name when it ends."""
        return FileResponse(_recording(studio, name), media_type="video/mp4", filename=name)

    @app.delete("/api/recordings/{name}", status_code=204, response_class=Response)
    def erase(name: str) -> Response:
        """Erase a recording."""
        _recording(studio, name).unlink(missing_ok=True)
        return Response(status_code=204)


def _entry(one: Listed) -> FaceEntry:
    return FaceEntry(id=one.id, name=one.name, kind=one.kind)


def _recording(studio: Studio, name: str) -> Path:
    path = studio.folder / name
    if path.parent != studio.folder or not name.startswith("liveface-") or not path.is_file():
        raise Unknown(f"there is no recording {name!r}; expected one that was made here.")
    return path


async def _receive(request: Request, draft: Path) -> None:
    """Write a request's body to `draft`, as far as a file may be long."""
    most, count = max(MOST_BYTES.values()), 0
    with draft.open("wb") as file:
        async for part in request.stream():
            count += len(part)
            if count > most:
                raise WireError(f"the file has more than {most >> 20} MB; expected at most that.")
            file.write(part)
    if not count:
        raise WireError("the file is empty; expected a photo, an avatar, a sound, a video or a motion file.")


def _add_jobs(app: FastAPI, studio: Studio) -> None:
    """Animation jobs."""

    @app.post("/api/jobs", status_code=202)
    def start(wanted: JobRequest) -> JobEntry:
        """Animate a face with an uploaded driver; ask for the job until it is done, then fetch its video."""
        face, driver = studio.shelf.face(wanted.face), studio.shelf.upload(wanted.driver)
        return _job(studio.jobs.animate(face.path, driver.path, wanted.options.checked()))

    @app.post("/api/avatars", status_code=202)
    def create(wanted: AvatarRequest) -> JobEntry:
        """Make an avatar of an uploaded photo or video; ask for the job until it is done and names the face."""
        source = studio.shelf.upload(wanted.source)
        options = {"name": wanted.name, "consent": wanted.consent, "minutes": wanted.minutes}
        return _job(studio.jobs.create(source.path, options))

    @app.get("/api/jobs/{job}/sample", response_class=FileResponse)
    def sample(job: str) -> FileResponse:
        """What an avatar in the making shows so far, beside the truth."""
        picture = studio.jobs.get(job).sample
        if picture is None or not picture.is_file():
            raise Unknown(f"job {job} has no sample; expected a creation that is learning.")
        return FileResponse(picture, media_type="image/png")

    @app.get("/api/jobs/{job}")
    def look(job: str) -> JobEntry:
        """How far a job is."""
        return _job(studio.jobs.get(job))

    @app.get("/api/jobs/{job}/video", response_class=FileResponse)
    def fetch(job: str) -> FileResponse:
        """The video of a job that is done."""
        found = studio.jobs.get(job)
        if found.state != "done" or found.kind != "animate":
            raise Unknown(f"job {job} is {found.state} and has no video; expected one that is done.")
        return FileResponse(found.output, media_type="video/mp4", filename="liveface.mp4")

    @app.delete("/api/jobs/{job}", status_code=204, response_class=Response)
    def cancel(job: str) -> Response:
        """Cancel a job, or forget it and its video."""
        studio.jobs.remove(job)
        return Response(status_code=204)


def _job(job: Job) -> JobEntry:
    return JobEntry(
        id=job.id, kind=job.kind, state=job.state, frames=job.frames, expected=job.expected, stage=job.stage,
        share=job.share, sample=job.sample is not None, face=job.result, error=job.error,
    )  # fmt: skip


def _add_calls(app: FastAPI, calls: Calls) -> None:
    """WebRTC."""

    @app.get("/api/calls")
    def possible() -> CallsEntry:
        """Whether calls can be made here."""
        servers = [IceEntry(urls=one.url, username=one.user, credential=one.password) for one in calls.servers]
        return CallsEntry(possible=can_call(), servers=servers)

    @app.post("/api/calls", status_code=201)
    async def call(wanted: CallRequest) -> CallEntry:
        """Take an offer; the answer comes at once, pictures and sound follow."""
        name, sdp = await calls.answer(wanted.sdp, wanted.face, sound=wanted.sound)
        return CallEntry(id=name, sdp=sdp)

    @app.delete("/api/calls/{call}", status_code=204, response_class=Response)
    async def hang_up(call: str) -> Response:
        """End a call."""
        await calls.end(call)
        return Response(status_code=204)


def _add_camera(app: FastAPI) -> None:
    """What a camera sees before a recording."""

    @app.post("/api/advice", openapi_extra={"requestBody": {"required": True, "content": {"image/jpeg": {}}}})
    async def look(request: Request, height: int = Query(default=720, ge=64, le=4320)) -> Advice:
        """Look at a camera's JPEG (the body), a copy of pictures of `height` pixels: light, distance, who is in it."""
        body = await request.body()
        if not body:
            raise WireError(f"the body is empty; expected a JPEG of at most {MOST_BODY} bytes.")
        return Advice(advice=await asyncio.to_thread(lambda: advice(decoded(body), height)))
