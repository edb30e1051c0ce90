"""The verbs: parse, call one function, print. No logic.

Exit codes: 0 done, 2 a `LivefaceError` in one sentence, 130 Ctrl-C, 141 a closed pipe, 143 asked to end. Progress and
notes go to standard error, so that `-o -` can be piped; `-q` silences them; `--debug` shows tracebacks.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from liveface.cli_options import Parser, create_options, evaluate_options, look_options, positive, size, speech_options
from liveface.errors import LivefaceError
from liveface.live.run import add_options as add_live_options
from liveface.progress import Meter, Steps

EPILOG = "consent: animate only faces of people who agreed, or faces of nobody. Every output is marked as synthetic."
DEMO_SUBJECTS = {"ada": "ada.avatar", "ben": "ben.avatar", "portrait": "portrait.jpg"}
DEMO_OUTPUT = "liveface-demo.mp4"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top: argparse.ArgumentParser = Parser(
        prog="liveface", description="Photoreal talking heads, offline, on a CPU.", epilog=EPILOG
    )
    top.add_argument("--version", action="store_true", help="print the version and stop")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    looks = look_options()
    verbs: Any = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)

    def verb(name: str, run: Callable[[argparse.Namespace], int], text: str, *parents: argparse.ArgumentParser) -> Any:
        made: argparse.ArgumentParser = verbs.add_parser(
            name, help=text, description=text, parents=[common, *parents], epilog=EPILOG
        )
        made.set_defaults(run=run)
        return made

    one = verb(
        "animate", animate, "make a photo or an avatar talk, driven by speech, a video of a face or motion", looks
    )
    one.add_argument("photo", help="a picture with a face, or an avatar")
    one.add_argument(
        "driver",
        help="speech, a video with a face, or a motion file; - reads standard input; livelink:PORT or vmc:PORT listens",
    )
    one.add_argument(
        "-o", "--output", required=True, help="MP4 to write; - is standard output, camera a virtual camera"
    )
    one.add_argument("--seconds", type=positive, help="how long to listen to a tracker (until Ctrl-C)")
    one = verb("create", create, "make an avatar of a video or a photo of one person (needs the train extra)")
    create_options(one)
    one = verb("idle", idle, "show a photo or an avatar that listens: breath, blinks, glances, nods", looks)
    one.add_argument("photo", help="a picture with a face, or an avatar")
    one.add_argument("-o", "--output", required=True, help="MP4 to write; - writes to standard output")
    one.add_argument("--seconds", type=positive, default=10.0, help="of video (10)")
    one = verb("track", track, "video of a face to motion")
    one.add_argument("video")
    one.add_argument("-o", "--output", help="Live Link Face .csv, or .lfm")
    one.add_argument("--send", help="livelink:HOST:PORT or vmc:HOST:PORT: send it there as it comes")
    one.add_argument("--fps", type=float, help="rate of the motion; the video's own by default")
    one = verb("listen", listen, "speech to motion")
    one.add_argument("sound")
    one.add_argument("-o", "--output", required=True, help="Live Link Face .csv, or .lfm")
    speech_options(one)
    one.add_argument("--no-idle", action="store_true", help="the mouth only: no blinks, gaze, sway")
    one = verb("demo", demo, "an embedded avatar, which shows nobody, says the embedded speech", looks)
    one.add_argument("-o", "--output", default=DEMO_OUTPUT, help=f"MP4 to write ({DEMO_OUTPUT})")
    one.add_argument("--who", default="ada", choices=list(DEMO_SUBJECTS), help="two avatars and a photo (ada)")
    one = verb("live", live, "open the studio page in the browser: talk, and an avatar talks (needs the live extra)")
    add_live_options(one)
    one = verb("export", export, "write an avatar as something that runs elsewhere: a folder for browsers")
    one.add_argument("avatar")
    one.add_argument("--to", required=True, choices=["web"], help="web: a folder that any static host serves")
    one.add_argument("folder", help="to write; a new or an empty one")
    one = verb("info", info, "say what a file is")
    one.add_argument("file")
    verb("doctor", doctor, "say what this machine can do")
    one = verb("fetch", fetch, "check and keep weights that you downloaded for LivePortrait or PersonaLive")
    one.add_argument("model", help="liveportrait, personalive")
    one.add_argument(
        "--from", dest="source", metavar="DIR", help="folder with the official files; without, what to get"
    )
    one = verb("train", train, "run or resume a training recipe (needs the train extra)")
    one.add_argument("recipe", help="a TOML file of recipes/")
    one.add_argument("-o", "--output", help="run folder (runs/NAME)")
    one.add_argument("--device", help="cpu or cuda; what is there by default")
    one = verb("evaluate", evaluate, "measure quality on held-out clips, on clips of your own, or of an avatar")
    evaluate_options(one)
    one = verb("bench", bench, "measure speed and memory on this machine")
    one.add_argument("-o", "--output", default="bench/results/bench.json", help="JSON to write")
    one.add_argument("--seconds", type=positive, default=8.0, help="of video per measurement (8)")
    one.add_argument("--size", type=size, default=(360, 640), help="WxH of the video (360x640)")
    return top


def _looks(given: argparse.Namespace) -> dict[str, Any]:
    names = ("size", "fps", "face", "motion_scale", "head", "blink", "seed", "renderer", "threads", "background",
             "format", "driving", "emotion", "style", "quality")  # fmt: skip
    return {name: getattr(given, name) for name in names}


def animate(given: argparse.Namespace) -> int:
    """Photo and driver to video."""
    from liveface import session
    from liveface.errors import SignalError
    from liveface.signals.media import local_copy
    from liveface.trackers import is_place, listening, open_tracker

    meter = Meter(quiet=given.quiet)
    opened: Any
    if is_place(given.driver):
        dials = session.Options(**_looks(given)).dials
        opened = listening(open_tracker(given.driver, given.fps, dials, given.seconds))
    elif given.seconds is not None:
        raise SignalError(f"--seconds is for trackers such as livelink:11111, and {given.driver} ends by itself.")
    else:
        opened = local_copy(given.driver)
    with opened as driver:
        report = session.animate(given.photo, driver, given.output, progress=meter, **_looks(given))
    meter.close()
    if not given.quiet:
        sys.stderr.write(_made(report) + "\n")
    return 0


def idle(given: argparse.Namespace) -> int:
    """A photo or an avatar that listens."""
    from liveface import session

    meter = Meter(quiet=given.quiet)
    dials = {name: getattr(given, name) for name in ("head", "blink", "seed", "emotion")}
    driver = session.silence(given.seconds, given.fps, **dials)
    report = session.animate(given.photo, driver, given.output, progress=meter, **_looks(given))
    meter.close()
    if not given.quiet:
        sys.stderr.write(_made(report) + "\n")
    return 0


def _made(report: Any) -> str:
    return (
        f"{report.path}: {report.frames} frames, {report.duration_s:.1f} s, driven by {report.driver}, "
        f"{report.frames / report.elapsed_s:.0f} fps ({report.speed:.1f} times real time)"
    )


def demo(given: argparse.Namespace) -> int:
    """An embedded avatar or portrait, and the embedded speech."""
    from liveface import session, weights
    from liveface.machine import peak_memory_mb

    meter = Meter(quiet=given.quiet)
    photo, speech = weights.path(DEMO_SUBJECTS[given.who]), weights.path("speech.flac")
    report = session.animate(photo, speech, given.output, progress=meter, **_looks(given))
    meter.close()
    if not given.quiet:
        stages = ", ".join(f"{name} {times['p50']:.1f}" for name, times in report.stages.items())
        sys.stderr.write(f"milliseconds a frame (median): {stages}; peak memory {peak_memory_mb():.0f} MB\n")
        sys.stderr.write(_made(report) + "\n")
    return 0


def create(given: argparse.Namespace) -> int:
    """Video or photo to avatar."""
    for name in ("torch", "litert_torch", "ai_edge_quantizer", "scipy"):  # said at once, not after minutes of work
        if find_spec(name) is None:
            raise _needs_train(ModuleNotFoundError(name=name))
    from liveface.avatar import CONSENT, LICENCE
    from liveface.train.create import CreateOptions
    from liveface.train.create import create as run

    options = CreateOptions(
        name=given.name,
        maker=given.maker,
        consent=given.consent or CONSENT,
        licence=given.licence or LICENCE,
        minutes=given.minutes,
        size=given.networks,
        canvas=given.canvas,
        teacher=given.teacher,
        drivers=tuple(Path(file) for file in given.driver),
        pretrained=not given.scratch,
        resume=given.resume,
        keep=given.keep,
        seed=given.seed,
    )
    steps = Steps(quiet=given.quiet)
    try:
        made = run(given.source, given.output, options, run=given.run_folder, report=given.report, say=steps)
    except KeyboardInterrupt:
        kept = Path(given.run_folder or Path(given.output).with_suffix(".run"))
        if not kept.exists():
            return _ended()
        return _ended(f"stopped; {kept} keeps what was done, and the same command with --resume goes on.")
    if not given.quiet:
        size_mb = made.path.stat().st_size / 1e6
        why = "quality no longer rose" if made.settled else "its time was over"
        sys.stderr.write(f"{made.path}: {size_mb:.1f} MB, made in {made.minutes:.1f} minutes ({why})\n")
        sys.stderr.write(f"{made.report}: pictures, curves and held-out numbers\n")
    return 0


def track(given: argparse.Namespace) -> int:
    """Video to motion."""
    from liveface import session
    from liveface.errors import SignalError

    if given.output is None and given.send is None:
        raise SignalError("track was told neither a file nor a receiver; expected -o NAME.csv, or --send PLACE.")
    meter = Meter(quiet=given.quiet)
    motion = session.track(given.video, given.output, fps=given.fps, send=given.send, progress=meter)
    meter.close()
    return _told(given, given.output or given.send, motion)


def listen(given: argparse.Namespace) -> int:
    """Speech to motion."""
    from liveface import session

    meter = Meter(quiet=given.quiet)
    chosen = {name: getattr(given, name) for name in ("seed", "emotion", "style", "quality", "head")}
    motion = session.listen(given.sound, given.output, idle=not given.no_idle, progress=meter, **chosen)
    meter.close()
    return _told(given, given.output, motion)


def _told(given: argparse.Namespace, where: str, motion: Any) -> int:
    if not given.quiet:
        sys.stderr.write(
            f"{given.output or given.send}: {len(motion)} frames at {motion.fps:g} fps, {motion.duration_s:.1f} s\n"
        )
    return 0


def live(given: argparse.Namespace) -> int:
    """The studio page."""
    from liveface.live.run import options_of, serve

    serve(options_of(given), quiet=given.quiet)
    return 0


def export(given: argparse.Namespace) -> int:
    """An avatar as a folder for browsers."""
    from liveface.web_export import export_web

    made = export_web(given.avatar, given.folder)
    if not given.quiet:
        sys.stderr.write(
            f"{made.path}: {made.files} files, {made.size / 1e6:.1f} MB; serve it with any web server, such as "
            f"python3 -m http.server -d {made.path}\n"
        )
    return 0


def info(given: argparse.Namespace) -> int:
    """What a file is."""
    from liveface.about import describe_file

    print("\n".join(describe_file(given.file)))
    return 0


def doctor(given: argparse.Namespace) -> int:
    """What this machine can do."""
    from liveface.about import examine

    lines, well = examine()
    print("\n".join(lines))
    return 0 if well else 2


def fetch(given: argparse.Namespace) -> int:
    """Weights of others, or what to download."""
    from liveface import store

    if given.source is None:
        print("\n".join(store.explain(given.model)))
        return 0
    store.check_packages(given.model)
    from liveface.fetch import fetch as run

    where = run(given.model, given.source, lambda line: None if given.quiet else _line(line))
    if not given.quiet:
        _line(f"{store.model_of(given.model).title}: kept in {where}")
    return 0


def _line(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def train(given: argparse.Namespace) -> int:
    """Run a recipe."""
    try:
        from liveface.train.tasks import train as run
    except ModuleNotFoundError as error:
        raise _needs_train(error) from error
    scores = run(given.recipe, given.output or Path("runs") / Path(given.recipe).stem, given.device)
    print("\n".join(f"{name}: {value:g}" for name, value in scores.items()))
    return 0


def _needs_train(error: ModuleNotFoundError) -> LivefaceError:
    from liveface.errors import DeviceError

    return DeviceError(
        f"{error.name} is not installed; expected the train extra: pip install 'liveface[train]', or make setup-train."
    )


def evaluate(given: argparse.Namespace) -> int:
    """Quality on held-out clips, on clips of the user's own, or of an avatar on its held-out frames."""
    from liveface.avatar import is_avatar
    from liveface.evaluate import evaluate as run
    from liveface.evaluate import table

    if given.speech:
        return _evaluate_speech(given)
    if any(is_avatar(clip) for clip in given.clips) or given.pack:
        return _evaluate_avatar(given)
    if "," in given.renderer:
        from liveface.train.portrait_report import compare_held_out

        print(compare_held_out(given, None if given.quiet else _say))
        return 0
    report = run(
        given.data,
        clips=given.clips or None,
        renderer=given.renderer,
        seconds=given.seconds,
        size=given.size,
        out=given.output or "bench/results/evaluate.json",
        sheets=given.sheets,
        progress=None if given.quiet else _say,
    )
    print(table(report))
    print(json.dumps(_short(report)))
    return 0


