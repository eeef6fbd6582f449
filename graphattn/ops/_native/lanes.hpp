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

// Calls body(lanes, packs, first channel, head) for blocks of packs of channels of one head.
template <class Body>
void for_channels(const Layout& size, const Body& body) {
  with_lanes(size.channels, [&](auto lanes) {
    for (int64_t h = 0; h < size.heads; ++h)
      for_packs<lanes>(size.channels, [&](auto packs, int64_t first) {
        body(lanes, packs, h * size.channels + first, h);
      });
  });
}

// ELU, and its derivative, from its argument and the exponential of that, which counts only where
// the argument is not above 0.
template <class A, int W>
inline Pack<A, W> elu(const Pack<A, W>& x, const Pack<A, W>& exp_x) {
  return where_positive(x, x, exp_x + A(-1));
}
template <class A, int W>
inline Pack<A, W> elu_slope(const Pack<A, W>& x, const Pack<A, W>& exp_x) {
  return where_positive(x, Pack<A, W>::filled(A(1)), exp_x);
}

// exp to about 1 ulp up to 88; it stays below -87.
template <int W>
inline Pack<float, W> exp_lanes(Pack<float, W> pack) {
  using P = Pack<float, W>;
  using F = typename P::Part;
  typedef uint32_t Bits __attribute__((vector_size(P::kLanes * 4)));
  for (F& x : pack.part) {
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
    x = p * (F)((Bits)shifted << 23);
  }
  return pack;
}
template <int W>
inline Pack<double, W> exp_lanes(Pack<double, W> x) {
  for (auto& part : x.part)
    for (int l = 0; l < Pack<double, W>::kLanes; ++l) part[l] = std::exp(part[l]);
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
