"""The benchmark of whole models measures what it reports."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import fusion
from training.baselines.attention import HEADS


@pytest.fixture(autouse=True)
def _no_gradient():
    with torch.no_grad():
        yield


def test_rows_are_whole_and_of_all_models():
    rows = fusion.rows_of(3, list(fusion.MODELS), "cpu", 1, clips=2)
    assert [row["model"] for row in rows] == list(fusion.MODELS)
    for row in rows:
        assert (row["tokens"], row["batch"]) == (9, 2)
        assert row["status"] == "ok"
        assert row["time_ms"] > 0
        assert row["gflop"] >= 0
        assert row["peak_mb"] >= 0


def test_arithmetic_of_the_transformer_is_the_written_out_sum():
    steps, width = 64, fusion.WIDTH
    tokens, layers = 3 * steps, fusion.ENCODER_LAYERS + fusion.FUSION_LAYERS
    model, inputs = fusion.build("single-stream-transformer", "cpu"), fusion.batch(steps, "cpu")
    linear = 2 * tokens * 12 * width**2  # query, key, value, out: 4; feed-forward: 8
    attention = 4 * tokens**2 * width
    # Projections in; the mean over tokens; score and three classes out.
    outside = 2 * tokens * fusion.FEATURE_DIM * width + 2 * tokens * width + 2 * width * 4
    assert fusion.gflop(model, inputs) * 1e9 == pytest.approx(layers * (linear + attention) + outside, rel=1e-6)


@pytest.mark.parametrize("name", fusion.TRANSFORMERS)
def test_stored_weights_are_the_same_arithmetic_and_more_memory(name):
    inputs = fusion.batch(512, "cpu", clips=2)
    models = [fusion.build(each, "cpu") for each in (name, f"{name}{fusion.STORED}")]
    plain, stored = (model(inputs).score for model in models)
    torch.testing.assert_close(stored, plain, rtol=1e-4, atol=1e-5)
    assert fusion.gflop(models[1], inputs) == pytest.approx(fusion.gflop(models[0], inputs), rel=1e-6)
    largest = []
    for model in models:
        with Largest() as noted:
            model(inputs)
        largest.append(noted.entries)
    tokens = 3 * 512 if name.startswith("single") else 512
    assert largest[1] >= 2 * HEADS * tokens**2 > largest[0]


class Largest(TorchDispatchMode):
    """Notes the most numbers that any tensor has."""

    entries = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.entries = max(self.entries, tensor.numel())
        return made


def test_scans_are_counted_by_formula():
    steps, inner = 10, 2 * fusion.WIDTH
    model, inputs = fusion.build("single-stream-mamba", "cpu"), fusion.batch(steps, "cpu")
    tokens, layers = 3 * steps, fusion.ENCODER_LAYERS + fusion.FUSION_LAYERS
    scan = fusion.SCAN_FLOP * tokens * inner * 16
    products = 2 * tokens * (fusion.WIDTH * 2 * inner + inner * (8 + 32) + 8 * inner + inner * fusion.WIDTH)
    outside = 2 * tokens * fusion.FEATURE_DIM * fusion.WIDTH + 2 * tokens * fusion.WIDTH + 2 * fusion.WIDTH * 4
    assert fusion.gflop(model, inputs) * 1e9 == pytest.approx(layers * (scan + products) + outside, rel=1e-6)


def test_long_sequences_which_run_in_pieces_are_counted():
    model = fusion.build("alignmamba", "cpu")
    with torch.no_grad():
        short, long = (fusion.gflop(model, fusion.batch(steps, "cpu")) for steps in (100, 800))
    assert long > 8 * short
