// Vectors of the width of the machine: loops over channels, exponential, ELU, softplus.

#pragma once

#include "rows.hpp"

namespace GRAPHATTN_ISA {

// Calls body(span, first row, last row) for all spans of rows; a span is the work of one thread.
template <class Body>
void for_spans(int64_t rows, int64_t threads, const Body& body) {
  const int64_t spans = (rows + kBlock - 1) / kBlock;
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(dynamic, 1) if (threads > 1)
  for (int64_t b = 0; b < spans; ++b) body(b, b * kBlock, std::min(rows, (b + 1) * kBlock));
}

// Calls body(lanes, vectors, first channel, head) for blocks of channels that fit into registers.
template <class A, class Body>
void for_channels(const Layout<>& size, const Body& body) {
  constexpr std::integral_constant<int, kVectorBytes / sizeof(A)> lanes;
  constexpr std::integral_constant<int, 4> four;
  constexpr std::integral_constant<int, 1> one;
  for (int64_t h = 0; h < size.heads; ++h) {
    int64_t c = h * size.channels;
    const int64_t end = c + size.channels;
    for (; c + 4 * lanes <= end; c += 4 * lanes) body(lanes, four, c, h);
    for (; c + lanes <= end; c += lanes) body(lanes, one, c, h);
    for (; c < end; ++c) body(one, one, c, h);
  }
}

template <class A, int W>
using V = typename Vec<A, W>::Type;

// ELU, and its derivative, from its argument and the exponential of that, which counts only where
// the argument is not above 0.
template <class A, int W>
inline V<A, W> elu(V<A, W> x, V<A, W> exp_x) {
  const V<A, W> zero = {};
  return x > zero ? x : exp_x - A(1);
}
template <class A, int W>
inline V<A, W> elu_slope(V<A, W> x, V<A, W> exp_x) {
  const V<A, W> zero = {}, one = zero + A(1);
  return x > zero ? one : exp_x;
}

// exp to about 1 ulp up to 88; it stays below -87.
template <int W>
inline V<float, W> exp_lanes(V<float, W> x) {
  using F = V<float, W>;
  using B = typename Vec<int32_t, W>::Type;
  const F low = F{} - 87.0f;
  x = x < low ? low : x;
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits; 127 more make it
  // the exponent of a float.
  const F shifted = x * 1.44269504f + 12583039.0f;
  const F n = shifted - 12583039.0f;
  const F r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  F p = r * 1.98756915e-4f + 1.39819995e-3f;
  p = p * r + 8.33345205e-3f;
  p = p * r + 4.16657962e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 0.5f;
  p = (p * r) * r + r + 1.0f;
  return p * (F)((B)shifted << 23);
}
template <int W>
inline V<double, W> exp_lanes(V<double, W> x) {
  for (int l = 0; l < W; ++l) x[l] = std::exp(x[l]);
  return x;
}

// ln(1 + e) for 0 <= e <= 1.
inline float log_one_plus(float e) {
  const float q = e / (2.0f + e), s = q * q;
  float p = 1.0f / 15.0f;
  p = p * s + 1.0f / 13.0f;
  p = p * s + 1.0f / 11.0f;
  p = p * s + 1.0f / 9.0f;
  p = p * s + 1.0f / 7.0f;
  p = p * s + 1.0f / 5.0f;
  p = p * s + 1.0f / 3.0f;
  return 2.0f * (q + q * s * p);
}
inline double log_one_plus(double e) { return std::log1p(e); }

// softplus(s) + 1e-6, and its derivative; linear above 20, as torch's.
template <class A>
inline A softplus(A s, A* slope) {
  const A e = fast_exp(s < A(0) ? s : -s);
  const A total = A(1) / (A(1) + e);
  *slope = s > A(20) ? A(1) : (s < A(0) ? e * total : total);
  return (s > A(20) ? s : (s < A(0) ? A(0) : s) + log_one_plus(e)) + A(1e-6);
}

}  // namespace GRAPHATTN_ISA
