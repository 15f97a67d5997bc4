"""Transformer layers of the baselines against written-out formulas."""

import pytest
import torch

from training.baselines.attention import AttentionLayer, SelfAttentionLayer, positions


def test_attention_is_the_written_out_formula():
    layer = AttentionLayer(8, dropout=0.0).double()
    x, source = torch.randn(1, 3, 8, dtype=torch.float64), torch.randn(1, 5, 8, dtype=torch.float64)
    q = layer.query(layer.norm(x))[0]
    k, v = layer.key_value(layer.source_norm(source))[0].chunk(2, -1)
    heads = [slice(2 * head, 2 * head + 2) for head in range(4)]
    found = torch.cat([((q[:, h] @ k[:, h].T) / 2**0.5).softmax(-1) @ v[:, h] for h in heads], -1)
    expected = x[0] + layer.out(found)
    expected = expected + layer.inner(layer.inner_norm(expected))
    torch.testing.assert_close(layer(x, source, None)[0], expected)
    own = SelfAttentionLayer(8, dropout=0.0).double()
    torch.testing.assert_close(own(x), AttentionLayer.forward(own, x, x, None))


def test_positions_are_sines_and_cosines():
    found = positions(4, 6, like=torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(found[3, 0::2], torch.sin(3 / 10_000 ** (torch.tensor([0.0, 2, 4]).double() / 6)))
    torch.testing.assert_close(found[:, 1], torch.cos(torch.arange(4.0).double()))


def test_width_must_fit_the_heads():
    with pytest.raises(ValueError, match="width: 6, expected a multiple of 4"):
        AttentionLayer(6, dropout=0.0)


def test_a_source_that_is_all_padding_is_finite():
    layer = AttentionLayer(8, dropout=0.0)
    x, source = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    out = layer(x, source, torch.tensor([[True] * 5, [False] * 5]))
    assert out.isfinite().all()
    torch.testing.assert_close(out[:1], layer(x[:1], source[:1], None))
