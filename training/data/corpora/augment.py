"""Augmentation of waveforms before feature extraction: bandwidth, codecs, gain, noise, rooms, speed and pitch.

Our own choice of ranges: what a clip from a phone, a call or a living room goes through before it is uploaded.
Filters, gain, speed and pitch are `audiomentations`' (MIT); codecs are FFmpeg's, by PyAV.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from fractions import Fraction

import audiomentations
import av
import numpy as np
from jaxtyping import Float32
from scipy.signal import fftconvolve, resample_poly

SAMPLE_RATE = 16_000  # Hz
NARROW_RATE = 8_000  # Hz, of a telephone
CUTOFFS = (3_400.0, 7_000.0)  # Hz of random low-passes
CODECS = (("pcm_mulaw", "wav", NARROW_RATE, None), ("libopus", "ogg", SAMPLE_RATE, 16_000),
          ("aac", "adts", SAMPLE_RATE, 24_000), ("libmp3lame", "mp3", SAMPLE_RATE, 32_000))  # fmt: skip
GAIN_DB = (-30.0, 6.0)
SNR_DB = (5.0, 25.0)  # of noise or babble
BABBLERS = 4  # voices talking at once
REVERBERATION_SECONDS = (0.1, 0.4)  # until a room's echo has fallen by 60 dB
SPEED = (0.92, 1.08)
SEMITONES = 0.7  # pitch, up or down
CHANCE = {"speed": 0.3, "pitch": 0.2, "room": 0.3, "noise": 0.5, "band": 0.35, "codec": 0.35, "gain": 0.7}

Waveform = Float32[np.ndarray, "_"]  # of any length: codecs and speed change it


def augmented(samples: Waveform, others: Sequence[Waveform], *, seed: int) -> Waveform:
    """Return one augmented copy of a recording.

    Args:
        samples: Mono at 16 kHz.
        others: Other recordings, from which babble is mixed.
        seed: The same seed gives the same copy.
    """
    rng = np.random.default_rng(seed)
    random.seed(seed)  # audiomentations draws from both
    np.random.seed(seed % 2**32)
    made = samples
    for name, change in _CHANGES.items():
        if rng.random() < CHANCE[name]:
            made = change(made, others, rng)
    return np.clip(made, -1, 1).astype(np.float32)


def narrowed(samples: Waveform) -> Waveform:
    """Return the recording as 8 kHz sound brought back to 16 kHz: nothing above 4 kHz is left."""
    low = resample_poly(samples, NARROW_RATE, SAMPLE_RATE)
    return resample_poly(low, SAMPLE_RATE, NARROW_RATE)[: len(samples)].astype(np.float32)


def coded(samples: Waveform, codec: str, container: str, rate: int, bit_rate: int | None) -> Waveform:
    """Return a recording after one of FFmpeg's codecs."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format=stream.codec_context.format or "s16", layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray((samples[None].clip(-1, 1) * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        fifo = av.AudioFifo()
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            part.pts = None
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while (block := fifo.read(size, partial=True)) is not None:
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as source:
        back = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [part for given in source.decode(audio=0) for part in back.resample(given)]
        frames += back.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)


def _speed(samples: Waveform, others: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    change = audiomentations.TimeStretch(*SPEED, leave_length_unchanged=False, p=1.0)
    return change(samples, SAMPLE_RATE)


def _pitch(samples: Waveform, others: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    return audiomentations.PitchShift(-SEMITONES, SEMITONES, p=1.0)(samples, SAMPLE_RATE)


def _room(samples: Waveform, others: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    """Convolve with decaying noise after the direct sound, the simplest statistical model of a room (Polack 1988)."""
    seconds = rng.uniform(*REVERBERATION_SECONDS)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.normal(0, 1, len(time)) * 10 ** (-3 * time / seconds)
    echo *= rng.uniform(0.1, 0.5) / np.linalg.norm(echo)
    echo[0] = 1.0
    return fftconvolve(samples, echo)[: len(samples)].astype(np.float32)


def _noise(samples: Waveform, others: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    """Add babble of other recordings, or noise whose spectrum falls by 0 to 6 dB an octave."""
    if len(others) and rng.random() < 0.5:
        chosen = rng.integers(len(others), size=BABBLERS)
        noise = sum(np.resize(others[index], len(samples)) for index in chosen)
    else:
        spectrum = np.fft.rfft(rng.normal(0, 1, len(samples)))
        octaves = np.maximum(np.arange(len(spectrum)), 1)
        noise = np.fft.irfft(spectrum / octaves ** rng.uniform(0, 1), len(samples))
    power = np.mean(samples**2) / max(float(np.mean(noise**2)), 1e-12) / 10 ** (rng.uniform(*SNR_DB) / 10)
    return (samples + np.sqrt(power) * noise).astype(np.float32)


def _band(samples: Waveform, others: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    cutoff = CUTOFFS[rng.integers(len(CUTOFFS))]
    change = audiomentations.LowPassFilter(cutoff, cutoff, min_rolloff=24, max_rolloff=96, p=1.0)
    return change(samples, SAMPLE_RATE)


def _codec(samples: Waveform, others: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    return coded(samples, *CODECS[rng.integers(len(CODECS))])


def _gain(samples: Waveform, others: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    return audiomentations.Gain(*GAIN_DB, p=1.0)(samples, SAMPLE_RATE)


# In the order in which sound meets them: the speaker, the room, the line.
_CHANGES: dict[str, Callable[[Waveform, Sequence[Waveform], np.random.Generator], Waveform]] = {
    "speed": _speed,
    "pitch": _pitch,
    "room": _room,
    "noise": _noise,
    "band": _band,
    "codec": _codec,
    "gain": _gain,
}
