"""Every backend of the selective scan against the float64 reference, and the reference against the recurrence."""

import logging
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignmamba.ops import cpu, cuda
from alignmamba.ops import selective_scan as scan
from alignmamba.ops.selective_scan import BackendError, backend_name, choose_backend, selective_scan
from tests.alignmamba.ops.scans import NAMES, TOLERANCE, assert_close, cpp, double, loss, make_inputs, run

FAST = ("torch", cpp)
ALL = (*FAST, "reference")


@pytest.fixture
def patched():
    """A monkeypatch that hypothesis accepts: one for all examples of a test."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_reference_is_the_recurrence(monkeypatch):
    inputs = {name: tensor.detach() for name, tensor in make_inputs(2, 4, 3, 2).items()}
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "reference")
    y, final = selective_scan(**inputs)
    x, dt, A, B, C, D, state = (inputs[name].tolist() for name in NAMES)
    for b in range(2):
        for d in range(3):
            h = state[b][d]
            for t in range(4):
                step = dt[b][t][d]
                h = [math.exp(step * A[d][n]) * h[n] + step * B[b][t][n] * x[b][t][d] for n in range(2)]
                expected = sum(C[b][t][n] * h[n] for n in range(2)) + D[d] * x[b][t][d]
                assert y[b, t, d].item() == pytest.approx(expected, rel=1e-12)
            assert final[b, d].tolist() == pytest.approx(h, rel=1e-12)


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32), ids=str)
@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 3),
    length=st.one_of(st.integers(1, 70), st.sampled_from((31, 32, 33, 64, 65))),
    dim=st.sampled_from((1, 3, 17, 64, 257)),
    state=st.sampled_from((1, 2, 5, 16, 33)),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_agrees_with_the_reference(patched, backend, dtype, batch, length, dim, state, reverse, seed):
    inputs = make_inputs(batch, length, dim, state, dtype, seed)
    expected = run(patched, "reference", double(inputs), reverse=reverse)
    assert_close(run(patched, backend, inputs, reverse=reverse), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("backend", ALL)
def test_gradients_are_those_of_finite_differences(monkeypatch, backend, reverse):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    inputs = make_inputs(2, 34, 2, 3)

    def scan_of(*tensors):
        return selective_scan(*tensors[:6], state=tensors[6], reverse=reverse)

    assert torch.autograd.gradcheck(scan_of, tuple(inputs.values()), fast_mode=True)


@pytest.mark.parametrize("backend", FAST)
def test_gradient_of_one_output_alone(monkeypatch, backend):
    inputs = make_inputs(2, 40, 5, 3)
    weights = inputs["A"], inputs["dt"]
    for output in (0, 1):
        results = []
        for name in (backend, "reference"):
            monkeypatch.setenv("ALIGNMAMBA_SCAN", name)
            results.append(torch.autograd.grad(selective_scan(**inputs)[output].sum(), weights))
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16), ids=str)
@pytest.mark.parametrize("backend", FAST)
def test_half_precision_comes_back_as_it_went_in(monkeypatch, backend, dtype):
    inputs = make_inputs(2, 33, 17, 4, dtype)
    expected = run(monkeypatch, "reference", double(inputs))
    ours = run(monkeypatch, backend, inputs)
    assert_close(ours, expected, TOLERANCE[dtype])
    assert ours["y"].dtype == ours["x"].dtype == dtype
    assert ours["final"].dtype == torch.float32


@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("backend", FAST)
def test_two_parts_with_the_state_between_are_the_whole(monkeypatch, backend, reverse):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    inputs = make_inputs(2, 75, 17, 5)
    whole = run(monkeypatch, backend, inputs, reverse=reverse)

    halves, state = {}, inputs["state"]
    for start, stop in ((40, 75), (0, 40)) if reverse else ((0, 40), (40, 75)):
        cut = {name: inputs[name][:, start:stop] for name in ("x", "dt", "B", "C")}
        halves[start], state = selective_scan(**inputs | cut | {"state": state}, reverse=reverse)
    y = torch.cat([halves[0], halves[40]], 1)
    gradients = torch.autograd.grad(loss(y, state), list(inputs.values()))
    assert_close({"y": y, "final": state, **dict(zip(NAMES, gradients, strict=True))}, whole, 1e-12)


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32), ids=str)
@pytest.mark.parametrize("backend", FAST)
def test_decays_down_to_exp_minus_1000(monkeypatch, backend, dtype):
    inputs = make_inputs(2, 50, 17, 5)
    rates = -torch.logspace(-3, 3, 17 * 5, dtype=torch.float64).view(17, 5)
    inputs |= {"A": rates, "dt": torch.linspace(0, 1, 2 * 50 * 17, dtype=torch.float64).view(2, 50, 17)}
    inputs = {name: tensor.detach().to(dtype).requires_grad_() for name, tensor in inputs.items()}
    assert (inputs["dt"].max() * inputs["A"].min()).item() == pytest.approx(-1000)
    ours = run(monkeypatch, backend, inputs)
    assert all(tensor.isfinite().all() for tensor in ours.values())
    assert_close(ours, run(monkeypatch, "reference", double(inputs)), TOLERANCE[dtype])


@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("backend", FAST)
def test_steps_of_size_zero_pass_the_state_unchanged(monkeypatch, backend, reverse):
    """Padding after the end (forward) stands before the beginning (reverse): neither may move a bit."""
    monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
    padded = {name: tensor.detach() for name, tensor in make_inputs(2, 70, 17, 5, torch.float32).items()}
    padded["dt"][:, 30:] = 0
    short = padded | {name: padded[name][:, :30] for name in ("x", "dt", "B", "C")}
    y, final = selective_scan(**padded, reverse=reverse)
    y_short, final_short = selective_scan(**short, reverse=reverse)
    assert torch.equal(final, final_short)
    assert torch.equal(y[:, :30], y_short)


@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("backend", FAST)
def test_any_strides(monkeypatch, backend, reverse):
    inputs = make_inputs(2, 40, 17, 5)
    plain = run(monkeypatch, backend, inputs, reverse=reverse)

    def columns_of_a_wider_array(tensor):
        return torch.cat((tensor, tensor, tensor), -1)[..., tensor.shape[-1] : 2 * tensor.shape[-1]]

    def channels_first(tensor):
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)

    def every_second(tensor):
        return tensor.repeat_interleave(2, -1)[..., ::2]

    for stride in (columns_of_a_wider_array, channels_first, every_second):
        strided = {
            name: stride(tensor.detach()).requires_grad_() if tensor.ndim > 1 else tensor
            for name, tensor in inputs.items()
        }
        assert not strided["x"].is_contiguous()
        assert_close(run(monkeypatch, backend, strided, reverse=reverse), plain, 1e-14)


@pytest.mark.parametrize("backend", FAST)
def test_expanded_inputs(monkeypatch, backend):
    inputs = make_inputs(3, 40, 6, 5)
    inputs["B"] = inputs["B"].detach()[:1, :1].expand(3, 40, 5)
    inputs["dt"] = inputs["dt"].detach()[:, :, :1].expand(3, 40, 6)
    expected = run(monkeypatch, "reference", inputs)
    assert_close(run(monkeypatch, backend, inputs), expected, 1e-12)


@pytest.mark.parametrize("threads", (1, 2, 3))
def test_threads_do_not_change_numbers(monkeypatch, threads):
    before = torch.get_num_threads()
    inputs = make_inputs(3, 320, 130, 16, torch.float32)  # enough work for three threads
    expected = run(monkeypatch, "reference", double(inputs))
    try:
        torch.set_num_threads(threads)
        assert_close(run(monkeypatch, choose_backend("cpu"), inputs), expected, TOLERANCE[torch.float32])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ALL)
def test_autocast_changes_nothing(monkeypatch, backend):
    inputs = make_inputs(2, 33, 6, 5, torch.float32)
    plain = run(monkeypatch, backend, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = run(monkeypatch, backend, inputs)
    assert_close(mixed, plain, 1e-6)


@pytest.mark.parametrize("mode", (torch.inference_mode, torch.no_grad))
@pytest.mark.parametrize("backend", FAST)
def test_first_scan_of_a_process_without_gradients(monkeypatch, backend, mode):
    inputs = make_inputs(2, 33, 6, 5)
    expected = run(monkeypatch, backend, inputs)["y"].detach()
    cpu._library.cache_clear()
    scan._choose.cache_clear()
    with mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        y, final = selective_scan(**inputs)
    assert torch.equal(y, expected)
    assert y.grad_fn is final.grad_fn is None


def test_no_state_is_a_state_of_zeros(monkeypatch):
    inputs = make_inputs(2, 33, 6, 5)
    inputs["state"] = torch.zeros_like(inputs["state"])
    for backend in ("reference", "torch", choose_backend("cpu", torch.float64)):
        monkeypatch.setenv("ALIGNMAMBA_SCAN", backend)
        with_zeros = selective_scan(**inputs)
        without = selective_scan(**{name: tensor for name, tensor in inputs.items() if name != "state"})
        assert all(torch.equal(*pair) for pair in zip(with_zeros, without, strict=True))


def test_gradient_that_the_cuda_kernel_does_not_give(monkeypatch):
    """Its final state has the gradient of a scan from zeros; that part needs no GPU."""
    inputs = make_inputs(2, 40, 6, 5)
    inputs["state"] = torch.zeros_like(inputs["state"])
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "reference")
    final = selective_scan(**inputs)[1]
    weights = [inputs[name] for name in ("x", "dt", "A", "B")]
    expected = torch.autograd.grad(final.square().sum(), weights)
    ours = cuda._FinalState.apply(final.detach(), *weights)
    assert torch.equal(ours, final)
    for gradient, wanted in zip(torch.autograd.grad(ours.square().sum(), weights), expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    (
        ("x", lambda t: t[0], r"x: shape \(4, 3\), expected \(batch, length, dim\)"),
        ("x", lambda t: t[:, :0], r"x: shape \(2, 0, 3\), expected .* each at least 1"),
        ("dt", lambda t: t[:, :1], r"dt: shape \(2, 1, 3\), expected \(2, 4, 3\)"),
        ("A", lambda t: t.T, r"A: shape \(5, 3\), expected \(dim, state\) = \(3, at least 1\)"),
        ("B", lambda t: t.transpose(1, 2), r"B: shape \(2, 5, 4\), expected \(2, 4, 5\)"),
        ("C", lambda t: t[:1], r"C: shape \(1, 4, 5\), expected \(2, 4, 5\)"),
        ("D", lambda t: t[:2], r"D: shape \(2,\), expected \(3,\)"),
        ("state", lambda t: t[:, :, :1], r"state: shape \(2, 3, 1\), expected \(2, 3, 5\)"),
        ("B", lambda t: t.float(), r"B: torch.float32, expected all float64 or none, and x is torch.float64"),
        ("dt", lambda t: t.long(), r"dt: torch.int64, expected a floating-point dtype"),
        ("C", lambda t: t.to("meta"), r"C: on meta, expected cpu as x"),
    ),
)
def test_wrong_inputs_are_named(name, change, message):
    inputs = {key: tensor.detach() for key, tensor in make_inputs(2, 4, 3, 5).items()}
    with pytest.raises(ValueError, match=message):
        selective_scan(**inputs | {name: change(inputs[name])})


def test_unknown_backend_is_named(monkeypatch):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "fortran")
    with pytest.raises(ValueError, match="ALIGNMAMBA_SCAN: 'fortran', expected one of cuda, cpp, triton, torch, ref"):
        choose_backend("cpu")


def test_forced_backend_that_cannot_run_is_an_error(monkeypatch):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "cuda")
    with pytest.raises(
        BackendError, match=r"'cuda' cannot run on cpu in torch.float32: cuda: runs on NVIDIA GPUs only"
    ):
        choose_backend("cpu")


def test_choice_is_logged_once(monkeypatch, caplog):
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "reference")
    scan._choose.cache_clear()
    scan._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="alignmamba.ops.selective_scan"):
        for length in (3, 4):
            selective_scan(**make_inputs(1, length, 2, 2))
            selective_scan(**make_inputs(1, length, 2, 2, torch.float32))
    assert [record.message for record in caplog.records] == ["selective scan on cpu: reference (plain float64 loop)"]
    assert backend_name("cpu") == "reference (plain float64 loop)"
