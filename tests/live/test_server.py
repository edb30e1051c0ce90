"""The live server as a page and as a stranger meet it: over real sockets."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import json
import threading
import time
import urllib.error
import urllib.request
import weakref

import numpy as np
import pytest
from plain_face import PlainFace, babble
from serving import running
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from liveface import weights
from liveface.live import jobs, sessions
from liveface.live.subjects import Shelf
from liveface.live.wire import PictureMessage, pack_sound, unpack_picture
from liveface.live.worker import WINDOW
from liveface.signals.media import probe
from liveface.types import AudioBlock


@pytest.fixture
def plain(monkeypatch):
    """Faces that cost nothing."""
    monkeypatch.setattr(sessions, "opened", lambda listed: (PlainFace(), None))


@pytest.fixture
def served(tmp_path, plain):
    with running(tmp_path) as (port, studio):
        yield port, studio


class Client:
    """What a page does, without a page."""

    def __init__(self, port, *, ack=True, hello=True, **values):
        self.socket = connect(f"ws://127.0.0.1:{port}/live", legacy=True, max_size=1 << 24)
        self.ack, self.said, self.pictures = ack, [], []
        if hello:
            self.say(type="hello", **values)

    def say(self, **message):
        self.socket.send(json.dumps(message))

    def read(self, until, seconds=20.0):
        """Read messages until one satisfies `until`; returns it."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            try:
                data = self.socket.recv(timeout=0.2)
            except TimeoutError:
                continue
            if isinstance(data, str):
                self.said.append(message := json.loads(data))
            else:
                self.pictures.append(message := unpack_picture(data))
                if self.ack:
                    self.say(type="ack", number=message.number)
            if until(message):
                return message
        raise AssertionError(
            f"nothing of that kind came; there came {self.said[-5:]} and {len(self.pictures)} pictures"
        )

    def text(self, kind, **values):
        return self.read(lambda one: isinstance(one, dict) and one["type"] == kind and values.items() <= one.items())

    def picture(self, count=1, until=lambda one: True):
        for _ in range(count):
            last = self.read(lambda one: isinstance(one, PictureMessage) and until(one))
        return last

    def close(self):
        self.socket.close()

    def closed(self):
        """The code with which the server closes."""
        try:
            while True:
                data = self.socket.recv(timeout=20)
                if isinstance(data, str):
                    self.said.append(json.loads(data))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


