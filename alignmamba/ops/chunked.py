"""Selective scan in plain torch: chunks of time steps, one fused multiply-add a step, linear memory and backward.

Runs on every device torch knows. The arithmetic that needs no order (exponentials, products, sums over channels)
is done for a whole chunk at once on time-major arrays; only `h = decay * h + drive` walks step by step. Forward keeps
the state at chunk borders; backward recomputes one chunk after the other from there. Nothing is divided and no
logarithm is taken, so a decay of exp(-1000) = 0 is as good as any.
"""

from __future__ import annotations

import torch
from torch import Tensor

from alignmamba.ops.interface import Inputs, Kernels, Outputs, differentiable

CHUNK = 32  # steps; a chunk holds CHUNK x batch x dim x state numbers, and a border is kept every CHUNK steps


def unavailable(device: str, dtype: torch.dtype) -> str | None:
    """Why the loop cannot run there: never."""
    return None


def describe() -> str:
    """One phrase for the screen and the log."""
    return f"torch {torch.__version__}, chunks of {CHUNK} steps"


def scan(inputs: Inputs, *, reverse: bool) -> Outputs:
    """Run `alignmamba.ops.selective_scan.selective_scan`."""
    y, final = differentiable(_KERNELS, inputs.flip() if reverse else inputs, reverse=False)
    return (y.flip(1) if reverse else y), final


def _forward(inputs: Inputs, keep: bool, reverse: bool) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    assert not reverse  # flipped before
    x, dt, A, B, C, D, h = inputs
    y = x * D
    borders = []
    for chunk in _chunks(x.shape[1]):
        if keep:
            borders.append(h)
        states = _states(x[:, chunk], dt[:, chunk], A, B[:, chunk], h)[0]
        y[:, chunk] += _over_state(states, C[:, chunk])
        h = states[-1].clone()
    return y, h, (x, dt, A, B, C, D, *borders)


def _backward(saved: tuple[Tensor, ...], grad_y: Tensor, carry: Tensor, reverse: bool) -> tuple[Tensor, ...]:
    """Gradients chunk by chunk from the last; `carry` is that of the state that leaves a chunk."""
    x, dt, A, B, C, D, *borders = saved
    grad_x = grad_y * D
    grad_dt, grad_A, grad_B, grad_C = (torch.zeros_like(tensor) for tensor in (dt, A, B, C))
    for chunk, border in reversed(list(zip(_chunks(x.shape[1]), borders, strict=True))):
        x_c, dt_c, B_c, C_c, grad_y_c = x[:, chunk], dt[:, chunk], B[:, chunk], C[:, chunk], grad_y[:, chunk]
        states, decay = _states(x_c, dt_c, A, B_c, border)
        grad_C[:, chunk] = _over_dim(states, grad_y_c)
        g = grad_y_c.transpose(0, 1)[..., None] * C_c.transpose(0, 1)[:, :, None, :]
        for t in reversed(range(len(g))):
            g[t] += carry
            carry = g[t] * decay[t]
        through_input = _over_state(g, B_c)
        grad_x[:, chunk] += dt_c * through_input
        grad_B[:, chunk] = _over_dim(g, dt_c * x_c)
        # d h_t / d(dt_t A) = decay_t h_{t-1}
        decay[0] *= border
        decay[1:] *= states[:-1]
        g *= decay
        grad_dt[:, chunk] = x_c * through_input + (g * A).sum(-1).transpose(0, 1)
        grad_A += (g * dt_c.transpose(0, 1)[..., None]).sum((0, 1))
    return grad_x, grad_dt, grad_A, grad_B, grad_C, (grad_y * x).sum((0, 1)), carry


_KERNELS = Kernels(_forward, _backward)


def _chunks(length: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]


def _states(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """All states of a chunk and its decays, both (time, batch, dim, state), from the state h before it."""
    decay = torch.exp(dt.transpose(0, 1)[..., None] * A)
    states = (dt * x).transpose(0, 1)[..., None] * B.transpose(0, 1)[:, :, None, :]
    for t in range(len(states)):
        h = states[t].addcmul_(decay[t], h)
    return states, decay


def _over_state(states: Tensor, weights: Tensor) -> Tensor:
    """Sum (time, batch, dim, state) against (batch, time, state): (batch, time, dim)."""
    return torch.matmul(states, weights.transpose(0, 1)[..., None]).squeeze(-1).transpose(0, 1)


def _over_dim(states: Tensor, weights: Tensor) -> Tensor:
    """Sum (time, batch, dim, state) against (batch, time, dim): (batch, time, state)."""
    return torch.matmul(weights.transpose(0, 1)[:, :, None, :], states).squeeze(2).transpose(0, 1)
