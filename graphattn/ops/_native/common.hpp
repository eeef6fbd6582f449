// What the kernels share: storage types, vectors, exponential, dropout, loops over rows.
//
// Kernel sources are compiled once per instruction set, with GRAPHATTN_ISA naming it; everything
// here lives in a namespace of that name, so that no function of one set is linked into another.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#ifndef GRAPHATTN_ISA
#define GRAPHATTN_ISA portable
#endif
#define GRAPHATTN_JOIN_(a, b) a##_##b
#define GRAPHATTN_JOIN(a, b) GRAPHATTN_JOIN_(a, b)
// Name of an exported function for this instruction set, such as `graphattn_gat_forward_avx2`.
#define GRAPHATTN_NAME(name) GRAPHATTN_JOIN(graphattn_##name, GRAPHATTN_ISA)
#ifdef _WIN32
#define GRAPHATTN_EXPORT extern "C" __declspec(dllexport)
#else
#define GRAPHATTN_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// Sorted view of an edge list; see CSR in graphattn/ops/_csr.py. Mirrored there by ctypes.
struct GraphattnGraph {
  int64_t num_src, num_dst, num_edges;
  const void *rowptr, *col, *edge, *tptr, *trow, *position;
};

namespace GRAPHATTN_ISA {

struct BFloat16 {
  uint16_t bits;
};
#ifdef __FLT16_MAX__
using Half = _Float16;
#endif

// Type in which scores, sums and outputs are accumulated.
template <class T>
using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;

inline float load(float v) { return v; }
inline double load(double v) { return v; }
inline float load(BFloat16 v) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
inline void store(float v, float* out) { *out = v; }
inline void store(double v, double* out) { *out = v; }
inline void store(float v, BFloat16* out) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  // Round to nearest even; a NaN must not be carried into an infinity.
  out->bits = v != v ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#ifdef __FLT16_MAX__
inline float load(Half v) { return static_cast<float>(v); }
inline void store(float v, Half* out) { *out = static_cast<Half>(v); }
#endif

// Bytes of a vector register.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// W accumulators side by side. `Loose` may stand at any address.
template <class A, int W>
struct Vec {
  typedef A Type __attribute__((vector_size(W * sizeof(A))));
  typedef A Loose __attribute__((vector_size(W * sizeof(A)), aligned(alignof(A)), may_alias));
};

template <int W, class T>
inline typename Vec<Acc<T>, W>::Type load_vec(const T* p) {
  if constexpr (std::is_same_v<T, Acc<T>>) {
    return *reinterpret_cast<const typename Vec<T, W>::Loose*>(p);
  } else {
    typename Vec<float, W>::Type out;
    for (int l = 0; l < W; ++l) out[l] = load(p[l]);
    return out;
  }
}

template <int W, class T>
inline void store_vec(typename Vec<Acc<T>, W>::Type v, T* p) {
  if constexpr (std::is_same_v<T, Acc<T>>) {
    *reinterpret_cast<typename Vec<T, W>::Loose*>(p) = v;
  } else {
    for (int l = 0; l < W; ++l) store(v[l], p + l);
  }
}

// Sum of the lanes, always in the same order.
template <class A, int W>
inline A lane_sum(const typename Vec<A, W>::Type& v) {
  if constexpr (W == 1) {
    return v[0];
  } else {
    typename Vec<A, W / 2>::Type low, high;
    std::memcpy(&low, &v, sizeof(low));
    std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
    return lane_sum<A, W / 2>(low + high);
  }
}

#ifdef __AVX2__
// Sums of the lanes of eight vectors, one beside the other: a third of the instructions of eight
// times lane_sum.
inline typename Vec<float, 8>::Type lane_sums(const typename Vec<float, 8>::Type* v) {
  using V = typename Vec<float, 8>::Type;
  using M = typename Vec<int32_t, 8>::Type;
  // Sums of neighbours: those of a and of b in turns, as the machine shuffles within halves.
  const auto pairs = [](V a, V b) {
    return __builtin_shuffle(a, b, M{0, 2, 8, 10, 4, 6, 12, 14}) +
           __builtin_shuffle(a, b, M{1, 3, 9, 11, 5, 7, 13, 15});
  };
  const V low = pairs(pairs(v[0], v[1]), pairs(v[2], v[3]));
  const V high = pairs(pairs(v[4], v[5]), pairs(v[6], v[7]));
  return __builtin_shuffle(low, high, M{0, 1, 2, 3, 8, 9, 10, 11}) +
         __builtin_shuffle(low, high, M{4, 5, 6, 7, 12, 13, 14, 15});
}
#endif

// Compilers of before 2022 go without: GCC has these shuffles since its version 12.
#if defined(__AVX512F__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define GRAPHATTN_PAIRS
#endif
#endif

#ifdef GRAPHATTN_PAIRS
// Eight times a, then eight times b, which are lanes of v.
template <int A, int B>
inline typename Vec<float, 16>::Type spread(typename Vec<float, 8>::Type v) {
  return __builtin_shufflevector(v, v, A, A, A, A, A, A, A, A, B, B, B, B, B, B, B, B);
}

// Sums of the lanes of the eight halves of four vectors, one beside the other.
inline typename Vec<float, 8>::Type lane_sums_of_pairs(const typename Vec<float, 16>::Type* v) {
  using V = typename Vec<float, 16>::Type;
  // Sums of neighbours: those of a, then those of b.
  const auto neighbours = [](V a, V b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  };
  const V all = neighbours(neighbours(v[0], v[1]), neighbours(v[2], v[3]));
  return __builtin_shufflevector(all, all, 0, 2, 4, 6, 8, 10, 12, 14) +
         __builtin_shufflevector(all, all, 1, 3, 5, 7, 9, 11, 13, 15);
}
#endif

// exp to about 1 ulp, without a branch, so that loops over it become vector code. Below -87.3 the
// result is 0, as it must be for masked scores of -inf.
inline float fast_exp(float x) {
  const float clamped = x > 88.7f ? 88.7f : (x < -87.3f ? -87.3f : x);
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;
  float p = 1.98756915e-4f;
  p = p * r + 1.39819995e-3f;
  p = p * r + 8.33345205e-3f;
  p = p * r + 4.16657962e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 0.5f;
  p = (p * r) * r + r + 1.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, 4);
  bits = (bits - 0x4B400000 + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, 4);
  const float out = x < -87.3f ? 0.0f : (x > 88.7f ? std::numeric_limits<float>::infinity() : p * scale);
  return x != x ? x : out;
}
inline double fast_exp(double x) { return std::exp(x); }

