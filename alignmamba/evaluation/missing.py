"""Protocols of missing modalities: rates, draws, and what remains of a clip and of its score.

Missing rate MR = 1 - (available modalities) / (M N) over N samples of M modalities. A sample keeps at least one, so MR
is at most 1 - 1/M: 2/3 for three modalities, which papers print as 70 %.

* random per sample: one modality is kept, drawn evenly, and each other one with p = (M (1 - MR) - 1) / (M - 1): the
  limit of the procedure that GCNet publishes (Lian et al., TPAMI 2023). Masks are frozen by a seed.
* within modality: single steps are lost, not modalities (TFR-Net, LNLN). A different task: never compare the two.

`training.data.masking` applies the same draws to labelled examples, so a clip on screen and a test set lose alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from alignmamba.modality import MODALITIES, Modality
from alignmamba.prediction import Features
from alignmamba.predictor import Predictor

PRINTED_MAX = 0.7  # how papers write 2/3, the maximum for three modalities
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, PRINTED_MAX)  # missing rates of the field's tables
LOST = "all of it was dropped"  # why a modality is absent that the clip had


class Expected(NamedTuple):
    """Mean and standard deviation over the subsets that a missing rate may draw."""

    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class PartSteps:
    """Steps of a modality of which some may be lost; has what `extractors.schema.ModalityFeatures` has."""

    values: Float[np.ndarray, "steps dim"]
    start: Float[np.ndarray, " steps"]
    end: Float[np.ndarray, " steps"]
    valid: Bool[np.ndarray, " steps"]
    absent: object | None


@dataclass(frozen=True, kw_only=True)
class PartFeatures:
    """A clip that lost steps: features for `Predictor.set_clip`."""

    schema: Any
    steps: Mapping[str, Any]

    def modality(self, name: str) -> Any:
        """Steps of one modality."""
        return self.steps[name]


def max_rate(modalities: Collection[Modality] = MODALITIES) -> float:
    """Largest missing rate: one modality of M is always kept, so 1 - 1/M."""
    return 1 - 1 / len(modalities)


def exact_rate(rate: float, *, modalities: Collection[Modality] = MODALITIES) -> float:
    """The missing rate that a printed one stands for: PRINTED_MAX is 2/3 for three modalities, others are themselves.

    >>> exact_rate(0.7), exact_rate(0.3)
    (0.6666666666666667, 0.3)
    """
    return max_rate(modalities) if rate == PRINTED_MAX and len(modalities) == len(MODALITIES) else rate


def keep_chance(rate: float, *, modalities: Collection[Modality] = MODALITIES) -> float:
    """Chance that a modality is there beside the one that is always kept: p = (M (1 - rate) - 1) / (M - 1).

    Args:
        rate: Missing rate, from 0 to 1 - 1/M.
        modalities: The M modalities that there are.

    Raises:
        ValueError: If the rate cannot be reached.

    >>> round(keep_chance(0.4), 2)
    0.4
    """
    count = len(modalities)
    if not 0 <= rate <= max_rate(modalities) + 1e-12:
        raise ValueError(
            f"rate: {rate}, expected 0 to {max_rate(modalities):.3f}: a sample keeps one modality of {count}"
        )
    return max(0.0, (count * (1 - rate) - 1) / (count - 1)) if count > 1 else 0.0


def subset_chances(rate: float, *, modalities: Collection[Modality] = MODALITIES) -> dict[frozenset[Modality], float]:
    """How often a missing rate draws each subset.

    One of M modalities is kept, drawn evenly, each other one with p (`keep_chance`), so a subset of k modalities is
    drawn with k/M p^(k-1) (1-p)^(M-k).

    Args:
        rate: As in `keep_chance`.
        modalities: As in `keep_chance`.

    Returns:
        Every non-empty subset with its chance; they sum to 1.

    Raises:
        ValueError: If the rate cannot be reached.

    >>> chances = subset_chances(0.5)
    >>> chances[frozenset(MODALITIES)], sum(chances.values())
    (0.0625, 1.0)
    """
    count, chance = len(modalities), keep_chance(rate, modalities=modalities)
    return {
        frozenset(chosen): size / count * chance ** (size - 1) * (1 - chance) ** (count - size)
        for size in range(count, 0, -1)
        for chosen in combinations(_ordered(modalities), size)
    }


def expected(
    rate: float, values: Mapping[frozenset[Modality], float], *, modalities: Collection[Modality] = MODALITIES
) -> Expected:
    """Mean and standard deviation, at a missing rate, of values known per subset; exact, nothing is drawn.

    Right for a clip's scores, and for accuracies and mean absolute errors over a test set, because what is missing does
    not depend on the clip. Wrong for F1 and correlations, which are not means over clips.

    Args:
        rate: As in `keep_chance`.
        values: Per subset; those that the rate cannot draw may be left out.
        modalities: As in `keep_chance`.

    Raises:
        ValueError: If the rate cannot be reached, or a subset that it draws has no value.

    >>> expected(0.0, {frozenset(MODALITIES): 1.5})
    Expected(mean=1.5, std=0.0)
    """
    chances = {subset: share for subset, share in subset_chances(rate, modalities=modalities).items() if share > 0}
    if lacking := [sorted(subset) for subset in chances if subset not in values]:
        raise ValueError(f"values: none for {lacking}, expected one per subset that the rate draws")
    shares = np.array(list(chances.values()))
    numbers = np.array([values[subset] for subset in chances])
    mean = float(shares @ numbers)
    return Expected(mean, float(np.sqrt(max(0.0, float(shares @ (numbers - mean) ** 2)))))


def draw_masks(
    count: int, rate: float, seed: int, *, modalities: Collection[Modality] = MODALITIES
) -> Bool[np.ndarray, "{count} 3"]:
    """Draw which modalities each sample of a test set keeps; at least one always.

    Args:
        count: Samples.
        rate: Missing rate from 0 to 1 - 1/M; with three modalities also PRINTED_MAX, the printed name of 2/3.
        seed: The same seed gives the same masks.
        modalities: The M modalities that the data has.

    Returns:
        Masks in the order of `MODALITIES`; False for a modality that the data does not have.

    Raises:
        ValueError: If the rate cannot be reached.

    >>> draw_masks(2, rate=0.4, seed=1111).tolist()
    [[False, True, False], [False, True, False]]
    """
    there = _ordered(modalities)
    masks = np.zeros((count, len(MODALITIES)), bool)
    columns = [MODALITIES.index(modality) for modality in there]
    masks[:, columns] = _draw(count, exact_rate(rate, modalities=there), seed, there)
    return masks


def draw_subset(rate: float, seed: int, *, modalities: Collection[Modality] = MODALITIES) -> frozenset[Modality]:
    """Draw what a missing rate leaves of one clip; the same seed, the same subset.

    Raises:
        ValueError: If the rate cannot be reached.

    >>> sorted(str(modality) for modality in draw_subset(0.4, seed=4))
    ['language']
    """
    there = _ordered(modalities)
    (kept,) = _draw(1, rate, seed, there)
    return frozenset(modality for modality, drawn in zip(there, kept, strict=True) if drawn)


def _draw(count: int, rate: float, seed: int, modalities: Sequence[Modality]) -> Bool[np.ndarray, "{count} modalities"]:
    rng, chance = np.random.default_rng(seed), keep_chance(rate, modalities=modalities)
    kept = rng.random((count, len(modalities))) < chance
    kept[np.arange(count), rng.integers(len(modalities), size=count)] = True
    return kept


def reached_rate(masks: Bool[np.ndarray, "count 3"], *, modalities: Collection[Modality] = MODALITIES) -> float:
    """Missing rate of given masks, counted over the modalities that the data has.

    >>> round(reached_rate(draw_masks(1000, rate=0.4, seed=1)), 1)
    0.4
    """
    return float(1 - masks[:, [MODALITIES.index(modality) for modality in _ordered(modalities)]].mean())


def draw_kept_steps(
    valid: Mapping[Modality, Bool[np.ndarray, " _steps"]],
    *,
    rate: float,
    rng: np.random.Generator,
    within: Collection[Modality] = MODALITIES,
) -> dict[Modality, Bool[np.ndarray, " _steps"]]:
    """Draw which steps of a clip are kept; of the whole clip at least one valid step always is.

    Args:
        valid: Which steps are valid, per modality that the clip has.
        rate: Chance of each step to be lost, from 0 to 1.
        rng: Advances by as many draws as the clip has steps, and one more.
        within: Modalities that lose steps.

    Returns:
        Per modality of `within` that the clip has, whether each step is kept.
    """
    kept = {m: rng.random(len(steps)) >= rate for m, steps in valid.items() if m in within}
    places = [(modality, step) for modality, steps in valid.items() for step in np.flatnonzero(steps)]
    modality, step = places[rng.integers(len(places))]
    if not any(each not in kept or kept[each][place] for each, place in places):
        kept[modality][step] = True
    return kept


def draw_steps(
    features: Features, *, rate: float, seed: int, within: Collection[Modality]
) -> dict[Modality, Bool[np.ndarray, " steps"]]:
    """Draw which steps of a clip's features are kept within some modalities; see `draw_kept_steps`.

    Args:
        features: Of a clip with some modality.
        rate: Chance of each step to be lost, from 0 to 1.
        seed: The same seed, the same steps.
        within: Modalities that lose steps; those that the clip lacks count for nothing.

    Returns:
        Per modality of `within` that the clip has, whether each step is kept.

    Raises:
        ValueError: If the rate is no share, or the clip has no modality.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: {rate}, expected a share from 0 to 1")
    valid = {m: features.modality(m).valid for m in MODALITIES if features.modality(m).absent is None}
    if not valid:
        raise ValueError("features: no modality is there, expected at least one")
    return draw_kept_steps(valid, rate=rate, rng=np.random.default_rng(seed), within=within)


