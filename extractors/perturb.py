"""A clip's features with a worse sound, or with fewer words: extracted anew, as if the clip had come like that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from safetensors import safe_open
from safetensors.numpy import save_file

from extractors.audio import acoustic
from extractors.language import word_features
from extractors.language.text_encoder import ENCODER
from extractors.media import probe
from extractors.media.probe import LIMITS, Limits
from extractors.messages import Message
from extractors.schema import ModalityFeatures, Word

ARRAYS = ("values", "start", "end", "valid")


def add_noise(samples: Float32[np.ndarray, " samples"], *, snr_db: float, seed: int) -> Float32[np.ndarray, " samples"]:
    """Add white noise.

    Args:
        samples: Sound, full scale 1.
        snr_db: Ratio of the sound's mean power, pauses included, to the noise's.
        seed: The same seed, the same noise.

    Returns:
        Louder than full scale where the two add up: nothing is clipped, which would be another damage. Silence stays
        silence, as there is no ratio to it.

    Raises:
        ValueError: If the ratio is not finite.
    """
    if not np.isfinite(snr_db):
        raise ValueError(f"snr_db: {snr_db}, expected a finite number of decibels")
    power = np.square(samples, dtype=np.float64).mean() if len(samples) else 0.0
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    return (samples + np.sqrt(power / 10 ** (snr_db / 10)) * noise).astype(np.float32)


def noisy_voices(
    path: Path | str, *, snr_db: float, seeds: Sequence[int], limits: Limits = LIMITS
) -> Iterator[ModalityFeatures]:
    """Measure a clip's voice under white noise, once per seed.

    Args:
        path: A clip.
        snr_db: As in `add_noise`.
        seeds: One voice each, in order.
        limits: As in `media.decode_audio`.

    Raises:
        MediaError: If the sound cannot be decoded.
    """
    sound = probe.decode_audio(path, limits)
    for seed in seeds:
        if sound is None:
            yield ModalityFeatures.missing(Message("no_audio_stream"), acoustic.SCHEMA.dim)
        else:
            noisy = add_noise(sound.samples, snr_db=snr_db, seed=seed)
            yield acoustic.from_waveform(noisy, start=sound.start)


def reread(
    words: Sequence[Word], kept: Sequence[Bool[np.ndarray, " words"]], *, encoder: str = ENCODER
) -> Iterator[ModalityFeatures]:
    """Read a transcript again without some of its words: the others no longer know of them.

    Args:
        words: In time order.
        kept: Which words are left, once per reading.
        encoder: As in `text_encoder.load`.

    Returns:
        Per reading one step per word that is left.

    Raises:
        AssetError: If the model files cannot be had.
    """
    for mask in kept:
        yield word_features.from_words(
            [word for word, there in zip(words, mask, strict=True) if there], encoder=encoder
        )


def save(readings: Sequence[ModalityFeatures], path: Path) -> None:
    """Write features of one modality, several times over, as a safetensors file."""
    tensors = {f"{place}.{name}": getattr(each, name) for place, each in enumerate(readings) for name in ARRAYS}
    absent = [each.absent and each.absent.to_dict() for each in readings]
    save_file(tensors, path, {"absent": json.dumps(absent)})


def load(path: Path) -> list[ModalityFeatures]:
    """Inverse of `save`."""
    with safe_open(path, framework="numpy") as file:
        return [
            ModalityFeatures(
                **{name: file.get_tensor(f"{place}.{name}") for name in ARRAYS},
                absent=None if reason is None else Message.from_dict(reason),
            )
            for place, reason in enumerate(json.loads(file.metadata()["absent"]))
        ]
