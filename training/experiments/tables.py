"""Rows of every table, as result files hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from alignmamba.evaluation.distance import proxy_a_distance
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from training.baselines import registry
from training.data.benchmark import Benchmark
from training.experiments import comparisons, protocols
from training.experiments.experiment import Experiment, Measured
from training.experiments.protocols import COMPLETE, Protocol
from training.reporting.summary import over_seeds, summary

MAX_VECTORS = 2000  # of each modality, for the proxy A-distance

Row = dict[str, Any]


def rows(experiment: Experiment, models: Sequence[str], seeds: Sequence[int], chosen: Sequence[Protocol]) -> list[Row]:
    """A row per model and protocol; models beside ours with their comparison, corrected over all of the table.

    Where ours is in the table, it is compared with; it is measured first.
    """
    made, compared = [], []
    ours: dict[str, list[Measured]] = {}
    order = sorted(models, key=lambda name: name != registry.OURS)
    for name in tqdm(order, desc="models", unit="model", disable=None):
        for protocol in chosen:
            found = [experiment.measure(name, seed, protocol) for seed in seeds]
            made.append(_row(name, found, len(seeds)))
            if name == registry.OURS:
                ours[found[0].setting] = found
            elif found[0].setting in ours:
                compared.append((made[-1], comparisons.against(ours[found[0].setting], found)))
    for (row, _), each in zip(compared, comparisons.corrected([found for _, found in compared]), strict=True):
        row["against"] = {"model": registry.OURS, **each}
    return made


def _row(name: str, found: Sequence[Measured], seeds: int) -> Row:
    metric = summary([each.metrics for each in found])
    for key in comparisons.METRICS:
        # Of ours less nothing: the interval of the metric itself, over clips and seeds.
        sums = np.stack([comparisons.per_unit(each, key)[0] for each in found])
        interval = comparisons.difference(sums, comparisons.per_unit(found[0], key)[1])
        metric[key] |= {"low": interval["low"], "high": interval["high"]}
    return {
        "model": name,
        "setting": found[0].setting,
        "n": len(found[0].truth),
        "clips": int(found[0].unit.max()) + 1,
        "reached_rate": float(np.mean([each.rate for each in found])),
        "left_out": float(np.mean([each.left_out for each in found])),
        "fallback_score": found[0].fallback if any(each.left_out for each in found) else None,
        "masks_sha256": [each.masks for each in found],
        "metric": metric,
    }


def complete(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """All models on complete test clips."""
    return rows(experiment, experiment.models, seeds, [COMPLETE])


def random_missing(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """All models with modalities missing at random, per sample."""
    return rows(experiment, experiment.models, seeds, [COMPLETE, *protocols.random_missing(experiment.dataset)])


def fixed_missing(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """All models with every set of the modalities that the data has."""
    return rows(experiment, experiment.models, seeds, protocols.fixed_missing(experiment.dataset))


def imbalanced(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """All models with a missing rate of its own for every modality."""
    return rows(experiment, experiment.models, seeds, [COMPLETE, *protocols.imbalanced(experiment.dataset)])


def missmac(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """All models by MissMAC-Bench's principles: one model each, trained on complete clips only, for every pattern."""
    return rows(experiment.without_prior(), experiment.models, seeds, protocols.missmac(experiment.dataset))


def within(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """All models with time steps dropped within each modality: another task than missing modalities."""
    return rows(experiment, experiment.models, seeds, [COMPLETE, *protocols.within()])


def lnln(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """All models at LNLN's rates within each modality."""
    return rows(experiment, experiment.models, seeds, protocols.lnln())


def ablation(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """The paper's ablation."""
    return rows(experiment, registry.ABLATION, seeds, [COMPLETE])


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


def distance(experiment: Experiment, seeds: Sequence[int]) -> list[Row]:
    """Proxy A-distance of aligned audio and video to the text, with and without the alignments (paper, Table 4)."""
    made = []
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
        clips = len(experiment.dataset.splits["test"])
        made.append({"model": name, "setting": "proxy A-distance to language", "clips": clips, "metric": metric})
    return made


TABLES: dict[str, Callable[[Experiment, Sequence[int]], list[Row]]] = {
    "complete": complete,
    "missing": random_missing,
    "fixed": fixed_missing,
    "imbalanced": imbalanced,
    "missmac": missmac,
    "within": within,
    "lnln": lnln,
    "ablation": ablation,
    "distance": distance,
}
