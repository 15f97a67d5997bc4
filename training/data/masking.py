"""Protocols of missing modalities, as the field tests them; each result carries the name of its own.

Missing rate MR = 1 - (available modalities) / (3 N). Every label keeps at least one modality, so MR is at most 2/3,
which papers print as 70 %.

* random per sample: one modality is kept, drawn evenly, and each other one with p = (3 (1 - MR) - 1) / 2: the limit of
  the procedure that GCNet publishes (Lian et al., TPAMI 2023). Masks are frozen by a seed.
* fixed: the same modalities of every sample, one of seven sets.
* within modality: single steps are lost, not senses (TFR-Net, LNLN): another task, never to be compared with these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from alignmamba.batch import ModalitySteps
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from training.data.datasets import Example

__all__ = ["RATES", "SUBSETS", "Masked", "apply", "fill", "fixed", "random", "random_masks", "reached_rate", "within"]

PRINTED_MAX = 0.7  # how papers write 2/3, the maximum
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, PRINTED_MAX)


class Masked(NamedTuple):
    """Examples of which something is missing.

    Attributes:
        name: Of the protocol, for every table and file that shows a number measured on them.
        reached_rate: Share that is really missing: of modalities, or of steps within them.
        examples: In the order given.
        left_out: Ids of examples of which nothing would be left, because they never had what is kept.
    """

    name: str
    reached_rate: float
    examples: tuple[Example, ...]
    left_out: tuple[str, ...] = ()


def random_masks(
    count: int, rate: float, seed: int, *, modalities: Sequence[Modality] = MODALITIES
) -> Bool[np.ndarray, "{count} 3"]:
    """Which modalities of each sample are there, in the order of `MODALITIES`; at least one always.

    Args:
        count: Samples.
        rate: Missing rate from 0 to 2/3; .7 is the name that papers give to 2/3.
        seed: The same seed gives the same masks.
        modalities: Those that the data has; of M, the rate can reach 1 - 1/M.

    Raises:
        ValueError: If the rate cannot be reached.
    """
    senses = len(modalities)
    most = 1 - 1 / senses
    if rate == PRINTED_MAX and senses == len(MODALITIES):
        rate = most
    if not 0 <= rate <= most:
        printed = " (.7, as papers print it)" if senses == len(MODALITIES) else ""
        raise ValueError(f"rate: {rate}, expected 0 to {most:.3f}{printed}: a sample keeps one modality of {senses}")
    rng = np.random.default_rng(seed)
    chance = max(0.0, (senses * (1 - rate) - 1) / (senses - 1)) if senses > 1 else 0.0
    drawn = rng.random((count, senses)) < chance
    drawn[np.arange(count), rng.integers(senses, size=count)] = True
    masks = np.zeros((count, len(MODALITIES)), bool)
    masks[:, [MODALITIES.index(modality) for modality in modalities]] = drawn
    return masks


def reached_rate(masks: Bool[np.ndarray, "count 3"], *, modalities: Sequence[Modality] = MODALITIES) -> float:
    """Missing rate of given masks, counted over the modalities that the data has."""
    return float(1 - masks[:, [MODALITIES.index(modality) for modality in modalities]].mean())


def apply(example: Example, available: Bool[np.ndarray, "labels 3"]) -> Example:
    """Take modalities away.

    Args:
        example: Of either level.
        available: Per label, in the order of `MODALITIES`. Where each label has a step of its own, in all modalities,
            the steps of what is missing are masked and zeroed; where one label stands for a clip, the modality is
            taken out of it.

    Raises:
        ValueError: If the mask does not fit the labels.
    """
    if len(available) != len(example.score):
        raise ValueError(f"available: {len(available)} rows for {len(example.score)} labels of {example.id}")
    clip = {}
    by_step = _by_step(example)
    for modality, steps in example.clip.items():
        kept = available[:, MODALITIES.index(modality)]
        if by_step:
            clip[modality] = _masked(steps, kept)
        elif kept[0]:
            clip[modality] = steps
    return Example(id=example.id, clip=clip, score=example.score)


def random(examples: Sequence[Example], *, rate: float, seed: int) -> Masked:
    """Take modalities away at random, per label; of those that some example has.

    Raises:
        ValueError: If the rate cannot be reached.
    """
    senses = _senses(examples)
    counts = [len(example.score) for example in examples]
    masks = random_masks(sum(counts), rate, seed, modalities=senses)
    among = "" if len(senses) == len(MODALITIES) else f" of {_letters(senses)}"
    name = f"random per sample{among}, rate {rate:g}"
    return _applied(name, examples, np.split(masks, np.cumsum(counts)[:-1]), senses)


def fixed(examples: Sequence[Example], kept: Iterable[Modality]) -> Masked:
    """Keep the same modalities of every example.

    Raises:
        ValueError: If none is kept, or one that no example has.
    """
    chosen, senses = frozenset(kept), _senses(examples)
    if not chosen or not chosen <= set(senses):
        raise ValueError(f"kept: {sorted(chosen)}, expected some of {[str(modality) for modality in senses]}")
    row = np.array([modality in chosen for modality in MODALITIES])
    masks = [np.tile(row, (len(example.score), 1)) for example in examples]
    return _applied(f"fixed: {_letters(chosen)}", examples, masks, senses)


def within(examples: Sequence[Example], *, rate: float, seed: int) -> Masked:
    """Lose steps within modalities, each with the same chance; one step of a clip is always kept.

    A lost step is zeroed and masked: a word is unknown then, a frame or a moment of voice is not seen or heard.

    Raises:
        ValueError: If the rate is not a share below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: {rate}, expected a share in [0, 1)")
    rng = np.random.default_rng(seed)
    masked, had, has = [], 0, 0
    for example in examples:
        kept = {modality: rng.random(len(steps.mask)) >= rate for modality, steps in example.clip.items()}
        valid = [(modality, step) for modality, steps in example.clip.items() for step in np.flatnonzero(steps.mask)]
        modality, step = valid[rng.integers(len(valid))]
        if not any(kept[sense][place] for sense, place in valid):
            kept[modality][step] = True
        clip = {modality: _masked(steps, kept[modality]) for modality, steps in example.clip.items()}
        had += len(valid)
        has += sum(int(steps.mask.sum()) for steps in clip.values())
        masked.append(Example(id=example.id, clip=clip, score=example.score))
    return Masked(f"within modality, rate {rate:g}", 1 - has / had, tuple(masked))


