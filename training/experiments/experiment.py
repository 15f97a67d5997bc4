"""The tables of the paper on a dataset: `python -m training.experiments TABLE --settings FILE --data PATH`.

TABLE is complete, missing, fixed, within, ablation or distance. Every model is trained once per seed and kept under
`runs/`, so that the tables share their models and a killed command goes on where it was. Results go to
`training/results/<settings>/<table>.json`. On several GPUs or processors: `torchrun --nproc_per_node=N -m
training.experiments ...`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from alignmamba.config import ModelConfig
from alignmamba.evaluation.distance import proxy_a_distance
from alignmamba.evaluation.metrics import sentiment_metrics
from alignmamba.evaluation.missing import RATES
from alignmamba.modality import SUBSETS, Modality
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.device import default_device
from training.baselines import registry
from training.baselines.ridge import Ridge
from training.data import datasets, masking
from training.data.benchmark import Benchmark, Robustness, reachable, without
from training.data.datasets import Dataset, Example
from training.reporting import result_files
from training.reporting.summary import over_seeds, summary
from training.settings.reader import parse, read_yaml
from training.trainer import TrainConfig, fit, processes

log = logging.getLogger(__name__)

SEEDS = (1111, 1112, 1113, 1114, 1115)
WITHIN_RATES = (0.1, 0.3, 0.5, 0.7, 0.9)
RESULTS = result_files.ROOT / "training" / "results"
MAX_VECTORS = 2000  # of each modality, for the proxy A-distance

Protocol = Callable[[Sequence[Example], int], masking.Masked]
"""Test clips and a seed to the same clips with something missing."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a settings file holds.

    Attributes:
        dataset: Name for `training.data.datasets.read`.
        options: Of its reader.
        folds: Cross-validation: the reader's option `fold` runs from 0 to folds - 1; 1 for the official split.
        model: Of `ModelConfig`.
        train: Of `TrainConfig`.
        robustness: Of `Robustness`.
        per_model: Changes for single models: {"bc-lstm": {"model": {...}, "train": {...}}}.
        models: Which models the complete and missing tables have; all where empty.
    """

    dataset: str
    options: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 1
    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    robustness: Mapping[str, Any] = field(default_factory=dict)
    per_model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read a YAML file.

        Raises:
            ValueError: If a setting is unknown or of the wrong type.
        """
        return parse(cls, read_yaml(path), where=str(path))

    def of(self, name: str, part: str) -> dict[str, Any]:
        """Settings of a model."""
        ours = {**getattr(self, part)}
        if name in registry.ABLATION:  # rows of the ablation differ from ours in what they leave out, in nothing else
            ours |= self.per_model.get(registry.OURS, {}).get(part, {})
        return ours | self.per_model.get(name, {}).get(part, {})


def model_config(benchmark: Benchmark, chosen: Mapping[str, Any]) -> ModelConfig:
    """The configuration of a model for a dataset.

    Args:
        benchmark: The data, which decides the columns of each modality and the level.
        chosen: All other settings.

    Raises:
        ValueError: If a setting is unknown, of the wrong type, out of range, or decided by the data.
    """
    decided = {**benchmark.model_dims, "level": benchmark.dataset.level}
    if both := sorted(decided.keys() & chosen.keys()):
        raise ValueError(f"model config: {both}, expected only settings that the dataset does not decide")
    return parse(ModelConfig, {**decided, **chosen}, where="model config")


class Experiment:
    """Trains models on the folds of a dataset and keeps them."""

    def __init__(self, settings: Settings, path: Path, runs: Path, *, board: bool = False) -> None:
        self.settings, self.runs, self.board = settings, runs, board
        self.folds = [
            datasets.read(settings.dataset, path, **settings.options, **({"fold": fold} if settings.folds > 1 else {}))
            for fold in range(settings.folds)
        ]
        self._benchmarks: dict[tuple[int, Modality | None], Benchmark] = {}
        self._models: dict[tuple[str, int, int], nn.Module] = {}

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
            identity = json.dumps(
                [config.to_dict(), self.settings.robustness, dict(self.dataset.data_sha256), fold], default=dict
            )
            key = hashlib.sha256(identity.encode()).hexdigest()[:12]
            if isinstance(model, Ridge):
                log.info("%s, fold %d: penalty %g kept", name, fold, model.solve(benchmark))
            else:
                folder = self.runs / self.dataset.name / f"{name.replace(' ', '-')}-{seed}-{key}"
                run = fit(model, benchmark, training, folder=folder, board=self.board)
                log.info("%s, seed %d, fold %d: epoch %d kept", name, seed, fold, run.best_epoch)
            self._models[name, seed, fold] = model
        return self._models[name, seed, fold]

    def measure(self, name: str, seed: int, protocol: Protocol) -> tuple[str, float, dict[str, float]]:
        """Test metrics of a model over the clips of all folds together.

        Args:
            name: Of the model.
            seed: Of its training, and of what is missing.
            protocol: Takes parts of the test clips away.

        Returns:
            The protocol's name, the rate that is really missing, the metrics.
        """
        found, truth, rates = [], [], []
        for fold in range(len(self.folds)):
            benchmark, model = self.benchmark(name, fold), self.model(name, seed, fold)
            masked = protocol(benchmark.dataset.splits["test"], seed + fold)
            scores, true = benchmark.scores(model, masked.examples)
            found.append(scores)
            truth.append(true)
            rates.append(masked.reached_rate)
        return masked.name, float(np.mean(rates)), sentiment_metrics(np.concatenate(found), np.concatenate(truth))


