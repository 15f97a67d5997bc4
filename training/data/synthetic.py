"""A dataset with a known answer: each frame belongs to one word by content, and only both decide the label.

Every step is a key, which says what it is about, and a value of +1 or -1, in columns that words and frames share. A
clip has as many frames as words; each word has one frame with its key, and the frames stand in random order. Half of
the words have the value +1, and half of the frames. The sentiment is the agreement of frames with their words: the mean
product of their values, in units that run from -3 to 3 (with six words: -3, -1, 1 or 3).

So neither modality alone is informative, nor are means or positions: a model that does not match frames to words by
content has to guess. Matching takes a common space in which similar content is close; argmin has no gradient, so only
the global alignment (MMD) can teach it to the encoders, from clips whose frames and words are about the same things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from alignmamba.modality import Modality
from alignmamba.prediction import SCORE_LIMIT
from training.data.datasets import Dataset, Example, as_steps

KEY_COLUMNS = 16  # of a step, each about 1 in size
VALUE_COLUMNS = 2  # of the same number each: few, so that a frame is closer to its word than to words of its value
NOISE = 0.1  # standard deviation, added to every column
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


@dataclass(frozen=True, kw_only=True)
class Planted(Dataset):
    """The dataset and its answer.

    Attributes:
        word_of: Per example id the word of each frame, counted from 0.
    """

    word_of: Mapping[str, tuple[int, ...]]


def make_planted(*, seed: int, count: int, words: int = 6) -> Planted:
    """Make the dataset; the same seed makes the same.

    Args:
        seed: Of everything drawn.
        count: Clips, at least 10; 80 % train, 10 % validate, 10 % test.
        words: Per clip, and frames: twice an odd number, so that no clip has a sentiment of zero.

    Returns:
        Dataset of level "clip" with words and face only.

    Raises:
        ValueError: If there are too few clips, or words do not divide into two odd halves.
    """
    if words < 2 or words % 4 != 2:
        raise ValueError(f"words: {words}, expected 2, 6, 10, ...: twice an odd number")
    if count < 10:
        raise ValueError(f"count: {count}, expected at least 10")
    rng = np.random.default_rng(seed)
    examples, word_of = [], {}
    for number in range(count):
        example, answer = _clip(f"planted-{number}", words, rng)
        examples.append(example)
        word_of[example.id] = answer
    first, second = (round(count * share) for share in (SHARES["train"], SHARES["train"] + SHARES["valid"]))
    splits = {"train": examples[:first], "valid": examples[first:second], "test": examples[second:]}
    return Planted(
        name="planted",
        level="clip",
        splits={split: tuple(part) for split, part in splits.items()},
        data_sha256={},
        notes=(f"made up with seed {seed}: {count} clips of {words} words and as many frames",),
        word_of=word_of,
    )


def spread(planted: Planted, columns: int, *, seed: int) -> Planted:
    """The dataset with words spread over more columns by a random rotation: wide as embeddings are, and as informative.

    Args:
        planted: With fewer columns a word.
        columns: Of a word afterwards, each about as large as before.
        seed: Of the rotation.
    """
    narrow = planted.dims[Modality.LANGUAGE]
    drawn = np.random.default_rng(seed).normal(size=(columns, narrow))
    rotation = np.linalg.qr(drawn)[0].T * np.sqrt(columns / narrow)  # (narrow, columns)

    def wide(example: Example) -> Example:
        words = example.clip[Modality.LANGUAGE]
        values = torch.from_numpy((words.values.numpy() @ rotation).astype(np.float32))
        return replace(example, clip={**example.clip, Modality.LANGUAGE: words._replace(values=values)})

    return replace(planted, splits={name: tuple(map(wide, part)) for name, part in planted.splits.items()})


def _clip(name: str, words: int, rng: np.random.Generator) -> tuple[Example, tuple[int, ...]]:
    keys = rng.normal(size=(words, KEY_COLUMNS))
    keys *= np.sqrt(KEY_COLUMNS) / np.linalg.norm(keys, axis=1, keepdims=True)
    word_of = rng.permutation(words)
    said, shown = (rng.permutation(np.resize([1.0, -1.0], words)) for _ in range(2))
    clip = {
        Modality.VIDEO: as_steps(_steps(keys[word_of], shown, rng)),
        Modality.LANGUAGE: as_steps(_steps(keys, said, rng)),
    }
    score = np.array([SCORE_LIMIT * np.mean(shown * said[word_of])], np.float32)
    return Example(id=name, clip=clip, score=score), tuple(word_of.tolist())


def _steps(
    keys: Float[np.ndarray, "time keys"], values: Float[np.ndarray, " time"], rng: np.random.Generator
) -> Float[np.ndarray, "time columns"]:
    """Rows of a key and a value, with noise."""
    rows = np.concatenate([keys, np.repeat(values[:, None], VALUE_COLUMNS, axis=1)], axis=1)
    return rows + rng.normal(0, NOISE, rows.shape)
