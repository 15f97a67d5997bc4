"""Sound quality: level, bandwidth, and the ratio of speech to what sounds beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from extractors.media.audio import SAMPLE_RATE
from extractors.schema import Track

FRAME = 512  # samples, 32 ms
BLOCK = 2048 * FRAME  # samples, about a minute, that are looked at at once
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
    spectrum = np.zeros(FRAME // 2 + 1)
    for first in range(0, len(samples), BLOCK):
        frames = _frames(samples[first : first + BLOCK]) * np.hanning(FRAME)
        spectrum += np.square(np.abs(np.fft.rfft(frames, axis=1))).sum(axis=0)
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
    blocks = range(0, len(samples), BLOCK)
    energies = [np.square(_frames(samples[first : first + BLOCK])).mean(axis=1) for first in blocks]
    energy = np.concatenate([np.zeros(0), *energies]) + 1e-10
    centres = start + (np.arange(len(energy)) + 0.5) * FRAME / SAMPLE_RATE
    spoken = np.zeros(len(energy), bool)
    for first, last in voiced:
        spoken |= (centres >= first) & (centres < last)
    seconds = start + STEP_SECONDS * np.arange(round(len(samples) / SAMPLE_RATE / STEP_SECONDS))
    values = np.full(len(seconds), np.nan)
    begins = np.searchsorted(centres, seconds - AROUND_SECONDS, side="left")
    ends = np.searchsorted(centres, seconds + AROUND_SECONDS, side="right")
    talking = np.zeros(len(seconds), bool)
    for first, last in voiced:
        talking |= (seconds >= first) & (seconds < last)
    for index in np.flatnonzero(talking):
        near = slice(begins[index], ends[index])
        if not spoken[near].any():
            continue
        noise = np.percentile(energy[near], 5)
        speech = max(energy[near][spoken[near]].mean() - noise, 1e-3 * noise)
        values[index] = 10 * np.log10(speech / noise)
    return Track(name="signal-to-noise", unit="dB", seconds=seconds, values=values)


def overall(track: Track) -> float | None:
    """Return a track's median; None where nobody speaks."""
    known = track.values[~np.isnan(track.values)]
    return float(np.median(known)) if len(known) else None


def _frames(samples: np.ndarray) -> Float[np.ndarray, "frames samples"]:
    return samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