def _evaluate_speech(given: argparse.Namespace) -> int:
    """The speech model on held-out recordings."""
    from liveface.errors import SignalError
    from liveface.evaluate import evaluate_speech

    if given.clips or given.pack:
        raise SignalError("--speech measures the held-out recordings; leave clips and --pack out.")
    report, text = evaluate_speech(
        given.data,
        out=given.output or "bench/results/speech.json",
        spoken=given.spoken,
        faces=given.faces,
        progress=None if given.quiet else _say,
    )
    print(text)
    print(json.dumps(report["median"]))
    return 0


def _evaluate_avatar(given: argparse.Namespace) -> int:
    """An avatar on the frames that its creation held out."""
    from liveface.errors import SignalError

    if len(given.clips) != 1 or not given.pack:
        raise SignalError(
            f"{len(given.clips)} files were given{'' if given.pack else ' and no --pack'}; expected one avatar and "
            "--pack with the folder of its creation, where its held-out frames lie."
        )
    try:
        from liveface.train.avatar_report import case_of, evaluate_avatars, table
        from liveface.train.likeness import Likeness
    except ModuleNotFoundError as error:
        raise _needs_train(error) from error
    report = evaluate_avatars(
        [case_of(Path(given.clips[0]), Path(given.pack))],
        recognise=Likeness.load(Path(given.likeness)) if given.likeness else None,
        out=Path(given.output or "bench/results/avatars.json"),
        sheets=Path(given.sheets) if given.sheets else None,
        progress=None if given.quiet else _say,
    )
    print(table(report))
    return 0


