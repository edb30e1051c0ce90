"""Export an avatar for browsers, open it in a real Chromium, cut the network, measure it, and take pictures of it.

    python tools/web_page.py [--avatar FILE] [--seconds 10] [--shots FOLDER] [--report bench/results/web.json]

Serves the folder of `liveface export` from this process, so that every request is seen, and opens it in a headless
Chromium whose microphone says the embedded speech and whose webcam shows the other embedded avatar. Then it says what
the page does: whether the mouth moves with the sound and shuts when it is interrupted, milliseconds a frame beside the
same frame drawn natively on one thread in this very run (by the clock, and of the processor, which other work on the
machine hardly changes), how far pictures are behind their sound, and that no request leaves after loading: the server
is gone and the browser is told that it is offline, and the page goes on, loads again from its own store, and talks.
Prints one JSON line; exit code 1 when something of that is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import av
import numpy as np

from live_page import Page, end, rounded, start_browser, write_wave
from liveface import weights
from liveface.avatar import read_avatar
from liveface.machine import describe
from liveface.motion.audio import SpeechToMotion
from liveface.render.liveface.renderer import LiveFaceRenderer
from liveface.session import animate
from liveface.signals.features import FRAME_SAMPLES
from liveface.signals.media import read_audio, read_video
from liveface.types import HOUSE_FPS, AudioBlock
from liveface.web_export import export_web

SHUT_MS = 150  # after an interruption the mouth is shut
MOUTH = (0.34, 0.47, 0.32, 0.16)  # left, top, width, height of the mouth's surroundings, of the picture
SHAPES = {
    "desktop": (1360, 900, False, False), "desktop-dark": (1360, 900, False, True), "phone": (390, 844, True, False),
    "phone-dark": (390, 844, True, True), "laptop": (1280, 640, False, False),
}  # fmt: skip

LOOK = """
globalThis.look = (() => {
  const face = document.querySelector('live-face'), copy = document.createElement('canvas');
  [copy.width, copy.height] = [360, 640];
  const paper = copy.getContext('2d', {alpha: false, willReadFrequently: true});
  const [x, y, w, h] = MOUTH, box = [360 * x, 640 * y, 360 * w, 640 * h].map(Math.round);
  const mouth = () => {
    paper.drawImage(face.shadowRoot.querySelector('canvas'), 0, 0);
    return paper.getImageData(...box).data;
  };
  const dark = (a) => {
    let count = 0;
    for (let i = 0; i < a.length; i += 4) count += a[i] + a[i + 1] + a[i + 2] < 210;
    return count;
  };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  return {
    // How far the mouth opens and shuts within a while: dark pixels of its widest beside its narrowest pictures.
    async opens(ms) {
      const seen = [];
      for (const until = performance.now() + ms; performance.now() < until; await wait(30)) seen.push(dark(mouth()));
      seen.sort((a, b) => a - b);
      return seen[Math.floor(0.95 * seen.length)] - seen[Math.floor(0.05 * seen.length)];
    },
    // Milliseconds from an interruption to the last picture whose mouth is still open, and how open it was: pixels as
    // dark as the inside of a mouth, beside those that a shut one has.
    async interrupted(shut) {
      const since = performance.now(), opened = dark(mouth()) - shut, seen = [];
      face.interrupt();
      while (performance.now() < since + 500) {
        seen.push([performance.now() - since, dark(mouth()) - shut]);
        await wait(4);
      }
      const last = seen.filter(([, one]) => one > 0.35 * opened).pop();
      return {opened, shut_ms: last ? last[0] : 0, after: seen.pop()[1]};
    },
    // Wait until the mouth is far from a shut one.
    async open(shut, most) {
      for (const until = performance.now() + most; performance.now() < until; await wait(5))
        if (dark(mouth()) > shut + 150) return true;
      return false;
    },
    // Dark pixels of a silent mouth: the most of a while.
    async shut(ms) {
      let most = 0;
      for (const until = performance.now() + ms; performance.now() < until; await wait(30))
        most = Math.max(most, dark(mouth()));
      return most;
    },
    mouth, wait,
  };
})();
""".replace("MOUTH", str(list(MOUTH)))


class Watched(Page):
    """A page that also keeps every address it asks for."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.asked: list[str] = []

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """One call and its result; what the browser tells on the way is kept."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": values}))
        while True:
            said = json.loads(self._socket.recv(60))
            self.note(said)
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                result: dict[str, Any] = said["result"]
                return result

    def note(self, said: dict[str, Any]) -> None:
        """Keep requests, exceptions and what the console calls an error."""
        told = said.get("params", {})
        if said.get("method") == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        elif said.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"])[:400])
        elif said.get("method") == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.errors.append(json.dumps(told["args"])[:400])
        elif said.get("method") == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")


class Site:
    """A plain static server of a folder on a free port; keeps what it was asked for."""

    def __init__(self, folder: Path) -> None:
        asked: list[str] = []
        self.asked = asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given, directory=str(folder))

            def log_message(self, format: str, *values: Any) -> None:
                asked.append(self.path)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Gone: connections are refused from now on."""
        self._server.shutdown()
        self._server.server_close()


