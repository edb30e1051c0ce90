"""Open the studio page in a real Chromium with a fake microphone, measure it, and take pictures of it.

    python tools/live_page.py [--seconds 20] [--shots FOLDER] [--report bench/results/live.json] [--chromium PATH]

Starts `liveface live` on a free port and a headless Chromium whose microphone plays the embedded speech, then reads
what the page measured of itself: from a block of sound sent to its picture shown, how far pictures are behind the
sound of a played file, pictures a second, pictures left out. Prints one JSON line.
Notable choice: spoken to over the DevTools protocol with the WebSocket client of the `live` extra, so that nothing
else has to be installed but the browser.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import av
import numpy as np
from websockets.sync.client import connect

from liveface import weights
from liveface.machine import describe
from liveface.signals.media import read_audio

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """A page of Chromium, spoken to over the DevTools protocol."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address, max_size=1 << 26, legacy=True)
        self._numbers = itertools.count(1)
        self.errors: list[str] = []

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """One call and its result; errors of the console on the way are kept."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": values}))
        while True:
            said = json.loads(self._socket.recv(60))
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(said["params"]["exceptionDetails"].get("text", "") + str(said["params"])[:400])
            if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(said["params"]["entry"]["text"])
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                result: dict[str, Any] = said["result"]
                return result

    def run(self, code: str) -> Any:
        """The value of a line of JavaScript; promises are waited for."""
        made = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in made:
            raise RuntimeError(json.dumps(made["exceptionDetails"])[:600])
        return made["result"].get("value")

    def wait(self, code: str, seconds: float = 60) -> None:
        """Wait until a line of JavaScript is true."""
        until = time.monotonic() + seconds
        while not self.run(code):
            if time.monotonic() > until:
                raise TimeoutError(f"the page never came to {code!r}")
            time.sleep(0.25)

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Another window, light or dark."""
        scale = 2 if phone else 1
        shape = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **shape)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def shoot(self, path: Path) -> None:
        """A picture of the window."""
        time.sleep(0.4)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


def write_wave(path: Path, seconds: float) -> None:
    """The embedded speech, again and again, as 16-bit PCM."""
    speech = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"), 48_000)])
    speech = np.concatenate([speech, np.zeros(24_000, np.float32)])
    whole = np.resize(speech, round(48_000 * seconds))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for at in range(0, len(whole), 4800):
            samples = np.round(whole[at : at + 4800] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def start_server(extra: list[str]) -> tuple[subprocess.Popen[str], str]:
    """`liveface live` on a free port, and its address."""
    command = [sys.executable, "-m", "liveface.cli", "live", "--port", "0", "--no-browser", *extra]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    line = server.stderr.readline()
    found = re.search(r"https?://\S+", line)
    if found is None:
        raise RuntimeError(f"the server said {line!r}")
    return server, found.group()


def start_browser(chromium: str, folder: Path, wave: Path, video: str | None) -> Any:
    """Chromium, with nothing in it."""
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}", f"--use-file-for-fake-audio-capture={wave}"]
    if video:
        flags.append(f"--use-file-for-fake-video-capture={video}")
    with (folder / "chromium.txt").open("wb") as said:
        return subprocess.Popen([chromium, *flags, "about:blank"], stdout=said, stderr=said)


def open_page(folder: Path, address: str) -> Page:
    """The page in the Chromium that was started."""
    port_file = folder / "profile" / "DevToolsActivePort"
    for _ in range(240):
        if port_file.is_file() and port_file.read_text().count("\n"):
            break
        time.sleep(0.25)
    port = port_file.read_text().splitlines()[0]
    listing = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/json").read())
    page = Page(next(one["webSocketDebuggerUrl"] for one in listing if one["type"] == "page"))
    for domain in ("Page", "Runtime", "Log"):
        page.call(f"{domain}.enable")
    page.size(1360, 900)
    page.call("Page.navigate", url=address)
    try:
        page.wait("globalThis.liveface && liveface.measured().shown > 30", 90)
    except TimeoutError as error:
        raise RuntimeError(f"the page showed no pictures; its console says {page.errors}") from error
    return page


def rounded(value: Any) -> Any:
    """Numbers of a report to a hundredth."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 2) if isinstance(value, float) else value


def end(process: Any) -> None:
    """End a process, by force when it does not end by itself."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def measure(page: Page, seconds: float) -> dict[str, Any]:
    """Microphone, then a played file."""
    out: dict[str, Any] = {"audio_ms": page.run("1000 * (new AudioContext()).baseLatency")}
    for source in ("microphone", "file"):
        if source == "microphone":
            page.run("liveface.setSource('microphone'), liveface.start()")
        else:
            data = base64.b64encode(weights.path("speech.flac").read_bytes()).decode()
            page.run(
                f"liveface.take(new File([Uint8Array.from(atob('{data}'), (one) => one.charCodeAt(0))], 'speech.flac', "
                "{type: 'audio/flac'}))"
            )
        before = page.run("liveface.measured()")
        since = time.monotonic()
        time.sleep(min(seconds, 6.0) if source == "file" else seconds)
        after = page.run("liveface.measured()")
        passed = time.monotonic() - since
        out[source] = {
            "fps": round((after["shown"] - before["shown"]) / passed, 2),
            "dropped": after["dropped"] - before["dropped"] + after["stats"].get("dropped_all", 0)
            - before["stats"].get("dropped_all", 0),
            "latency_ms": after["latency"], "behind_sound_ms": after["offset"], "interval_ms": after["interval"],
            "draw_ms": after["stats"].get("draw_ms"), "code_ms": after["stats"].get("code_ms"),
        }  # fmt: skip
        page.run("liveface.stop()")
    return out


