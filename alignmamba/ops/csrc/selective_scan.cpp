// Selective scan of Mamba-1 on the CPU, forward and backward; called from scan_cpp.py through a plain C interface.
//
//   h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = C_t h_t + D x_t
//
// Channels fill the SIMD lanes, so no step mixes lanes, and a block of states stays in registers while time passes.
// Time is walked in chunks that fit the first cache levels, all channels of a task before the next chunk. Forward
// keeps the state at chunk borders; backward takes the chunks from the last to the first and recomputes each one.
// Running in reverse is a matter of the caller: base pointers at the last step and negative time strides.

#include "simd.hpp"

namespace {

constexpr int64_t CHUNK = 32;  // steps between two kept states

// The order and types are those of scan_cpp.py's _Arguments. Sizes are in elements, other arrays are contiguous.
struct Arguments {
  int64_t batch, length, dim, states;
  int64_t parts;    // tasks per batch item; each takes a share of the channels
  int64_t threads;  // of OpenMP
  Sequence x, dt, B, C, y, grad_y, grad_x, grad_dt;
  Sequence grad_B, grad_C;  // (batch * parts, length, states), to be summed over the parts
  void* A;       // (states, dim), times log2(e)
  void* D;       // (dim)
  void* state;   // (batch, states, dim), in: before the first step; out: after the last one
  void* borders; // (batch, chunks, states, dim), state before each chunk; null: not kept
  void* grad_A;  // (batch, states, dim), zeros at the start, to be summed over the batch
  void* grad_D;  // (batch, dim), zeros at the start
  void* grad_state;  // (batch, states, dim), in: of the final state; out: of the initial one
};

// One chunk of time, one vector of channels from d on, K states from n on.
struct Block {
  int64_t b, d, lanes, n, begin, end;
};

template <class T, int K>
void forward_block(const Arguments& a, const Block& k, T* state) {
  Vec<T> h[K], A[K];
  for (int i = 0; i < K; ++i) {
    h[i] = load(state + i * a.dim, k.lanes);
    A[i] = load(static_cast<const T*>(a.A) + (k.n + i) * a.dim + k.d, k.lanes);
  }
  const Vec<T> D = load(static_cast<const T*>(a.D) + k.d, k.lanes);
  for (int64_t t = k.begin; t < k.end; ++t) {
    const Vec<T> x = load(a.x.at<T>(k.b, t) + k.d, k.lanes);
    const Vec<T> dt = load(a.dt.at<T>(k.b, t) + k.d, k.lanes);
    const T* B = a.B.at<T>(k.b, t) + k.n;
    const T* C = a.C.at<T>(k.b, t) + k.n;
    T* y = a.y.at<T>(k.b, t) + k.d;
    const Vec<T> input = dt * x;
    Vec<T> sum = k.n == 0 ? D * x : load(y, k.lanes);
    for (int i = 0; i < K; ++i) {
      h[i] = exp2(dt * A[i]) * h[i] + input * B[i];
      sum += h[i] * C[i];
    }
    store(y, sum, k.lanes);
  }
  for (int i = 0; i < K; ++i) store(state + i * a.dim, h[i], k.lanes);
}

// Per-task memory of backward: a block's states (from the border on) and decays, and the sums over channels, lane by
// lane, of the gradients of B and C.
template <class T>
struct Scratch {
  std::vector<Vec<T>> states, decays, grad_B, grad_C;
};

template <class T, int K>
void backward_block(const Arguments& a, const Block& k, const T* border, T* grad_state, Scratch<T>& s) {
  Vec<T> A[K], v[K];
  for (int i = 0; i < K; ++i) {
    A[i] = load(static_cast<const T*>(a.A) + (k.n + i) * a.dim + k.d, k.lanes);
    s.states[i] = v[i] = load(border + i * a.dim, k.lanes);
  }
  for (int64_t t = k.begin; t < k.end; ++t) {
    const Vec<T> dt = load(a.dt.at<T>(k.b, t) + k.d, k.lanes);
    const Vec<T> input = dt * load(a.x.at<T>(k.b, t) + k.d, k.lanes);
    const T* B = a.B.at<T>(k.b, t) + k.n;
    Vec<T>* decay = &s.decays[(t - k.begin) * K];
    Vec<T>* after = &s.states[(t - k.begin + 1) * K];
    for (int i = 0; i < K; ++i) {
      decay[i] = exp2(dt * A[i]);
      after[i] = v[i] = decay[i] * v[i] + input * B[i];
    }
  }
  Vec<T> grad_A[K] = {};
  for (int i = 0; i < K; ++i) v[i] = load(grad_state + i * a.dim, k.lanes);  // from here on: gradient of the state
  for (int64_t t = k.end - 1; t >= k.begin; --t) {
    const Vec<T> x = load(a.x.at<T>(k.b, t) + k.d, k.lanes);
    const Vec<T> dt = load(a.dt.at<T>(k.b, t) + k.d, k.lanes);
    const Vec<T> grad_y = load(a.grad_y.at<T>(k.b, t) + k.d, k.lanes);
    const T* B = a.B.at<T>(k.b, t) + k.n;
    const T* C = a.C.at<T>(k.b, t) + k.n;
    const Vec<T>* decay = &s.decays[(t - k.begin) * K];
    const Vec<T>* before = &s.states[(t - k.begin) * K];
    Vec<T>* grad_B = &s.grad_B[(t - k.begin) * a.states + k.n];
    Vec<T>* grad_C = &s.grad_C[(t - k.begin) * a.states + k.n];
    const Vec<T> input = dt * x;
    Vec<T> through_input = {}, through_decay = {};
    for (int i = 0; i < K; ++i) {
      const Vec<T> g = v[i] + grad_y * C[i];
      grad_C[i] += grad_y * before[K + i];
      grad_B[i] += g * input;
      through_input += g * B[i];
      v[i] = g * decay[i];
      const Vec<T> slope = v[i] * before[i];
      grad_A[i] += slope * dt;
      through_decay += slope * A[i];
    }
    T* grad_x = a.grad_x.at<T>(k.b, t) + k.d;
    T* grad_dt = a.grad_dt.at<T>(k.b, t) + k.d;
    const T ln2 = T(0.69314718055994530942);  // A is in powers of two
    Vec<T> sum_x = dt * through_input, sum_dt = x * through_input + through_decay * ln2;
    if (k.n == 0) {
      sum_x += grad_y * load(static_cast<const T*>(a.D) + k.d, k.lanes);
      T* grad_D = static_cast<T*>(a.grad_D) + k.b * a.dim + k.d;
      store(grad_D, load(grad_D, k.lanes) + grad_y * x, k.lanes);
    } else {
      sum_x += load(grad_x, k.lanes);
      sum_dt += load(grad_dt, k.lanes);
    }
    store(grad_x, sum_x, k.lanes);
    store(grad_dt, sum_dt, k.lanes);
  }
  for (int i = 0; i < K; ++i) {
    T* total = static_cast<T*>(a.grad_A) + (k.b * a.states + k.n + i) * a.dim + k.d;
    store(total, load(total, k.lanes) + grad_A[i], k.lanes);
    store(grad_state + i * a.dim, v[i], k.lanes);
  }
}

template <class T>
T sum_of_lanes(Vec<T> v) {
  T lane[Simd<T>::WIDTH];
  std::memcpy(lane, &v, sizeof v);
  for (int64_t half = Simd<T>::WIDTH / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) lane[i] += lane[i + half];
  return lane[0];
}

template <class T>
void forward_part(const Arguments& a, int64_t b, int64_t part) {
  const int64_t size = a.states * a.dim, chunks = (a.length + CHUNK - 1) / CHUNK;
  T* state = static_cast<T*>(a.state) + b * size;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const int64_t begin = chunk * CHUNK, end = begin + CHUNK < a.length ? begin + CHUNK : a.length;
    for_channels<T>(a, part, [&](int64_t d, int64_t lanes) {
      if (a.borders) {
        T* border = static_cast<T*>(a.borders) + (b * chunks + chunk) * size + d;
        for (int64_t n = 0; n < a.states; ++n)
          std::memcpy(border + n * a.dim, state + n * a.dim + d, lanes * sizeof(T));
      }
      for_state_blocks(a.states, [&](int64_t n, auto K) {
        forward_block<T, decltype(K)::value>(a, {b, d, lanes, n, begin, end}, state + n * a.dim + d);
      });
    });
  }
}

