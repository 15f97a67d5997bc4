"""Clip-level statistics of openSMILE's eGeMAPS rows: level, spread, slopes and the rhythm of voicing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32

from extractors.audio.acoustic import DESCRIPTORS, HOP_SECONDS

PITCH = DESCRIPTORS.index("F0semitoneFrom27.5Hz_sma3nz")  # 0 where unvoiced
SPECTRAL = 10  # first descriptors, which mean something in every row; the others only in voiced ones
PER_DESCRIPTOR = ("mean", "std", "q20", "q50", "q80", "q20_to_q80", "rise", "fall", "q95")
PER_SPECTRAL = ("unvoiced_mean", "voiced_mean", "voiced_std")
RHYTHM = ("voiced_share", "voiced_onsets_per_second", "voiced_run_mean", "voiced_run_std", "loudness_peaks_per_second")

NAMES = (
    *(f"{descriptor}_clip_{kind}" for descriptor in DESCRIPTORS for kind in PER_DESCRIPTOR),
    *(f"{descriptor}_clip_{kind}" for descriptor in DESCRIPTORS[:SPECTRAL] for kind in PER_SPECTRAL),
    *(f"clip_{name}" for name in RHYTHM),
)
"""260 columns. Units are those of the descriptors; slopes are per row of `HOP_SECONDS`, runs in seconds."""


def clip_statistics(rows: Float[np.ndarray, "rows 25"]) -> Float32[np.ndarray, " statistics"]:
    """Describe a whole clip.

    Args:
        rows: One row of `DESCRIPTORS` every `HOP_SECONDS`; rows with NaN are left out.

    Returns:
        Values of `NAMES`; zero where a clip has no row of the kind that a column describes.

    Example:
        >>> clip_statistics(np.zeros((100, 25))).shape
        (260,)
    """
    rows = np.asarray(rows, np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    voiced = rows[:, PITCH] > 0
    parts = [
        _descriptors(rows[:, :SPECTRAL]),
        _descriptors(rows[voiced, SPECTRAL:]),
        _mean_std(rows[~voiced, :SPECTRAL])[:, :1],
        _mean_std(rows[voiced, :SPECTRAL]),
    ]
    spectral = np.concatenate([parts[2], parts[3]], axis=1)
    values = [parts[0].ravel(), parts[1].ravel(), spectral.ravel(), _rhythm(voiced, rows[:, 0])]
    return np.concatenate(values).astype(np.float32)


def _descriptors(rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "columns 9"]:
    if not len(rows):
        return np.zeros((rows.shape[1], len(PER_DESCRIPTOR)))
    low, middle, high, top = np.quantile(rows, [0.2, 0.5, 0.8, 0.95], axis=0)
    step = np.diff(rows, axis=0)
    rise = np.where(step > 0, step, 0).sum(0) / np.maximum((step > 0).sum(0), 1)
    fall = np.where(step < 0, -step, 0).sum(0) / np.maximum((step < 0).sum(0), 1)
    return np.stack([rows.mean(0), rows.std(0), low, middle, high, high - low, rise, fall, top], axis=1)


def _mean_std(rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "columns 2"]:
    if not len(rows):
        return np.zeros((rows.shape[1], 2))
    return np.stack([rows.mean(0), rows.std(0)], axis=1)


def _rhythm(voiced: Bool[np.ndarray, " rows"], loudness: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " 5"]:
    if not len(voiced):
        return np.zeros(len(RHYTHM))
    seconds = len(voiced) * HOP_SECONDS
    edges = np.diff(np.concatenate([[0], voiced.astype(int), [0]]))
    runs = (np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)) * HOP_SECONDS
    inner = loudness[1:-1]
    peaks = (inner > loudness[:-2]) & (inner > loudness[2:]) & (inner > loudness.mean())
    return np.array(
        [
            voiced.mean(),
            len(runs) / seconds,
            runs.mean() if len(runs) else 0.0,
            runs.std() if len(runs) else 0.0,
            peaks.sum() / seconds,
        ]
    )
