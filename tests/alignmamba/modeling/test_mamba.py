"""The block against plain operations, its masks and the state between pieces."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from alignmamba.modeling import mamba
from alignmamba.modeling.mamba import Mamba, MambaLayer, MambaState, run_layers
from tests.alignmamba.ops.scans import cpp


def plain(block, x, missing=None):
    """Mamba-1 written out step by step, as published, with the gate that is ours; batch and time loops included."""
    outputs = []
    for number, sequence in enumerate(x):
        u, gate = (sequence @ block.in_proj.weight.T).chunk(2, -1)
        padded = F.pad(u, (0, 0, block.conv_width - 1, 0))
        state = torch.zeros(block.inner, block.state_dim, dtype=x.dtype)
        rows = []
        for t in range(len(sequence)):
            window = padded[t : t + block.conv_width]
            v = F.silu((window.T * block.conv1d.weight[:, 0]).sum(1) + block.conv1d.bias)
            low_rank, b, c = (block.x_proj.weight @ v).split([block.dt_rank, block.state_dim, block.state_dim])
            dt = F.softplus(block.dt_proj.weight @ low_rank + block.dt_proj.bias)
            if missing is not None:
                dt = dt * 2 / (1 + torch.exp(-(block.missing_gate @ missing[number, t])))
            state = torch.exp(dt[:, None] * -torch.exp(block.A_log)) * state + (dt * v)[:, None] * b
            y = state @ c + block.D * v
            rows.append(block.out_proj.weight @ (y * F.silu(gate[t])))
        outputs.append(torch.stack(rows))
    return torch.stack(outputs)


@pytest.fixture
def block():
    return Mamba(8, state_dim=4).double()


def test_equals_the_plain_implementation(block):
    x = torch.randn(2, 11, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x), plain(block, x))


def test_reverse_is_the_flipped_sequence(block):
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x, reverse=True), block(x.flip(1)).flip(1))


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_changes_nothing_not_even_gradients(block, reverse):
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    alone = block(x, reverse=reverse)
    alone.sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in block.named_parameters()}
    block.zero_grad()
    padded = F.pad(x, (0, 0, 0, 5), value=3.0)
    out = block(padded, torch.arange(11)[None] < 6, reverse=reverse)[:, :6]
    out.sum().backward()
    torch.testing.assert_close(out, alone)
    for name, parameter in block.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


@pytest.mark.parametrize("cuts", [(4,), (1, 2, 9), (5, 6, 7)])
def test_pieces_equal_the_whole(block, cuts):
    x = torch.randn(2, 12, 8, dtype=torch.float64)
    state: MambaState = block.initial_state(2)
    pieces = []
    for piece in torch.tensor_split(x, cuts, dim=1):
        y, state = block.run(piece, None, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), block(x))


def test_causal_layer_does_not_see_the_future_and_bidirectional_does():
    settings = {"state_dim": 4, "conv_width": 4, "expand": 2, "dropout": 0.0}
    x = torch.randn(1, 10, 8)
    changed = x.clone()
    changed[:, 7:] = torch.randn(1, 3, 8)
    causal = MambaLayer(8, bidirectional=False, **settings)
    torch.testing.assert_close(causal(x)[:, :7], causal(changed)[:, :7])
    both = MambaLayer(8, bidirectional=True, **settings)
    assert not torch.allclose(both(x)[:, :7], both(changed)[:, :7])


def test_parameters_have_the_names_and_shapes_of_mamba_ssm():
    width, inner, state, rank = 32, 64, 16, 2
    assert {name: tuple(tensor.shape) for name, tensor in Mamba(width).state_dict().items()} == {
        "A_log": (inner, state),
        "D": (inner,),
        "in_proj.weight": (2 * inner, width),
        "conv1d.weight": (inner, 1, 4),
        "conv1d.bias": (inner,),
        "x_proj.weight": (rank + 2 * state, inner),
        "dt_proj.weight": (inner, rank),
        "dt_proj.bias": (inner,),
        "out_proj.weight": (width, inner),
    }


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("block", [1, 5, 16])
def test_layers_run_in_pieces_give_the_same_numbers(monkeypatch, bidirectional, block):
    settings = {"state_dim": 4, "conv_width": 4, "expand": 2, "dropout": 0.0, "bidirectional": bidirectional}
    layers = nn.ModuleList(MambaLayer(8, **settings).double() for _ in range(2))
    norm = nn.LayerNorm(8).double()
    x, mask = torch.randn(2, 23, 8, dtype=torch.float64), torch.arange(23)[None] < torch.tensor([[23], [9]])
    whole = run_layers(layers, x, mask, norm=norm)
    monkeypatch.setattr(mamba, "BLOCK_STEPS", block)
    with torch.no_grad():
        pieces = run_layers(layers, x, mask, norm=norm)
    torch.testing.assert_close(pieces[0], whole[0])
    torch.testing.assert_close(pieces[1, :9], whole[1, :9])


class _LargestSequence(TorchDispatchMode):
    """Notes the most steps that any wide tensor has, wide being the inner width of a block or more."""

    def __init__(self, wide):
        super().__init__()
        self.wide, self.steps = wide, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor) and tensor.ndim == 3 and tensor.shape[-1] >= self.wide:
                self.steps = max(self.steps, tensor.shape[1])
        return made


@pytest.mark.parametrize("backend", [cpp, "torch"])
def test_inner_activations_do_not_grow_with_the_length(monkeypatch, backend):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    monkeypatch.setattr(mamba, "BLOCK_STEPS", 16)
    settings = {"state_dim": 4, "conv_width": 4, "expand": 2, "dropout": 0.0, "bidirectional": False}
    layers, norm = nn.ModuleList(MambaLayer(8, **settings) for _ in range(2)), nn.LayerNorm(8)
    for length in (64, 640):
        x, mask = torch.randn(1, length, 8), torch.ones(1, length, dtype=torch.bool)
        with torch.no_grad(), _LargestSequence(wide=16) as largest:
            run_layers(layers, x, mask, norm=norm)
        # A piece, and where plain operations convolve it, the three steps before it.
        assert 16 <= largest.steps <= 19