def write_camera(path: Path) -> None:
    """Four seconds of the other embedded avatar, talking, as a webcam would see it: 640 x 480, Y4M."""
    video, wave = path.with_suffix(".mp4"), path.with_name("short.wav")
    write_wave(wave, 4)
    animate(weights.path("ben.avatar"), wave, video)
    with av.open(str(path), "w", "yuv4mpegpipe") as container:
        stream = container.add_stream("wrapped_avframe", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for frame in read_video(video):
            wide = np.full((480, 640, 3), 60, np.uint8)
            wide[:, 140:500] = frame.pixels[60:540]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(wide, "rgb24")))
        container.mux(stream.encode(None))


def native(avatar: str, seconds: float, out: Any) -> None:
    """Milliseconds a frame of speech to picture on one thread, by the clock and of the processor, thirty a second."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    samples = np.concatenate([block.samples for block in read_audio(weights.path("speech.flac"))])
    samples = np.resize(samples, FRAME_SAMPLES * round(seconds * HOUSE_FPS))
    model, renderer = SpeechToMotion(), LiveFaceRenderer(read_avatar(avatar))
    heard, drawn, times = model.start(), renderer.start(), []
    due = time.perf_counter()
    for at in range(0, len(samples), FRAME_SAMPLES):
        due += 1 / HOUSE_FPS
        time.sleep(max(0.0, due - time.perf_counter()))
        since, spent = time.perf_counter(), time.thread_time()
        heard, motion = model.step(heard, AudioBlock(samples[at : at + FRAME_SAMPLES], at))
        for one in motion:
            drawn, _ = renderer.step(drawn, one)
        times.append((1000 * (time.perf_counter() - since), 1000 * (time.thread_time() - spent)))
    out.put(times[15:])


def natively(avatar: str, seconds: float) -> list[tuple[float, float]]:
    """What `native` measures, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    out: Any = context.Queue()
    process = context.Process(target=native, args=(avatar, seconds, out))
    process.start()
    times: list[tuple[float, float]] = out.get(timeout=120)
    process.join(10)
    return times


def spread(times: list[float]) -> dict[str, float]:
    """Middle and high value."""
    return {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}


def open_page(folder: Path, address: str) -> Watched:
    """The page in the Chromium that was started, with its face ready and everything kept."""
    port_file = folder / "profile" / "DevToolsActivePort"
    for _ in range(240):
        if port_file.is_file() and port_file.read_text().count("\n"):
            break
        time.sleep(0.25)
    port = port_file.read_text().splitlines()[0]
    listing = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/json").read())
    page = Watched(next(one["webSocketDebuggerUrl"] for one in listing if one["type"] == "page"))
    for domain in ("Page", "Runtime", "Log", "Network"):
        page.call(f"{domain}.enable")
    page.size(1360, 900)
    load(page, address)
    page.wait("navigator.serviceWorker && navigator.serviceWorker.controller !== null", 60)
    page.wait("navigator.serviceWorker.ready.then((one) => one.active.state === 'activated')", 60)
    return page


def load(page: Watched, address: str) -> float:
    """Open an address and wait for its face; how many seconds it took."""
    since = time.monotonic()
    page.call("Page.navigate", url=address)
    page.wait("document.querySelector('live-face') !== null && document.readyState === 'complete'", 30)
    try:
        page.wait("document.querySelector('live-face').stats !== null", 90)
    except TimeoutError as error:
        words = page.run("document.querySelector('#veil p')?.textContent")
        raise RuntimeError(f"no face came; the page says {words!r} and its console {page.errors}") from error
    took = time.monotonic() - since
    page.run(f"{LOOK}; globalThis.face = document.querySelector('live-face'); 0")
    return took


