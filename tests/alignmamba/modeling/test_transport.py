"""The relaxed plan against a linear program and a plain double loop."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from alignmamba.modeling import transport as ot
from tests.alignmamba.ops.scans import cpp
from tests.paths import ROOT


def _random(source, target, dim, batch=1):
    return torch.randn(batch, source, dim, dtype=torch.float64), torch.randn(batch, target, dim, dtype=torch.float64)


def _mask(*lengths):
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(("source", "target"), [(1, 1), (1, 5), (7, 1), (6, 4), (4, 9)])
def test_relaxed_plan_is_the_linear_programs_optimum(source, target):
    x, y = _random(source, target, 3)
    cost = ot.cosine_cost(x, y)[0].numpy()
    rows = np.kron(np.eye(source), np.ones(target))
    solved = linprog(cost.ravel(), A_eq=rows, b_eq=np.full(source, 1 / source), bounds=(0, None))
    plan = ot.relaxed_plan(x, y, _mask(source), _mask(target)).dense()[0].numpy()
    np.testing.assert_allclose(plan, solved.x.reshape(source, target), atol=1e-6)
    assert (plan * cost).sum() == pytest.approx(solved.fun, abs=1e-6)


def test_cost_is_one_minus_cosine():
    x, y = _random(4, 5, 3)
    cost = ot.cosine_cost(x, y)[0]
    for i in range(4):
        for j in range(5):
            expected = 1 - x[0, i] @ y[0, j] / (x[0, i].norm() * y[0, j].norm())
            assert cost[i, j].item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_do_not_change_the_assignment(monkeypatch, block):
    x, y = _random(33, 11, 4, batch=2)
    mask = _mask(11, 6)
    whole = ot.cosine_cost(x, y).masked_fill(~mask[:, None], torch.inf).argmin(-1)
    monkeypatch.setattr(ot, "BLOCK_ENTRIES", block)
    monkeypatch.setattr(ot, "BLOCK_ROWS", 1)
    assert torch.equal(ot.relaxed_plan(x, y, _mask(33, 33), mask).chosen, whole)


def test_padding_is_never_chosen():
    x, y = _random(5, 4, 3)
    padded = torch.cat([y[:, :2], x[:, :2]], 1)  # the padding would be a perfect match
    assert ot.relaxed_plan(x, padded, _mask(5), _mask(2, 4)[:1]).chosen.max() < 2


def test_ties_go_to_the_earliest_target_whatever_the_rounding():
    word = torch.randn(1, 1, 64)
    y = word.repeat(1, 37, 1) * torch.linspace(0.1, 10, 37)[None, :, None]  # one direction, many lengths
    plan = ot.relaxed_plan(torch.randn(1, 50, 64), y, _mask(50), _mask(37))
    assert (plan.chosen == 0).all()


def test_zero_vectors_cost_one_and_give_no_nan():
    x, y = _random(3, 4, 2)
    x[:, 1], y[:, 2] = 0, 0
    cost = ot.cosine_cost(x, y)
    assert (cost[:, 1] == 1).all()
    assert (cost[:, :, 2] == 1).all()
    assert ot.relaxed_plan(x, y, _mask(3), _mask(4)).chosen[0, 1] == 0


def test_time_term_prefers_the_nearer_of_equals():
    x, y = torch.ones(1, 3, 2), torch.ones(1, 3, 2)
    seconds = torch.tensor([[0.0, 1.0, 2.0]])
    plan = ot.relaxed_plan(x, y, _mask(3), _mask(3), time_weight=0.5, source_seconds=seconds, target_seconds=seconds)
    assert plan.chosen.tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match=r"time_weight: 0\.5 needs"):
        ot.relaxed_plan(x, y, _mask(3), _mask(3), time_weight=0.5)


@pytest.mark.parametrize("backend", [cpp, "torch"])
@pytest.mark.parametrize("kind", ["random", "ties", "gaps", "apart", "unordered"])
@pytest.mark.parametrize("weight", [0.2, 1.0, 5.0])
def test_the_search_within_reach_finds_the_plan_of_the_full_search(monkeypatch, weight, kind, backend):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    x, y = (tensor.float() for tensor in _random(300, 270, 4, batch=2))
    source, target = (torch.rand(2, n).sort(1).values * 60 for n in (300, 270))
    if kind == "ties":  # few directions, times on a grid
        x, y = x.sign(), y.sign()
        source, target = source.round(), target.round()
    if kind == "gaps":  # nothing for half a minute
        target = target + 30 * (target > 20)
    if kind == "apart":  # all targets after all sources
        target = target + 1000
    if kind == "unordered":
        target = target.flip(1)
    target_mask = _mask(270, 150)
    if kind == "random":  # padding has times of its own
        target = target.where(target_mask, 0)
    given = x, y, _mask(300, 220), target_mask
    times = {"time_weight": weight, "source_seconds": source, "target_seconds": target}
    whole = ot.relaxed_plan(*given, **times).chosen
    looked_at = []

    def noted(*arguments):
        for rows, columns in blocks(*arguments):
            looked_at.append((rows.stop - rows.start) * (columns.stop - columns.start))
            yield rows, columns

    blocks = ot._blocks
    monkeypatch.setattr(ot, "_blocks", noted)
    monkeypatch.setattr(ot, "BLOCK_ENTRIES", 64)
    monkeypatch.setattr(ot, "BLOCK_ROWS", 16)
    within = ot.relaxed_plan(*given, **times).chosen
    assert torch.equal(within.where(given[2], -1), whole.where(given[2], -1))
    if kind == "random" and weight > 0.5:
        assert sum(looked_at) < 300 * 270 / 3
    if kind == "unordered":
        assert sum(looked_at) == 300 * 270


@pytest.mark.parametrize("scaling", ["paper", "mean"])
@pytest.mark.parametrize("kind", ["relaxed", "sinkhorn", "uniform"])
def test_carrying_is_the_product_with_the_plan(scaling, kind):
    x, y = _random(6, 5, 3, batch=2)
    source_mask, target_mask = _mask(6, 4), _mask(5, 3)
    plan = {
        "relaxed": lambda: ot.relaxed_plan(x, y, source_mask, target_mask),
        "sinkhorn": lambda: ot.sinkhorn_plan(ot.cosine_cost(x, y), source_mask, target_mask, blur=0.1),
        "uniform": lambda: ot.uniform_plan(source_mask, target_mask),
    }[kind]()
    matrix = plan.dense().double()
    torch.testing.assert_close(matrix.sum(2), source_mask / source_mask.sum(1, keepdim=True), check_dtype=False)
    assert (matrix * ~target_mask[:, None]).sum() == 0
    if scaling == "mean":
        matrix = matrix / matrix.sum(1, keepdim=True).where(matrix.sum(1, keepdim=True) > 0, 1)
    torch.testing.assert_close(plan.transport(x, scaling=scaling), matrix.mT @ x, atol=1e-6, rtol=1e-6)


def test_a_word_that_no_frame_chose_is_a_zero_row():
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.1]]])
    y = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    plan = ot.relaxed_plan(x, y, _mask(2), _mask(2))
    for scaling in ("paper", "mean"):
        moved = plan.transport(x, scaling=scaling)
        assert (moved[0, 1] == 0).all()
        assert (moved[0, 0] != 0).any()


def test_gradient_flows_through_the_steps():
    x, y = _random(4, 3, 2)
    x.requires_grad_(True)
    ot.relaxed_plan(x, y, _mask(4), _mask(3)).transport(x, scaling="paper").sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.25))


def test_uniform_plan_follows_the_position():
    index = ot.uniform_plan(_mask(6, 3), _mask(3, 3)).chosen
    assert index[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert index[1, :3].tolist() == [0, 1, 2]


def test_without_a_valid_target_it_says_so():
    x, y = _random(2, 2, 2)
    with pytest.raises(ValueError, match="target_mask: a clip has no valid target"):
        ot.relaxed_plan(x, y, _mask(2), torch.zeros(1, 2, dtype=torch.bool))


def test_sinkhorn_tends_to_the_full_linear_program_as_its_blur_falls():
    x, y = _random(6, 4, 3)
    cost = ot.cosine_cost(x, y)
    flat = cost[0].numpy()
    marginals = np.vstack([np.kron(np.eye(6), np.ones(4)), np.kron(np.ones(6), np.eye(4))])
    solved = linprog(flat.ravel(), A_eq=marginals, b_eq=[1 / 6] * 6 + [1 / 4] * 4, bounds=(0, None))
    gaps = []
    for blur in (0.3, 0.1, 0.03, 0.01):
        plan = ot.sinkhorn_plan(cost, _mask(6), _mask(4), blur=blur).dense()[0]
        torch.testing.assert_close(plan.sum(1), torch.full((6,), 1 / 6, dtype=torch.float64), atol=1e-5, rtol=0)
        torch.testing.assert_close(plan.sum(0), torch.full((4,), 1 / 4, dtype=torch.float64), atol=1e-5, rtol=0)
        gaps.append((plan.numpy() * flat).sum() - solved.fun)
    assert gaps == sorted(gaps, reverse=True)
    assert -1e-5 < gaps[-1] < 5e-3


@pytest.mark.parametrize("library", ["jax", "cupy", "tensorflow"])
def test_sinkhorn_starts_no_other_tensor_library(library, tmp_path):
    """Each would take memory of the GPU, and time; here a file in its place says that it was imported."""
    (tmp_path / f"{library}.py").write_text("raise SystemExit('imported')")
    code = "import torch; from alignmamba.modeling import transport; here = torch.ones(1, 2, dtype=torch.bool)\n"
    code += "print(transport.sinkhorn_plan(torch.zeros(1, 2, 2), here, here, blur=0.1).dense().sum().item())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert float(done.stdout or "nan") == pytest.approx(1), done.stderr


def test_sinkhorn_of_a_clip_without_a_source_is_zero():
    x, y = _random(3, 2, 4, batch=2)
    mask = torch.tensor([[True] * 3, [False] * 3])
    plan = ot.sinkhorn_plan(ot.cosine_cost(x, y), mask, _mask(2, 2), blur=0.1)
    assert plan.matrix[0].sum() == pytest.approx(1)
    assert (plan.matrix[1] == 0).all()