template <class A>
inline A leaky_relu(A z, A slope) {
  return z > A(0) ? z : z * slope;
}

// Keeps or drops coefficient number `counter`: a hash of (seed, counter), with no state, so that
// backward and every number of threads see the same mask. The mixing function is the 32-bit
// "lowbias" hash found by C. Wellons; graphattn/ops/_dropout.py has the same in torch.
struct Dropout {
  uint32_t key_low, key_high, threshold;
  float scale;
  bool active;

  Dropout(double p, uint64_t seed)
      : key_low(static_cast<uint32_t>(seed)),
        key_high(static_cast<uint32_t>(seed >> 32)),
        threshold(p >= 1.0 ? 0xffffffffu : static_cast<uint32_t>(p * 4294967296.0)),
        scale(p >= 1.0 ? 0.0f : static_cast<float>(1.0 / (1.0 - p))),
        active(p > 0.0) {}

  static uint32_t mix(uint32_t x) {
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x *= 0x735a2d97u;
    return x ^ (x >> 15);
  }
  // 0, or 1 / (1 - p), for the counter of which these are the two halves.
  float factor(uint32_t low, uint32_t high) const {
    const uint32_t draw = mix(mix(low + key_low) ^ (high + key_high));
    // A product, since a branch would keep loops over this from becoming vector code.
    return static_cast<float>(static_cast<int32_t>(draw >= threshold)) * scale;
  }
};

template <class I>
struct Graph {
  int64_t num_src, num_dst, num_edges;
  const I *rowptr, *col, *edge, *tptr, *trow, *position;

  explicit Graph(const GraphattnGraph& g)
      : num_src(g.num_src),
        num_dst(g.num_dst),
        num_edges(g.num_edges),
        rowptr(static_cast<const I*>(g.rowptr)),
        col(static_cast<const I*>(g.col)),
        edge(static_cast<const I*>(g.edge)),
        tptr(static_cast<const I*>(g.tptr)),
        trow(static_cast<const I*>(g.trow)),
        position(static_cast<const I*>(g.position)) {}

};

inline int thread_number() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// Rows that one thread takes at a time, and whose contributions to a parameter are summed first.
constexpr int64_t kBlock = 64;

// Calls body(i, scratch) for i < count, `block` of them in order on one thread; `scratch` has `size`
// entries of the thread's own.
template <class A, class Body>
void for_each(int64_t count, int64_t threads, int64_t size, int64_t block, const Body& body) {
  const int64_t padded = (size + 31) / 16 * 16;
  std::vector<A> scratch(static_cast<size_t>(padded * std::max<int64_t>(threads, 1)));
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(dynamic, block) if (threads > 1)
  for (int64_t i = 0; i < count; ++i) body(i, scratch.data() + padded * thread_number());
}

// The same for rows. A block of them is the work of one thread, so that sums over a block do not
// depend on the number of threads.
template <class A, class Body>
void for_rows(int64_t rows, int64_t threads, int64_t size, const Body& body) {
  for_each<A>(rows, threads, size, kBlock, body);
}

// Rows that are gathered from memory are asked for this many edges ahead.
constexpr int64_t kAhead = 12;

inline void prefetch(const void* row, int64_t bytes) {
  for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(static_cast<const char*>(row) + b);
}

}  // namespace GRAPHATTN_ISA