template <class T>
void backward_part(const Arguments& a, int64_t b, int64_t part) {
  const int64_t size = a.states * a.dim, chunks = (a.length + CHUNK - 1) / CHUNK;
  T* grad_state = static_cast<T*>(a.grad_state) + b * size;
  Scratch<T> scratch;
  scratch.states.resize((CHUNK + 1) * BLOCK);
  scratch.decays.resize(CHUNK * BLOCK);
  for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
    const int64_t begin = chunk * CHUNK, end = begin + CHUNK < a.length ? begin + CHUNK : a.length;
    const T* borders = static_cast<const T*>(a.borders) + (b * chunks + chunk) * size;
    scratch.grad_B.assign((end - begin) * a.states, Vec<T>{});
    scratch.grad_C.assign((end - begin) * a.states, Vec<T>{});
    for_channels<T>(a, part, [&](int64_t d, int64_t lanes) {
      for_state_blocks(a.states, [&](int64_t n, auto K) {
        backward_block<T, decltype(K)::value>(a, {b, d, lanes, n, begin, end}, borders + n * a.dim + d,
                                              grad_state + n * a.dim + d, scratch);
      });
    });
    for (int64_t t = begin; t < end; ++t)
      for (int64_t n = 0; n < a.states; ++n) {
        const int64_t i = (t - begin) * a.states + n;
        a.grad_B.at<T>(b * a.parts + part, t)[n] = sum_of_lanes<T>(scratch.grad_B[i]);
        a.grad_C.at<T>(b * a.parts + part, t)[n] = sum_of_lanes<T>(scratch.grad_C[i]);
      }
  }
}

}  // namespace

extern "C" {
int64_t selective_scan_chunk() { return CHUNK; }
int64_t selective_scan_vector_bytes() { return VECTOR_BYTES; }
#ifdef _OPENMP
int64_t selective_scan_openmp() { return 1; }
#else
int64_t selective_scan_openmp() { return 0; }
#endif
void selective_scan_forward_float(const Arguments* a) { for_tasks(*a, forward_part<float>); }
void selective_scan_forward_double(const Arguments* a) { for_tasks(*a, forward_part<double>); }
void selective_scan_backward_float(const Arguments* a) { for_tasks(*a, backward_part<float>); }
void selective_scan_backward_double(const Arguments* a) { for_tasks(*a, backward_part<double>); }
}
