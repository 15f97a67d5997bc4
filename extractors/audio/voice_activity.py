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
STEP_SECONDS = 0.01  # of the curve that is drawn, and of onsets
STEP = round(STEP_SECONDS * SAMPLE_RATE)  # samples
EARLIER = 0.3  # seconds before a segment's start in which its onset may be
LATER = 0.1  # seconds after it
SPEECH_STEPS = 30  # from a segment's start on, whose mean energy counts as that of its speech
SOFT = 10**-2.5  # of that energy, from which sound may be an onset
OVER_NOISE = 4.0  # times the energy of the softest step around


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


def with_onsets(
    samples: Float32[np.ndarray, " samples"], found: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Let segments begin where their sound does: the detector notices soft first sounds up to a quarter second late.

    Args:
        samples: Mono at `SAMPLE_RATE`.
        found: (start, end) in seconds from the first sample, as `segments` finds them.

    Returns:
        As many; a start moves by at most `EARLIER` back or `LATER` on, and never into the segment before.
    """
    energy = np.square(samples[: len(samples) // STEP * STEP].reshape(-1, STEP)).mean(axis=1)  # (steps,)
    moved, before = [], 0.0
    for start, end in found:
        first, last = (round(max(edge, before) / STEP_SECONDS) for edge in (start - EARLIER, min(start + LATER, end)))
        around = energy[first:last]
        speech = energy[round(start / STEP_SECONDS) : round(start / STEP_SECONDS) + SPEECH_STEPS]
        if len(around) and len(speech):
            loud = np.flatnonzero(around > max(SOFT * speech.mean(), OVER_NOISE * around.min()))
            start = (first + int(loud[0])) * STEP_SECONDS if len(loud) else start
        moved.append((start, end))
        before = end
    return moved


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
