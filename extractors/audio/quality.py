"""Sound quality: level, bandwidth, and the ratio of speech to what sounds beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from extractors.media.audio import SAMPLE_RATE
from extractors.schema import Track

FRAME = 512  # samples, 32 ms
STEP_SECONDS = 0.1  # of the curve that is drawn
AROUND_SECONDS = 2.0  # on each side of a moment, within which noise and speech are compared
QUIET_LEVEL = 0.03  # of full scale, -30 dB: below it the loudest part is raised before recognition
RAISED_LEVEL = 0.3  # of full scale
LOUDEST = 99.5  # percentile of the samples' sizes that counts as the level
LEAST_LEVEL = 1e-5  # of full scale, below 16 bits: no sound to raise
NARROW_DB = -55.0  # of what lies above 4 kHz against what lies below: speech through a telephone has less
NOISY_DB = 12.0  # signal-to-noise ratio below which results suffer


def raised(samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " samples"]:
    """Return quiet sound as loud as usual speech; what is loud enough comes back as it is."""
    level = float(np.percentile(np.abs(samples), LOUDEST)) if len(samples) else 0.0
    if not LEAST_LEVEL < level < QUIET_LEVEL:
        return samples
    return np.clip(samples * np.float32(RAISED_LEVEL / level), -1, 1)


def is_narrow(samples: Float32[np.ndarray, " samples"]) -> bool:
    """Whether sound holds nothing above 4 kHz, as after a telephone or at 8 kHz, by its mean spectrum."""
    power = _frames(samples, windowed=True)
    if not len(power):
        return False
    spectrum = np.square(np.abs(np.fft.rfft(power, axis=1))).mean(axis=0)
    hertz = np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE)
    low, high = spectrum[(hertz > 100) & (hertz < 3_800)].sum(), spectrum[(hertz > 4_400) & (hertz < 7_600)].sum()
    return bool(low > 0 and 10 * np.log10(max(high, 1e-30) / low) < NARROW_DB)


def signal_to_noise(
    samples: Float32[np.ndarray, " samples"], voiced: Sequence[tuple[float, float]], *, start: float
) -> Track:
    """Estimate the signal-to-noise ratio over time: frames with a voice against the quietest frames around.

    Args:
        samples: Mono at `SAMPLE_RATE`.
        voiced: (start, end) of segments of speech in seconds.
        start: Seconds from the start of the clip to the first sample.

    Returns:
        "signal-to-noise" in dB, every `STEP_SECONDS`; NaN where nobody speaks.
    """
    energy = np.square(_frames(samples)).mean(axis=1) + 1e-10
    centres = start + (np.arange(len(energy)) + 0.5) * FRAME / SAMPLE_RATE
    spoken = np.zeros(len(energy), bool)
    for first, last in voiced:
        spoken |= (centres >= first) & (centres < last)
    seconds = start + STEP_SECONDS * np.arange(round(len(samples) / SAMPLE_RATE / STEP_SECONDS))
    values = np.full(len(seconds), np.nan)
    for index, second in enumerate(seconds):
        near = np.abs(centres - second) <= AROUND_SECONDS
        if not any(first <= second < last for first, last in voiced) or not (spoken & near).any():
            continue
        noise = np.percentile(energy[near], 5)
        speech = max(energy[spoken & near].mean() - noise, 1e-3 * noise)
        values[index] = 10 * np.log10(speech / noise)
    return Track(name="signal-to-noise", unit="dB", seconds=seconds, values=values)


def overall(track: Track) -> float | None:
    """Return a track's median; None where nobody speaks."""
    known = track.values[~np.isnan(track.values)]
    return float(np.median(known)) if len(known) else None


def _frames(samples: np.ndarray, *, windowed: bool = False) -> Float[np.ndarray, "frames samples"]:
    whole = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)  # (frames, samples)
    return whole * np.hanning(FRAME) if windowed else whole
