"""Ridge regression is solved as its equations say, at both levels, and bears what is missing."""

import numpy as np
import pytest
import torch

from alignmamba.modality import MODALITIES
from tests.training import small
from training.baselines import ridge
from training.data import masking
from training.data.benchmark import Benchmark, Robustness
from training.data.datasets import Dataset


@pytest.fixture(params=("clip", "step"))
def solved(request, monkeypatch):
    monkeypatch.setattr(ridge, "PENALTIES", (2.0,))
    parts = {
        split: tuple(
            example.__class__(id=f"{split} {example.id}", clip=example.clip, score=example.score)
            for example in small.examples(request.param, count=12, seed=seed)
        )
        for seed, split in enumerate(("train", "valid", "test"))
    }
    dataset = Dataset(name="small", level=request.param, splits=parts, data_sha256={})
    benchmark = Benchmark(dataset, Robustness())
    model = ridge.Ridge(small.config(request.param))
    assert model.solve(benchmark) == 2.0
    return model, benchmark


def rows(benchmark, split):
    """Mean features of each clip, or features of each step with the availability column, in plain numpy."""
    found = []
    for example in benchmark.dataset.splits[split]:
        values = [example.clip[modality].values.numpy().astype(float) for modality in MODALITIES]
        if benchmark.dataset.level == "clip":
            found.append(np.concatenate([value.mean(0) for value in values])[None])
        else:
            found.append(np.concatenate([np.c_[value, np.ones(len(value))] for value in values], 1))
    return np.concatenate(found), np.concatenate([example.score for example in benchmark.dataset.splits[split]])


def test_weights_are_the_normal_equations(solved):
    model, benchmark = solved
    x, y = rows(benchmark, "train")
    centred = x - x.mean(0)
    expected = np.linalg.solve(centred.T @ centred + 2.0 * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    np.testing.assert_allclose(model.linear.weight[0].detach().numpy(), expected, atol=1e-5)
    scores, truth = benchmark.scores(model, benchmark.dataset.splits["test"])
    x_test, y_test = rows(benchmark, "test")
    np.testing.assert_allclose(scores, ((x_test - x.mean(0)) @ expected + y.mean()).clip(-3, 3), atol=1e-4)
    np.testing.assert_allclose(truth, y_test)


def test_an_absent_modality_is_zeros(solved):
    model, benchmark = solved
    whole = benchmark.dataset.splits["test"]
    words = masking.fixed(whole, MODALITIES[2:]).examples
    scores, _ = benchmark.scores(model, words)
    part = benchmark.labelled(words)
    read = model.read(part.batch)
    first, second = (model.config.feature_dim(modality) for modality in MODALITIES[:2])
    assert (read[..., : first + second] == 0).all()
    assert np.isfinite(scores).all()
    together = model(part.batch).score
    alone = torch.cat([model(benchmark.labelled([each]).batch).score.flatten() for each in words])
    chosen = torch.ones_like(together, dtype=torch.bool) if part.labelled is None else part.labelled
    torch.testing.assert_close(together[chosen], alone)
