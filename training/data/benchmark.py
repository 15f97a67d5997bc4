"""A benchmark dataset as the trainer and the tables see it: standardised, with modalities dropped by protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from alignmamba.batch import ModalitySteps, collate
from alignmamba.evaluation.metrics import sentiment_class, sentiment_metrics
from alignmamba.evaluation.missing import draw_masks, exact_rate, max_rate
from alignmamba.modality import MODALITIES, Modality
from training.data import masking
from training.data.datasets import Dataset, Example, length_buckets
from training.run_state import digest
from training.trainer import Labelled

OUTLIER = 5.0  # standard deviations from the training mean, where features are cut off
VALIDATION_RATES = (0.0, 0.3, 0.5, 0.7)  # missing rates that an epoch is chosen by
VALIDATION_SEED = 7  # of the validation masks, the same in all runs
EVALUATION_BATCH = 64  # clips


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What training does to its clips, so that a model copes with missing modalities and with over-confident features.

    Attributes:
        missing_rate: Highest random missing rate drawn for a clip; 0 trains on complete clips only.
        complete_share: Clips that are left complete nevertheless.
        drop: Share of a clip's steps that may lose all modalities at once (level "step"): a number up to this is drawn
            for each clip, so that a model learns to read the neighbours.
        mix: Per modality, how much of a step's features stays its own where two other training steps are mixed in: the
            shares are drawn from Dirichlet(mix, 1, 1). For features that a network which knew the training labels has
            made: there they stand clearly on their label's side, elsewhere they lie in between. None is mixed by
            default.
    """

    missing_rate: float = 0.7
    complete_share: float = 0.3
    drop: float = 0.0
    mix: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("missing_rate", "complete_share", "drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)}, expected a share in [0, 1]")
        if unknown := set(self.mix) - {str(modality) for modality in MODALITIES}:
            raise ValueError(f"mix: {sorted(unknown)}, expected modalities of {[str(m) for m in MODALITIES]}")
        for name, own in self.mix.items():
            if not own > 0:
                raise ValueError(f"mix: {own} of {name}, expected more than 0")


def standardised(dataset: Dataset) -> Dataset:
    """Columns with zero mean and unit deviation over the valid training steps; outliers cut off."""
    moments = {}
    for modality, dim in dataset.dims.items():
        known = [_valid(e.clip[modality]) for e in dataset.splits["train"] if modality in e.clip]
        rows = np.concatenate([np.zeros((0, dim), np.float32), *known])
        if not len(rows):  # a modality that `without` has left out
            rows = np.zeros((1, dim))
        spread = rows.std(0, dtype=np.float64)
        moments[modality] = rows.mean(0, dtype=np.float64), np.where(spread > 1e-6, spread, 1.0)

    def moved(example: Example) -> Example:
        clip = {}
        for modality, steps in example.clip.items():
            mean, spread = moments[modality]
            values = ((steps.values.numpy() - mean) / spread).clip(-OUTLIER, OUTLIER)
            values = np.where(steps.mask.numpy()[:, None], values, 0.0).astype(np.float32)
            clip[modality] = steps._replace(values=torch.from_numpy(values))
        return replace(example, clip=clip)

    return replace(dataset, splits={name: tuple(map(moved, part)) for name, part in dataset.splits.items()})


def _valid(steps: ModalitySteps) -> np.ndarray:
    return steps.values.numpy()[steps.mask.numpy()]