def talks(page: Watched) -> dict[str, Any]:
    """The mouth's pixels in silence, while it speaks, after an interruption; and how soon the mouth was shut."""
    out: dict[str, Any] = {"silent": page.run("look.wait(3000).then(() => look.opens(2000))")}
    shut = page.run("look.shut(1500)")
    page.run("void face.speak('speech.flac'), look.wait(900)")
    out["talking"] = page.run("look.opens(2000)")
    out["interruptions"] = []
    for _ in range(4):
        if page.run(f"look.open({shut}, 4000)"):
            out["interruptions"].append(page.run(f"look.interrupted({shut})"))
        page.run("void face.speak('speech.flac'), look.wait(700)")
    page.run("face.interrupt(), look.wait(600)")
    out["interrupted"] = page.run("look.opens(1200)")
    return out


def worker_s(browser: int) -> float | None:
    """Seconds of processor time that the face's worker has had; None where the system does not tell."""
    parents = {}
    for one in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(one.parent.name)] = int(one.read_text().rpartition(")")[2].split()[1])
    ours = {browser}
    while grown := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= grown
    spent = 0
    for pid in ours:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                if (task / "comm").read_text().startswith("DedicatedWorker"):
                    spent += sum(map(int, (task / "stat").read_text().rpartition(")")[2].split()[11:13]))
    return spent / os.sysconf("SC_CLK_TCK") if spent else None


def speed(page: Watched, browser: int, seconds: float) -> dict[str, Any]:
    """Milliseconds a frame while it speaks, by stage; pictures a second, left out, and behind their sound."""
    page.run("globalThis.going = true, (async () => { while (going) await face.speak('speech.flac'); })(), 0")
    time.sleep(3)
    before, since, spent = page.run("face.stats"), time.monotonic(), worker_s(browser)
    time.sleep(seconds)
    after, passed, all_spent = page.run("face.stats"), time.monotonic() - since, worker_s(browser)
    shown = after["shown"] - before["shown"]
    page.run("going = false, face.interrupt(), 0")
    return {
        "stages_ms": after["stages"],
        "processor_ms": None if spent is None or all_spent is None else 1000 * (all_spent - spent) / shown,
        "fps": shown / passed,
        "dropped": after["dropped"] - before["dropped"],
        "behind_sound_ms": after.get("behind"),
        "variant": after["variant"],
    }


def driven(page: Watched, shots: Path | None) -> dict[str, Any]:
    """The microphone's voice and the webcam's face move the face; the camera's pictures take so long."""
    page.run("void face.listen(), look.wait(1500)")
    out: dict[str, Any] = {"microphone": page.run("look.opens(2000)")}
    page.run("face.stop(), look.wait(500)")
    page.run("document.querySelector('[data-source=camera]').click(), document.getElementById('talk').click()")
    page.wait("document.getElementById('who').textContent === 'mirroring'", 30)
    time.sleep(3)
    out["mirror"] = page.run("look.opens(2000)")
    out["camera_ms"] = page.run("face.stats.stages.camera")
    if shots:
        page.shoot(shots / "mirror.png")
    page.run("document.getElementById('talk').click(), document.querySelector('[data-source=file]').click()")
    return out


def press(page: Watched, key: str, text: str = "") -> None:
    """A key, as a hand presses it."""
    told = {"key": key, "text": text} if text else {"key": key}
    page.call("Input.dispatchKeyEvent", type="keyDown", **told)
    page.call("Input.dispatchKeyEvent", type="keyUp", key=key)
    time.sleep(0.3)


def by_hand(page: Watched) -> dict[str, bool]:
    """Keys do what the page says; on a phone nothing lies beside the screen, and what is pressed is large enough."""
    press(page, " ", " ")
    out = {"space speaks": page.run("face.busy")}
    press(page, "Escape")
    out["escape interrupts"] = not page.run("face.busy")
    press(page, "2", "2")
    out["2 is happy"] = page.run("document.querySelectorAll('#emotions button')[1].ariaChecked") == "true"
    press(page, "1", "1")
    press(page, "?", "?")
    out["? tells the keys"] = page.run("document.getElementById('help').open")
    page.run("document.getElementById('help').close()")
    page.size(390, 844, phone=True)
    out["phone: nothing beside"] = page.run("document.documentElement.scrollWidth <= innerWidth")
    out["phone: buttons"] = page.run(
        "['talk', 'interrupt'].map((id) => document.getElementById(id).getBoundingClientRect())"
        ".every((box) => box.height >= 44 && box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight)"
    )
    page.size(1360, 900)
    return out


