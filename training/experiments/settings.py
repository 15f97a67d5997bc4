"""Settings of the tables: what a settings file holds, and the configuration of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignmamba.config import ModelConfig
from training.baselines import registry
from training.data.benchmark import Benchmark
from training.reporting import result_files
from training.settings.reader import parse, read_yaml

SEEDS = (1111, 1112, 1113, 1114, 1115)
RESULTS = result_files.ROOT / "training" / "results"


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


def check_seeds(seeds: Sequence[int]) -> None:
    """Check that every seed stands once: twice, it would count twice in a mean.

    Raises:
        ValueError: If there is none, or one stands twice.
    """
    if not seeds:
        raise ValueError("seeds: none, expected at least one")
    if twice := sorted({seed for seed in seeds if list(seeds).count(seed) > 1}):
        raise ValueError(f"seeds: {twice} given twice, expected each once")
