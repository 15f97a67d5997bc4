"""Voice activity: which segments of a clip's audio are speech, by the Silero detector inside faster-whisper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from extractors.media.audio import SAMPLE_RATE
from extractors.schema import Track

VOICE = 0.5  # probability from which a window (32 ms) is voice
CERTAIN_VOICE = 0.8  # probability that a segment must reach: pure tones stay below .75, speech exceeds .95
PAUSE_MS = 300  # silence that separates two segments
PAD_MS = 50  # added to both ends of a segment, for soft consonants
STEP_SECONDS = 0.01  # of the curve that is drawn


def segments(samples: Float32[np.ndarray, " samples"], *, start: float = 0.0) -> list[tuple[float, float]]:
    """Find the segments with a voice.

    Noise and pure tones are not voice. The onset of a buzz with the harmonics of a voice may pass for a short vowel.

    Args:
        samples: Mono at `SAMPLE_RATE`.
        start: Seconds from the start of the clip to the first sample.

    Returns:
        (start, end) of each segment in seconds, in time order.
    """
    if not len(samples):
        return []
    likely, certain = _segments(samples, VOICE), _segments(samples, CERTAIN_VOICE)
    return [
        (start + begin / SAMPLE_RATE, start + end / SAMPLE_RATE)
        for begin, end in likely
        if any(first < end and last > begin for first, last in certain)
    ]


def track(found: Sequence[tuple[float, float]], *, start: float, end: float) -> Track:
    """Return voice activity as a curve for the timeline.

    Args:
        found: (start, end) in seconds, as `segments` finds them.
        start: Seconds from the start of the clip to the first sample.
        end: Seconds to the end of the last.

    Returns:
        "voice activity": 1 where there is voice, else 0, every `STEP_SECONDS`.
    """
    seconds = start + STEP_SECONDS * np.arange(max(0, round((end - start) / STEP_SECONDS)))
    values = np.zeros(len(seconds))
    for first, last in found:
        values[(seconds >= first) & (seconds < last)] = 1
    return Track(name="voice activity", unit="", seconds=seconds, values=values)


def _segments(samples: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """Return (first, last) samples of the segments that reach a probability; they end where it falls by .15."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(threshold=threshold, min_silence_duration_ms=PAUSE_MS, speech_pad_ms=PAD_MS)
    return [(found["start"], found["end"]) for found in get_speech_timestamps(samples, options)]
