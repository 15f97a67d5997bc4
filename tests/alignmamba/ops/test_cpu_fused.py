"""The fused kernels against the plain operations that they replace."""

import ctypes

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from alignmamba.modeling import mamba, transport
from alignmamba.modeling.mamba import Mamba, MambaLayer, MambaState, run_layers
from alignmamba.ops import cpu, cpu_fused

pytestmark = pytest.mark.skipif(cpu.unavailable("cpu", torch.float32) is not None, reason="no C++ compiler here")
CLOSE = {torch.float32: {"rtol": 1e-5, "atol": 1e-6}, torch.float64: {"rtol": 1e-12, "atol": 1e-12}}
DTYPES = tuple(CLOSE)


@pytest.fixture(autouse=True)
def _free_choice(monkeypatch):
    monkeypatch.delenv("ALIGNMAMBA_SCAN", raising=False)


@pytest.fixture
def calls(monkeypatch):
    """Names of the kernels called."""
    cpu.kernel()  # built by now: its self-check calls kernels too
    names, plain = [], cpu_fused._call

    def counted(kernel, name, *arguments):
        names.append(name)
        plain(kernel, name, *arguments)

    monkeypatch.setattr(cpu_fused, "_call", counted)
    return names


def _block(width=8, dtype=torch.float64, **settings):
    block = Mamba(width, **settings).to(dtype)
    with torch.no_grad():  # away from their beginnings, which are alike in every channel
        block.D.copy_(torch.randn_like(block.D))
        block.A_log.add_(torch.randn_like(block.A_log) / 2)
    return block


def _state(block, batch):
    return MambaState(*(torch.randn_like(part) for part in block.initial_state(batch)))


def _both(block, x, mask, state, reverse=False, missing=None):
    """Outputs of the fused path, then of the plain one, which gradients take."""
    with torch.no_grad():
        y, after = block.run(x, mask, state, missing=missing, reverse=reverse)
    plain, plain_after = block.run(x, mask, state, missing=missing, reverse=reverse)
    assert plain.requires_grad
    return (y, *after), (plain, *plain_after)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 3),
    length=st.one_of(st.integers(1, 8), st.sampled_from((31, 32, 33, 70))),
    width=st.sampled_from((1, 5, 16, 40)),
    states=st.sampled_from((1, 3, 4, 8, 16, 21)),
    taps=st.integers(1, 8),
    masked=st.sampled_from(("no", "ragged", "holes")),
    conditions=st.sampled_from((0, 1, 9)),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_block_gives_the_numbers_of_the_plain_one(
    calls, dtype, batch, length, width, states, taps, masked, conditions, reverse, seed
):
    torch.manual_seed(seed)
    block = _block(width, dtype, state_dim=states, conv_width=taps, conditions=conditions)
    missing = None
    if conditions:
        torch.nn.init.normal_(block.missing_gate)
        missing = (torch.rand(batch, length, conditions) < 0.5).to(dtype)
    x = torch.randn(batch, length, width, dtype=dtype)
    mask = {
        "no": None,
        "ragged": torch.arange(length)[None] < torch.randint(0, length + 1, (batch, 1)),
        "holes": torch.rand(batch, length) < 0.6,
    }[masked]
    calls.clear()
    ours, plain = _both(block, x, mask, _state(block, batch), reverse, missing)
    assert calls == ["mamba_convolve", "mamba_gated_scan"]
    for mine, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, expected.detach(), **CLOSE[dtype])


@pytest.mark.parametrize("cuts", [(4,), (1, 2, 9), (5, 6, 7)])
def test_pieces_equal_the_whole(calls, cuts):
    block = _block()
    x, mask = torch.randn(2, 12, 8, dtype=torch.float64), torch.arange(12)[None] < torch.tensor([[12], [7]])
    state, pieces = block.initial_state(2), []
    with torch.no_grad():
        whole = block(x, mask)
        for piece, piece_mask in zip(x.tensor_split(cuts, 1), mask.tensor_split(cuts, 1), strict=True):
            y, state = block.run(piece, piece_mask, state)
            pieces.append(y)
    assert len(calls) == 2 * (2 + len(cuts))
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_any_strides(calls, reverse):
    block = _block()
    x = torch.randn(8, 20, 3, dtype=torch.float64).permute(2, 1, 0)
    mask = (torch.rand(20, 3) < 0.7).T
    wide = torch.randn(3, 6, block.inner, dtype=torch.float64)
    state = MambaState(wide[:, ::2], torch.randn(3, 4, block.inner, dtype=torch.float64).repeat(1, 4, 1).mT)
    ours, plain = _both(block, x, mask, state, reverse)
    assert len(calls) == 2
    for mine, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, expected.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_stands_at_masked_steps_moves_no_bit(reverse):
    block = _block(dtype=torch.float32)
    x, mask = torch.randn(1, 40, 8), torch.arange(40)[None] < 23
    state = _state(block, 1)
    with torch.no_grad():
        y, after = block.run(x, mask, state, reverse=reverse)
        changed, changed_after = block.run(x.where(mask[:, :, None], 1e6), mask, state, reverse=reverse)
    assert torch.equal(y[:, :23], changed[:, :23])
    assert torch.equal(after.scan, changed_after.scan)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_numbers(threads):
    before = torch.get_num_threads()
    block = _block(130, torch.float32)
    x, mask = torch.randn(2, 400, 130), torch.arange(400)[None] < torch.tensor([[400], [333]])
    with torch.no_grad():
        torch.set_num_threads(1)
        alone = block(x, mask)
        try:
            torch.set_num_threads(threads)
            torch.testing.assert_close(block(x, mask), alone, **CLOSE[torch.float32])
        finally:
            torch.set_num_threads(before)