def ask(port, path, method="GET", body=None, **headers):
    """Status, headers and body of an answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def told(port, path, method="GET", said=None, **headers):
    """Status and JSON of an answer."""
    body = None if said is None else json.dumps(said).encode()
    if said is not None:
        headers["Content-Type"] = "application/json"
    status, _, content = ask(port, path, method, body, **headers)
    return status, json.loads(content) if content else None


def test_a_page_gets_pictures_and_its_sound_moves_them(served):
    client = Client(served[0])
    welcome = client.text("welcome")
    assert welcome["subject"] == "ada"
    first = client.picture()
    assert first.key
    assert first.fresh
    assert first.payload[:4] == b"\0\0\0\1"
    sound, at, spoken = babble(3.0), 0, []
    begun = time.monotonic()
    while at < len(sound):
        client.socket.send(pack_sound(AudioBlock(sound[at : at + 480], 240_000 + at)))
        at += 480
        while (wait := begun + at / 24_000 - time.monotonic()) > 0:
            try:
                data = client.socket.recv(timeout=wait)
            except TimeoutError:
                break
            if isinstance(data, bytes):
                spoken.append(one := unpack_picture(data))
                client.say(type="ack", number=one.number)
    timed = [one for one in spoken if one.source == "sound"]
    assert len(timed) > 10
    assert all(10 - 0.1 < one.sound_s < 13.1 for one in timed)
    assert any("speech-start" in one.get("events", ()) for one in client.said) or client.text("events")
    client.say(type="interrupt", epoch=1)
    after = client.picture(until=lambda one: one.epoch == 1)
    assert after.number > timed[-1].number
    client.close()


def test_a_page_that_does_not_keep_up_gets_fewer_pictures_not_later_ones(served):
    client = Client(served[0], ack=False)
    client.picture(WINDOW)
    with pytest.raises(AssertionError, match="nothing of that kind"):
        client.read(lambda one: isinstance(one, PictureMessage), 0.8)
    client.say(type="ack", number=WINDOW)
    client.picture()
    assert client.pictures[-1].number == WINDOW + 1
    client.close()


def test_a_page_that_comes_back_goes_on_with_its_session(served):
    client = Client(served[0])
    session = client.text("welcome")["session"]
    last = client.picture(5)
    client.close()
    time.sleep(0.5)
    again = Client(served[0], resume=session)
    assert again.text("welcome") | {"subject": "", "type": ""} == {
        "type": "", "session": session, "subject": "", "resumed": True
    }  # fmt: skip
    first = again.picture()
    assert first.key
    assert first.number > last.number
    again.close()
    other = Client(served[0], resume="nonsense")
    assert other.text("welcome")["resumed"] is False
    other.close()


def test_jpeg_on_request_faces_change_and_recordings_can_be_fetched_and_erased(served, tmp_path):
    port, _ = served
    client = Client(port, codec="jpeg", subject="ben")
    assert client.text("welcome")["subject"] == "ben"
    assert client.picture().payload[:2] == b"\xff\xd8"
    client.say(type="subject", id="ada")
    client.text("subject", id="ada")
    client.say(type="subject", id="nobody")
    assert "nobody" in client.text("error", final=False)["text"]
    client.say(type="record", on=True)
    client.text("recording", on=True)
    client.picture(12)
    client.say(type="record", on=False)
    made = client.text("recording", on=False)
    assert made["seconds"] > 0.3
    status, headers, content = ask(port, f"/api/recordings/{made['name']}")
    assert (status, headers["content-type"]) == (200, "video/mp4")
    (tmp_path / "fetched.mp4").write_bytes(content)
    assert probe(tmp_path / "fetched.mp4").kind == "video"
    assert ask(port, f"/api/recordings/{made['name']}", "DELETE")[0] == 204
    assert ask(port, f"/api/recordings/{made['name']}")[0] == 404
    client.say(type="ping", at=12)
    assert client.text("pong")["at"] == 12
    assert client.text("stats")["fps"] > 0
    client.close()


def test_a_full_server_says_so_and_a_left_session_gives_way(served):
    clients = [Client(served[0]) for _ in range(3)]
    for client in clients:
        client.text("welcome")
    refused = Client(served[0])
    assert refused.closed() == 1013
    assert "3 live sessions" in refused.said[-1]["text"]
    clients[0].close()
    time.sleep(0.3)
    taken = Client(served[0])
    taken.text("welcome")
    for client in [*clients[1:], taken]:
        client.close()


def test_strangers_are_refused_and_the_server_stays_up(served):
    port, _ = served
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{port}/live", origin="http://evil.example", legacy=True)
    assert ask(port, "/api/faces", Host="evil.example")[0] == 421
    assert ask(port, "/api/faces", Origin="http://evil.example")[0] == 403
    assert ask(port, "/api/faces", Origin=f"http://127.0.0.1:{port}")[0] == 200
    rude = Client(port, hello=False)
    rude.socket.send(b"\x01\x02")
    assert rude.closed() == 1008
    for hello in ({"codec": "vp9"}, {"subject": "nobody"}):
        assert Client(port, **hello).closed() == 1008
    client = Client(port)
    client.text("welcome")
    for _ in range(25):
        client.socket.send(b"\x01\x02")
        client.socket.send("{")
    assert client.closed() == 1008
    client = Client(port)
    client.text("welcome")
    client.socket.send(b"\x01" * ((1 << 20) + 100))
    assert client.closed() == 1009
    assert told(port, "/api/health")[1]["status"] == "ok"


def test_rapid_reconnects_leave_nothing_behind(served):
    port, studio = served
    before = threading.active_count()
    for _ in range(40):
        client = Client(port)
        client.socket.close()
    deadline = time.monotonic() + 20
    while studio.sessions.count() > studio.sessions.most and time.monotonic() < deadline:
        time.sleep(0.1)
    client = Client(port)
    client.text("welcome")
    client.close()
    while threading.active_count() > before + studio.sessions.most + 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert threading.active_count() <= before + studio.sessions.most + 8  # sessions, and the loop's own few threads
    assert studio.sessions.count() <= studio.sessions.most


def test_a_session_that_ended_holds_nothing(tmp_path, plain):
    made = sessions.Sessions(Shelf(tmp_path), tmp_path, 2)
    assert made.reserve()
    session = made.open("ada", lambda message: None, "jpeg")
    worker, face = weakref.ref(session.worker), weakref.ref(session.worker._engine._renderer)
    made.end(session)
    session.worker.join(10)
    del session
    assert worker() is None
    assert face() is None
    made.sweep()
    assert made.count() == 0


def test_beyond_this_computer_a_token_is_needed(tmp_path, plain):
    with running(tmp_path, token="a-token-of-enough-length") as (port, _):
        status, headers, _ = ask(port, "/api/faces")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert ask(port, "/api/faces", Authorization="Bearer wrong")[0] == 401
        assert ask(port, "/api/faces", Authorization="Bearer a-token-of-enough-length", Host="studio.lan")[0] == 200
        assert ask(port, "/")[0] == 200, "the page itself holds no secret"
        assert Client(port, token="wrong").closed() == 1008
        client = Client(port, token="a-token-of-enough-length")
        client.text("welcome")
        client.close()


def test_the_page_keeps_to_itself(served):
    status, headers, content = ask(served[0], "/")
    assert status == 200
    assert b"studio.js" in content
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    for name in (
        "studio.js",
        "wire.js",
        "player.js",
        "sound.js",
        "tap.js",
        "camera.js",
        "link.js",
        "studio.css",
        "icon.svg",
    ):
        assert ask(served[0], f"/{name}")[0] == 200
    assert ask(served[0], "/../server.py")[0] == 404
    assert ask(served[0], "/%2e%2e/server.py")[0] == 404


def test_the_api_describes_itself_and_lists_faces(served):
    status, api = told(served[0], "/api/openapi.json")
    assert status == 200
    assert {"/api/health", "/api/faces", "/api/uploads", "/api/jobs", "/api/jobs/{job}/video"} <= set(api["paths"])
    faces = told(served[0], "/api/faces")[1]
    assert [one["id"] for one in faces["faces"]] == ["ada", "ben", "portrait"]
    for one in faces["faces"]:
        status, headers, picture = ask(served[0], f"/api/faces/{one['id']}/poster")
        assert status == 200
        assert headers["content-type"].startswith("image/")
        assert len(picture) > 1000
    assert told(served[0], "/api/faces/nobody/poster")[0] == 404


def test_text_is_spoken_where_a_program_is_installed(served, tmp_path, monkeypatch):
    port, _ = served
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(port, "/api/health")[1]["speech"] == ""
    status, said = told(port, "/api/speech", "POST", {"text": "hello"})
    assert status == 400
    assert "espeak-ng" in said["error"]
    program = tmp_path / "espeak-ng"
    program.write_text('#!/bin/sh\n{ printf "RIFF%40s" ""; /bin/cat "$4"; } > "$6"\n')
    program.chmod(0o755)
    assert told(port, "/api/health")[1]["speech"] == "espeak-ng"
    status, headers, sound = ask(
        port, "/api/speech", "POST", json.dumps({"text": "-w $(id)"}).encode(), **{"Content-Type": "application/json"}
    )
    assert (status, headers["content-type"]) == (200, "audio/wav")
    assert sound.endswith(b"-w $(id)")
    assert told(port, "/api/speech", "POST", {"text": ""})[0] == 422
    program.write_text("#!/bin/sh\nexit 3\n")
    assert "exit code 3" in told(port, "/api/speech", "POST", {"text": "hello"})[1]["error"]


def test_uploads_are_told_by_content_and_refused_in_a_sentence(served, tmp_path):
    port, studio = served
    photo = weights.path("portrait.jpg").read_bytes()
    status, taken = told(port, "/api/uploads?name=..%2f..%2fme.txt", "POST")
    assert status == 400
    status, _, content = ask(port, "/api/uploads?name=..%2f..%2fme.jpg", "POST", photo)
    taken = json.loads(content)
    assert (status, taken["kind"], taken["name"]) == (201, "image", "me.jpg")
    assert taken["id"] in [one["id"] for one in told(port, "/api/faces")[1]["faces"]]
    status, _, content = ask(port, "/api/uploads?name=notes.txt", "POST", b"plain words, no picture at all")
    assert status == 400
    assert "notes.txt" in json.loads(content)["error"]
    assert str(tmp_path) not in content.decode()
    damaged = weights.path("ben.avatar").read_bytes()[:50_000]
    assert ask(port, "/api/uploads?name=ben.avatar", "POST", damaged)[0] == 400
    assert ask(port, f"/api/uploads/{taken['id']}", "DELETE")[0] == 204
    assert ask(port, f"/api/uploads/{taken['id']}", "DELETE")[0] == 404
    assert not list(studio.folder.iterdir())


def test_a_job_animates_a_face_with_an_upload(served, tmp_path):
    from liveface.motion.files import save_motion
    from liveface.types import Motion

    port, _ = served
    motion = save_motion(Motion.rest(10), tmp_path / "still.csv").read_bytes()
    driver = json.loads(ask(port, "/api/uploads?name=still.csv", "POST", motion)[2])
    assert driver["kind"] == "motion"
    assert told(port, "/api/jobs", "POST", {"face": "ada", "driver": "none"})[0] == 404
    assert told(port, "/api/jobs", "POST", {"face": "ada", "driver": driver["id"], "options": {"fps": 7}})[0] == 422
    status, job = told(port, "/api/jobs", "POST", {"face": "ada", "driver": driver["id"]})
    assert (status, job["state"]) == (202, "waiting")
    assert ask(port, f"/api/jobs/{job['id']}/video")[0] == 404
    deadline = time.monotonic() + 120
    while job["state"] in ("waiting", "running") and time.monotonic() < deadline:
        time.sleep(0.2)
        job = told(port, f"/api/jobs/{job['id']}")[1]
    assert (job["state"], job["error"], job["frames"]) == ("done", "", 10)
    (tmp_path / "made.mp4").write_bytes(ask(port, f"/api/jobs/{job['id']}/video")[2])
    assert probe(tmp_path / "made.mp4").kind == "video"
    assert ask(port, f"/api/jobs/{job['id']}", "DELETE")[0] == 204
    assert ask(port, f"/api/jobs/{job['id']}")[0] == 404


def test_an_avatar_is_made_of_an_upload_and_becomes_a_face(served, tmp_path, monkeypatch):
    """The verb itself is stood in for by a script that says what the verb says; it has tests of its own."""
    port, _ = served
    avatar = weights.path("ben.avatar")
    script = tmp_path / "create.py"
    script.write_text(
        "import shutil, sys, time\n"
        "output = next(one[9:] for one in sys.argv if one.startswith('--output='))\n"
        "sys.stderr.write('packing     40%  60 frames\\n')\n"
        "sys.stderr.write('learning    50%  mouth 30.10 dB held out, sample ' + sys.argv[1] + '\\n')\n"
        "sys.stderr.flush()\n"
        "while not __import__('os').path.exists(sys.argv[1] + '.go'): time.sleep(.05)\n"
        "if any('fail' in one for one in sys.argv): sys.exit('liveface: the photo shows nobody; expected a face.')\n"
        f"shutil.copy({str(avatar)!r}, output)\n"
    )
    sample = tmp_path / "sample.png"
    sample.write_bytes(b"\x89PNG")

    def start(job):
        command = [sys.executable, str(script), str(sample), f"--output={job.output}", f"--name={job.options['name']}"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def until(job, *states):
        deadline = time.monotonic() + 60
        while job["state"] not in states and not job["sample"] and time.monotonic() < deadline:
            time.sleep(0.05)
            job = told(port, f"/api/jobs/{job['id']}")[1]
        return job

    monkeypatch.setattr(jobs, "start_creation", start)
    monkeypatch.setattr(jobs, "can_create", lambda: True)
    photo = json.loads(ask(port, "/api/uploads?name=me.jpg", "POST", weights.path("portrait.jpg").read_bytes())[2])
    wanted = {"source": photo["id"], "name": "Me", "consent": "my own"}
    assert told(port, "/api/avatars", "POST", {**wanted, "consent": ""})[0] == 422
    assert told(port, "/api/avatars", "POST", {**wanted, "source": "none"})[0] == 404
    job = until(told(port, "/api/avatars", "POST", wanted)[1], "failed")
    assert (job["kind"], job["state"], job["stage"], job["share"]) == ("create", "running", "learning", 0.5)
    assert ask(port, f"/api/jobs/{job['id']}/sample")[2] == b"\x89PNG"
    (tmp_path / "sample.png.go").touch()
    job = until({**job, "sample": False}, "done", "failed")
    while job["state"] == "running":
        job = told(port, f"/api/jobs/{job['id']}")[1]
    assert (job["state"], job["error"]) == ("done", "")
    faces = {one["id"]: one["name"] for one in told(port, "/api/faces")[1]["faces"]}
    assert faces[job["face"]] == "Me"
    assert ask(port, f"/api/faces/{job['face']}/avatar")[2] == avatar.read_bytes()
    assert ask(port, "/api/faces/portrait/avatar")[0] == 404
    job = told(port, "/api/avatars", "POST", {**wanted, "name": "to fail"})[1]
    while job["state"] in ("waiting", "running"):
        job = told(port, f"/api/jobs/{job['id']}")[1]
    assert job["error"] == "the photo shows nobody; expected a face."
    monkeypatch.setattr(jobs, "can_create", lambda: False)
    assert "liveface[train]" in told(port, "/api/avatars", "POST", wanted)[1]["error"]


def test_a_real_avatar_talks_to_a_page(tmp_path):
    with running(tmp_path) as (port, _):
        client = Client(port)
        client.text("welcome")
        assert client.picture(8).source == "idle"
        client.close()


def test_a_browsers_recording_without_a_length_gets_one(served, tmp_path):
    import av

    with (tmp_path / "made.webm").open("wb") as file, av.open(Unseekable(file), "w", "webm") as made:
        stream = made.add_stream("libvpx", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(45):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 4 * index, np.uint8), "rgb24")
            made.mux(stream.encode(picture))
        made.mux(stream.encode(None))
    assert probe(tmp_path / "made.webm").duration_s == 0
    port, studio = served
    taken = json.loads(ask(port, "/api/uploads?name=me.webm", "POST", (tmp_path / "made.webm").read_bytes())[2])
    assert taken["kind"] == "video"
    assert abs(probe(studio.shelf.upload(taken["id"]).path).duration_s - 1.5) < 0.1
    assert len(list(studio.folder.iterdir())) == 2  # the file of this test, and the upload


class Unseekable:
    """What a browser's recorder writes into."""

    def __init__(self, file):
        self._file = file

    def write(self, data):
        return self._file.write(data)