def keep_steps(features: Features, kept: Mapping[Modality, Bool[np.ndarray, " steps"]]) -> PartFeatures:
    """Return a clip of which only some steps are kept; the others become invalid and zero.

    Args:
        features: Of a clip.
        kept: Whether each step is kept, for the modalities that lose any.

    Raises:
        ValueError: If a mask has not one entry per step.
    """
    steps: dict[str, Any] = {modality: features.modality(modality) for modality in MODALITIES}
    for modality, mask in kept.items():
        whole = steps[modality]
        if len(mask) != len(whole.valid):
            raise ValueError(f"kept: {len(mask)} entries for {modality}, expected one per step = {len(whole.valid)}")
        valid = whole.valid & mask
        steps[modality] = PartSteps(
            values=np.where(valid[:, None], whole.values, 0).astype(np.float32),
            start=whole.start,
            end=whole.end,
            valid=valid,
            absent=whole.absent if valid.any() or whole.absent else LOST,
        )
    return PartFeatures(schema=features.schema, steps=steps)


def keep_modalities(features: Features, kept: Collection[Modality]) -> PartFeatures:
    """Return a clip of which only some modalities are kept."""
    others = (modality for modality in MODALITIES if modality not in kept)
    return keep_steps(features, {m: np.zeros(len(features.modality(m).valid), bool) for m in others})


