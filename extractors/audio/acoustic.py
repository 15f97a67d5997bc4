"""Audio features: openSMILE's low-level descriptors (eGeMAPSv02 or ComParE_2016), pooled to a few steps per second."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Float32

from extractors.audio.units import unit
from extractors.media.audio import SAMPLE_RATE
from extractors.messages import Message
from extractors.schema import ModalityFeatures, ModalitySchema, Track

if TYPE_CHECKING:
    import opensmile

AUDIO_RATE = 10.0  # steps per second
HOP_SECONDS = 0.01  # openSMILE's descriptors per step
MIN_SECONDS = 0.06  # openSMILE's longest analysis window; below it every descriptor is NaN
SILENT_PEAK = 1e-3  # of full scale (-60 dBFS)

# Names as openSMILE gives them. "_sma3nz": smoothed over voiced frames only, zero (or -201 dB) where unvoiced.
DESCRIPTORS = (
    "Loudness_sma3",
    "alphaRatio_sma3",
    "hammarbergIndex_sma3",
    "slope0-500_sma3",
    "slope500-1500_sma3",
    "spectralFlux_sma3",
    "mfcc1_sma3",
    "mfcc2_sma3",
    "mfcc3_sma3",
    "mfcc4_sma3",
    "F0semitoneFrom27.5Hz_sma3nz",
    "jitterLocal_sma3nz",
    "shimmerLocaldB_sma3nz",
    "HNRdBACF_sma3nz",
    "logRelF0-H1-H2_sma3nz",
    "logRelF0-H1-A3_sma3nz",
    "F1frequency_sma3nz",
    "F1bandwidth_sma3nz",
    "F1amplitudeLogRelF0_sma3nz",
    "F2frequency_sma3nz",
    "F2bandwidth_sma3nz",
    "F2amplitudeLogRelF0_sma3nz",
    "F3frequency_sma3nz",
    "F3bandwidth_sma3nz",
    "F3amplitudeLogRelF0_sma3nz",
)
COMPARE_VOICED = ("F0final_sma", "jitterLocal_sma", "jitterDDP_sma", "shimmerLocal_sma", "logHNR_sma")
COMPARE_DESCRIPTORS = (
    "F0final_sma",
    "voicingFinalUnclipped_sma",
    "jitterLocal_sma",
    "jitterDDP_sma",
    "shimmerLocal_sma",
    "logHNR_sma",
    "audspec_lengthL1norm_sma",
    "audspecRasta_lengthL1norm_sma",
    "pcm_RMSenergy_sma",
    "pcm_zcr_sma",
    *(f"audSpec_Rfilt_sma[{band}]" for band in range(26)),
    "pcm_fftMag_fband250-650_sma",
    "pcm_fftMag_fband1000-4000_sma",
    "pcm_fftMag_spectralRollOff25.0_sma",
    "pcm_fftMag_spectralRollOff50.0_sma",
    "pcm_fftMag_spectralRollOff75.0_sma",
    "pcm_fftMag_spectralRollOff90.0_sma",
    "pcm_fftMag_spectralFlux_sma",
    "pcm_fftMag_spectralCentroid_sma",
    "pcm_fftMag_spectralEntropy_sma",
    "pcm_fftMag_spectralVariance_sma",
    "pcm_fftMag_spectralSkewness_sma",
    "pcm_fftMag_spectralKurtosis_sma",
    "pcm_fftMag_spectralSlope_sma",
    "pcm_fftMag_psySharpness_sma",
    "pcm_fftMag_spectralHarmonicity_sma",
    *(f"mfcc_sma[{index}]" for index in range(1, 15)),
)


@dataclass(frozen=True, kw_only=True)
class DescriptorSet:
    """One of openSMILE's feature sets.

    Attributes:
        name: As openSMILE calls it.
        descriptors: Names of the columns of a row, one row every `HOP_SECONDS`.
        voiced_only: Those that mean something only where there is pitch.
        pitch: The one that is 0 where unvoiced.
        semitones: Whether pitch is in semitones above 27.5 Hz, else in Hz.
        loudness: The one that is drawn as loudness (in both sets a sum over an auditory spectrum).
    """

    name: str
    descriptors: tuple[str, ...]
    voiced_only: tuple[str, ...]
    pitch: str
    semitones: bool
    loudness: str

    @property
    def schema(self) -> ModalitySchema:
        """Mean and standard deviation of every descriptor."""
        return ModalitySchema(
            dim=2 * len(self.descriptors),
            rate=AUDIO_RATE,
            extractor=f"opensmile {version('opensmile')} {self.name} low-level descriptors",
            columns=tuple(f"{name}_{kind}" for kind in ("mean", "std") for name in self.descriptors),
            units=tuple(unit(name) for name in self.descriptors) * 2,
        )


EGEMAPS = DescriptorSet(
    name="eGeMAPSv02",
    descriptors=DESCRIPTORS,
    voiced_only=tuple(name for name in DESCRIPTORS if name.endswith("nz")),
    pitch="F0semitoneFrom27.5Hz_sma3nz",
    semitones=True,
    loudness="Loudness_sma3",
)
COMPARE = DescriptorSet(
    name="ComParE_2016",
    descriptors=COMPARE_DESCRIPTORS,
    voiced_only=COMPARE_VOICED,
    pitch="F0final_sma",
    semitones=False,
    loudness="audspec_lengthL1norm_sma",
)
DESCRIPTOR_SETS = {chosen.name: chosen for chosen in (EGEMAPS, COMPARE)}

SCHEMA = EGEMAPS.schema

_PITCH_COLUMN = SCHEMA.columns.index(f"{EGEMAPS.pitch}_mean")
_VOICED_ONLY = np.tile(np.isin(DESCRIPTORS, EGEMAPS.voiced_only), 2)  # means, then standard deviations
FILLED_COLUMNS = (
    *(f"{name}_filled" if voiced else name for name, voiced in zip(SCHEMA.columns, _VOICED_ONLY, strict=True)),
    "voiced",
)
"""Columns of `filled_steps`: units are those of the descriptors; "voiced" is 1 or 0."""


@dataclass(frozen=True, kw_only=True)
class AudioFeatures:
    """Features of a clip's audio, with curves for the timeline.

    Attributes:
        features: Steps of the descriptor set's columns in openSMILE's units, or an absent modality with the reason.
        tracks: "loudness", "F0" (Hz, NaN where unvoiced) and "voiced" (1 or 0), every `HOP_SECONDS`.
        rows: openSMILE's rows that the steps were pooled from; None where the modality is absent for want of sound.
        states: Of `columns.ClipState.describe`; None where there are none.
    """

    features: ModalityFeatures
    tracks: tuple[Track, ...] = ()
    rows: Float[np.ndarray, "rows descriptors"] | None = None
    states: Float32[np.ndarray, "pieces columns"] | None = None


@functools.cache
def load(name: str = EGEMAPS.name) -> opensmile.Smile:
    """Return a descriptor set's extractor, one per process; it is safe to call from several threads."""
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[name], feature_level=opensmile.FeatureLevel.LowLevelDescriptors
    )


