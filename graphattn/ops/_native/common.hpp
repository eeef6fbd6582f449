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
#include <memory>
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

// Function bodies that are used in several places and worth compiling only once.
#if defined(__GNUC__)
#define GRAPHATTN_NOINLINE __attribute__((noinline))
#else
#define GRAPHATTN_NOINLINE
#endif

// Sorted views of an edge list; see Graph in graphattn/ops/graph.py. Mirrored there by ctypes. Nodes
// have 32 bits, and so have positions, which are unsigned: graphs of up to 2^32 - 1 edges.
struct GraphattnGraph {
  int64_t num_src, num_dst, num_edges;
  int64_t longest_row, longest_column;  // most edges that enter, or leave, a node
  const int64_t* rowptr;     // first position of every destination
  const int32_t* col;        // source of the edge at each position
  const uint32_t* edge;      // its number in the user's order
  const int64_t* tptr;       // first transposed position of every source
  const int32_t* trow;       // destination of the edge at each of them
  const uint32_t* position;  // its position in the rows by destination
};

namespace GRAPHATTN_ISA {

// Bytes of a vector register.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// W accumulators side by side, in as many registers as that takes. W never follows from the machine,
// and products are not fused with sums (see CMakeLists.txt): so every instruction set computes the
// same bits.
template <class A, int W>
struct Pack {
  static constexpr int kLanes = W * int{sizeof(A)} <= kVectorBytes ? W : kVectorBytes / int{sizeof(A)};
  static constexpr int kParts = W / kLanes;
  typedef A Part __attribute__((vector_size(kLanes * sizeof(A))));
  // A part in memory: at any address.
  typedef A Loose __attribute__((vector_size(kLanes * sizeof(A)), aligned(alignof(A)), may_alias));
  Part part[kParts];

