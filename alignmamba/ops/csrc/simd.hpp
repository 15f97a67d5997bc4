// What all kernels stand on: vectors of the CPU's width, exponentials, strided sequences, shares of the work.
//
// Needs the vector extensions of GCC and Clang (no intrinsics but two for AVX-512), OpenMP where there is any.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

constexpr int BLOCK = 8;  // states at a time; with 16, the backward of the scan no longer fits the registers

template <class T>
struct Simd {
  typedef T Vec __attribute__((vector_size(VECTOR_BYTES)));
  static constexpr int64_t WIDTH = VECTOR_BYTES / sizeof(T);
};
template <class T>
using Vec = typename Simd<T>::Vec;

// A (batch, length, channels or states) array, contiguous in its last axis; strides in elements.
struct Sequence {
  void* data;
  int64_t batch_stride, time_stride;

  template <class T>
  T* at(int64_t b, int64_t t) const {
    return static_cast<T*>(data) + b * batch_stride + t * time_stride;
  }
};

template <class T>
inline Vec<T> load(const T* from, int64_t lanes) {
  Vec<T> v = {};
  if (lanes == Simd<T>::WIDTH)
    std::memcpy(&v, from, sizeof v);
  else
    for (int64_t i = 0; i < lanes; ++i) v[i] = from[i];
  return v;
}

template <class T>
inline void store(T* to, Vec<T> v, int64_t lanes) {
  if (lanes == Simd<T>::WIDTH)
    std::memcpy(to, &v, sizeof v);
  else
    for (int64_t i = 0; i < lanes; ++i) to[i] = v[i];
}

// The K-th column of a (lanes, columns) array: `from` points at its first entry.
template <class T>
inline Vec<T> load_column(const T* from, int64_t columns, int64_t lanes) {
  Vec<T> v = {};
  for (int64_t i = 0; i < lanes; ++i) v[i] = from[i * columns];
  return v;
}

template <class T>
inline void store_column(T* to, Vec<T> v, int64_t columns, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i) to[i * columns] = v[i];
}

// 2^f for |f| <= 1/2, relative error below 1e-7 (minimax under p(0) = 1: a decay of dt = 0 is exactly 1).
inline Vec<float> exp2_fraction(Vec<float> f) {
  Vec<float> p = f * 1.3264743e-3f + 9.6715130e-3f;
  p = p * f + 5.5507336e-2f;
  p = p * f + 2.4022242e-1f;
  p = p * f + 6.9314700e-1f;
  return p * f + 1.0f;
}

// A number of powers of two, rounded to a whole one, and 2^whole times a number between 1/2 and 2.
#ifdef __AVX512F__
struct Whole {
  Vec<float> value;
  explicit Whole(Vec<float> t) : value(_mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)) {}
  Vec<float> times(Vec<float> p) const { return _mm512_scalef_ps(p, value); }
};
#else
struct Whole {
  typedef int32_t Int __attribute__((vector_size(VECTOR_BYTES)));
  Vec<float> shifted, value;
  explicit Whole(Vec<float> t) {
    const Vec<float> magic = Vec<float>{} + 12582912.0f;  // 1.5 * 2^23: a sum with it holds the whole in its low bits
    shifted = t + magic;
    value = shifted - magic;
  }
  Vec<float> times(Vec<float> p) const { return (Vec<float>)((Int)p + ((Int)shifted << 23)); }
};
#endif

inline Vec<float> clamp(Vec<float> t, float low, float high) {
  t = t < low ? Vec<float>{} + low : t;
  return t > high ? Vec<float>{} + high : t;
}

inline Vec<float> exp2(Vec<float> t) {
#ifndef __AVX512F__
  t = clamp(t, -126.0f, 128.0f);  // below there are only subnormals; 2^128 is infinity, as it should be
#endif
  const Whole whole(t);
  return whole.times(exp2_fraction(t - whole.value));
}

// e^x, relative error below 3e-7; beyond |x| = 87, near the ends of the range, as at 87.
inline Vec<float> exp(Vec<float> x) {
  const float log2e = 1.44269504f, ln2 = 0.693359375f, ln2_rest = -2.12194440e-4f;  // ln2 short: its multiples are exact
  x = clamp(x, -87.0f, 87.0f);
  const Whole whole(x * log2e);
  const Vec<float> fraction = (x - whole.value * ln2) - whole.value * ln2_rest;
  return whole.times(exp2_fraction(fraction * log2e));
}

// log(1 + e) for 0 <= e <= 1, relative error below 2e-7: 2 artanh(s) with s = e / (2 + e), minimax in s^2 <= 1/9.
inline Vec<float> log1p(Vec<float> e) {
  const Vec<float> s = e / (e + 2.0f), z = s * s;
  Vec<float> p = z * 0.14087329f + 0.13980709f;
  p = p * z + 0.20012427f;
  p = p * z + 0.33333158f;
  return 2.0f * s * (p * z + 1.0f);
}

// Double precision is there for checks: the library's functions serve.
inline Vec<double> each(Vec<double> t, double (*function)(double)) {
  for (int64_t i = 0; i < Simd<double>::WIDTH; ++i) t[i] = function(t[i]);
  return t;
}
inline Vec<double> exp2(Vec<double> t) { return each(t, std::exp2); }
inline Vec<double> exp(Vec<double> t) { return each(t, std::exp); }
inline Vec<double> log1p(Vec<double> t) { return each(t, std::log1p); }

// Call block(n, K) for K = BLOCK, 4 and 1 states from n on until all are done; K is a type, so loops over it unroll.
template <class F>
void for_state_blocks(int64_t states, F block) {
  int64_t n = 0;
  for (; n + BLOCK <= states; n += BLOCK) block(n, std::integral_constant<int, BLOCK>());
  for (; n + 4 <= states; n += 4) block(n, std::integral_constant<int, 4>());
  for (; n < states; ++n) block(n, std::integral_constant<int, 1>());
}

// Call vector(d, lanes) for the share of the channels that belongs to a part.
template <class T, class A, class F>
void for_channels(const A& a, int64_t part, F vector) {
  constexpr int64_t WIDTH = Simd<T>::WIDTH;
  const int64_t vectors = (a.dim + WIDTH - 1) / WIDTH;
  for (int64_t i = part * vectors / a.parts; i < (part + 1) * vectors / a.parts; ++i) {
    const int64_t left = a.dim - i * WIDTH;
    vector(i * WIDTH, left < WIDTH ? left : WIDTH);
  }
}

// Run task(arguments, batch item, part) for all of them.
template <class A, class F>
void for_tasks(const A& a, F task) {
  // Every task writes memory of its own: results do not depend on who runs which.
  const int64_t tasks = a.batch * a.parts;
#pragma omp parallel for schedule(dynamic) num_threads(a.threads)
  for (int64_t i = 0; i < tasks; ++i) task(a, i / a.parts, i % a.parts);
}

}  // namespace
