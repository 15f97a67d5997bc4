"""A dataset with a known answer: a word and a frame belong together by content, and only together they tell the label.

Every step is a key, which says what it is about, and a value, in columns that words and frames share. Each frame is
about one word of its clip, in random order. Words carry values of +1 and -1, half of each. One frame, the planted one,
carries +1 or -1 too; the other frames carry nothing. The sentiment is the product of the planted frame's value and the
value of its word: the same face means one thing over one word and the opposite over another.

So neither sense alone tells anything, nor do their means, nor the place of the frame: who does not carry the frame to
its word by content has to guess. What it takes to find the word is a common space, in which content is close to like
content; argmin has no gradient, so only the global alignment (MMD) can teach it to the encoders, from clips whose
frames and words are about the same things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from alignmamba.modality import Modality
from training.datasets import Dataset, Example, as_steps

import os
KEY_COLUMNS = int(os.environ.get('KC',16))  # of a step, each about 1 in size
VALUE_COLUMNS = int(os.environ.get('VC',2))  # hold the same number, so that a value weighs as much as a key
NOISE = 0.1  # standard deviation, added to every column
LABEL = 3.0  # score units: sentiment of a clip is plus or minus this
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


@dataclass(frozen=True, kw_only=True)
class Planted(Dataset):
    """The dataset and its answer.

    Attributes:
        pairs: Per example id the planted frame and its word, counted from 0.
    """

    pairs: Mapping[str, tuple[int, int]]


def make_planted(*, seed: int, count: int, words: int = 6, frames: int = 6) -> Planted:
    """Make the dataset; the same seed makes the same.

    Args:
        seed: Of everything drawn.
        count: Clips; 80 % train, 10 % validate, 10 % test.
        words: Per clip, an even number.
        frames: Per clip, at least one per word, so that no word is told by having none.

    Returns:
        Level "clip", words and face only.

    Raises:
        ValueError: If a number is too small, or words are odd.
    """
    if words < 2 or words % 2:
        raise ValueError(f"words: {words}, expected an even number from 2")
    if frames < words:
        raise ValueError(f"frames: {frames}, expected at least one per word = {words}")
    if count < 10:
        raise ValueError(f"count: {count}, expected at least 10")
    rng = np.random.default_rng(seed)
    examples, pairs = [], {}
    for number in range(count):
        example, pair = _clip(f"planted-{number}", words, rng)
        examples.append(example)
        pairs[example.id] = pair
    first, second = (round(count * share) for share in (SHARES["train"], SHARES["train"] + SHARES["valid"]))
    splits = {"train": examples[:first], "valid": examples[first:second], "test": examples[second:]}
    return Planted(
        name="planted",
        level="clip",
        splits={split: tuple(part) for split, part in splits.items()},
        data_sha256={},
        notes=(f"made up with seed {seed}: {count} clips of {words} words and {frames} frames",),
        pairs=pairs,
    )


def _clip(name: str, words: int, rng: np.random.Generator) -> tuple[Example, tuple[int, ...]]:
    keys = rng.normal(size=(words, KEY_COLUMNS))
    keys *= np.sqrt(KEY_COLUMNS) / np.linalg.norm(keys, axis=1, keepdims=True)
    word_of = rng.permutation(words)
    said, shown = (rng.permutation(np.resize([1.0, -1.0], words)) for _ in range(2))
    clip = {
        Modality.VIDEO: as_steps(_steps(keys[word_of], shown, rng)),
        Modality.LANGUAGE: as_steps(_steps(keys, said, rng)),
    }
    score = np.array([LABEL * np.mean(shown * said[word_of])], np.float32)
    return Example(id=name, clip=clip, score=score), tuple(word_of.tolist())


def _steps(
    keys: Float[np.ndarray, "time keys"], values: Float[np.ndarray, " time"], rng: np.random.Generator
) -> Float[np.ndarray, "time columns"]:
    """Rows of a key and a value, with noise."""
    rows = np.concatenate([keys, np.repeat(values[:, None], VALUE_COLUMNS, axis=1)], axis=1)
    return rows + rng.normal(0, NOISE, rows.shape)