def fill(example: Example) -> Example:
    """All modalities on one grid, for models that read labels step by step.

    Masked steps are zeros with a mask of True, and one more column says whether the step was there (1) or not (0).

    Raises:
        ValueError: If a modality lacks steps that labels have.
    """
    clip = {}
    for modality in MODALITIES:
        if modality not in example.clip or not _by_step(example):
            found = {str(sense): len(steps.mask) for sense, steps in example.clip.items()}
            raise ValueError(f"{example.id}: steps {found}, expected {len(example.score)} in each of {MODALITIES}")
        values, mask, seconds = example.clip[modality]
        known = mask[:, None].to(values.dtype)
        clip[modality] = ModalitySteps(torch.cat([values * known, known], 1), torch.ones_like(mask), seconds)
    return Example(id=example.id, clip=clip, score=example.score)


def _by_step(example: Example) -> bool:
    return all(len(steps.mask) == len(example.score) for steps in example.clip.values())


def _masked(steps: ModalitySteps, kept: Bool[np.ndarray, " time"]) -> ModalitySteps:
    mask = steps.mask & torch.from_numpy(kept)
    return ModalitySteps(steps.values * mask[:, None], mask, steps.seconds)


def _senses(examples: Sequence[Example]) -> list[Modality]:
    return [modality for modality in MODALITIES if any(modality in example.clip for example in examples)]


def _letters(modalities: Iterable[Modality]) -> str:
    chosen = frozenset(modalities)
    return " ".join(modality.letter for modality in reversed(MODALITIES) if modality in chosen)  # l v a, as papers do


def _applied(name: str, examples: Sequence[Example], masks: Sequence[np.ndarray], senses: Sequence[Modality]) -> Masked:
    made = [apply(example, mask) for example, mask in zip(examples, masks, strict=True)]
    left = [any(steps.mask.any() for steps in example.clip.values()) for example in made]
    kept = tuple(example for example, there in zip(made, left, strict=True) if there)
    left_out = tuple(example.id for example, there in zip(made, left, strict=True) if not there)
    return Masked(name, reached_rate(np.concatenate(masks), modalities=senses), kept, left_out)