def without(dataset: Dataset, modality: Modality) -> Dataset:
    """The dataset whose training and validation clips lack one modality; those that have no other teach nothing.

    The test clips stay as they are, all of them: the modality is taken from them when they are measured.
    """
    kept = [each for each in dataset.dims if each != modality]

    def taught(examples: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(each for each in masking.fixed(examples, kept).examples if not masking.is_empty(each))

    parts = {name: part if name == "test" else taught(part) for name, part in dataset.splits.items()}
    return replace(dataset, splits=parts)


def reachable(rates: Sequence[float], examples: Sequence[Example]) -> list[float]:
    """Those missing rates that leave each clip a modality; .7 stands for 2/3, as in papers."""
    present = masking.present(examples)
    return [rate for rate in rates if exact_rate(rate, modalities=present) <= max_rate(present)]


class Benchmark:
    """A standardised dataset as a `Source` of the trainer, and its evaluation."""

    def __init__(self, dataset: Dataset, robustness: Robustness, *, standardise: bool = True) -> None:
        """Take a dataset.

        Args:
            dataset: As it was read.
            robustness: What training does to its clips.
            standardise: False for a model that standardises by itself, as a trained checkpoint does.
        """
        self.dataset = standardised(dataset) if standardise else dataset
        self.robustness = robustness
        self._pool = {
            modality: np.concatenate(
                [
                    np.zeros((0, dim), np.float32),
                    *(_valid(e.clip[modality]) for e in self.dataset.splits["train"] if modality in e.clip),
                ]
            )
            for modality, dim in self.dataset.dims.items()
        }
        self._held: list[list[Example]] | None = None
        if dataset.features_saw_test:
            splits = {**self.dataset.splits, "test": tuple(self.corrupted("test"))}
            self.dataset = replace(self.dataset, splits=splits)

    @cached_property
    def digest(self) -> str:
        """Hash of every clip of every split, and of what training does to them."""
        return digest([self.dataset.level, self.dataset.splits, self.robustness])

    @property
    def model_dims(self) -> dict[str, int]:
        """Columns of a step as `ModelConfig` names them; a modality that the dataset lacks counts one."""
        extra = 1 if self.dataset.level == "step" else 0  # the availability column
        return {f"{modality}_dim": self.dataset.dims.get(modality, 1) + extra for modality in MODALITIES}

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[Sequence[tuple[Example, Example]]]:
        """An epoch's training clips: (with modalities dropped, complete) in batches of similar length."""
        items = [self._drawn(example, rng) for example in self.dataset.splits["train"]]
        lengths = [max(len(steps.mask) for steps in complete.clip.values()) for _, complete in items]
        return [[items[index] for index in indices] for indices in length_buckets(lengths, size, rng)]

    def collate(self, items: Sequence[tuple[Example, Example]]) -> Labelled:
        """Clips as a batch with its truth."""
        dropped, complete = zip(*items, strict=True)
        return self.labelled(dropped)._replace(complete=self.labelled(complete).batch)

    def labelled(self, examples: Sequence[Example]) -> Labelled:
        """Clips as they are."""
        if self.dataset.level == "clip":
            score = torch.tensor([float(example.score[0]) for example in examples])
            classes = torch.tensor([sentiment_class(float(value)) for value in score])
            return Labelled(collate([example.clip for example in examples]), score, classes)
        batch = collate([masking.fill(example).clip for example in examples])
        labelled = next(iter(batch.values())).mask
        score = torch.zeros(labelled.shape)
        for row, example in zip(score, examples, strict=True):
            row[: len(example.score)] = torch.from_numpy(example.score)
        classes = torch.tensor([[sentiment_class(value) for value in row] for row in score.tolist()])
        return Labelled(batch, score, classes, labelled)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Mean absolute error over `VALIDATION_RATES` on validation clips, corrupted as in training by a fixed seed."""
        if self._held is None:
            rates = reachable(VALIDATION_RATES, self.dataset.splits["valid"]) if self.robustness.missing_rate else [0.0]
            self._held = [self._corrupted_validation(rate) for rate in rates]
        found = [self.measure(model, examples) for examples in self._held]
        return {"chosen_by": float(np.mean([each["mae"] for each in found])), **found[0]}

    def measure(self, model: nn.Module, examples: Sequence[Example]) -> dict[str, float]:
        """Metrics of a model on clips as they are."""
        scores, truth = self.scores(model, examples)
        return sentiment_metrics(scores, truth)

    @cached_property
    def fallback(self) -> float:
        """What is predicted for a clip of which nothing is left: the mean score of the training labels."""
        return float(np.concatenate([each.score for each in self.dataset.splits["train"]]).mean(dtype=np.float64))

    @torch.inference_mode()
    def scores(self, model: nn.Module, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true score of every label, in order, as the model gives them: MMSA clips for Acc-k only.

        A clip of which nothing is left gets the `fallback`; at level "step" models read it all the same, as steps that
        are there with nothing in them.
        """
        model.eval()
        device = next(model.parameters()).device
        truth = np.concatenate([each.score for each in examples]).astype(np.float64)
        found = np.full(len(truth), self.fallback)
        starts = np.cumsum([0, *(len(each.score) for each in examples)])
        read = [
            (place, each)
            for place, each in zip(starts[:-1], examples, strict=True)
            if self.dataset.level == "step" or not masking.is_empty(each)
        ]
        for first in range(0, len(read), EVALUATION_BATCH):
            places, chosen = zip(*read[first : first + EVALUATION_BATCH], strict=True)
            part = self.labelled(chosen).to(device)
            score = model(part.batch).score
            counted = torch.ones_like(score, dtype=torch.bool) if part.labelled is None else part.labelled
            labels = np.concatenate([place + np.arange(len(e.score)) for place, e in zip(places, chosen, strict=True)])
            found[labels] = score[counted].double().cpu().numpy()
        return found, truth

    def corrupted(self, split: str, *, draws: int = 1) -> list[Example]:
        """Examples of a split as training corrupts them, with nothing missing: `draws` copies, the same every time."""
        rng = np.random.default_rng(VALIDATION_SEED)
        return [self._corrupted(example, rng) for _ in range(draws) for example in self.dataset.splits[split]]

    def _corrupted_validation(self, rate: float) -> list[Example]:
        rng = np.random.default_rng(VALIDATION_SEED)
        clips = masking.random(self.dataset.splits["valid"], rate=rate, seed=VALIDATION_SEED).examples
        return [self._corrupted(example, rng) for example in clips]

    def _drawn(self, example: Example, rng: np.random.Generator) -> tuple[Example, Example]:
        complete = self._corrupted(example, rng)
        modalities = [modality for modality in MODALITIES if modality in example.clip]
        keep = np.ones((len(example.score), len(MODALITIES)), bool)
        if self.robustness.missing_rate and rng.random() >= self.robustness.complete_share:
            rate = rng.uniform(0, min(self.robustness.missing_rate, 1 - 1 / len(modalities)))
            keep = draw_masks(len(keep), rate, int(rng.integers(2**31)), modalities=modalities)
        if self.dataset.level == "step" and self.robustness.drop:
            keep = keep & (rng.random((len(keep), 1)) >= rng.uniform(0, self.robustness.drop))
        dropped = masking.apply(complete, keep)
        return (dropped if any(steps.mask.any() for steps in dropped.clip.values()) else complete), complete

    def _corrupted(self, example: Example, rng: np.random.Generator) -> Example:
        clip: dict[Modality, Any] = {}
        for modality, steps in example.clip.items():
            values, pool = steps.values.numpy().copy(), self._pool[modality]
            if (own := self.robustness.mix.get(str(modality))) and len(pool):  # left out by `without`: no step is there
                share = rng.dirichlet([own, 1, 1], size=len(values)).astype(np.float32)
                others = pool[rng.integers(len(pool), size=(len(values), 2))]
                values = share[:, :1] * values + np.einsum("to,tod->td", share[:, 1:], others)
            values[~steps.mask.numpy()] = 0.0
            clip[modality] = steps._replace(values=torch.from_numpy(values))
        return replace(example, clip=clip)
