"""The Triton kernels of `alignmamba.ops.triton`; importing this module needs triton.

One program takes DIMS channels of one batch item with all their states through time, CHUNK steps at once. Within a
chunk, (decay, drive) pairs are combined by an associative scan over time: products and sums only, so a decay of 0 is
no trouble. Tiles are (time, channel, state). Steps past the end load dt = 0 and pass the state unchanged. Arrays are
contiguous; `step` is the position in running order, `row` the one in memory.
"""

# Triton reads the annotations itself: they must be its own objects (no postponed evaluation) and nobody else's.
from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _combine(decay_1, drive_1, decay_2, drive_2):
    return decay_1 * decay_2, decay_2 * drive_1 + drive_2


@triton.jit
@no_type_check
def _rows(step, length, REVERSE: tl.constexpr):
    # Memory rows of steps; steps outside the sequence give rows that are never read (masked).
    return (length - 1 - step if REVERSE else step).to(tl.int64)


@triton.jit
@no_type_check
def forward_kernel(
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, state_ptr, y_ptr, final_ptr, borders_ptr, length, dim, states,
    REVERSE: tl.constexpr, KEEP: tl.constexpr, CHUNK: tl.constexpr, DIMS: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Write y, the final state and, with KEEP, the state before each chunk."""
    b = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * DIMS + tl.arange(0, DIMS)
    n = tl.arange(0, STATES)
    i = tl.arange(0, CHUNK)
    d_in, n_in = d < dim, n < states
    dn, dn_in = d[:, None] * states + n[None, :], d_in[:, None] & n_in[None, :]
    A = tl.load(A_ptr + dn, dn_in, 0.0)
    D = tl.load(D_ptr + d, d_in, 0.0)
    h = tl.load(state_ptr + b * dim * states + dn, dn_in, 0.0)
    chunks = tl.cdiv(length, CHUNK)
    for chunk in range(0, chunks):
        if KEEP:
            tl.store(borders_ptr + (b * chunks + chunk) * dim * states + dn, h, dn_in)
        step = chunk * CHUNK + i
        row = b * length + _rows(step, length, REVERSE)
        td, td_in = row[:, None] * dim + d[None, :], (step < length)[:, None] & d_in[None, :]
        tn, tn_in = row[:, None] * states + n[None, :], (step < length)[:, None] & n_in[None, :]
        x, dt = tl.load(x_ptr + td, td_in, 0.0), tl.load(dt_ptr + td, td_in, 0.0)
        B, C = tl.load(B_ptr + tn, tn_in, 0.0), tl.load(C_ptr + tn, tn_in, 0.0)
        decay = tl.exp(dt[:, :, None] * A[None, :, :])
        through, states_from_zero = tl.associative_scan((decay, (dt * x)[:, :, None] * B[:, None, :]), 0, _combine)
        h_all = states_from_zero + through * h[None, :, :]
        tl.store(y_ptr + td, tl.sum(h_all * C[:, None, :], 2) + D[None, :] * x, td_in)
        h = tl.sum(tl.where((i == CHUNK - 1)[:, None, None], h_all, 0.0), 0)
    tl.store(final_ptr + b * dim * states + dn, h, dn_in)


@triton.jit
@no_type_check
def backward_kernel(
    x_ptr, dt_ptr, A_ptr, B_ptr, C_ptr, D_ptr, borders_ptr, grad_y_ptr, grad_final_ptr,
    grad_x_ptr, grad_dt_ptr, grad_A_ptr, grad_B_ptr, grad_C_ptr, grad_D_ptr, grad_state_ptr, length, dim, states,
    REVERSE: tl.constexpr, CHUNK: tl.constexpr, DIMS: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """Write all gradients; those of A and D per batch item, those of B and C added up by all programs."""
    b = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * DIMS + tl.arange(0, DIMS)
    n = tl.arange(0, STATES)
    i = tl.arange(0, CHUNK)
    d_in, n_in = d < dim, n < states
    dn, dn_in = d[:, None] * states + n[None, :], d_in[:, None] & n_in[None, :]
    A = tl.load(A_ptr + dn, dn_in, 0.0)
    D = tl.load(D_ptr + d, d_in, 0.0)
    carry = tl.load(grad_final_ptr + b * dim * states + dn, dn_in, 0.0)  # gradient of the state that leaves the chunk
    grad_A, grad_D = tl.zeros_like(A), tl.zeros_like(D)
    chunks = tl.cdiv(length, CHUNK)
    for back in range(0, chunks):
        chunk = chunks - 1 - back
        border = tl.load(borders_ptr + (b * chunks + chunk) * dim * states + dn, dn_in, 0.0)
        step = chunk * CHUNK + i
        row = b * length + _rows(step, length, REVERSE)
        td, td_in = row[:, None] * dim + d[None, :], (step < length)[:, None] & d_in[None, :]
        tn, tn_in = row[:, None] * states + n[None, :], (step < length)[:, None] & n_in[None, :]
        x, dt = tl.load(x_ptr + td, td_in, 0.0), tl.load(dt_ptr + td, td_in, 0.0)
        B, C = tl.load(B_ptr + tn, tn_in, 0.0), tl.load(C_ptr + tn, tn_in, 0.0)
        grad_y = tl.load(grad_y_ptr + td, td_in, 0.0)
        decay = tl.exp(dt[:, :, None] * A[None, :, :])

        # States one step earlier: the same scan over inputs shifted by one, the border in front.
        shift = -dim if REVERSE else dim
        shift_n = -states if REVERSE else states
        has_before = ((i > 0) & (step - 1 < length))[:, None]
        x_before = tl.load(x_ptr + td - shift, has_before & d_in[None, :], 0.0)
        dt_before = tl.load(dt_ptr + td - shift, has_before & d_in[None, :], 0.0)
        B_before = tl.load(B_ptr + tn - shift_n, has_before & n_in[None, :], 0.0)
        decay_before = tl.exp(dt_before[:, :, None] * A[None, :, :])
        drive_before = (dt_before * x_before)[:, :, None] * B_before[:, None, :]
        through, states_from_zero = tl.associative_scan((decay_before, drive_before), 0, _combine)
        h_before = states_from_zero + through * border[None, :, :]
        h = decay * h_before + (dt * x)[:, :, None] * B[:, None, :]

        # Gradients of the states, from the last step back: g_t = C_t grad_y_t + decay_{t+1} g_{t+1}.
        has_after = ((i < CHUNK - 1) & (step + 1 < length))[:, None]
        dt_after = tl.load(dt_ptr + td + shift, has_after & d_in[None, :], 0.0)
        decay_after = tl.exp(dt_after[:, :, None] * A[None, :, :])
        direct = grad_y[:, :, None] * C[:, None, :]
        through, g_from_zero = tl.associative_scan((decay_after, direct), 0, _combine, reverse=True)
        g = g_from_zero + through * carry[None, :, :]

        through_input = tl.sum(g * B[:, None, :], 2)
        slope = g * decay * h_before
        tl.store(grad_x_ptr + td, dt * through_input + grad_y * D[None, :], td_in)
        tl.store(grad_dt_ptr + td, x * through_input + tl.sum(slope * A[None, :, :], 2), td_in)
        tl.atomic_add(grad_B_ptr + tn, tl.sum(g * (dt * x)[:, :, None], 1), tn_in)
        tl.atomic_add(grad_C_ptr + tn, tl.sum(h * grad_y[:, :, None], 1), tn_in)
        grad_A += tl.sum(slope * dt[:, :, None], 0)
        grad_D += tl.sum(grad_y * x, 0)
        carry = tl.sum(tl.where((i == 0)[:, None, None], decay * g, 0.0), 0)
    tl.store(grad_A_ptr + b * dim * states + dn, grad_A, dn_in)
    tl.store(grad_D_ptr + b * dim + d, grad_D, d_in)
    tl.store(grad_state_ptr + b * dim * states + dn, carry, dn_in)
