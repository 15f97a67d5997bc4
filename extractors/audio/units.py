"""Units of audio columns, from openSMILE's names of its descriptors."""

from __future__ import annotations

from extractors.schema import DIMENSIONLESS

# By how a descriptor's name begins; the first that fits. Of the eGeMAPS descriptors: Eyben et al. 2016, section 3
# (https://doi.org/10.1109/TAFFC.2015.2457417); of ComParE's: openSMILE's documentation. What is not listed has none.
UNITS = (
    ("alphaRatio", "dB"),
    ("hammarbergIndex", "dB"),
    ("slope", "dB/Hz"),
    ("F0semitone", "semitones above 27.5 Hz"),
    ("F0final", "Hz"),
    ("shimmerLocaldB", "dB"),
    ("HNRdBACF", "dB"),
    ("logHNR", "dB"),
    ("logRelF0", "dB"),
    ("F1frequency", "Hz"),
    ("F2frequency", "Hz"),
    ("F3frequency", "Hz"),
    ("F1bandwidth", "Hz"),
    ("F2bandwidth", "Hz"),
    ("F3bandwidth", "Hz"),
    ("F1amplitude", "dB"),
    ("F2amplitude", "dB"),
    ("F3amplitude", "dB"),
    ("pcm_fftMag_spectralRollOff", "Hz"),
    ("pcm_fftMag_spectralCentroid", "Hz"),
    ("pcm_fftMag_spectralVariance", "Hz²"),
    ("clip_voiced_run", "s"),
    ("clip_voiced_onsets_per_second", "1/s"),
    ("clip_loudness_peaks_per_second", "1/s"),
)
PER_ROW = ("_clip_rise", "_clip_fall")  # endings of slopes from one row to the next


def unit(column: str) -> str:
    """Unit of an audio column.

    >>> unit("F1frequency_sma3nz_std"), unit("HNRdBACF_sma3nz_clip_rise"), unit("voiced")
    ('Hz', 'dB per 10 ms', '1')
    """
    found = next((unit for start, unit in UNITS if column.startswith(start)), DIMENSIONLESS)
    return f"{found} per 10 ms" if column.endswith(PER_ROW) else found
