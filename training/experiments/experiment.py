"""Models of the tables: trained once per seed and fold, kept, and measured by protocols."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from alignmamba.evaluation.metrics import sentiment_metrics
from alignmamba.modality import Modality
from alignmamba.ops.device import default_device
from training.baselines import registry
from training.baselines.ridge import Ridge
from training.data import datasets, masking
from training.data.benchmark import Benchmark, Robustness, without
from training.data.datasets import Dataset
from training.experiments.protocols import Protocol, masks_sha256
from training.experiments.settings import Settings, model_config
from training.settings.reader import parse
from training.trainer import TrainConfig, fit, run_folder

log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """Predictions of a model for the test clips of all folds together, by one protocol.

    Attributes:
        setting: Name of the protocol.
        rate: Share that is really missing.
        left_out: Clips of which nothing was left, which the fallback scored.
        fallback: Their score.
        predicted: Score of every label.
        truth: Of every label.
        unit: Which clip each label belongs to.
        masks: Hash of the masks, of all folds.
    """

    setting: str
    rate: float
    left_out: int
    fallback: float
    predicted: Float[np.ndarray, " labels"]
    truth: Float[np.ndarray, " labels"]
    unit: Int[np.ndarray, " labels"]
    masks: str

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of every label."""
        return sentiment_metrics(self.predicted, self.truth)


class Experiment:
    """Trains models on the folds of a dataset and keeps them.

    Args:
        settings: Of data, models and training.
        path: The dataset's file or folder.
        runs: Folder of trained models.
        masks: Folder of mask files.
        board: Whether curves for TensorBoard are written as well.
    """

    def __init__(self, settings: Settings, path: Path, runs: Path, masks: Path, *, board: bool = False) -> None:
        self.settings, self.runs, self.masks, self.board = settings, runs, masks, board
        self.folds = [
            datasets.read(settings.dataset, path, **settings.options, **({"fold": fold} if settings.folds > 1 else {}))
            for fold in range(settings.folds)
        ]
        self._forget()

    def _forget(self) -> None:
        self._benchmarks: dict[tuple[int, Modality | None], Benchmark] = {}
        self._models: dict[tuple[str, int, int], nn.Module] = {}

    def without_prior(self) -> Experiment:
        """The same experiment with models that are trained on complete clips only: with no missing prior."""
        other = object.__new__(Experiment)
        vars(other).update(vars(self))
        complete = {**self.settings.robustness, "missing_rate": 0.0, "drop": 0.0}
        other.settings = replace(self.settings, robustness=complete)
        other._forget()
        return other

    @property
    def dataset(self) -> Dataset:
        """The first fold."""
        return self.folds[0]

    @property
    def models(self) -> tuple[str, ...]:
        """Models of the complete and missing tables."""
        return self.settings.models or registry.MAIN

    def benchmark(self, name: str, fold: int) -> Benchmark:
        """The data that a model sees."""
        left_out = registry.WITHOUT.get(name)
        if (fold, left_out) not in self._benchmarks:
            dataset = self.folds[fold] if left_out is None else without(self.folds[fold], left_out)
            self._benchmarks[fold, left_out] = Benchmark(
                dataset, parse(Robustness, self.settings.robustness, where="robustness")
            )
        return self._benchmarks[fold, left_out]

    def model(self, name: str, seed: int, fold: int = 0) -> nn.Module:
        """A trained model; one that is there already is not trained again."""
        if (name, seed, fold) not in self._models:
            benchmark = self.benchmark(name, fold)
            config = model_config(benchmark, self.settings.of(name, "model"))
            training = parse(TrainConfig, {**self.settings.of(name, "train"), "seed": seed}, where="train config")
            torch.manual_seed(seed)
            model = registry.build(name, config).to(default_device())
            if isinstance(model, Ridge):
                log.info("%s, fold %d: penalty %g kept", name, fold, model.solve(benchmark))
            else:
                called = f"{name.replace(' ', '-')}-{seed}"
                folder = run_folder(self.runs / self.dataset.name, called, model, benchmark, training)
                run = fit(model, benchmark, training, folder=folder, board=self.board)
                log.info("%s, seed %d, fold %d: epoch %d kept", name, seed, fold, run.best_epoch)
            self._models[name, seed, fold] = model
        return self._models[name, seed, fold]

    def _masks_folder(self, fold: int) -> Path:
        """Where the masks of a test set are kept: those of every fold apart."""
        folder = self.masks / self.dataset.name
        return folder / f"fold-{fold}" if len(self.folds) > 1 else folder

    def measure(self, name: str, seed: int, protocol: Protocol) -> Measured:
        """Predictions of a model for the clips of all folds together.

        Args:
            name: Of the model.
            seed: Of its training, and of what is missing.
            protocol: Takes parts of the test clips away.
        """
        parts, first = [], 0
        for fold in range(len(self.folds)):
            benchmark, model = self.benchmark(name, fold), self.model(name, seed, fold)
            examples = benchmark.dataset.splits["test"]
            drawn_by = seed * len(self.folds) + fold  # no fold of a seed shares it with a fold of another
            masked = protocol(examples, seed=drawn_by, folder=self._masks_folder(fold))
            masks = masks_sha256(masked)
            if left_out := registry.WITHOUT.get(name):
                kept = [each for each in benchmark.dataset.dims if each != left_out]
                masked = masking.fixed(masked.examples, kept)._replace(name=masked.name)
            scores, true = benchmark.scores(model, masked.examples)
            unit = np.repeat(first + np.arange(len(examples)), [len(each.score) for each in examples])
            first += len(examples)
            parts.append((masked, benchmark.fallback, scores, true, unit, masks))
        every, fallbacks, *arrays, hashes = zip(*parts, strict=True)
        return Measured(
            every[0].name,
            float(np.mean([masked.reached_rate for masked in every])),
            sum(len(masked.left_out) for masked in every),
            float(np.mean(fallbacks)),
            *(np.concatenate(each) for each in arrays),
            " ".join(hashes),
        )
