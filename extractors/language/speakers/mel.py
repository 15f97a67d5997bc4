"""Spectrograms of speech as Kaldi's recipes make them, which networks for voices were trained on."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float32

from extractors.media.audio import SAMPLE_RATE

MELS = 80
FRAME, HOP = 400, 160  # samples of a frame and between frames, 25 and 10 ms
SPECTRUM = 512  # samples that a frame is padded to
LOWEST_HZ = 20.0
EMPHASIS = 0.97  # of the sample before that is subtracted
SHAPE = 0.85  # power of a Hann window, as Kaldi's recipes take it
LEAST_ENERGY = float(np.finfo(np.float32).eps)  # of a band, before the logarithm


def spectrogram(samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, "steps mels"]:
    """Return the log mel energies of Kaldi's recipes, with a mean of zero over time in each band.

    Args:
        samples: Mono at `SAMPLE_RATE`, at least a frame.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.square(np.abs(np.fft.rfft((frames - EMPHASIS * before) * _taper(), SPECTRUM, axis=1)))
    mel = np.log(np.maximum(power @ _bands(), LEAST_ENERGY))
    return np.asarray(mel - mel.mean(axis=0), np.float32)


@functools.cache
def _taper() -> Float32[np.ndarray, " frame"]:
    return (np.hanning(FRAME) ** SHAPE).astype(np.float32)


@functools.cache
def _bands() -> Float32[np.ndarray, "bins mels"]:
    """Return triangular bands, evenly spaced in mel from `LOWEST_HZ` to the highest frequency."""
    lowest, highest = _mel(np.array([LOWEST_HZ, SAMPLE_RATE / 2]))
    edges = np.linspace(lowest, highest, MELS + 2)
    bins = _mel(np.fft.rfftfreq(SPECTRUM, 1 / SAMPLE_RATE))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float32)


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 1127 * np.log1p(hertz / 700)