  static Pack filled(A value) {
    Pack out;
    for (Part& p : out.part) p = Part{} + value;
    return out;
  }
  Pack& operator+=(const Pack& b) {
    for (int k = 0; k < kParts; ++k) part[k] += b.part[k];
    return *this;
  }
  friend Pack operator+(Pack a, const Pack& b) { return a += b; }
  friend Pack operator-(Pack a, const Pack& b) {
    for (int k = 0; k < kParts; ++k) a.part[k] -= b.part[k];
    return a;
  }
  friend Pack operator*(Pack a, const Pack& b) {
    for (int k = 0; k < kParts; ++k) a.part[k] *= b.part[k];
    return a;
  }
  // Of each lane the larger one.
  friend Pack larger(const Pack& a, Pack b) {
    for (int k = 0; k < kParts; ++k) b.part[k] = a.part[k] > b.part[k] ? a.part[k] : b.part[k];
    return b;
  }
  friend Pack operator+(Pack a, A b) {
    for (Part& p : a.part) p += b;
    return a;
  }
  friend Pack operator*(A b, Pack a) {
    for (Part& p : a.part) p *= b;
    return a;
  }
};

// Lane by lane: yes where x > 0, else no.
template <class A, int W>
inline Pack<A, W> where_positive(const Pack<A, W>& x, const Pack<A, W>& yes, Pack<A, W> no) {
  for (int k = 0; k < Pack<A, W>::kParts; ++k) no.part[k] = x.part[k] > 0 ? yes.part[k] : no.part[k];
  return no;
}

template <int W, class A>
inline Pack<A, W> load_pack(const A* p) {
  using P = Pack<A, W>;
  P out;
  for (int k = 0; k < P::kParts; ++k)
    out.part[k] = *reinterpret_cast<const typename P::Loose*>(p + k * P::kLanes);
  return out;
}

template <int W, class A>
inline void store_pack(const Pack<A, W>& v, A* p) {
  using P = Pack<A, W>;
  for (int k = 0; k < P::kParts; ++k)
    *reinterpret_cast<typename P::Loose*>(p + k * P::kLanes) = v.part[k];
}

// Sum of the lanes, one half on the other until one is left.
template <class A, int W>
inline A lane_sum(const Pack<A, W>& v) {
  if constexpr (W == 1) {
    return v.part[0][0];
  } else {
    Pack<A, W / 2> low, high;
    static_assert(sizeof(v) == 2 * sizeof(low));
    std::memcpy(&low, &v, sizeof(low));
    std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
    return lane_sum(low + high);
  }
}

#if defined(__AVX2__) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
// Compilers of before 2022 go without: GCC has these shuffles since its version 12.
#define GRAPHATTN_SHUFFLES
#endif
#endif

#ifdef GRAPHATTN_SHUFFLES
typedef float Eight __attribute__((vector_size(32)));

// Sums of the lanes of eight vectors, one beside the other, in the order of lane_sum: a third of its
// instructions.
inline Eight lane_sums(const Eight* v) {
  // Halves of a, then of b, one on the other; then quarters; then neighbours.
  const auto halves = [](Eight a, Eight b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  };
  // Of a, b | c, d in turns, since a machine shuffles within halves.
  const auto quarters = [](Eight ab, Eight cd) {
    return __builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
           __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
  };
  const Eight acbd = quarters(halves(v[0], v[1]), halves(v[2], v[3]));
  const Eight egfh = quarters(halves(v[4], v[5]), halves(v[6], v[7]));
  const Eight sums = __builtin_shufflevector(acbd, egfh, 0, 2, 8, 10, 4, 6, 12, 14) +
                     __builtin_shufflevector(acbd, egfh, 1, 3, 9, 11, 5, 7, 13, 15);
  // a c e g b d f h
  return __builtin_shufflevector(sums, sums, 0, 4, 1, 5, 2, 6, 3, 7);
}
#endif

#if defined(__AVX512F__) && defined(GRAPHATTN_SHUFFLES)
#define GRAPHATTN_PAIRS
typedef float Sixteen __attribute__((vector_size(64)));

// Eight times a, then eight times b, which are lanes of v.
template <int A, int B>
inline Sixteen spread(Eight v) {
  return __builtin_shufflevector(v, v, A, A, A, A, A, A, A, A, B, B, B, B, B, B, B, B);
}

// Sums of the lanes of the eight halves of four vectors, one beside the other, as of lane_sums.
inline Eight lane_sums_of_pairs(const Sixteen* v) {
  const auto halves = [](Sixteen a, Sixteen b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  };
  const auto quarters = [](Sixteen a, Sixteen b) {
    return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
           __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  };
  const Sixteen all = quarters(halves(v[0], v[1]), halves(v[2], v[3]));
  return __builtin_shufflevector(all, all, 0, 2, 4, 6, 8, 10, 12, 14) +
         __builtin_shufflevector(all, all, 1, 3, 5, 7, 9, 11, 13, 15);
}
#endif

// exp to about 1 ulp. Below -87.3 the result is 0, as it must be for masked scores of -inf.
template <int W>
inline Pack<float, W> fast_exp(Pack<float, W> pack) {
  using F = typename Pack<float, W>::Part;
  typedef uint32_t Bits __attribute__((vector_size(sizeof(F))));
  for (F& x : pack.part) {
    const F low = F{} - 87.3f, high = F{} + 88.7f;
    const F clamped = x > high ? high : (x < low ? low : x);
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
    const F shifted = clamped * 1.44269504f + 12582912.0f;
    const F n = shifted - 12582912.0f;
    const F r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;
    F p = r * 1.98756915e-4f + 1.39819995e-3f;
    p = p * r + 8.33345205e-3f;
    p = p * r + 4.16657962e-2f;
    p = p * r + 1.66666657e-1f;
    p = p * r + 0.5f;
    p = (p * r) * r + r + 1.0f;
    p *= (F)(((Bits)shifted - 0x4B400000u + 127u) << 23);
    x = x < low ? F{} : (x > high ? F{} + std::numeric_limits<float>::infinity() : p);
  }
  return pack;
}
template <int W>
inline Pack<double, W> fast_exp(Pack<double, W> x) {
  for (auto& part : x.part)
    for (int l = 0; l < Pack<double, W>::kLanes; ++l) part[l] = std::exp(part[l]);
  return x;
}
template <class A>
inline A fast_exp(A x) {
  return fast_exp(Pack<A, 1>::filled(x)).part[0][0];
}

// Keeps or drops coefficient number `counter`: a hash of (seed, counter), with no state, so that
// backward and every number of threads see the same mask. The mixing function is the 32-bit
// "lowbias" hash found by C. Wellons; graphattn/ops/dropout.py has the same in torch.
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

// A function that somebody else keeps alive, of a type that says only how it is called: what takes one is
// compiled once for all callers.
template <class Signature>
class Ref;
template <class... Args>
class Ref<void(Args...)> {
 public:
  template <class Function>
  Ref(const Function& function)  // NOLINT: as a reference
      : object_(&function), call_([](const void* object, Args... args) {
          (*static_cast<const Function*>(object))(args...);
        }) {}
  void operator()(Args... args) const { call_(object_, args...); }

 private:
  const void* object_;
  void (*call_)(const void*, Args...);
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
template <class A>
void for_each(int64_t count, int64_t threads, int64_t size, int64_t block,
              Ref<void(int64_t, A*)> body) {
  const int64_t padded = (size + 31) / 16 * 16;
  const std::unique_ptr<A[]> all(new A[static_cast<size_t>(padded * std::max<int64_t>(threads, 1))]);
  A* const scratch = all.get();
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(dynamic, block) if (threads > 1)
  for (int64_t i = 0; i < count; ++i) body(i, scratch + padded * thread_number());
}

// The same for rows. A block of them is the work of one thread, so that sums over a block do not
// depend on the number of threads.
template <class A>
void for_rows(int64_t rows, int64_t threads, int64_t size, Ref<void(int64_t, A*)> body) {
  for_each<A>(rows, threads, size, kBlock, body);
}

// Rows that are gathered from memory are asked for this many edges ahead.
constexpr int64_t kAhead = 12;

inline void prefetch(const void* row, int64_t bytes) {
  for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(static_cast<const char*>(row) + b);
}

}  // namespace GRAPHATTN_ISA