def descriptor_set(name: str) -> DescriptorSet:
    """Return the set of a name of `DESCRIPTOR_SETS`.

    Raises:
        ValueError: If there is none.
    """
    if name not in DESCRIPTOR_SETS:
        raise ValueError(f"descriptors: {name!r}, expected one of {sorted(DESCRIPTOR_SETS)}")
    return DESCRIPTOR_SETS[name]


def hertz(semitones: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Convert eGeMAPS's pitch to Hz: 27.5 * 2 ** (semitones / 12); NaN where it is 0, which stands for unvoiced.

    >>> hertz(np.array([24.0, 0.0])).tolist()
    [110.0, nan]
    """
    return np.where(semitones > 0, 27.5 * 2 ** (semitones / 12), np.nan)


def from_waveform(
    samples: Float32[np.ndarray, " samples"], rate: int = SAMPLE_RATE, *, start: float = 0.0
) -> ModalityFeatures:
    """Return `read`'s features only, of the default descriptor set."""
    return read(samples, rate, start=start).features


def read(
    samples: Float32[np.ndarray, " samples"],
    rate: int = SAMPLE_RATE,
    *,
    start: float = 0.0,
    descriptors: str = EGEMAPS.name,
) -> AudioFeatures:
    """Extract features of a voice.

    Each step pools the 10 descriptor rows of 1 / `AUDIO_RATE` s to mean and standard deviation. As in eGeMAPS's own
    functionals (Eyben et al. 2016), pitch, jitter, shimmer, harmonics and formants are pooled over voiced rows only
    and are zero where a step has none; ComParE's pitch, jitter, shimmer and harmonics are treated alike.

    Args:
        samples: Mono, full scale 1.
        rate: Hz; any but `SAMPLE_RATE` is resampled.
        start: Seconds from the start of the clip to the first sample.
        descriptors: A name of `DESCRIPTOR_SETS`.

    Raises:
        ValueError: If `samples` is not one finite channel, `rate` is not positive or there is no such set.
    """
    chosen = descriptor_set(descriptors)
    samples = _checked(samples, rate)
    if len(samples) < MIN_SECONDS * rate:
        return AudioFeatures(features=ModalityFeatures.missing(Message("audio_too_short"), chosen.schema.dim))
    if np.abs(samples).max() < SILENT_PEAK:
        return AudioFeatures(features=ModalityFeatures.missing(Message("audio_silent"), chosen.schema.dim))
    if rate != SAMPLE_RATE:
        samples = _resampled(samples, rate)
    rows = _rows(samples, chosen)
    values, valid = pooled(rows, descriptors)
    begin = start + np.arange(len(values)) / AUDIO_RATE
    end = np.maximum(np.minimum(begin + 1 / AUDIO_RATE, start + len(samples) / SAMPLE_RATE), begin)
    absent = None if valid.any() else Message("audio_not_analysed")
    features = ModalityFeatures(values=values, start=begin, end=end, valid=valid, absent=absent)
    return AudioFeatures(features=features, tracks=_tracks(rows, chosen, start), rows=rows)


def descriptor_rows(
    samples: Float32[np.ndarray, " samples"], descriptors: str = EGEMAPS.name
) -> Float[np.ndarray, "rows descriptors"]:
    """Return openSMILE's rows, one every `HOP_SECONDS`, of mono samples at `SAMPLE_RATE`."""
    return _rows(_checked(samples, SAMPLE_RATE), descriptor_set(descriptors))


def filled_steps(steps: Float[np.ndarray, "steps 50"]) -> Float32[np.ndarray, "steps 51"]:
    """Fill the voiced-only columns of unvoiced steps, and mark which steps are voiced.

    Args:
        steps: Of `SCHEMA.columns`, of one clip; a step is voiced if its pitch is above 0.

    Returns:
        Values of `FILLED_COLUMNS`. The filling is the column's mean over the clip's voiced steps, 0 where it has none.

    Example:
        >>> filled_steps(np.zeros((3, 50), np.float32)).shape
        (3, 51)
    """
    voiced = steps[:, _PITCH_COLUMN] > 0
    level = steps[voiced].mean(axis=0, dtype=np.float64) if voiced.any() else np.zeros(steps.shape[1])
    filled = np.where(_VOICED_ONLY & ~voiced[:, None], level, steps)
    return np.concatenate([filled, voiced[:, None]], axis=1).astype(np.float32)


def _rows(samples: np.ndarray, chosen: DescriptorSet) -> Float[np.ndarray, "rows descriptors"]:
    """Return openSMILE's rows, one per time stamp: ComParE_2016 gives its last one twice."""
    table = load(chosen.name).process_signal(samples, SAMPLE_RATE)
    if tuple(table.columns) != chosen.descriptors:
        raise RuntimeError(f"openSMILE gives columns {tuple(table.columns)}, expected {chosen.descriptors}")
    first = ~table.index.get_level_values("start").duplicated()
    rows: Float[np.ndarray, "rows descriptors"] = table.to_numpy(np.float64)[first]
    return rows


def _tracks(rows: np.ndarray, chosen: DescriptorSet, start: float) -> tuple[Track, ...]:
    seconds = start + HOP_SECONDS * np.arange(len(rows))
    rows = np.where(np.isfinite(rows), rows, np.nan)
    pitch = rows[:, chosen.descriptors.index(chosen.pitch)]
    loudness = rows[:, chosen.descriptors.index(chosen.loudness)]
    voiced = np.where(np.isnan(pitch), np.nan, pitch > 0)
    pitch = hertz(pitch) if chosen.semitones else np.where(pitch > 0, pitch, np.nan)
    return (
        Track(name="loudness", unit=f"openSMILE {chosen.loudness}", seconds=seconds, values=loudness),
        Track(name="F0", unit="Hz", seconds=seconds, values=pitch),
        Track(name="voiced", unit="", seconds=seconds, values=voiced),
    )


def _checked(samples: np.ndarray, rate: int) -> np.ndarray:
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"samples: shape {samples.shape}, expected one channel")
    if not np.isfinite(samples).all():
        raise ValueError("samples: holds NaN or inf, expected finite numbers")
    if rate < 1:
        raise ValueError(f"rate: {rate}, expected a positive number of Hz")
    return samples


