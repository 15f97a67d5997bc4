"""Where there is voice in a sound: Silero's voice activity detector, the one inside faster-whisper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from extractors.media.audio import SAMPLE_RATE
from extractors.schema import Track

VOICE = 0.5  # probability from which a moment (32 ms) is voice
SURE_VOICE = 0.8  # that a stretch of voice reaches somewhere: pure tones stay below .75, speech comes above .95
PAUSE_MS = 300  # silence that parts two stretches of voice
PAD_MS = 50  # added to both ends of a stretch, for soft consonants
STEP_SECONDS = 0.01  # of the curve that is drawn


def stretches(samples: Float32[np.ndarray, " samples"], *, start: float = 0.0) -> list[tuple[float, float]]:
    """Find where there is voice.

    Noise and pure tones are none. The onset of a buzz with the harmonics of a voice may pass for a short vowel.

    Args:
        samples: Mono at 16 kHz.
        start: Seconds from the start of the clip to the first sample.

    Returns:
        (start, end) of each stretch in seconds, in time order.
    """
    if not len(samples):
        return []
    likely, sure = _stretches(samples, VOICE), _stretches(samples, SURE_VOICE)
    return [
        (start + begin / SAMPLE_RATE, start + end / SAMPLE_RATE)
        for begin, end in likely
        if any(first < end and last > begin for first, last in sure)
    ]


def track(found: Sequence[tuple[float, float]], *, start: float, end: float) -> Track:
    """Draw where there is voice; elsewhere the sound counts as silence.

    Args:
        found: (start, end) in seconds, as `stretches` finds them.
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


def _stretches(samples: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """Return (first, last) samples of what reaches a probability; it ends where that falls by .15."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(threshold=threshold, min_silence_duration_ms=PAUSE_MS, speech_pad_ms=PAD_MS)
    return [(found["start"], found["end"]) for found in get_speech_timestamps(samples, options)]
