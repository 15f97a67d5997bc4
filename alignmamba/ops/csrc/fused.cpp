// What surrounds the scan in a Mamba block, and the search of the relaxed plan, each in one pass over memory; without
// gradients, called from fused.py through a plain C interface.
//
// As in the scan, channels fill the SIMD lanes and a task takes a share of them; running in reverse is a matter of the
// caller: base pointers at the last step and negative time strides.

#include "simd.hpp"

#include <algorithm>

namespace {

constexpr int64_t TILE = 32;      // steps of one vector of channels in the first cache level
constexpr int64_t SEGMENT = 256;  // targets with one maximum

// The order and types of these structures are those of fused.py. Sizes are in elements; arrays that are no Sequence
// are contiguous.
struct Convolution {
  int64_t batch, length, dim, taps, parts, threads;
  Sequence in, mask, before, out, after;  // mask: (batch, length) bytes, no data: all true; before, after: taps - 1 steps
  void *weight, *bias;                    // (dim, taps), (dim)
};

struct GatedScan {
  int64_t batch, length, dim, states, rank, parts, threads;
  Sequence x, gate, projected, mask;  // x: overwritten by the result; projected: rank, B and C side by side
  Sequence gating;                    // factors of the step sizes, no data: all one
  void *dt_weight, *dt_bias;          // (dim, rank), (dim)
  void *A_log, *D;                    // (dim, states), (dim)
  void *before, *after;               // (batch, dim, states)
};

struct Search {
  int64_t batch, rows, targets, threads;
  void* similarity;                      // (batch, rows, targets); overwritten where there is a mask or a time term
  void* mask;                            // (batch, targets) bytes; null: all true
  Sequence source_seconds, index;        // (batch, rows), index of int64
  void* target_seconds;                  // (batch, targets)
  double time_weight, tolerance;
};

inline bool is_masked(const Sequence& mask, int64_t b, int64_t t) { return mask.data && !*mask.at<uint8_t>(b, t); }

// x / (1 + e^-x); below -87 as at -87, some -1e-36.
template <class T>
inline Vec<T> silu(Vec<T> x) {
  x = x < T(-87) ? Vec<T>{} - T(87) : x;
  return x / (exp(-x) + T(1));
}

// log(1 + e^x), and x itself where torch takes it.
template <class T>
inline Vec<T> softplus(Vec<T> x) {
  const Vec<T> zero = {}, magnitude = x < zero ? -x : x;
  const Vec<T> sum = (x < zero ? zero : x) + log1p(exp(-magnitude));
  return x > T(20) ? x : sum;
}

// Vectors of a (dim, columns) array for a part, column by column for each vector of channels.
template <class T, class A>
std::vector<Vec<T>> columns_of(const A& a, int64_t part, const void* array, int64_t columns) {
  std::vector<Vec<T>> found;
  found.reserve((a.dim / Simd<T>::WIDTH + 1) * columns);
  for_channels<T>(a, part, [&](int64_t d, int64_t lanes) {
    for (int64_t i = 0; i < columns; ++i)
      found.push_back(load_column(static_cast<const T*>(array) + d * columns + i, columns, lanes));
  });
  return found;
}

// silu(bias + sum over k of weight[k] in[t - taps + 1 + k]), and the last taps - 1 inputs.
template <class T>
void convolve_part(const Convolution& a, int64_t b, int64_t part) {
  const std::vector<Vec<T>> weight = columns_of<T>(a, part, a.weight, a.taps), bias = columns_of<T>(a, part, a.bias, 1);
  const std::vector<T> zeros(a.dim);
  const int64_t reach = a.taps - 1;
  const auto row = [&](int64_t t) {
    if (t < 0) return const_cast<const T*>(a.before.at<T>(b, reach + t));
    return is_masked(a.mask, b, t) ? zeros.data() : a.in.at<T>(b, t);
  };
  std::vector<const T*> rows(a.taps);
  for (int64_t k = 0; k < reach; ++k) rows[k + 1] = row(k - reach);
  for (int64_t t = 0; t < a.length; ++t) {
    std::copy(rows.begin() + 1, rows.end(), rows.begin());
    rows[reach] = row(t);
    T* out = a.out.at<T>(b, t);
    const Vec<T>*w = weight.data(), *start = bias.data();
    for_channels<T>(a, part, [&](int64_t d, int64_t lanes) {
      Vec<T> sum = *start++;
      for (int64_t k = 0; k < a.taps; ++k) sum += *w++ * load(rows[k] + d, lanes);
      store(out + d, silu<T>(sum), lanes);
    });
  }
  for (int64_t k = 0; k < reach; ++k) {
    const T* last = row(a.length - reach + k);
    for_channels<T>(a, part, [&](int64_t d, int64_t lanes) {
      std::memcpy(a.after.at<T>(b, k) + d, last + d, lanes * sizeof(T));
    });
  }
}

// Steps of one vector of channels: step sizes, what enters the states, what leaves them.
template <class T>
struct Tile {
  Vec<T> dt[TILE], input[TILE], sum[TILE];
};

template <class T, int K>
void scan_tile(const GatedScan& a, int64_t b, int64_t begin, int64_t steps, int64_t n, const Vec<T>* rates,
               Vec<T>* state, Tile<T>& tile) {
  Vec<T> h[K], A[K];
  for (int i = 0; i < K; ++i) h[i] = state[i], A[i] = rates[i];
  for (int64_t t = 0; t < steps; ++t) {
    const T* B = a.projected.at<T>(b, begin + t) + a.rank + n;
    const T* C = B + a.states;
    const Vec<T> dt = tile.dt[t], input = tile.input[t];
    Vec<T> sum = tile.sum[t];
    for (int i = 0; i < K; ++i) {
      h[i] = exp2(dt * A[i]) * h[i] + input * B[i];
      sum += h[i] * C[i];
    }
    tile.sum[t] = sum;
  }
  for (int i = 0; i < K; ++i) state[i] = h[i];
}

// x becomes silu(gate) (scan(x) + D x) with step sizes gating softplus(low rank dt_weight + dt_bias), zero where masked.
template <class T>
void gated_scan_part(const GatedScan& a, int64_t b, int64_t part) {
  const std::vector<Vec<T>> weight = columns_of<T>(a, part, a.dt_weight, a.rank);
  const std::vector<Vec<T>> bias = columns_of<T>(a, part, a.dt_bias, 1), D = columns_of<T>(a, part, a.D, 1);
  std::vector<Vec<T>> rates = columns_of<T>(a, part, a.A_log, a.states);
  for (Vec<T>& rate : rates) rate = exp(rate) * T(-1.44269504088896340736);  // A times log2(e)
  const int64_t size = a.dim * a.states;
  std::vector<Vec<T>> states = columns_of<T>(a, part, static_cast<const T*>(a.before) + b * size, a.states);
  Tile<T> tile;
  for (int64_t begin = 0; begin < a.length; begin += TILE) {
    const int64_t steps = std::min(TILE, a.length - begin);
    int64_t v = 0;  // vector of this part
    for_channels<T>(a, part, [&](int64_t d, int64_t lanes) {
      for (int64_t t = 0; t < steps; ++t) {
        const Vec<T> x = load(a.x.at<T>(b, begin + t) + d, lanes);
        Vec<T> dt = bias[v];
        const T* low_rank = a.projected.at<T>(b, begin + t);
        for (int64_t r = 0; r < a.rank; ++r) dt += weight[v * a.rank + r] * low_rank[r];
        dt = is_masked(a.mask, b, begin + t) ? Vec<T>{} : softplus<T>(dt);
        if (a.gating.data) dt *= load(a.gating.at<T>(b, begin + t) + d, lanes);
        tile.dt[t] = dt;
        tile.input[t] = dt * x;
        tile.sum[t] = D[v] * x;
      }
      for_state_blocks(a.states, [&](int64_t n, auto K) {
        const int64_t i = v * a.states + n;
        scan_tile<T, decltype(K)::value>(a, b, begin, steps, n, &rates[i], &states[i], tile);
      });
      for (int64_t t = 0; t < steps; ++t) {
        const Vec<T> gate = load(a.gate.at<T>(b, begin + t) + d, lanes);
        store(a.x.at<T>(b, begin + t) + d, tile.sum[t] * silu<T>(gate), lanes);
      }
      ++v;
    });
  }
  const Vec<T>* state = states.data();
  for_channels<T>(a, part, [&](int64_t d, int64_t lanes) {
    T* after = static_cast<T*>(a.after) + b * size + d * a.states;
    for (int64_t n = 0; n < a.states; ++n) store_column(after + n, *state++, a.states, lanes);
  });
}

template <class T>
T maximum(const T* values, int64_t count) {
  constexpr int64_t WIDTH = Simd<T>::WIDTH;
  T best = values[0];
  int64_t i = 0;
  if (count >= WIDTH) {
    Vec<T> lanes = load(values, WIDTH);
    for (i = WIDTH; i + WIDTH <= count; i += WIDTH) {
      const Vec<T> next = load(values + i, WIDTH);
      lanes = next > lanes ? next : lanes;
    }
    T lane[WIDTH];
    std::memcpy(lane, &lanes, sizeof lanes);
    for (int64_t half = WIDTH / 2; half > 0; half /= 2)
      for (int64_t j = 0; j < half; ++j) lane[j] = std::max(lane[j], lane[j + half]);
    best = lane[0];
  }
  for (; i < count; ++i) best = std::max(best, values[i]);
  return best;
}

// The first target of a row that comes within the tolerance of the best; 0 where nothing compares (NaN).
template <class T>
int64_t first_best(const T* values, int64_t count, T tolerance, std::vector<T>& maxima) {
  T best = values[0];
  for (int64_t begin = 0; begin < count; begin += SEGMENT) {
    maxima[begin / SEGMENT] = maximum(values + begin, std::min(SEGMENT, count - begin));
    best = std::max(best, maxima[begin / SEGMENT]);
  }
  const T enough = best - tolerance;
  for (int64_t begin = 0; begin < count; begin += SEGMENT)
    if (maxima[begin / SEGMENT] >= enough)
      for (int64_t i = begin; i < count; ++i)
        if (values[i] >= enough) return i;
  return 0;
}

template <class T>
void search_row(const Search& a, int64_t b, int64_t row, std::vector<T>& maxima) {
  T* values = static_cast<T*>(a.similarity) + (b * a.rows + row) * a.targets;
  if (a.time_weight) {
    const T weight = T(a.time_weight), now = *a.source_seconds.at<T>(b, row);
    const T* seconds = static_cast<const T*>(a.target_seconds) + b * a.targets;
    for (int64_t i = 0; i < a.targets; ++i) values[i] -= weight * std::abs(now - seconds[i]);
  }
  if (a.mask) {
    const uint8_t* valid = static_cast<const uint8_t*>(a.mask) + b * a.targets;
    for (int64_t i = 0; i < a.targets; ++i) values[i] = valid[i] ? values[i] : T(-INFINITY);
  }
  *a.index.at<int64_t>(b, row) = first_best(values, a.targets, T(a.tolerance), maxima);
}

template <class T>
void search(const Search& a) {
#pragma omp parallel num_threads(a.threads)
  {
    std::vector<T> maxima((a.targets + SEGMENT - 1) / SEGMENT);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < a.batch * a.rows; ++i) search_row(a, i / a.rows, i % a.rows, maxima);
  }
}

}  // namespace

extern "C" {
void mamba_convolve_float(const Convolution* a) { for_tasks(*a, convolve_part<float>); }
void mamba_convolve_double(const Convolution* a) { for_tasks(*a, convolve_part<double>); }
void mamba_gated_scan_float(const GatedScan* a) { for_tasks(*a, gated_scan_part<float>); }
void mamba_gated_scan_double(const GatedScan* a) { for_tasks(*a, gated_scan_part<double>); }
void transport_search_float(const Search* a) { search<float>(*a); }
void transport_search_double(const Search* a) { search<double>(*a); }
}