@pytest.mark.parametrize("overwrite", [False, True])
def test_layers_may_overwrite_their_input(monkeypatch, overwrite):
    options = {"state_dim": 4, "conv_width": 4, "expand": 2, "dropout": 0.0, "bidirectional": False}
    layers = torch.nn.ModuleList(MambaLayer(8, **options) for _ in range(2))
    norm = torch.nn.LayerNorm(8)
    x, mask = torch.randn(2, 23, 8), torch.arange(23)[None] < torch.tensor([[23], [9]])
    given = x.clone()
    with torch.no_grad():
        whole = run_layers(layers, x, mask, norm=norm)
        monkeypatch.setattr(mamba, "BLOCK_STEPS", 5)
        pieces = run_layers(layers, x, mask, norm=norm, overwrite=overwrite)
    torch.testing.assert_close(pieces, whole, **CLOSE[torch.float32])
    assert (pieces is x) == overwrite
    assert torch.equal(x, given) != overwrite


def _silu(x):
    """By a convolution of one tap that is one."""
    dim = x.shape[-1]
    nothing = x.new_zeros(len(x), 0, dim)
    kernel = cpu.kernel()
    return cpu_fused.convolve(kernel, x, None, nothing, x.new_ones(dim, 1, 1), x.new_zeros(dim), reverse=False)[0]


def _softplus(x):
    """By scans of one step from zero, with D = 0, B = C = 1 and a gate g for which silu(g) = g."""
    dim = x.shape[-1]
    out = torch.ones_like(x)
    sizes = cpu_fused.StepSizes(x.new_zeros(dim, 0), x.new_zeros(dim), x.new_zeros(dim, 1), x.new_zeros(dim))
    for column in range(x.shape[1]):
        piece = torch.ones_like(x[:, :1])
        with_bias = sizes._replace(dt_bias=x[0, column].contiguous())
        cpu_fused.gated_scan_(
            cpu.kernel(), piece, torch.full_like(piece, 64), piece.new_ones(1, 1, 2), None,
            piece.new_zeros(1, dim, 1), with_bias, reverse=False,
        )  # fmt: skip
        out[:, column] = piece[:, 0] / 64
    return out


