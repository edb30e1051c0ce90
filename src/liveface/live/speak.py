"""Typed text to speech, by a program of this computer where one is installed; none ships."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from liveface.errors import DeviceError

MOST_TEXT = 2000  # characters
LONGEST_S = 60.0
# Program to its arguments; the text is in a file, so that none of it is taken for an option.
PROGRAMS = {
    "espeak-ng": ("-b", "1", "-f", "{text}", "-w", "{sound}"),
    "espeak": ("-b", "1", "-f", "{text}", "-w", "{sound}"),
    "flite": ("-f", "{text}", "-o", "{sound}"),
    "say": ("-f", "{text}", "-o", "{sound}", "--data-format=LEI16@22050"),
}


def speaker() -> str:
    """The name of the first program that is installed; empty when none is."""
    return next((name for name in PROGRAMS if shutil.which(name)), "")


def speak(text: str) -> bytes:
    """The sound of a text, as a WAV file.

    Raises:
        DeviceError: no program is installed, or it fails.
    """
    name = speaker()
    program = shutil.which(name) if name else None
    if program is None:
        raise DeviceError(f"no program that speaks is installed; expected one of {', '.join(PROGRAMS)}.")
    with tempfile.TemporaryDirectory(prefix="liveface-") as folder:
        said, sound = Path(folder) / "text.txt", Path(folder) / "sound.wav"
        said.write_text(text, "utf-8")
        arguments = [one.format(text=said, sound=sound) for one in PROGRAMS[name]]
        try:
            done = subprocess.run([program, *arguments], capture_output=True, timeout=LONGEST_S, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeviceError(f"{name} did not speak ({error}); expected a sound within {LONGEST_S:.0f} s.") from error
        if done.returncode or not sound.is_file() or sound.stat().st_size < 45:
            raise DeviceError(f"{name} gave no sound (exit code {done.returncode}); expected a WAV: try other words.")
        return sound.read_bytes()
