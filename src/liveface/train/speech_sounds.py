"""Sounds that are no speech, and speech that sounds otherwise: what a microphone hears besides a clear voice.

Notable choices: music, laughter, breath and rooms are computed here, so that their licence is nobody's question and a
seed makes them again; a whisper keeps the envelope of each spectrum and replaces the voice by noise, so that its labels
stay; codecs are real ones, run at low rates, with their delay taken out.
"""

from __future__ import annotations

import av
import numpy as np
import soxr

from liveface.types import HOUSE_RATE_HZ, Array

OPUS_RATE_HZ, OPUS_BLOCK = 48_000, 960  # 20 ms
TELEPHONE_HZ, MU = 8_000, 255.0
WHISPER_FFT = 768  # 32 ms
STRETCH_HOP = 480  # 20 ms
ENVELOPE_BINS = 13  # 400 Hz: wider than the pitch of most voices, narrower than formants lie apart
FORMANTS_HZ = ((700, 1200, 2600), (600, 1000, 2500), (500, 1700, 2500), (850, 1500, 2800))  # of laughing vowels


def _unit(sound: Array) -> Array:
    """The sound at unit power."""
    return np.asarray(sound / (sound.std() + 1e-9), np.float32)


def shaped_noise(rng: np.random.Generator, count: int, slope: float, low_hz: float = 20.0) -> Array:
    """Noise of unit power `[count]` whose amplitude goes as f**slope above `low_hz`."""
    size = 1 << max(count - 1, 1).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / HOUSE_RATE_HZ)
    spectrum = rng.normal(size=len(hertz)) + 1j * rng.normal(size=len(hertz))
    sound = np.fft.irfft(spectrum * np.maximum(hertz, low_hz) ** slope, size)[:count]
    return _unit(sound.astype(np.float32))


def _band(sound: Array, low_hz: float, high_hz: float) -> Array:
    size = 1 << max(len(sound) - 1, 1).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / HOUSE_RATE_HZ)
    gain = 1 / (1 + (low_hz / np.maximum(hertz, 1)) ** 6) / (1 + (hertz / high_hz) ** 6)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, size) * gain, size)[: len(sound)], np.float32)


