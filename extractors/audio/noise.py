"""Noise: a clip's audio features as if it had been recorded with white noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from extractors.audio.columns import AudioColumns
from extractors.media import probe
from extractors.media.probe import LIMITS, Limits
from extractors.messages import Message
from extractors.schema import ModalityFeatures


def add_noise(samples: Float32[np.ndarray, " samples"], *, snr_db: float, seed: int) -> Float32[np.ndarray, " samples"]:
    """Add white noise.

    >>> sound = np.full(4, 0.5, np.float32)
    >>> noisy = add_noise(sound, snr_db=20.0, seed=0)
    >>> np.abs(noisy - sound).max() < 0.1, (noisy == add_noise(sound, snr_db=20.0, seed=0)).all()
    (np.True_, np.True_)

    Args:
        samples: Sound, full scale 1.
        snr_db: Ratio of the sound's mean power, pauses included, to the noise's.
        seed: The same seed, the same noise.

    Returns:
        The sum, not clipped: it may exceed full scale. Silence stays silence, as it has no ratio to noise.

    Raises:
        ValueError: If the ratio is not finite.
    """
    if not np.isfinite(snr_db):
        raise ValueError(f"snr_db: {snr_db}, expected a finite number of decibels")
    power = np.square(samples, dtype=np.float64).mean() if len(samples) else 0.0
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    return np.asarray(samples + np.sqrt(power / 10 ** (snr_db / 10)) * noise, np.float32)


def noisy_voices(
    path: Path | str,
    *,
    snr_db: float,
    seeds: Sequence[int],
    limits: Limits = LIMITS,
    columns: AudioColumns = AudioColumns(),  # noqa: B008 (frozen)
) -> Iterator[ModalityFeatures]:
    """Extract a clip's audio features under white noise, once per seed.

    Args:
        path: A clip.
        snr_db: As in `add_noise`.
        seeds: One result each, in order.
        limits: As in `media.decode_audio`.
        columns: Of the features.

    Raises:
        MediaError: If the sound cannot be decoded.
    """
    sound = probe.decode_audio(path, limits)
    for seed in seeds:
        if sound is None:
            yield columns.missing(Message("no_audio_stream"))
        else:
            noisy = add_noise(sound.samples, snr_db=snr_db, seed=seed)
            yield columns.read(noisy, start=sound.start).features