def bench(given: argparse.Namespace) -> int:
    """Speed on this machine."""
    from liveface.bench import bench as run
    from liveface.bench import table

    report = run(seconds=given.seconds, size=given.size, out=given.output, progress=None if given.quiet else _say)
    print(table(report))
    return 0


def _say(what: str, done: int, count: int) -> None:
    sys.stderr.write(f"[{done}/{count}] {what}\n")


def _short(report: dict[str, Any]) -> dict[str, Any]:
    """The report without its rows per clip, which are in the file."""
    video = {name: scores for name, scores in report["video"].items() if name != "clips"}
    return {**report, "video": video, "audio": {k: v for k, v in report["audio"].items() if k != "per_clip"}}


def _set_up(given: argparse.Namespace) -> None:
    """Notes to standard error; libraries stay silent; a terminated run cleans up as an interrupted one does."""
    level = logging.ERROR if given.quiet else logging.WARNING
    logging.basicConfig(level=logging.ERROR, format="liveface: note: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("liveface").setLevel(level)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy is not loaded yet; threads slow its little products down
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _stop)
        signal.signal(signal.SIGTERM, _stop)


_stopped: list[int] = []  # signals that asked this process to end; an import in progress may hide their exception


def _stop(number: int, _: object) -> NoReturn:
    _stopped.append(number)
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    top = parser()
    given = top.parse_args(arguments)
    if given.version:
        from importlib.metadata import version

        print(f"liveface {version('liveface')}")
        return 0
    if given.verb is None:
        top.print_help()
        return 0
    _set_up(given)
    _stopped.clear()
    try:
        return int(given.run(given))
    except LivefaceError as error:
        if given.debug:
            raise
        _tell(str(error))
        return 2
    except KeyboardInterrupt:
        return _ended()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:
        if _stopped:
            return _ended()
        raise


def _tell(sentence: str) -> None:
    """One sentence on a line of its own, over the progress if there is any."""
    clear = "\r" + " " * 60 + "\r" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}liveface: {sentence}\n")


def _ended(sentence: str = "stopped; nothing was written.") -> int:
    """What is said and returned after Ctrl-C (130) or a request to end (143)."""
    _tell(sentence)
    return 143 if signal.SIGTERM in _stopped else 130


if __name__ == "__main__":
    sys.exit(main())