def music(rng: np.random.Generator, count: int) -> Array:
    """Chords, a melody and a beat without a voice, of unit power `[count]`."""
    out = np.zeros(count + HOUSE_RATE_HZ * 3, np.float32)
    beat = int(60 / rng.uniform(70, 150) * HOUSE_RATE_HZ)
    root, scale = rng.uniform(80, 160), np.array(((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))[rng.integers(2)])
    bright, decay_s = rng.uniform(0.6, 2.0), rng.uniform(0.2, 1.5)

    def note(at: int, step: int, octave: int, seconds: float, size: float) -> None:
        time_s = np.arange(int(seconds * HOUSE_RATE_HZ)) / HOUSE_RATE_HZ
        hertz = root * 2 ** (octave + scale[step % 7] / 12 + step // 7)
        partials = [np.sin(2 * np.pi * hertz * k * time_s) / k**bright for k in range(1, 8) if hertz * k < 10_000]
        envelope = np.minimum(time_s / 0.01, 1) * np.exp(-time_s / decay_s) * np.minimum((seconds - time_s) / 0.02, 1)
        out[at : at + len(time_s)] += size * envelope * np.sum(partials, axis=0)

    for number, at in enumerate(range(0, count, beat)):
        if number % 4 == 0:
            degree = int(rng.choice([0, 3, 4, 5]))
            for step in (0, 2, 4):
                note(at, degree + step, 1, min(4 * beat / HOUSE_RATE_HZ, 2.9), 0.4)
        note(at, degree + int(rng.choice([0, 2, 4, 7])), 2, beat / HOUSE_RATE_HZ, rng.uniform(0.2, 0.8))
        length = int(0.08 * HOUSE_RATE_HZ)
        hit = rng.normal(size=length) * np.exp(-np.arange(length) / (0.015 * HOUSE_RATE_HZ))
        out[at : at + length] += rng.uniform(0, 0.8) * hit
    return _unit(out[:count])


def laughter(rng: np.random.Generator, count: int) -> Array:
    """Bouts of voiced and breathy bursts, four to six a second, of unit power `[count]`."""
    out = np.zeros(count, np.float32)
    at, base_hz = int(rng.uniform(0, 0.8) * HOUSE_RATE_HZ), float(rng.uniform(140, 380))
    formants = FORMANTS_HZ[int(rng.integers(len(FORMANTS_HZ)))]
    while at < count:
        rate = rng.uniform(4, 6)
        for number in range(int(rng.integers(4, 11))):
            length = int(rng.uniform(0.5, 0.75) / rate * HOUSE_RATE_HZ)
            time_s = np.arange(length) / HOUSE_RATE_HZ
            hertz = base_hz * (1.25 - 0.05 * number) * (1 - 0.2 * time_s * rate)
            phase = 2 * np.pi * np.cumsum(hertz) / HOUSE_RATE_HZ
            burst = np.zeros(length)
            for k in range(1, int(5000 / hertz.max())):
                gain = sum(np.exp(-(((k * base_hz - peak) / 180) ** 2)) for peak in formants) + 0.05
                burst += gain * np.sin(k * phase) / k**0.4
            burst += 0.5 * burst.std() * rng.normal(size=length)
            burst *= np.sin(np.pi * np.arange(length) / length) * 0.88**number
            end = min(count, at + length)
            out[at:end] += burst[: max(end - at, 0)]
            at += int(HOUSE_RATE_HZ / rate)
            if at >= count:
                break
        at += int(rng.uniform(0.4, 1.5) * HOUSE_RATE_HZ)
    return _unit(out + 1e-3 * shaped_noise(rng, count, -0.5))


def breath(rng: np.random.Generator, count: int) -> Array:
    """Breathing in and out into a close microphone, of unit power `[count]`."""
    out, at = np.zeros(count, np.float32), 0
    while at < count:
        length = min(int(rng.uniform(0.5, 1.4) * HOUSE_RATE_HZ), count - at)
        low_hz = rng.uniform(200, 900)
        puff = _band(rng.normal(size=length).astype(np.float32), low_hz, low_hz * rng.uniform(3, 8))
        out[at : at + length] = _unit(puff) * np.sin(np.pi * np.arange(length) / length) ** rng.uniform(0.5, 2)
        at += length + int(rng.uniform(0.2, 1.2) * HOUSE_RATE_HZ)
    return _unit(out + 0.02 * shaped_noise(rng, count, -0.5))


def room(rng: np.random.Generator, count: int) -> Array:
    """The tone of a room with taps, keys and thumps, of unit power `[count]`."""
    out = shaped_noise(rng, count, rng.uniform(-1.2, -0.4), rng.uniform(20, 120))
    for at in rng.integers(0, max(count - HOUSE_RATE_HZ // 4, 1), int(rng.integers(0, 3 * count // HOUSE_RATE_HZ + 2))):
        length = min(int(rng.uniform(0.01, 0.2) * HOUSE_RATE_HZ), count - int(at))
        hit = rng.normal(size=length).astype(np.float32) * np.exp(-5 * np.arange(length) / length)
        centre = rng.uniform(100, 3000)
        out[at : at + length] += (
            rng.uniform(1, 8) * _unit(_band(hit, centre / 2, centre * 2)) * np.hanning(length + 2)[1:-1]
        )
    return _unit(out)


def whisper(samples: Array, rng: np.random.Generator) -> Array:
    """Speech `[S]` spoken with noise instead of a voice: same words, same times, same loudness of each sound."""
    hop = WHISPER_FFT // 4
    window = np.sqrt(np.hanning(WHISPER_FFT + 1)[:-1])
    padded = np.pad(samples, (WHISPER_FFT, WHISPER_FFT + (-len(samples)) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WHISPER_FFT)[::hop]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    kernel = np.hanning(ENVELOPE_BINS + 2)[1:-1]
    wide = np.pad(power, ((0, 0), (ENVELOPE_BINS // 2, ENVELOPE_BINS // 2)), mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(wide, ENVELOPE_BINS, axis=1) @ (kernel / kernel.sum())
    hertz = np.fft.rfftfreq(WHISPER_FFT, 1 / HOUSE_RATE_HZ)
    tilt = 1 / (1 + (rng.uniform(400, 900) / np.maximum(hertz, 1)) ** 2)  # no voice: little below the first formant
    noise = rng.normal(size=smooth.shape) + 1j * rng.normal(size=smooth.shape)
    pieces = np.fft.irfft(np.sqrt(smooth) * tilt * noise, WHISPER_FFT, axis=1) * window
    out = np.zeros(len(padded), np.float32)
    for index, piece in enumerate(pieces):
        out[index * hop : index * hop + WHISPER_FFT] += piece
    out = out[WHISPER_FFT : WHISPER_FFT + len(samples)]
    return np.asarray(out * (0.3 * samples.std() / (out.std() + 1e-9)), np.float32)


def mu_law(samples: Array) -> Array:
    """Through an 8-bit telephone line at 8 kHz and back, `[S]`."""
    low = np.clip(soxr.resample(samples, HOUSE_RATE_HZ, TELEPHONE_HZ), -1, 1)
    coded = np.round(np.sign(low) * np.log1p(MU * np.abs(low)) / np.log1p(MU) * 127) / 127
    heard = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(MU)) / MU
    back = soxr.resample(heard.astype(np.float32), TELEPHONE_HZ, HOUSE_RATE_HZ)
    return np.asarray(np.pad(back, (0, max(0, len(samples) - len(back))))[: len(samples)], np.float32)


def opus(samples: Array, bit_rate: int = 12_000) -> Array:
    """Through Opus at `bit_rate` and back, `[S]`, without its delay."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = OPUS_RATE_HZ, "mono", "flt", bit_rate
    encoder.options = {"application": "voip", "compression_level": "2"}
    encoder.open()
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout, decoder.extradata = OPUS_RATE_HZ, "mono", encoder.extradata
    loud = soxr.resample(samples, HOUSE_RATE_HZ, OPUS_RATE_HZ).astype(np.float32)
    blocks = np.pad(loud, (0, 2 * OPUS_BLOCK + (-len(loud)) % OPUS_BLOCK)).reshape(-1, OPUS_BLOCK)
    heard: list[Array] = []
    packets = []
    for number, block in enumerate(blocks):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), "flt", "mono")
        frame.sample_rate, frame.pts = OPUS_RATE_HZ, number * OPUS_BLOCK
        packets += encoder.encode(frame)
    for packet in [*packets, *encoder.encode(None)]:  # the decoder leaves the delay out by itself
        for frame in decoder.decode(packet):
            values = frame.to_ndarray().ravel()
            heard.append(values.astype(np.float32) / np.float32(1 if values.dtype.kind == "f" else 32768))
    back = soxr.resample(np.concatenate(heard), OPUS_RATE_HZ, HOUSE_RATE_HZ)
    return np.asarray(np.pad(back, (0, max(0, len(samples) - len(back))))[: len(samples)], np.float32)


def lossy(samples: Array, rng: np.random.Generator, share: float) -> Array:
    """`share` of the packets of 20 ms are lost; the one before is heard again, more softly, as receivers do."""
    size = HOUSE_RATE_HZ // 50
    blocks = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size).copy()
    for index in np.flatnonzero(rng.random(len(blocks)) < share):
        if index:
            blocks[index] = 0.6 * blocks[index - 1]
    return np.asarray(blocks.ravel()[: len(samples)], np.float32)


def stretched(samples: Array, length: int) -> Array:
    """The sound `[S]` in `length` samples at its own pitch; every moment stays within about 10 ms of its place.

    Source: Verhelst and Roelands 1993 (overlap-add of the most similar pieces, WSOLA).
    """
    size, most = 2 * STRETCH_HOP, STRETCH_HOP * 2 // 5
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    nearest = -1e-3 * np.abs(np.arange(-most, most + 1)).astype(np.float32) / most  # where all places are alike
    padded = np.pad(samples, (most + size, 2 * size + most)).astype(np.float32)
    out = np.zeros(length + 2 * size, np.float32)
    expected = padded[most + size : most + 2 * size]
    for at in range(0, length + STRETCH_HOP, STRETCH_HOP):
        middle = most + size + round(at * len(samples) / length)
        middle = min(middle, len(padded) - size - STRETCH_HOP - most)
        near = padded[middle - most : middle + most + STRETCH_HOP]
        energy = np.convolve(near**2, np.ones(STRETCH_HOP, np.float32), "valid") + 1e-6
        like = np.correlate(near, expected[:STRETCH_HOP], "valid") / np.sqrt(energy)
        shift = int(np.argmax(like + nearest)) - most
        start = middle + shift
        out[at : at + size] += window * padded[start : start + size]
        expected = padded[start + STRETCH_HOP : start + STRETCH_HOP + size]
    return out[:length] if length else out[:0]


def repitched(samples: Array, ratio: float) -> Array:
    """Another voice: pitch and formants `ratio` times as high, `[S]` in the same time."""
    other = soxr.resample(samples, HOUSE_RATE_HZ * ratio, HOUSE_RATE_HZ).astype(np.float32)
    return stretched(other, len(samples))
