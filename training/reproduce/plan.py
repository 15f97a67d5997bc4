"""What has to be trained, and how long that takes on this machine: measured on a few batches before anything begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from alignmamba.ops.device import default_device
from training.baselines import registry
from training.baselines.ridge import Ridge
from training.data.benchmark import Benchmark
from training.experiments.experiment import Experiment
from training.experiments.settings import model_config
from training.run_state import STATE_FILE
from training.settings.reader import parse
from training.trainer import Labelled, TrainConfig, fit, run_folder

SAMPLE_BATCHES = 3  # of each model, timed after one that warms up
TABLES = ("missing", "ablation")  # the slides' Tables 1 and 3


class Part(NamedTuple):
    """What a model costs.

    Attributes:
        model: Its name.
        runs: Seeds and folds that are still to be trained.
        seconds: Of a run, if it takes every epoch that it may; early stopping mostly ends it sooner.
    """

    model: str
    runs: int
    seconds: float


class _Few:
    """The first batches of an epoch as a `Source`; validation is timed apart."""

    def __init__(self, whole: Benchmark, count: int) -> None:
        self.whole, self.count, self.digest = whole, count, whole.digest

    def batches(self, size: int, rng: np.random.Generator) -> Sequence[Any]:
        """As the whole has them, but few."""
        return self.whole.batches(size, rng)[: self.count]

    def collate(self, items: Sequence[Any]) -> Labelled:
        """As the whole does."""
        return self.whole.collate(items)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Nothing is measured."""
        return {"chosen_by": 0.0}


def models(experiment: Experiment) -> tuple[str, ...]:
    """Every model of the tables, once."""
    return tuple(dict.fromkeys((*experiment.models, *registry.ABLATION)))


def estimate(experiment: Experiment, seeds: Sequence[int]) -> list[Part]:
    """Time every model on a few batches of the training clips and once on the validation clips."""
    return [_part(experiment, name, seeds) for name in models(experiment)]


def _part(experiment: Experiment, name: str, seeds: Sequence[int]) -> Part:
    benchmark = experiment.benchmark(name, 0)
    config = parse(TrainConfig, {**experiment.settings.of(name, "train"), "seed": seeds[0]}, where="train config")
    runs = sum(_to_train(experiment, name, seed, fold) for seed in seeds for fold in range(len(experiment.folds)))
    model = _untrained(experiment, name, seeds[0], 0)
    if isinstance(model, Ridge) or not runs:
        return Part(name, runs, 0.0)
    short = replace(config, epochs=1)
    fit(model, _Few(benchmark, 1), short)
    start = time.perf_counter()
    fit(model, _Few(benchmark, SAMPLE_BATCHES), short)
    per_batch = (time.perf_counter() - start) / SAMPLE_BATCHES
    start = time.perf_counter()
    benchmark.validate(model)
    validation = time.perf_counter() - start
    count = -(-len(benchmark.dataset.splits["train"]) // config.batch_size)
    return Part(name, runs, config.epochs * (count * per_batch + validation))


def _untrained(experiment: Experiment, name: str, seed: int, fold: int) -> nn.Module:
    benchmark = experiment.benchmark(name, fold)
    torch.manual_seed(seed)
    return registry.build(name, model_config(benchmark, experiment.settings.of(name, "model"))).to(default_device())


def _to_train(experiment: Experiment, name: str, seed: int, fold: int) -> bool:
    """Whether no run of a model has been begun; one that was begun resumes, and costs no more than a new one."""
    config = parse(TrainConfig, {**experiment.settings.of(name, "train"), "seed": seed}, where="train config")
    model, benchmark = _untrained(experiment, name, seed, fold), experiment.benchmark(name, fold)
    called = f"{name.replace(' ', '-')}-{seed}"
    folder = run_folder(experiment.runs / experiment.dataset.name, called, model, benchmark, config)
    return not (folder / STATE_FILE).exists()


def total_seconds(parts: Sequence[Part]) -> float:
    """Of all runs one after the other."""
    return sum(part.runs * part.seconds for part in parts)


def in_words(seconds: float) -> str:
    """A duration for people.

    >>> in_words(42.0), in_words(600), in_words(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
