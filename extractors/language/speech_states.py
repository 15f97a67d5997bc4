"""Mean encoder state of Whisper over a clip: what its speech recogniser makes of the sound before any word."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from extractors.language import asr

DIM = 512  # of Whisper base's encoder
FRAMES_PER_SECOND = 100  # of the mel spectrogram
WINDOW_SECONDS = 30  # that Whisper was trained on; longer sound is read in windows
ALIGNED_FRAMES = 10  # spectrograms are cut to a multiple of this


def mean_state(
    samples: Float32[np.ndarray, " samples"], *, recogniser: str = asr.RECOGNISER
) -> Float32[np.ndarray, " dim"]:
    """Average the encoder's states over a clip; windows count by their length.

    Args:
        samples: Mono at 16 kHz, full scale 1.
        recogniser: As in `asr.load`.

    Raises:
        AssetError: If the model files cannot be had.
        ValueError: If there is less than 0.1 s of sound.
    """
    whisper = asr.load(recogniser).whisper
    mel = whisper.feature_extractor(samples)
    mel = mel[:, : mel.shape[1] // ALIGNED_FRAMES * ALIGNED_FRAMES]
    if not mel.shape[1]:
        raise ValueError(f"samples: {len(samples)}, expected at least 0.1 s of sound")
    total, count = np.zeros(DIM), 0
    window = WINDOW_SECONDS * FRAMES_PER_SECOND
    for first in range(0, mel.shape[1], window):
        part = np.ascontiguousarray(mel[:, first : first + window])
        states = np.array(whisper.encode(part), np.float64)[0]  # (steps, dim)
        total += states.sum(axis=0)
        count += len(states)
    return (total / count).astype(np.float32)