def replace_modality(features: Features, modality: Modality, steps: Any) -> PartFeatures:
    """Return a clip with the steps of one modality replaced; `steps` are such as `Features.modality` returns."""
    every: dict[str, Any] = {each: features.modality(each) for each in MODALITIES}
    return PartFeatures(schema=features.schema, steps={**every, modality: steps})


def score(predictor: Predictor, part: Features, used: Collection[Modality]) -> float:
    """Predict the score of a part of a clip from whichever of some modalities it still has.

    Args:
        predictor: Any; the clip that it holds is left alone.
        part: Features of which something may be lost.
        used: Modalities to predict from.

    Raises:
        ValueError: If none of them is left.
    """
    fork = predictor.fork()
    fork.set_clip(part)
    return fork.predict(fork.available & frozenset(used)).score


def lost_share(features: Features, part: Features, *, within: Collection[Modality]) -> float:
    """Share of a clip's valid steps, in some modalities, that a part of it lacks; 0 where there is none."""

    def count(clip: Features) -> int:
        return sum(int(clip.modality(modality).valid.sum()) for modality in within)

    return 1 - count(part) / count(features) if count(features) else 0.0


def _ordered(modalities: Collection[Modality]) -> Sequence[Modality]:
    return [modality for modality in MODALITIES if modality in modalities]