@pytest.mark.parametrize(("ours", "theirs"), [(_silu, F.silu), (_softplus, F.softplus)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_activations_are_exact_over_their_range(ours, theirs, dtype, tolerance):
    x = torch.cat([torch.linspace(-86, 86, 4000), torch.linspace(-2, 2, 4000), torch.tensor([0.0, -0.0])]).to(dtype)
    x = F.pad(x, (0, -len(x) % 100)).view(1, -1, 100)
    torch.testing.assert_close(ours(x).double(), theirs(x.double()), rtol=tolerance, atol=0)


@pytest.mark.parametrize("ours", [_silu, _softplus])
def test_activations_beyond_their_range_end_in_zero_or_themselves(ours):
    x = torch.tensor([[[-1e30, -1000.0, -90.0, 90.0, 1000.0, 1e30]]])
    torch.testing.assert_close(ours(x), torch.tensor([[[0, 0, 0, 90.0, 1000.0, 1e30]]]), rtol=1e-6, atol=1e-30)


def test_other_backends_autocast_and_gradients_take_the_plain_path(calls, monkeypatch):
    block, x = _block(dtype=torch.float32), torch.randn(1, 5, 8)
    block(x)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        block(x)
    for name in ("torch", "reference"):
        monkeypatch.setenv("ALIGNMAMBA_SCAN", name)
        with torch.no_grad():
            block(x)
            transport.relaxed_plan(x, x, torch.ones(1, 5).bool(), torch.ones(1, 5).bool())
    assert calls == []
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "cpp")
    block.requires_grad_(False)
    block(x)
    assert calls == ["mamba_convolve", "mamba_gated_scan"]
    block(x.requires_grad_())
    assert len(calls) == 2


def test_no_graph_and_nothing_overwritten():
    block, x = _block(dtype=torch.float32), torch.randn(2, 9, 8)
    state, copy = _state(block, 2), x.clone()
    kept = [part.clone() for part in state]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            y, after = block.run(x, None, state)
        assert y.grad_fn is after.scan.grad_fn is None
    assert torch.equal(x, copy)
    assert all(torch.equal(part, before) for part, before in zip(state, kept, strict=True))


@pytest.mark.parametrize("part", ["conv", "scan"])
def test_a_state_of_another_shape_is_named_not_read(part):
    block = _block()
    state = block.initial_state(2)
    shorter = {"conv": state.conv[:, :2], "scan": state.scan[:, :, :3]}[part]
    with torch.no_grad(), pytest.raises(ValueError, match=r"before: \(2, .*, expected \(2, "):
        block.run(torch.randn(2, 5, 8, dtype=torch.float64), None, state._replace(**{part: shorter}))


@pytest.mark.parametrize("mask", [torch.ones(2, 4).bool(), torch.ones(2, 5), torch.ones(3, 5).bool()])
def test_a_mask_of_another_shape_is_named_not_read(mask):
    with pytest.raises(ValueError, match=r"mask: .*, expected \(2, 5\) in torch.bool"):
        cpu_fused._whole(mask, 2, 5)


def test_no_step_is_the_plain_paths_error():
    block = _block()
    with torch.no_grad(), pytest.raises(ValueError, match="each at least 1"):
        block(torch.empty(1, 0, 8, dtype=torch.float64))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 3),
    sources=st.integers(1, 9),
    targets=st.one_of(st.integers(1, 40), st.sampled_from((255, 256, 257, 600))),
    masked=st.booleans(),
    weight=st.sampled_from((0.0, 0.3)),
    seed=st.integers(0, 1000),
)
def test_search_finds_what_plain_operations_find(dtype, batch, sources, targets, masked, weight, seed):
    torch.manual_seed(seed)
    # Few different numbers, so that there are ties; on a grid, so that rounding is alike.
    similarity = torch.randint(-3, 3, (batch, sources, targets)).to(dtype) / 4
    mask = torch.rand(batch, targets) < 0.5 if masked else None
    if masked:
        mask[:, -1] = True
    seconds = torch.randint(0, 9, (batch, sources)).to(dtype), torch.randint(0, 9, (batch, targets)).to(dtype)
    seconds = seconds if weight else None
    found = []
    wide = torch.full((batch, sources + 2), -1)
    for search, index in (
        (lambda *given, **options: cpu_fused.search(cpu.kernel(), *given, **options), wide[:, 1:-1]),
        (transport._search, torch.empty(batch, sources, dtype=torch.long)),
    ):
        search(similarity.clone(), mask, index, tolerance=1e-6, time_weight=weight, seconds=seconds)
        found.append(index)
    assert torch.equal(*found)
    assert (wide[:, [0, -1]] == -1).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_plans_do_not_depend_on_the_backend(calls, monkeypatch, dtype):
    x, y = torch.randn(2, 300, 16, dtype=dtype), torch.randn(2, 270, 16, dtype=dtype)
    source_mask, target_mask = torch.ones(2, 300).bool(), torch.arange(270)[None] < torch.tensor([[270], [31]])
    seconds = {"source_seconds": torch.rand(2, 300, dtype=dtype), "target_seconds": torch.rand(2, 270, dtype=dtype)}
    for times in ({}, {"time_weight": 0.5, **seconds}):
        monkeypatch.setenv("ALIGNMAMBA_SCAN", "torch")
        plain = transport.relaxed_plan(x, y, source_mask, target_mask, **times).chosen
        assert calls == []
        monkeypatch.setenv("ALIGNMAMBA_SCAN", "cpp")
        assert torch.equal(transport.relaxed_plan(x, y, source_mask, target_mask, **times).chosen, plain)
        assert set(calls) == {"transport_search"}
        calls.clear()


@pytest.mark.parametrize("lazy", cpu_fused._FUNCTIONS)
def test_self_check_refuses_a_function_that_does_nothing(lazy):
    library = ctypes.CDLL(cpu.kernel()._name)  # another handle, with functions of its own
    with torch.no_grad():
        cpu_fused.self_check(library)
        for kind in cpu_fused.DTYPES.values():
            setattr(library, f"{lazy}_{kind}", lambda _: None)
        with pytest.raises(ArithmeticError, match="wrong numbers"):
            cpu_fused.self_check(library)
