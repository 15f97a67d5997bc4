"""The benchmark of whole models measures what it reports."""

import pytest
import torch

from benchmarks import fusion


@pytest.fixture(autouse=True)
def _no_gradient():
    with torch.no_grad():
        yield


def test_rows_are_whole_and_of_all_models():
    rows = fusion.rows_of(3, list(fusion.MODELS), "cpu", 1)
    assert [row["model"] for row in rows] == list(fusion.MODELS)
    for row in rows:
        assert row["tokens"] == 9
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


def test_scans_are_counted_by_formula():
    steps, inner = 10, 2 * fusion.WIDTH
    model, inputs = fusion.build("single-stream-mamba", "cpu"), fusion.batch(steps, "cpu")
    tokens, layers = 3 * steps, fusion.ENCODER_LAYERS + fusion.FUSION_LAYERS
    scan = fusion.SCAN_FLOP * tokens * inner * 16
    products = 2 * tokens * (fusion.WIDTH * 2 * inner + inner * (8 + 32) + 8 * inner + inner * fusion.WIDTH)
    outside = 2 * tokens * fusion.FEATURE_DIM * fusion.WIDTH + 2 * tokens * fusion.WIDTH + 2 * fusion.WIDTH * 4
    assert fusion.gflop(model, inputs) * 1e9 == pytest.approx(layers * (scan + products) + outside, rel=1e-6)
