"""Speak the sentences of `liveface.train.languages` with espeak-ng, and note which phone is heard when.

    pip install espeakng-loader==0.2.4
    python tools/speak_phones.py build/spoken [--bench bench/spoken_phones.json]

Writes `train/*.flac`, `held/*.flac` and `phones.json` (`{file: [[phone, start_s, seconds], ...]}`, as
`tools/align_phones.py` does), and with `--bench` the phones and sentences that are held out. It takes a minute. Times
are the same in every run, samples are not quite, because espeak-ng lets the pitch flutter. espeak-ng is a tool of the
build only, like pocketsphinx; it is used through its C interface.

Notable choices: every sentence in several voices, rates and pitches; held-out sentences have voices of their own; the
closure of a voiceless stop is noted where it is heard, which is up to 50 ms before espeak's event, which marks the
burst (measured on p, t and k).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soxr

from liveface.train.languages import HELD_OUT, SENTENCES, VOICES, timed_phones
from liveface.types import HOUSE_RATE_HZ, Array

TRAINED_VARIANTS = ("", "f2", "m3", "f1", "m1", "f4", "m7", "klatt2", "m2", "f3", "klatt4", "linda", "steph", "adam")
HELD_VARIANTS = ("f5", "m5")
ROUNDS = 4  # voices a sentence is spoken by
RATES, PITCHES = (130, 150, 170, 195), (30, 45, 55, 70)  # words a minute, espeak's 0 to 100
SILENCE_S = 0.5  # before and after a sentence
PEAK = 0.5
_SYNCHRONOUS, _EVENTS_IN_IPA, _UTF8, _RATE, _PITCH, _PHONEME = 2, 1 | 2, 1, 1, 3, 7


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text", ctypes.c_int), ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", _Id),
    )  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Speaker:
    """espeak-ng behind one call."""

    def __init__(self) -> None:
        import espeakng_loader

        self.espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = os.fsencode(espeakng_loader.get_data_path())
        self.rate_hz = int(self.espeak.espeak_Initialize(_SYNCHRONOUS, 0, folder, _EVENTS_IN_IPA))
        if self.rate_hz <= 0:
            raise SystemExit(f"espeak-ng did not start with its data in {folder!r}; install espeakng-loader==0.2.4.")
        self._sound: list[Array] = []
        self._events: list[tuple[float, str]] = []
        self._callback = _Callback(self._collect)
        self.espeak.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: object, count: int, events: object) -> int:
        if count > 0:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)  # type: ignore[arg-type]
        index = 0
        while events[index].type:  # type: ignore[index]
            event = events[index]  # type: ignore[index]
            if event.type == _PHONEME:
                name = bytes(event.id)[:8].split(b"\0")[0]
                self._events.append((event.audio_ms / 1000, name.decode("utf-8", "ignore")))
            index += 1
        return 0

    def say(self, voice: str, text: str, rate: int, pitch: int) -> tuple[Array, list[tuple[float, str]]]:
        """Sound `[S]` at the house rate, and the beginning of every phoneme in seconds."""
        self._sound, self._events = [], []
        if self.espeak.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice {voice!r}; install espeakng-loader==0.2.4.")
        self.espeak.espeak_SetParameter(_RATE, rate, 0)
        self.espeak.espeak_SetParameter(_PITCH, pitch, 0)
        content = text.encode()
        self.espeak.espeak_Synth(content, len(content) + 1, 0, 1, 0, _UTF8, None, None)
        sound = np.concatenate(self._sound)
        return soxr.resample(sound, self.rate_hz, HOUSE_RATE_HZ).astype(np.float32), self._events


def programme() -> Iterator[tuple[str, str, str, str, int, int]]:
    """Name of the file, language, sentence, voice, rate and pitch of everything that is spoken."""
    for language, sentences in SENTENCES.items():
        for number, text in enumerate(sentences):
            held = number < HELD_OUT
            variants = HELD_VARIANTS if held else TRAINED_VARIANTS
            for turn in range(len(HELD_VARIANTS) if held else ROUNDS):
                key = 5 * number + 3 * turn + sum(map(ord, language))
                variant = variants[(turn if held else key) % len(variants)]
                voice = VOICES[language] + (f"+{variant}" if variant else "")
                name = f"{'held' if held else 'train'}/{language}-{variant or 'own'}-{number:02d}.flac"
                yield name, language, text, voice, RATES[(key + turn) % len(RATES)], PITCHES[key // 2 % len(PITCHES)]


def store(file: Path, samples: Array) -> None:
    """Mono 16-bit FLAC at the house rate."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w", "flac") as container:
        stream = container.add_stream("flac", rate=HOUSE_RATE_HZ)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.round(samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = HOUSE_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Speak everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bench", type=Path, help="where the phones of held-out sentences are stored too")
    given = parser.parse_args()
    speaker, done, held = Speaker(), {}, {}
    for name, language, text, voice, rate, pitch in programme():
        sound, events = speaker.say(voice, text, rate, pitch)
        said: list[list[str | float]] = [["SIL", 0.0, SILENCE_S]]
        for phone, start, end in timed_phones(events, len(sound) / HOUSE_RATE_HZ, language):
            said.append([phone, round(start + SILENCE_S, 3), round(end - start, 3)])
        said.append(["SIL", round(len(sound) / HOUSE_RATE_HZ + SILENCE_S, 3), SILENCE_S])
        quiet = np.zeros(round(SILENCE_S * HOUSE_RATE_HZ), np.float32)
        sound = np.concatenate([quiet, sound * (PEAK / np.abs(sound).max()), quiet])
        store(given.folder / name, sound)
        done[name] = said
        if name.startswith("held"):
            held[name] = {
                "language": language,
                "text": text,
                "voice": voice,
                "rate": rate,
                "pitch": pitch,
                "phones": said,
            }
    for file, content in ((given.folder / "phones.json", done), (given.bench, held)):
        if file is not None:
            part = file.with_suffix(".part")
            part.write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")
            part.replace(file)
    print(f"{len(done)} sentences, {len(held)} of them held out")


if __name__ == "__main__":
    main()
