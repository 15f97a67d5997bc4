"""Labelled examples with modalities missing, by the protocols of `alignmamba.evaluation.missing`.

Each result carries the name of its protocol: random per sample, fixed (the same modalities of every sample, one of
seven subsets), or within modality (single steps are lost, another task, never to be compared with the others).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from alignmamba.batch import ModalitySteps
from alignmamba.evaluation.missing import draw_kept_steps, draw_masks, reached_rate
from alignmamba.modality import MODALITIES, Modality
from training.data.datasets import Example


class Masked(NamedTuple):
    """Examples with modalities or steps missing, and the protocol that removed them.

    Attributes:
        name: Name of the protocol, for every table and file that shows a number measured on them.
        reached_rate: Share that is missing: of modalities, or of steps within them.
        examples: In the order given.
        left_out: Ids of examples that never had any of the kept modalities.
    """

    name: str
    reached_rate: float
    examples: tuple[Example, ...]
    left_out: tuple[str, ...] = ()


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
    present = _present(examples)
    counts = [len(example.score) for example in examples]
    masks = draw_masks(sum(counts), rate, seed, modalities=present)
    among = "" if len(present) == len(MODALITIES) else f" of {_letters(present)}"
    name = f"random per sample{among}, rate {rate:g}"
    return _applied(name, examples, np.split(masks, np.cumsum(counts)[:-1]), present)


def fixed(examples: Sequence[Example], kept: Iterable[Modality]) -> Masked:
    """Keep the same modalities of every example.

    Raises:
        ValueError: If none is kept, or one that no example has.
    """
    chosen, present = frozenset(kept), _present(examples)
    if not chosen or not chosen <= set(present):
        raise ValueError(f"kept: {sorted(chosen)}, expected some of {[str(modality) for modality in present]}")
    row = np.array([modality in chosen for modality in MODALITIES])
    masks = [np.tile(row, (len(example.score), 1)) for example in examples]
    return _applied(f"fixed: {_letters(chosen)}", examples, masks, present)


def within(examples: Sequence[Example], *, rate: float, seed: int) -> Masked:
    """Lose steps within modalities, each with the same chance; one step of a clip is always kept.

    A lost step is zeroed and masked.

    Raises:
        ValueError: If the rate is not a share below 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: {rate}, expected a share in [0, 1)")
    rng = np.random.default_rng(seed)
    masked, had, has = [], 0, 0
    for example in examples:
        valid = {modality: steps.mask.numpy() for modality, steps in example.clip.items()}
        kept = draw_kept_steps(valid, rate=rate, rng=rng)
        clip = {modality: _masked(steps, kept[modality]) for modality, steps in example.clip.items()}
        had += sum(int(steps.sum()) for steps in valid.values())
        has += sum(int(steps.mask.sum()) for steps in clip.values())
        masked.append(Example(id=example.id, clip=clip, score=example.score))
    return Masked(f"within modality, rate {rate:g}", 1 - has / had, tuple(masked))


def fill(example: Example) -> Example:
    """Put all modalities on one grid, for models that read labels step by step.

    Masked steps are zeros with a mask of True, and one more column flags whether the step was there (1) or not (0).

    Raises:
        ValueError: If a modality lacks steps that labels have.
    """
    clip = {}
    for modality in MODALITIES:
        if modality not in example.clip or not _by_step(example):
            found = {str(modality): len(steps.mask) for modality, steps in example.clip.items()}
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


def _present(examples: Sequence[Example]) -> list[Modality]:
    return [modality for modality in MODALITIES if any(modality in example.clip for example in examples)]


def _letters(modalities: Iterable[Modality]) -> str:
    chosen = frozenset(modalities)
    return " ".join(modality.letter for modality in reversed(MODALITIES) if modality in chosen)  # l v a, as papers do


def _applied(
    name: str, examples: Sequence[Example], masks: Sequence[np.ndarray], present: Sequence[Modality]
) -> Masked:
    made = [apply(example, mask) for example, mask in zip(examples, masks, strict=True)]
    left = [any(steps.mask.any() for steps in example.clip.values()) for example in made]
    kept = tuple(example for example, there in zip(made, left, strict=True) if there)
    left_out = tuple(example.id for example, there in zip(made, left, strict=True) if not there)
    return Masked(name, reached_rate(np.concatenate(masks), modalities=present), kept, left_out)
