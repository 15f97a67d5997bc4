"""Mean encoder state of Whisper over a clip: what its speech recogniser makes of the sound before any word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float32

from extractors.audio import quality
from extractors.audio.columns import ClipState
from extractors.language import asr
from extractors.media.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from ctranslate2 import StorageView

DIM = 512  # of Whisper base's encoder
NAMES = tuple(f"whisper_state_{index:03d}" for index in range(DIM))
"""Columns, of no unit and no meaning of their own."""
FRAMES_PER_SECOND = 100  # of the mel spectrogram
WINDOW_SECONDS = 30  # that Whisper was trained on; longer sound is read in windows
BLOCK_SAMPLES = 4 * WINDOW_SECONDS * SAMPLE_RATE  # of which a spectrogram is made at once
ALIGNED_FRAMES = 10  # spectrograms are cut to a multiple of this
PIECE = FRAMES_PER_SECOND // 4  # states of half a second: the encoder halves the rate of its frames
MIN_SAMPLES = ALIGNED_FRAMES * SAMPLE_RATE // FRAMES_PER_SECOND


class States(NamedTuple):
    """Mean encoder states of a clip, and of each half second of it."""

    mean: Float32[np.ndarray, " dim"]
    pieces: Float32[np.ndarray, "pieces dim"]


def mean_state(
    samples: Float32[np.ndarray, " samples"], *, recogniser: str = asr.RECOGNISER
) -> Float32[np.ndarray, " dim"]:
    """Return `read`'s mean over the clip only."""
    return read(samples, recogniser=recogniser).mean


def read(samples: Float32[np.ndarray, " samples"], *, recogniser: str = asr.RECOGNISER) -> States:
    """Average the encoder's states over a clip; windows count by their length, and quiet sound is raised first.

    Args:
        samples: Mono at 16 kHz, full scale 1; less than 0.1 s is followed by silence.
        recogniser: As in `asr.load`.

    Raises:
        AssetError: If the model files cannot be had.
        ValueError: If the recogniser's states are not `DIM` wide.
    """
    whisper = asr.load(recogniser).whisper
    samples = quality.raised(samples)
    samples = np.pad(samples, (0, max(0, MIN_SAMPLES - len(samples))))
    total, count, pieces = np.zeros(DIM), 0, []
    for part in _windows(samples, whisper.feature_extractor):
        states = np.array(_in_memory(whisper.encode(part)), np.float64)[0]  # (steps, dim)
        if states.shape[1] != DIM:
            raise ValueError(f"recogniser: {recogniser!r} has states of {states.shape[1]} numbers, expected {DIM}")
        total += states.sum(axis=0)
        count += len(states)
        pieces += [states[first : first + PIECE].mean(axis=0) for first in range(0, len(states), PIECE)]
    return States((total / count).astype(np.float32), np.array(pieces, np.float32))


def _in_memory(encoded: StorageView) -> StorageView:
    """Copy what an encoder returns, which may be on a GPU and in half precision, to where NumPy can read it."""
    from ctranslate2 import DataType, Device

    return encoded.to(DataType.float32).to_device(Device.cpu)


def _windows(
    samples: Float32[np.ndarray, " samples"], spectrogram: Callable[[np.ndarray], np.ndarray]
) -> Iterator[Float32[np.ndarray, "mels frames"]]:
    """Yield windows of the spectrogram, which is made block by block: a long clip needs no more memory."""
    window = WINDOW_SECONDS * FRAMES_PER_SECOND
    for begin in range(0, len(samples), BLOCK_SAMPLES):
        block = samples[begin : begin + BLOCK_SAMPLES]
        if begin and len(block) < MIN_SAMPLES:
            return
        mel = spectrogram(block)
        mel = mel[:, : mel.shape[1] // ALIGNED_FRAMES * ALIGNED_FRAMES]
        for first in range(0, mel.shape[1], window):
            yield np.ascontiguousarray(mel[:, first : first + window])


def clip_state(recogniser: str = asr.RECOGNISER) -> ClipState:
    """Return `read`'s mean as columns of the audio features.

    Args:
        recogniser: As in `asr.load`.

    Raises:
        AssetError: If a recogniser of one's own cannot be read.
    """

    def describe(samples: Float32[np.ndarray, " samples"]) -> States:
        return read(samples, recogniser=recogniser)

    name = f"mean state of Whisper's encoder by faster-whisper {version('faster-whisper')}"
    weights = asr.fingerprint(recogniser)[asr.NEEDED[0]]
    return ClipState(extractor=name, sha256=weights, columns=NAMES, describe=describe)
