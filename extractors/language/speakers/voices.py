"""Embeddings of voices: windows of speech as unit vectors, near each other where one person speaks."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from extractors.assets.registry import asset
from extractors.language.speakers import mel
from extractors.media.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from extractors.language.speakers.network import VoiceNetwork

WINDOW_SECONDS = 1.5  # of speech that an embedding describes
WINDOW = round(WINDOW_SECONDS * SAMPLE_RATE)  # samples
BATCH = 16  # windows that the network reads at once
LEAST_LENGTH = 1e-9  # of a vector that is divided by it

_lock = threading.Lock()


def _network() -> VoiceNetwork:
    with _lock:
        return _load()


@functools.cache
def _load() -> VoiceNetwork:
    import torch

    from extractors.language.speakers.network import VoiceNetwork

    # Its bytes are the publisher's, as `asset` has hashed them, and nothing but tensors is read from them.
    weights = torch.load(asset("voices"), map_location="cpu", weights_only=True)
    network = VoiceNetwork()
    network.load_state_dict(weights)
    return network.eval()


def embed(windows: Sequence[Float32[np.ndarray, " _"]]) -> Float32[np.ndarray, "windows dim"]:
    """Return the embedding of each window, of length 1.

    Args:
        windows: At least one, mono at `SAMPLE_RATE`; one shorter than `WINDOW` is repeated until it is as long.

    Raises:
        AssetError: If the model file cannot be had.
    """
    import torch

    network, found = _network(), []
    with torch.inference_mode():
        for first in range(0, len(windows), BATCH):
            mels = [mel.spectrogram(np.resize(window, WINDOW)) for window in windows[first : first + BATCH]]
            found.append(network(torch.from_numpy(np.stack(mels))).numpy())
    vectors = np.concatenate(found)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), LEAST_LENGTH), np.float32)