def _rows(
    experiment: Experiment, models: Sequence[str], seeds: Sequence[int], protocols: Sequence[Protocol]
) -> list[dict[str, Any]]:
    rows = []
    for name in tqdm(models, desc="models", unit="model", disable=None):
        for protocol in protocols:
            settings, rates, metrics = zip(*(experiment.measure(name, seed, protocol) for seed in seeds), strict=True)
            rows.append(
                {
                    "model": name,
                    "setting": settings[0],
                    "reached_rate": float(np.mean(rates)),
                    "metric": summary(metrics),
                }
            )
    return rows


def nothing_missing(examples: Sequence[Example], seed: int) -> masking.Masked:
    """Clips as they are."""
    return masking.Masked("complete", 0.0, tuple(examples))


def complete(experiment: Experiment, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """All models on complete test clips."""
    return _rows(experiment, experiment.models, seeds, [nothing_missing])


def random_missing(experiment: Experiment, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """All models with modalities missing at random, per sample."""
    rates = reachable(RATES, experiment.dataset)
    at = [lambda examples, seed, rate=rate: masking.random(examples, rate=rate, seed=seed) for rate in rates]
    return _rows(experiment, experiment.models, seeds, [nothing_missing, *at])


def fixed_missing(experiment: Experiment, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """All models with every set of the modalities that the data has."""
    sets = [subset for subset in SUBSETS if subset <= set(experiment.dataset.dims)]
    having = [lambda examples, seed, subset=subset: masking.fixed(examples, subset) for subset in sets]
    return _rows(experiment, experiment.models, seeds, having)


def within(experiment: Experiment, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """All models with time steps dropped within each modality: another task than missing modalities."""
    at = [lambda examples, seed, rate=rate: masking.within(examples, rate=rate, seed=seed) for rate in WITHIN_RATES]
    return _rows(experiment, experiment.models, seeds, [nothing_missing, *at])


def ablation(experiment: Experiment, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The paper's ablation."""
    return _rows(experiment, registry.ABLATION, seeds, [nothing_missing])


@torch.inference_mode()
def _transported(model: AlignMamba, benchmark: Benchmark) -> dict[Modality, tuple[np.ndarray, np.ndarray]]:
    """The steps of each modality of the test clips as its plan transports them, and the text's steps beside them."""
    model.eval()
    batch = benchmark.labelled(benchmark.dataset.splits["test"]).to(next(model.parameters()).device).batch
    streams = model.encoders(batch)
    if Modality.LANGUAGE not in streams:
        raise ValueError("distance: the dataset has no language, which the others are compared to")
    text = streams[Modality.LANGUAGE]
    found = {}
    for modality, plan in model.fuse(streams).plans.items():
        moved = plan.transport(streams[modality].x, scaling=model.config.scaling)
        found[modality] = moved[text.mask].cpu().numpy(), text.x[text.mask].cpu().numpy()
    return found


def distance(experiment: Experiment, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Proxy A-distance of aligned audio and video to the text, with and without the alignments (paper, Table 4)."""
    rows = []
    for name in (registry.OURS, *registry.ABLATIONS):
        found: dict[str, list[float]] = {}
        for seed in seeds:
            model, benchmark = experiment.model(name, seed), experiment.benchmark(name, 0)
            for modality, (moved, text) in _transported(model, benchmark).items():
                rng = np.random.default_rng(seed)
                chosen = rng.permutation(len(moved))[:MAX_VECTORS]
                value = proxy_a_distance(moved[chosen], text[chosen], seed=seed)
                if value is None:
                    raise ValueError(f"distance: {len(moved)} steps of {modality}, too few to compare")
                found.setdefault(str(modality), []).append(value)
        metric = {key: over_seeds(values) for key, values in found.items()}
        rows.append({"model": name, "setting": "proxy A-distance to language", "metric": metric})
    return rows


TABLES: dict[str, Callable[[Experiment, Sequence[int]], list[dict[str, Any]]]] = {
    "complete": complete,
    "missing": random_missing,
    "fixed": fixed_missing,
    "within": within,
    "ablation": ablation,
    "distance": distance,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one table from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--settings", type=Path, required=True, help="a file like those in training/settings/")
    parser.add_argument("--data", type=Path, required=True, help="the dataset's file or folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"), help="where trained models are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the result file goes")
    parser.add_argument("--tensorboard", action="store_true", help="also write each run's curves for TensorBoard")
    given = parser.parse_args(arguments)
    with processes() as first:
        _table(given, writes=first)


def _table(given: argparse.Namespace, *, writes: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        experiment = Experiment(Settings.read(given.settings), given.data, given.runs, board=given.tensorboard)
        rows = TABLES[given.table](experiment, given.seeds)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    if not writes:
        return
    written = result_files.write(
        given.table,
        f"python -m training.experiments {given.table} --settings training/settings/{given.settings.name} --data DATA",
        rows,
        data_sha256=experiment.dataset.data_sha256,
        seeds=given.seeds,
        folder=given.results / given.settings.stem,
    )
    print(written)


if __name__ == "__main__":
    main()