def cut(page: Watched, site: Site) -> dict[str, Any]:
    """The network is gone: the page goes on, loads again, and talks; what was asked for since it was loaded."""
    asked, served = len(page.asked), len(site.asked)
    site.stop()
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    page.run("void face.speak('speech.flac'), look.wait(900)")
    out: dict[str, Any] = {"talking": page.run("look.opens(2000)")}
    page.run("face.interrupt(), 0")
    out["load_s"] = load(page, site.address)
    page.run("void face.speak('speech.flac'), look.wait(900)")
    out["talking_after_reload"] = page.run("look.opens(2000)")
    page.run("face.interrupt(), 0")
    page.run("face.mirror().then((stream) => look.wait(4000))")
    out["mirror"] = page.run("look.opens(2000)")
    page.run("face.stop(), 0")
    out["foreign"] = [one for one in page.asked if not one.startswith((site.address, "blob:", "data:"))]
    out["asked_in_page"] = len(page.asked) - asked
    out["served"] = len(site.asked) - served
    return out


def take_shots(page: Watched, folder: Path) -> None:
    """The page on a desk and on a phone, light and dark, while it talks."""
    page.run(
        "document.querySelectorAll('#emotions button')[1].click(), document.getElementById('details').open = true, 0"
    )
    for name, (width, height, phone, dark) in SHAPES.items():
        page.size(width, height, phone=phone, dark=dark)
        page.run("document.getElementById('talk').click(), look.wait(1600)")
        page.shoot(folder / f"{name}.png")
        if phone:
            page.run("scrollTo(0, 620)")
            page.shoot(folder / f"{name}-below.png")
            page.run("scrollTo(0, 0)")
        page.run("document.getElementById('talk').click(), look.wait(300)")
    page.run("face.setEmotion('neutral'), 0")
    page.size(1360, 900)


def verdict(report: dict[str, Any]) -> dict[str, bool]:
    """What must be so."""
    mouth, offline = report["mouth"], report["offline"]
    still, cuts = max(mouth["silent"], 20), mouth["interruptions"]
    return {
        "mouth moves with the sound": mouth["talking"] > 3 * still,
        "interruption shuts the mouth": len(cuts) > 1 and all(one["after"] < 0.35 * one["opened"] for one in cuts),
        f"and within {SHUT_MS} ms": all(one["shut_ms"] <= SHUT_MS for one in cuts),
        "microphone moves it": report["driven"]["microphone"] > 3 * still,
        "webcam moves it": report["driven"]["mirror"] > 3 * still,
        "talks without a network": min(offline["talking"], offline["talking_after_reload"]) > 3 * still,
        "keys and phone": all(report["by_hand"].values()),
        "no request leaves": not offline["foreign"] and offline["served"] == 0,
        "no errors in the console": not report["console_errors"],
    }


def main() -> int:
    """Measure, and say it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--avatar", default=str(weights.path("ada.avatar")))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_wave(folder / "speech.wav", 60)
        write_camera(folder / "camera.y4m")
        made = export_web(given.avatar, folder / "site")
        site = Site(made.path)
        times = natively(given.avatar, given.seconds / 2)
        browser = start_browser(given.chromium, folder, folder / "speech.wav", str(folder / "camera.y4m"))
        try:
            page = open_page(folder, site.address)
            report: dict[str, Any] = {"machine": describe(), "folder_mb": made.size / 1e6, "mouth": talks(page)}
            report["browser"] = page.call("Browser.getVersion")["product"]
            report["speed"] = speed(page, browser.pid, given.seconds)
            report["driven"] = driven(page, given.shots)
            report["by_hand"] = by_hand(page)
            if given.shots:
                take_shots(page, given.shots)
            report["offline"] = cut(page, site)
            report["console_errors"] = page.errors
        finally:
            end(browser)
    times += natively(given.avatar, given.seconds / 2)
    report["native_ms"] = spread([clock for clock, _ in times])
    report["native_processor_ms"] = float(np.mean([spent for _, spent in times]))
    drawn, spent = report["speed"]["stages_ms"]["frame"], report["speed"]["processor_ms"]
    report["ratio"] = {one: drawn[one] / report["native_ms"][one] for one in ("p50", "p95")}
    report["ratio"]["processor"] = None if spent is None else spent / report["native_processor_ms"]
    report["so"] = verdict(report)
    report = rounded(report)
    if given.report:
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report))
    return int(not all(report["so"].values()))


if __name__ == "__main__":
    sys.exit(main())