def _resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    divisor = np.gcd(rate, SAMPLE_RATE)
    return np.asarray(resample_poly(samples, SAMPLE_RATE // divisor, rate // divisor), np.float32)


def pooled(
    rows: Float[np.ndarray, "rows descriptors"], descriptors: str = EGEMAPS.name
) -> tuple[Float32[np.ndarray, "steps dim"], Bool[np.ndarray, " steps"]]:
    """Pool descriptor rows to steps, as `read` does.

    Args:
        rows: Of `descriptor_rows`.
        descriptors: A name of `DESCRIPTOR_SETS`.

    Returns:
        Steps of the set's columns, and whether each is valid: one without any finite row is not.
    """
    chosen = descriptor_set(descriptors)
    per_step = round(1 / (AUDIO_RATE * HOP_SECONDS))
    steps = -(-len(rows) // per_step)
    padded = np.full((steps * per_step, rows.shape[1]), np.nan)
    padded[: len(rows)] = rows
    grouped = padded.reshape(steps, per_step, -1)
    seen = np.isfinite(grouped).all(axis=2)  # (steps, per_step)
    voiced = seen & (grouped[..., chosen.descriptors.index(chosen.pitch)] > 0)
    voiced_only = np.isin(chosen.descriptors, chosen.voiced_only)
    counted = np.where(voiced_only, voiced[..., None], seen[..., None])
    count = np.maximum(counted.sum(axis=1), 1)
    mean = np.where(counted, grouped, 0).sum(axis=1) / count
    deviation = np.where(counted, grouped - mean[:, None], 0)
    std = np.sqrt((deviation**2).sum(axis=1) / count)
    return np.concatenate([mean, std], axis=1).astype(np.float32), seen.any(axis=1)