def play_long(page: Page, wave: Path, seconds: float) -> list[dict[str, Any]]:
    """A long file, played: how far pictures were behind its sound, by parts of ten seconds."""
    page.run("liveface.setSource('file')")
    data = base64.b64encode(wave.read_bytes()).decode()
    page.run("globalThis.parts = []")
    for at in range(0, len(data), 1 << 20):
        page.run(f"parts.push(atob('{data[at : at + (1 << 20)]}')), 0")
    page.run(
        "liveface.take(new File([Uint8Array.from(parts.join(''), (one) => one.charCodeAt(0))], 'long.wav', "
        "{type: 'audio/wav'}))"
    )
    out = []
    for _ in range(int(seconds // 10)):
        time.sleep(10)
        out.append(page.run("liveface.measured().offset"))
    page.run("liveface.stop()")
    return out


def mouth_moves(page: Page) -> dict[str, float]:
    """How far pixels about the mouth change from picture to picture: while a file plays, and after an interruption."""
    code = """
    new Promise((done) => {
      const view = document.getElementById('view'), called = !view.hidden, kept = [];
      const canvas = called ? new OffscreenCanvas(360, 640) : document.getElementById('canvas');
      const look = () => {
        if (called) canvas.getContext('2d').drawImage(view, 0, 0, 360, 640);
        const box = [canvas.width * .35, canvas.height * .5, canvas.width * .3, canvas.height * .16].map(Math.round);
        kept.push(canvas.getContext('2d').getImageData(...box).data);
        if (kept.length < 25) return setTimeout(look, 40);
        let sum = 0;
        for (let k = 1; k < kept.length; k++) for (let i = 0; i < kept[0].length; i += 4)
          sum += Math.abs(kept[k][i] - kept[k - 1][i]);
        done(sum / (kept.length - 1) / (kept[0].length / 4));
      };
      look();
    })"""
    quiet = page.run(code)
    page.run("liveface.setSource('microphone'), liveface.start()")
    time.sleep(1.5)
    talking = page.run(code)
    page.run("liveface.stop(), liveface.interrupt()")
    time.sleep(0.4)
    return {"silent": round(quiet, 3), "talking": round(talking, 3), "interrupted": round(page.run(code), 3)}


def recording(page: Page) -> dict[str, Any]:
    """A recording made over the page, fetched, and played by the browser: its length, size, and whether it plays."""
    page.run("liveface.setSource('microphone'), liveface.start()")
    page.run("document.getElementById('record').click()")
    time.sleep(4)
    page.run("document.getElementById('record').click()")
    page.wait("document.querySelector('[data-recording]') !== null", 20)
    made: dict[str, Any] = page.run("""
    (async () => {
      const name = document.querySelector('[data-recording]').dataset.recording;
      const blob = await (await fetch('api/recordings/' + name)).blob();
      const video = document.createElement('video');
      video.muted = true;
      video.src = URL.createObjectURL(blob);
      await video.play();
      await new Promise((done) => setTimeout(done, 1500));
      return {bytes: blob.size, seconds: video.duration, played_s: video.currentTime, width: video.videoWidth};
    })()""")
    page.run("liveface.stop()")
    return made


def shots(page: Page, folder: Path) -> None:
    """The page on a desk and on a phone, light and dark, while it talks."""
    folder.mkdir(parents=True, exist_ok=True)
    page.run("liveface.setSource('microphone'), liveface.setEmotion('happy'), liveface.start()")
    time.sleep(2)
    for name, width, height, phone, dark in (
        ("desktop", 1360, 900, False, False), ("desktop-dark", 1360, 900, False, True),
        ("phone", 390, 844, True, False), ("phone-dark", 390, 844, True, True), ("laptop", 1280, 640, False, False),
    ):  # fmt: skip
        page.size(width, height, phone=phone, dark=dark)
        page.shoot(folder / f"{name}.png")
        if phone:
            page.run("scrollTo(0, 620)")
            page.shoot(folder / f"{name}-below.png")
            page.run("scrollTo(0, 0)")
    page.run("liveface.stop(), liveface.setEmotion('neutral')")
    page.size(1360, 900)


def main() -> int:
    """Measure, and say it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--video", help="MJPEG or Y4M that the fake webcam shows")
    parser.add_argument("--long", type=float, default=0.0, help="seconds of a long file to play, too")
    parser.add_argument("--query", default="", help="of the page's address: codec=jpeg, or transport=call for WebRTC")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_wave(folder / "speech.wav", 60)
        server, address = start_server([])
        browser = None
        try:
            browser = start_browser(given.chromium, folder, folder / "speech.wav", given.video)
            page = open_page(folder, address + (f"?{given.query}" if given.query else ""))
            report = {"machine": describe(), "mouth": mouth_moves(page), **measure(page, given.seconds)}
            report["recording"] = recording(page)
            if given.video:
                page.run("liveface.setSource('camera'), liveface.start()")
                time.sleep(6)
                report["camera_ms"] = page.run("liveface.measured().camera")
                if given.shots:
                    given.shots.mkdir(parents=True, exist_ok=True)
                    page.shoot(given.shots / "camera.png")
                page.run("liveface.stop()")
            if given.long:
                write_wave(folder / "long.wav", given.long + 5)
                report["long_behind_sound_ms"] = play_long(page, folder / "long.wav", given.long)
            if given.shots:
                shots(page, given.shots)
            report = rounded({**report, "console_errors": page.errors})
        finally:
            for process in (browser, server):
                if process is not None:
                    end(process)
    if given.report:
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
